//! What the policy file says about plugins.

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::http::HttpHost;

/// What a component can be asked to do. A component fills a role by exporting its interfaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Who may log in, and the directories (`postern:login`).
    Login,
    /// What a token is and what its holder may do (`postern:token`).
    Token,
    /// What a message means (`postern:classify`).
    Classify,
    /// What is stored and how (`postern:store`).
    Store,
    /// Which commands must travel encrypted (`postern:encrypt`).
    Encrypt,
}

impl Role {
    /// All roles.
    pub const ALL: [Role; 5] = [Role::Login, Role::Token, Role::Classify, Role::Store, Role::Encrypt];

    /// The role's name in the policy file, in metrics and on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Role::Login => "login",
            Role::Token => "token",
            Role::Classify => "classify",
            Role::Store => "store",
            Role::Encrypt => "encrypt",
        }
    }

    /// The interfaces, without version, that a component must export to fill the role.
    pub const fn interfaces(self) -> &'static [&'static str] {
        match self {
            Role::Login => &["postern:login/verify", "postern:login/directory", "postern:login/accounts"],
            Role::Token => &["postern:token/tokens"],
            Role::Classify => &["postern:classify/classify"],
            Role::Store => &["postern:store/messages"],
            Role::Encrypt => &["postern:encrypt/policy"],
        }
    }

    /// Whether calls are answered on the calling thread: pure roles, whose plugins may not wait.
    pub const fn is_pure(self) -> bool {
        matches!(self, Role::Classify | Role::Encrypt)
    }

    /// Whether two generations may serve at once, each its part of the clients. Tokens and stored messages
    /// belong to all.
    pub const fn takes_canary(self) -> bool {
        matches!(self, Role::Login | Role::Classify | Role::Encrypt)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Role {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Role::ALL
            .into_iter()
            .find(|role| role.name() == text)
            .ok_or_else(|| format!("`{text}` is not a role: use login, token, classify, store or encrypt"))
    }
}

/// What a caller gets while no handler answers (C6). What follows from it is the caller's to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FailureRule {
    /// Refuse, as a temporary failure.
    Closed,
    /// Take the class of the topic's prefix. For classify only.
    Prefix,
}

impl FailureRule {
    /// Whether the policy may set this rule for `role`: only classify may fail to anything but a
    /// refusal.
    pub const fn fits(self, role: Role) -> bool {
        matches!((self, role), (FailureRule::Closed, _) | (FailureRule::Prefix, Role::Classify))
    }
}

impl FromStr for FailureRule {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "closed" => Ok(FailureRule::Closed),
            "prefix" => Ok(FailureRule::Prefix),
            _ => Err(format!("`{text}` is not a failure rule: use closed or prefix")),
        }
    }
}

/// What one plugin is granted and how it is bounded: `[plugins.NAME]` of the policy file. The
/// default grants nothing.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PluginPolicy {
    /// Interfaces of `postern:host` that it may import: `log`, `clock`, `random`, `config`, `keys`, `password`,
    /// `proof`, `sql`, `kv`, `http`, `http-password`. One that imports more does not load; `types` needs no grant.
    #[schemars(extend("x-default" = "`[]`"))]
    pub grants: BTreeSet<String>,
    /// Names that it may open through `keys`; the keys are derived from the master key, and never seen by it.
    #[schemars(extend("x-default" = "`[]`"))]
    pub keys: Vec<String>,
    /// Whom it may ask by `http` and `http-password`, and nobody else: `hr.example:8443` over HTTPS,
    /// `http://127.0.0.1:8080` in plain, for loopback addresses only.
    #[schemars(with = "Vec<String>", extend("x-default" = "`[]`"))]
    pub http_hosts: Vec<HttpHost>,
    /// PEM file of certificates to trust beside the system's, for `http_hosts`.
    #[schemars(extend("x-default" = "none"))]
    pub http_ca: Option<PathBuf>,
    /// The plugin's own table, handed to it by `config`; its manual says what it knows.
    #[schemars(with = "serde_json::Map<String, serde_json::Value>", extend("x-default" = "empty"))]
    pub config: toml::Table,
    /// Bounds of one plugin.
    pub limits: PluginLimits,
}

