//! The policy file: which plugin serves each role first, grants, limits, failure rule, and what must be
//! encrypted. Raw → typed; an error is one line that names file and key.

mod live;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use postern_guest::{FailureRule, GRANTABLE, PluginPolicy, Role, SignerKey, is_plugin_name};
use serde::Deserialize;

use crate::{
    config::{NodeRoles, syntax},
    listen::wire::ListenerName,
};

pub use live::InForce;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    #[serde(default)]
    roles: BTreeMap<String, String>,
    #[serde(default)]
    failure: BTreeMap<String, String>,
    #[serde(default)]
    must_encrypt: RawMustEncrypt,
    #[serde(default)]
    classes: RawClasses,
    #[serde(default)]
    activation: Activation,
    #[serde(default)]
    signatures: Signatures,
    #[serde(default)]
    plugins: BTreeMap<String, PluginPolicy>,
}

/// How plugins come to serve: `[activation]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Activation {
    /// A file that appears in the plugin folder while the node runs is activated when it passes its checks.
    pub auto_activate: bool,
    /// How long a new generation is watched, in seconds.
    pub probation_secs: u32,
    /// More faults than this share of its calls, and what served before serves again.
    pub max_fault_percent: u8,
}

impl Default for Activation {
    fn default() -> Self {
        Activation { auto_activate: false, probation_secs: 60, max_fault_percent: 10 }
    }
}

impl Activation {
    /// How long a new generation is watched.
    pub fn probation(&self) -> Duration {
        Duration::from_secs(self.probation_secs.into())
    }
}

/// Whose plugins are taken: `[signatures]`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Signatures {
    /// Only plugins that one of `keys` has signed are loaded.
    pub require_signature: bool,
    /// Ed25519 keys, as `postern plugin keygen` prints them.
    pub keys: Vec<SignerKey>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawMustEncrypt {
    command_classes: BTreeSet<String>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawClasses {
    all_other: bool,
}

/// What is wrong with a policy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {what}", file.display())]
pub struct PolicyError {
    file: PathBuf,
    what: String,
}

/// The operator's policy.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    file: PathBuf,
    /// Which plugin serves each role first; later activations win.
    roles: BTreeMap<Role, String>,
    /// What callers get while classify is down (C6); the other roles fail closed.
    pub classify_failure: FailureRule,
    /// Classes of commands that travel on TLS whatever a plugin says (rule 2).
    pub must_encrypt: BTreeSet<String>,
    /// Every message is of class *other* (A16's exception).
    pub all_other: bool,
    /// How plugins come to serve.
    pub activation: Activation,
    /// Whose signature a plugin needs; None when it needs none.
    pub signers: Option<Vec<SignerKey>>,
    plugins: BTreeMap<String, PluginPolicy>,
}

impl Policy {
    /// Reads a policy file.
    ///
    /// # Errors
    /// One line that names the file and the key.
    pub fn load(file: &Path) -> Result<Self, PolicyError> {
        let wrong = |what: String| PolicyError { file: file.to_owned(), what };
        let text = fs::read_to_string(file).map_err(|e| wrong(format!("{e} (key policy)")))?;
        let raw = toml::from_str::<Raw>(&text).map_err(|e| wrong(syntax(&text, &e)))?;
        raw.typed(file).map_err(wrong)
    }

    /// The plugin that serves a role first.
    pub fn serves(&self, role: Role) -> Option<&str> {
        self.roles.get(&role).map(String::as_str)
    }

    /// The roles that a node runs, with the plugin that serves each first.
    ///
    /// # Errors
    /// The policy names no plugin for a role that the node needs (C1: there is no fallback).
    pub fn needed(&self, node: NodeRoles) -> Result<Vec<(Role, &str)>, PolicyError> {
        let roles = Role::ALL.into_iter().filter(|role| is_run_by(*role, node));
        roles
            .map(|role| {
                let missing =
                    || PolicyError { file: self.file.clone(), what: format!("roles.{role}: not set") };
                Ok((role, self.serves(role).ok_or_else(missing)?))
            })
            .collect()
    }

