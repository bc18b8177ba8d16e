//! Topic filters with places to fill in, and the rights that come of them.
//!
//! `{user}`, `{org}` and `{client}` stand for the holder's; a filter with `{group}` is repeated for
//! each of the holder's groups. Filled-in words can never be more than one topic level.

use crate::bindings::{
    exports::postern::token::tokens::{Patterns, Rights},
    postern::host::types::Profile,
};

/// Rights before they are filled in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Template {
    /// May publish.
    pub publish: Vec<String>,
    /// May subscribe.
    pub subscribe: Vec<String>,
    /// May not publish, whatever is allowed.
    pub deny_publish: Vec<String>,
    /// May not subscribe, whatever is allowed.
    pub deny_subscribe: Vec<String>,
    /// Gets stored messages, notifications and presence, and may read history.
    pub messaging: bool,
}

/// For which holder a template is filled in.
#[derive(Clone, Copy, Debug)]
pub struct Who<'a> {
    /// None for anonymous clients.
    pub profile: Option<&'a Profile>,
    /// The link's client id.
    pub client_id: &'a str,
}

impl Template {
    /// On plain: a terminal's own query, result, commands and instructions. No chat, no stored
    /// message (SECURITY.md, rule 2).
    #[must_use]
    pub fn plain() -> Self {
        Template {
            publish: owned(&["cmd/{user}/query", "cmd/{user}/result"]),
            subscribe: owned(&["cmd/{user}/do", "link/{user}"]),
            ..Template::default()
        }
    }

    /// On TLS: that, chat in the user's own name, and commands to terminals whose groups the user is in.
    #[must_use]
    pub fn tls() -> Self {
        Template {
            publish: owned(&[
                "cmd/{user}/query",
                "cmd/{user}/result",
                "cmd/{group}/ask",
                "im/u/+/{user}",
                "im/u/+/{user}/+",
                "im/g/{group}/{user}",
                "im/g/{group}/{user}/+",
            ]),
            subscribe: owned(&[
                "cmd/{user}/do",
                "link/{user}",
                "im/u/{user}/#",
                "im/g/{group}/#",
                "note/u/{user}",
                "note/all",
                "status/{user}",
            ]),
            messaging: true,
            ..Template::default()
        }
    }

    /// Whether all places can be filled in and no filter is empty.
    ///
    /// # Errors
    /// Which filter is wrong.
    pub fn check(&self) -> Result<(), String> {
        let lists = [&self.publish, &self.subscribe, &self.deny_publish, &self.deny_subscribe];
        for filter in lists.into_iter().flatten() {
            let bare = PLACES.iter().fold(filter.clone(), |bare, place| bare.replace(place, ""));
            if filter.is_empty() || bare.contains(['{', '}']) {
                return Err(format!("`{filter}` is not a topic filter with {}", PLACES.join(", ")));
            }
        }
        Ok(())
    }

    /// The rights of one holder.
    #[must_use]
    pub fn fill(&self, who: Who<'_>) -> Rights {
        Rights {
            publish: patterns(&self.publish, &self.deny_publish, who),
            subscribe: patterns(&self.subscribe, &self.deny_subscribe, who),
            messaging: self.messaging,
        }
    }
}

const PLACES: [&str; 4] = ["{user}", "{org}", "{client}", "{group}"];

fn owned(filters: &[&str]) -> Vec<String> {
    filters.iter().map(|&filter| filter.to_owned()).collect()
}

fn patterns(allow: &[String], deny: &[String], who: Who<'_>) -> Patterns {
    Patterns {
        // A place that cannot be filled in allows nothing, and denies every level in its place.
        allow: allow.iter().flat_map(|filter| filled(filter, who, None)).collect(),
        deny: deny.iter().flat_map(|filter| filled(filter, who, Some("+"))).collect(),
    }
}

fn filled(filter: &str, who: Who<'_>, otherwise: Option<&str>) -> Vec<String> {
    let user = who.profile.map(|profile| profile.user.as_str());
    let org = who.profile.map(|profile| profile.org.as_str());
    let mut filter = filter.to_owned();
    for (place, word) in [("{user}", user), ("{org}", org), ("{client}", Some(who.client_id))] {
        if filter.contains(place) {
            let Some(word) = word.filter(|word| is_level(word)).or(otherwise) else { return Vec::new() };
            filter = filter.replace(place, word);
        }
    }
    if !filter.contains("{group}") {
        return vec![filter];
    }
    let groups = who.profile.map_or(&[][..], |profile| &profile.groups);
    groups.iter().filter(|group| is_level(group)).map(|group| filter.replace("{group}", group)).collect()
}

/// Whether a word may be filled in: 1 to 64 of `A-Z a-z 0-9 . _ -`, so no `/`, `+` or `#`.
#[must_use]
pub fn is_level(word: &str) -> bool {
    (1..=64).contains(&word.len())
        && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
}