/// Bounds of one plugin (C5).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PluginLimits {
    /// Linear memory of one instance; at most 64.
    #[schemars(range(min = 1))]
    pub memory_mib: u32,
    /// CPU time of one call, judged in steps of 1 ms. A call that is over it is stopped.
    #[schemars(range(min = 1))]
    pub call_cpu_ms: u32,
    #[schemars(range(min = 1))]
    /// Wall clock time of one call that may wait, its wait for an instance included.
    pub call_wall_ms: u32,
    /// Calls under way at once, per role. Calls of classify and encrypt have a thread each.
    #[schemars(range(min = 1), extend("x-default" = "16, or the number of cores if that is more"))]
    pub concurrency: u32,
    /// Calls after which an instance is replaced by a fresh one.
    #[schemars(range(min = 1))]
    pub calls_per_instance: u32,
    /// Lines the plugin may log a second; bursts may be as long.
    pub log_lines_per_sec: u32,
    /// Rows that one SQL statement may give.
    #[schemars(range(min = 1))]
    pub sql_rows: u32,
    /// Time of one SQL statement.
    #[schemars(range(min = 1))]
    pub sql_statement_ms: u32,
    /// Body of one HTTP request, and of its answer.
    #[schemars(range(min = 1))]
    pub http_body_bytes: u32,
    #[schemars(range(min = 1))]
    /// Time of one HTTP request; never more than nine tenths of what its call has left.
    pub http_timeout_ms: u32,
}

impl PluginLimits {
    /// The greatest `memory_mib`: the address space reserved for an instance's memory.
    pub const MAX_MEMORY_MIB: u32 = 64;

    /// Says what is wrong with the values, if anything.
    ///
    /// # Errors
    ///
    /// One line that names the key.
    pub fn check(&self) -> Result<(), String> {
        let positive = [
            ("memory_mib", self.memory_mib),
            ("call_cpu_ms", self.call_cpu_ms),
            ("call_wall_ms", self.call_wall_ms),
            ("concurrency", self.concurrency),
            ("calls_per_instance", self.calls_per_instance),
            ("sql_rows", self.sql_rows),
            ("sql_statement_ms", self.sql_statement_ms),
            ("http_body_bytes", self.http_body_bytes),
            ("http_timeout_ms", self.http_timeout_ms),
        ];
        if let Some((key, _)) = positive.iter().find(|(_, value)| *value == 0) {
            return Err(format!("limits.{key} must be at least 1"));
        }
        if self.memory_mib > Self::MAX_MEMORY_MIB {
            return Err(format!("limits.memory_mib must be at most {}", Self::MAX_MEMORY_MIB));
        }
        Ok(())
    }
}

impl Default for PluginLimits {
    fn default() -> Self {
        let cores =
            std::thread::available_parallelism().ok().and_then(|n| u32::try_from(n.get()).ok()).unwrap_or(1);
        PluginLimits {
            memory_mib: 32,
            call_cpu_ms: 50,
            call_wall_ms: 5_000,
            concurrency: cores.max(16),
            calls_per_instance: 1_000_000,
            log_lines_per_sec: 20,
            sql_rows: 10_000,
            sql_statement_ms: 2_000,
            http_body_bytes: 1 << 20,
            http_timeout_ms: 2_000,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_and_rules_are_read_from_their_names() {
        for role in Role::ALL {
            assert_eq!(role.name().parse::<Role>(), Ok(role));
        }
        assert!("Login".parse::<Role>().is_err());
        assert_eq!("prefix".parse::<FailureRule>(), Ok(FailureRule::Prefix));
        assert!("open".parse::<FailureRule>().is_err());
        assert!(FailureRule::Prefix.fits(Role::Classify) && !FailureRule::Prefix.fits(Role::Store));
    }

    #[test]
    fn unknown_keys_and_senseless_limits_are_refused() {
        let policy: PluginPolicy =
            toml::from_str("grants = ['log']\n[limits]\nmemory_mib = 8\n[config]\nx = 1").unwrap();
        assert_eq!(policy.limits.memory_mib, 8);
        assert_eq!(policy.limits.concurrency, PluginLimits::default().concurrency);
        assert!(toml::from_str::<PluginPolicy>("grant = ['log']").is_err());
        assert!(PluginLimits { call_cpu_ms: 0, ..PluginLimits::default() }.check().is_err());
        assert!(PluginLimits { memory_mib: 65, ..PluginLimits::default() }.check().is_err());
        assert!(PluginLimits::default().check().is_ok());
    }
}