    /// The file of this policy.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// Grants and limits of a plugin; one that the policy does not name is granted nothing.
    pub fn plugin(&self, name: &str) -> PluginPolicy {
        self.plugins.get(name).cloned().unwrap_or_default()
    }
}

/// Whether a node runs a role: login servers *login*, MQTT servers the others (A2).
pub fn is_run_by(role: Role, node: NodeRoles) -> bool {
    match role {
        Role::Login => node.login,
        Role::Token | Role::Classify | Role::Store | Role::Encrypt => node.broker,
    }
}

impl Raw {
    fn typed(self, file: &Path) -> Result<Policy, String> {
        let mut roles = BTreeMap::new();
        for (role, plugin) in self.roles {
            let role: Role = role.parse().map_err(|e| format!("roles.{role}: {e}"))?;
            if !is_plugin_name(&plugin) {
                return Err(format!("roles.{role}: {plugin:?} is not a plugin name"));
            }
            roles.insert(role, plugin);
        }
        let mut classify_failure = FailureRule::Closed;
        for (role, rule) in self.failure {
            let role: Role = role.parse().map_err(|e| format!("failure.{role}: {e}"))?;
            let rule: FailureRule = rule.parse().map_err(|e| format!("failure.{role}: {e}"))?;
            if !rule.fits(role) {
                return Err(format!("failure.{role}: only `closed` is allowed"));
            }
            if role == Role::Classify {
                classify_failure = rule;
            }
        }
        for (name, plugin) in &self.plugins {
            if !is_plugin_name(name) {
                return Err(format!("plugins.{name:?}: not a plugin name"));
            }
            plugin.limits.check().map_err(|e| format!("plugins.{name}.{e}"))?;
            if let Some(unknown) = plugin.grants.iter().find(|g| !GRANTABLE.contains(&g.as_str())) {
                return Err(format!(
                    "plugins.{name}.grants: `{unknown}` is no interface that can be granted"
                ));
            }
        }
        if self.signatures.require_signature && self.signatures.keys.is_empty() {
            return Err("signatures.keys: empty, so that no plugin could be loaded".to_owned());
        }
        if self.activation.max_fault_percent > 100 {
            return Err("activation.max_fault_percent must be at most 100".to_owned());
        }
        Ok(Policy {
            file: file.to_owned(),
            activation: self.activation,
            signers: self.signatures.require_signature.then_some(self.signatures.keys),
            roles,
            classify_failure,
            must_encrypt: self.must_encrypt.command_classes,
            all_other: self.classes.all_other,
            plugins: self.plugins,
        })
    }
}

/// A token plugin that admits anonymous clients is for loopback only, whatever the policy's name.
/// `listeners` have the addresses that they really got.
///
/// # Errors
/// One line that names the listener's key.
pub fn refuse_anonymous_off_loopback(
    listeners: &[(ListenerName, SocketAddr)],
    admits_anonymous: bool,
) -> Result<(), OffLoopback> {
    let open = listeners.iter().find(|(_, address)| !address.ip().to_canonical().is_loopback());
    match open {
        Some((listener, address)) if admits_anonymous => {
            Err(OffLoopback { listener: listener.as_str(), address: *address })
        }
        _ => Ok(()),
    }
}

/// Anonymous clients would be admitted from the network; one line that names the listener.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("listen.{listener}: {address} is not loopback, but the token plugin admits anonymous clients")]
pub struct OffLoopback {
    listener: &'static str,
    address: SocketAddr,
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOTH: NodeRoles = NodeRoles { login: true, broker: true };

    fn load(text: &str) -> Result<Policy, String> {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("p.toml");
        fs::write(&file, text).unwrap();
        Policy::load(&file).map_err(|e| e.to_string().replace(&format!("{}/", dir.path().display()), ""))
    }

