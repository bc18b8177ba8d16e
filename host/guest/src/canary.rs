//! Whom a new generation serves first, before it serves everybody.

use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::str::FromStr;

/// On whose behalf a handler is called.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Who<'a> {
    /// The user; none for anonymous clients.
    pub user: Option<&'a str>,
    /// MQTT client id; for a terminal its user id. None for the host itself, whom no canary serves.
    pub client: Option<&'a str>,
}

impl Who<'_> {
    /// The host itself.
    pub const HOST: Who<'static> = Who { user: None, client: None };
}

/// A part of the clients, always the same ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Canary {
    /// So many of ten thousand.
    Share(u16),
    /// Users whose id fits the pattern, in which `*` stands for any characters.
    Users(String),
    /// Clients whose id fits the pattern.
    Clients(String),
}

/// Hundredths of a percent in a whole.
const WHOLE: u16 = 10_000;

impl Canary {
    /// Whether this call is for the canary.
    pub fn takes(&self, who: Who<'_>) -> bool {
        match self {
            Canary::Share(share) => who.client.is_some_and(|client| place(who.user, client) < *share),
            Canary::Users(pattern) => who.user.is_some_and(|user| fits(pattern, user)),
            Canary::Clients(pattern) => who.client.is_some_and(|client| fits(pattern, client)),
        }
    }
}

/// Where a client stands among ten thousand; the same as long as the program is.
fn place(user: Option<&str>, client: &str) -> u16 {
    let mut hasher = DefaultHasher::new();
    (user, client).hash(&mut hasher);
    u16::try_from(hasher.finish() % u64::from(WHOLE)).unwrap_or(0)
}

/// Whether `text` fits `pattern`. Takes time in the product of their lengths, whatever both say.
fn fits(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut at, mut read) = (0, 0);
    // Where to go on when what came after the last star turns out not to fit.
    let mut again = None;
    while let Some(byte) = text.get(read) {
        match pattern.get(at) {
            Some(b'*') => {
                again = Some((at + 1, read));
                at += 1;
            }
            Some(wanted) if wanted == byte => (at, read) = (at + 1, read + 1),
            _ => {
                let Some((after, from)) = again else { return false };
                again = Some((after, from + 1));
                (at, read) = (after, from + 1);
            }
        }
    }
    pattern.iter().skip(at).all(|byte| *byte == b'*')
}

impl FromStr for Canary {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "`{text}` is no part of the clients: use a share such as 10% or 0.5%, user:PATTERN or client:PATTERN"
            )
        };
        if let Some(percent) = text.strip_suffix('%') {
            let percent: f64 = percent.trim().parse().map_err(|_| wrong())?;
            let share = (percent * 100.0).round();
            if !(1.0..=f64::from(WHOLE)).contains(&share) {
                return Err(format!("`{text}`: a share is from 0.01% to 100%"));
            }
            return Ok(Canary::Share(share as u16));
        }
        let is_pattern = |pattern: &str| (1..=256).contains(&pattern.len());
        match text.split_once(':') {
            Some(("user", pattern)) if is_pattern(pattern) => Ok(Canary::Users(pattern.to_owned())),
            Some(("client", pattern)) if is_pattern(pattern) => Ok(Canary::Clients(pattern.to_owned())),
            _ => Err(wrong()),
        }
    }
}

impl fmt::Display for Canary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Canary::Share(share) => write!(f, "{}%", f64::from(*share) / 100.0),
            Canary::Users(pattern) => write!(f, "user:{pattern}"),
            Canary::Clients(pattern) => write!(f, "client:{pattern}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_what_was_read() {
        for text in ["10%", "0.5%", "100%", "user:alice", "client:phone-*"] {
            assert_eq!(text.parse::<Canary>().unwrap().to_string(), text);
        }
        for text in ["", "10", "0%", "101%", "-1%", "NaN%", "user:", "group:x", "client", "%"] {
            assert!(text.parse::<Canary>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_share_takes_its_part_and_always_the_same() {
        let canary: Canary = "10%".parse().unwrap();
        let clients: Vec<String> = (0..10_000).map(|n| format!("client-{n}")).collect();
        let taken = |client: &String| canary.takes(Who { user: Some("u"), client: Some(client) });
        let count = clients.iter().filter(|client| taken(client)).count();
        assert!((900..=1_100).contains(&count), "{count}");
        assert!(clients.iter().all(|client| taken(client) == taken(client)));
        assert!(!canary.takes(Who::HOST), "the host stays with what is known");
        assert!(!"100%".parse::<Canary>().unwrap().takes(Who::HOST));
    }

    #[test]
    fn patterns_take_stars() {
        for (pattern, text) in [("*", ""), ("a*", "abc"), ("*c", "abc"), ("a*b*c", "axxbyyc"), ("a**", "a")] {
            assert!(fits(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [("", "a"), ("a", ""), ("a*b", "axc"), ("ab", "abc"), ("*ab", "aab c")] {
            assert!(!fits(pattern, text), "{pattern} {text}");
        }
        let user: Canary = "user:car-*".parse().unwrap();
        assert!(user.takes(Who { user: Some("car-1"), client: None }));
        assert!(!user.takes(Who { user: None, client: Some("car-1") }));
    }
}
