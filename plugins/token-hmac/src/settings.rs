//! The plugin's table of the policy file.

use crate::{bindings::postern::host::config::Value, rights::Template};

/// Where the table is read from.
pub trait Config {
    /// The value at a dotted key.
    fn get(&self, key: &str) -> Option<Value>;
    /// The keys directly below a dotted key, each without it.
    fn keys(&self, prefix: &str) -> Vec<String>;
}

/// What the policy file sets.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Clients without credentials are admitted.
    pub anonymous: bool,
    /// Clients whose user name names no token are admitted as anonymous ones.
    pub anonymous_accepts_any: bool,
    /// How long a token is good, in seconds.
    pub lifetime_secs: u64,
    /// How long after the login a renewal is still possible, in seconds.
    pub max_age_secs: u64,
    /// How many good tokens one device may have; the one that ends first makes room for another.
    pub tokens_per_device: u32,
    /// How old a proof may be, in seconds.
    pub proof_back_secs: u64,
    /// How far ahead of our clock a proof may be, in seconds.
    pub proof_ahead_secs: u64,
    /// How long a client may take to answer a challenge, in seconds.
    pub challenge_secs: u64,
    /// Rights on a plain link.
    pub plain: Template,
    /// Rights on a TLS link, and of HTTP requests.
    pub tls: Template,
    /// Rights of anonymous clients.
    pub anonymous_rights: Template,
    /// Bounds for every client; none leaves the host's own.
    pub session_expiry_secs: Option<u32>,
    /// The same.
    pub keep_alive_secs: Option<u16>,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            anonymous: false,
            anonymous_accepts_any: false,
            lifetime_secs: 86_400,
            max_age_secs: 30 * 86_400,
            tokens_per_device: 8,
            proof_back_secs: 60,
            proof_ahead_secs: 30,
            challenge_secs: 30,
            plain: Template::plain(),
            tls: Template::tls(),
            anonymous_rights: Template::default(),
            session_expiry_secs: None,
            keep_alive_secs: None,
        }
    }
}

const KEYS: &[&str] = &[
    "anonymous",
    "anonymous_accepts_any",
    "lifetime_secs",
    "max_age_secs",
    "tokens_per_device",
    "proof_back_secs",
    "proof_ahead_secs",
    "challenge_secs",
    "limits",
    "rights",
];

impl Settings {
    /// Reads the table; what it leaves out is as in [`Settings::default`].
    ///
    /// # Errors
    /// Which key is unknown or of a wrong type.
    pub fn read(config: &impl Config) -> Result<Settings, String> {
        only(config, "", KEYS)?;
        only(config, "limits", &["session_expiry_secs", "keep_alive_secs"])?;
        only(config, "rights", &["plain", "tls", "anonymous"])?;
        let usual = Settings::default();
        let number = |key: &str, usual: u64| Ok::<_, String>(bounded::<u64>(config, key)?.unwrap_or(usual));
        Ok(Settings {
            anonymous: flag(config, "anonymous")?.unwrap_or(false),
            anonymous_accepts_any: flag(config, "anonymous_accepts_any")?.unwrap_or(false),
            lifetime_secs: number("lifetime_secs", usual.lifetime_secs)?,
            max_age_secs: number("max_age_secs", usual.max_age_secs)?,
            tokens_per_device: per_device(config)?.unwrap_or(usual.tokens_per_device),
            proof_back_secs: number("proof_back_secs", usual.proof_back_secs)?,
            proof_ahead_secs: number("proof_ahead_secs", usual.proof_ahead_secs)?,
            challenge_secs: number("challenge_secs", usual.challenge_secs)?,
            plain: template(config, "rights.plain", usual.plain)?,
            tls: template(config, "rights.tls", usual.tls)?,
            anonymous_rights: template(config, "rights.anonymous", usual.anonymous_rights)?,
            session_expiry_secs: bounded(config, "limits.session_expiry_secs")?,
            keep_alive_secs: bounded(config, "limits.keep_alive_secs")?,
        })
    }
}

fn only(config: &impl Config, prefix: &str, known: &[&str]) -> Result<(), String> {
    match config.keys(prefix).into_iter().find(|key| !known.contains(&key.as_str())) {
        None => Ok(()),
        Some(key) if prefix.is_empty() => Err(format!("config has the unknown key `{key}`")),
        Some(key) => Err(format!("config has the unknown key `{prefix}.{key}`")),
    }
}

fn flag(config: &impl Config, key: &str) -> Result<Option<bool>, String> {
    match config.get(key) {
        None => Ok(None),
        Some(Value::Flag(value)) => Ok(Some(value)),
        Some(_) => Err(format!("config `{key}` must be true or false")),
    }
}

fn bounded<N: TryFrom<i64>>(config: &impl Config, key: &str) -> Result<Option<N>, String> {
    let Some(value) = config.get(key) else { return Ok(None) };
    let Value::Integer(value) = value else { return Err(format!("config `{key}` must be a number")) };
    N::try_from(value).map(Some).map_err(|_| format!("config `{key}` is out of range"))
}

fn per_device(config: &impl Config) -> Result<Option<u32>, String> {
    let key = "tokens_per_device";
    let number = bounded(config, key)?;
    if number.is_none_or(|number| (2..=1000).contains(&number)) {
        return Ok(number);
    }
    Err(format!("config `{key}` must be from 2 to 1000"))
}

fn texts(config: &impl Config, key: &str) -> Result<Option<Vec<String>>, String> {
    match config.get(key) {
        None => Ok(None),
        Some(Value::Texts(value)) => Ok(Some(value)),
        Some(_) => Err(format!("config `{key}` must be a list of texts")),
    }
}

fn template(config: &impl Config, prefix: &str, usual: Template) -> Result<Template, String> {
    only(config, prefix, &["publish", "subscribe", "deny_publish", "deny_subscribe", "messaging"])?;
    let list =
        |name: &str, usual| Ok::<_, String>(texts(config, &format!("{prefix}.{name}"))?.unwrap_or(usual));
    let template = Template {
        publish: list("publish", usual.publish)?,
        subscribe: list("subscribe", usual.subscribe)?,
        deny_publish: list("deny_publish", usual.deny_publish)?,
        deny_subscribe: list("deny_subscribe", usual.deny_subscribe)?,
        messaging: flag(config, &format!("{prefix}.messaging"))?.unwrap_or(usual.messaging),
    };
    template.check().map_err(|text| format!("config `{prefix}`: {text}"))?;
    Ok(template)
}