    #[test]
    fn a_policy_is_typed() {
        let policy = load(
            "[roles]\nlogin = 'login-table'\n[failure]\nclassify = 'prefix'\nstore = 'closed'\n\
             [must_encrypt]\ncommand_classes = ['control']\n[classes]\nall_other = true\n\
             [plugins.login-table]\ngrants = ['sql', 'log']\nkeys = ['k']\n\
             [plugins.login-table.limits]\nmemory_mib = 8\n[plugins.login-table.config]\nx = 1",
        )
        .unwrap();
        assert_eq!(policy.serves(Role::Login), Some("login-table"));
        assert_eq!(policy.classify_failure, FailureRule::Prefix);
        assert!(policy.all_other && policy.must_encrypt.contains("control"));
        assert_eq!(policy.plugin("login-table").limits.memory_mib, 8);
        assert_eq!(policy.plugin("stranger"), PluginPolicy::default());
    }

    #[test]
    fn mistakes_name_file_and_key() {
        for (text, told) in [
            ("[role]\n", "p.toml: line 1: unknown field `role`"),
            ("[roles]\nlogn = 'x'", "p.toml: roles.logn: "),
            ("[roles]\nlogin = '../x'", "p.toml: roles.login: \"../x\" is not a plugin name"),
            ("[must_encrypt]\nclasses = []", "p.toml: line 2: unknown field `classes`"),
            ("[failure]\nlogin = 'prefix'", "p.toml: failure.login: only `closed` is allowed"),
            ("[failure]\nclassify = 'open'", "p.toml: failure.classify: "),
            ("[plugins.a]\ngrant = []", "p.toml: line 2: unknown field `grant`"),
            ("[plugins.a]\ngrants = ['files']", "p.toml: plugins.a.grants: `files` is no interface"),
            ("[plugins.a]\nhttp_hosts = ['hr.example']", "p.toml: line 2: `hr.example`: expected name:port"),
            (
                "[plugins.a]\nhttp_hosts = ['http://hr.example:80']",
                "p.toml: line 2: `http://hr.example:80`: plain",
            ),
            ("[plugins.a_b]", "p.toml: plugins.\"a_b\": not a plugin name"),
            ("[plugins.a.limits]\nmemory_mib = 0", "p.toml: plugins.a.limits.memory_mib must be at least 1"),
            ("[classes]\nall_other = 1", "p.toml: line 2: invalid type"),
            ("[roles", "p.toml: line 1: "),
        ] {
            let error = load(text).unwrap_err();
            assert!(error.starts_with(told) && error.lines().count() == 1, "{text}: {error}");
        }
        let told = Policy::load(Path::new("/no/p.toml")).unwrap_err().to_string();
        assert!(told.starts_with("/no/p.toml: No such file") && told.ends_with("(key policy)"), "{told}");
    }

    #[test]
    fn c1_every_role_that_a_node_runs_needs_a_plugin() {
        let policy = load("[roles]\nlogin = 'l'\ntoken = 't'\nclassify = 'c'\nstore = 's'").unwrap();
        let told = policy.needed(BOTH).unwrap_err().to_string();
        assert!(told.ends_with("roles.encrypt: not set"), "{told}");
        let login = NodeRoles { login: true, broker: false };
        assert_eq!(policy.needed(login).unwrap(), [(Role::Login, "l")]);
    }

    #[test]
    fn anonymous_stays_on_loopback() {
        let home = |name| (name, "127.0.0.1:1883".parse().unwrap());
        let home = [home(ListenerName::Tcp), (ListenerName::Ws, "[::1]:80".parse().unwrap())];
        assert!(refuse_anonymous_off_loopback(&home, true).is_ok());
        for address in ["0.0.0.0:1883", "[::]:1883", "192.0.2.1:1883"] {
            let out = [home[0], (ListenerName::Tls, address.parse().unwrap())];
            assert!(refuse_anonymous_off_loopback(&out, false).is_ok());
            let told = refuse_anonymous_off_loopback(&out, true).unwrap_err().to_string();
            assert!(told.contains("listen.tls") && told.contains(address), "{told}");
        }
    }
}
