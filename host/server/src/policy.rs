//! The policy file: which plugin serves each role first, grants, limits, failure rule, and what must be
//! encrypted. Raw → typed; an error is one line that names file and key.

mod live;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use postern_guest::{FailureRule, GRANTABLE, PluginPolicy, Role, SignerKey, is_plugin_name};
use schemars::{JsonSchema, generate::SchemaSettings};
use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use crate::{
    config::{NodeRoles, syntax},
    listen::wire::ListenerName,
    reference::{page, sections},
};

pub use live::InForce;

#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Raw {
    /// Which plugin, NAME.wasm of the plugin folder, serves the role `login`, `token`, `classify`, `store` or `encrypt`
    /// first. A later `postern plugin activate` wins over this and survives restarts.
    #[serde(default)]
    #[schemars(extend("x-default" = "none: a node does not start without a plugin for each role that it runs"))]
    roles: BTreeMap<String, String>,
    /// What a caller gets while no plugin answers for a role. `closed`: refused as a temporary failure, which is all
    /// that login, token, store and encrypt allow. `prefix`, for classify only: a message gets the class of its
    /// topic's prefix, where the host itself knows that the sender may.
    #[serde(default)]
    #[schemars(extend("x-default" = "`closed`"))]
    failure: BTreeMap<String, String>,
    /// The floor under encrypt on demand.
    #[serde(default)]
    must_encrypt: RawMustEncrypt,
    /// Classes of messages.
    #[serde(default)]
    classes: RawClasses,
    /// How plugins come to serve.
    #[serde(default)]
    activation: Activation,
    /// Whose plugins are taken.
    #[serde(default)]
    signatures: Signatures,
    #[serde(default)]
    plugins: BTreeMap<String, PluginPolicy>,
}

/// How plugins come to serve: `[activation]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Activation {
    /// A file that appears in the plugin folder while the node runs is activated when it passes its checks.
    pub auto_activate: bool,
    /// How long a new generation is watched. When it fails too often meanwhile, what served before serves again.
    pub probation_secs: u32,
    /// The share of its calls in which a watched generation may trap, take too long, answer nonsense or say that it
    /// cannot do its work; at most 100.
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
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Signatures {
    /// Only plugins that one of `keys` has signed are loaded.
    #[schemars(extend("x-default" = "`false`"))]
    pub require_signature: bool,
    /// Ed25519 keys, as `postern plugin keygen` prints them.
    #[schemars(with = "Vec<String>", extend("x-default" = "`[]`"))]
    pub keys: Vec<SignerKey>,
}

#[derive(Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct RawMustEncrypt {
    /// Commands of these classes, or with such a follow-up, travel on TLS only, and so do their results, whatever the
    /// encrypt plugin answers.
    command_classes: BTreeSet<String>,
}

#[derive(Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct RawClasses {
    /// The class that the classify plugin gives need not be that of the topic's prefix, so that it may make every
    /// message ordinary MQTT.
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
        let (policy, faults) = Policy::examine(file);
        match (policy, faults.into_iter().next()) {
            (_, Some(fault)) => Err(fault),
            (Some(policy), None) => Ok(policy),
            (None, None) => Err(PolicyError { file: file.to_owned(), what: "unreadable".to_owned() }),
        }
    }

    /// Reads a policy file, and tells all that is wrong with it. What is wrong is left out of the policy; there
    /// is none when the file is not TOML.
    pub fn examine(file: &Path) -> (Option<Self>, Vec<PolicyError>) {
        let wrong = |what: String| PolicyError { file: file.to_owned(), what };
        let text = match fs::read_to_string(file) {
            Ok(text) => text,
            Err(e) => return (None, vec![wrong(format!("{e} (key policy)"))]),
        };
        let (raw, mut faults) = match toml::from_str::<Raw>(&text) {
            Ok(raw) => (raw, Vec::new()),
            Err(e) => {
                let Ok(table) = toml::from_str(&text) else { return (None, vec![wrong(syntax(&text, &e))]) };
                let (raw, mut faults) = by_key(table);
                // A single one is told with its line.
                if faults.len() < 2 {
                    faults = vec![syntax(&text, &e)];
                }
                (raw, faults)
            }
        };
        let (policy, more) = raw.typed(file);
        faults.extend(more);
        (Some(policy), faults.into_iter().map(wrong).collect())
    }

    /// The plugin that serves a role first.
    pub fn serves(&self, role: Role) -> Option<&str> {
        self.roles.get(&role).map(String::as_str)
    }

    /// The roles that a node runs, with the plugin that serves each first; an error where the policy names none
    /// (C1: there is no fallback).
    pub fn needed(&self, node: NodeRoles) -> impl Iterator<Item = Result<(Role, &str), PolicyError>> {
        let roles = Role::ALL.into_iter().filter(move |role| is_run_by(*role, node));
        roles.map(|role| {
            let missing = || PolicyError { file: self.file.clone(), what: format!("roles.{role}: not set") };
            Ok((role, self.serves(role).ok_or_else(missing)?))
        })
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

/// The page docs/operate/policy.md.
pub fn markdown() -> String {
    let settings = SchemaSettings::draft2020_12().with(|s| s.inline_subschemas = true);
    let schema = settings.into_generator().into_root_schema_for::<Raw>();
    let sections = sections(schema.as_value());
    page(HEAD, sections.iter().filter(|section| !section.keys.is_empty()), |_| None)
}

const HEAD: &str = "\
# The policy file

The key `policy` of the config names a TOML file with the rules that no plugin can decide away: which plugin serves each
role first, what each may use, what happens while one is down, and what must be encrypted. Unknown keys are errors.
policies/default.toml is the one to begin with; policies/open.toml admits clients without credentials, on loopback only.

`postern serve --check --config FILE` tells all that is wrong with the policy that a config names. Paths start at the
working directory of the process.
";

/// Each key by itself, since serde stops at the first that is wrong: those that are right, and what is wrong with
/// the others.
fn by_key(table: Table) -> (Raw, Vec<String>) {
    let (mut sound, mut faults) = (Table::new(), Vec::new());
    for (path, value) in leaves(table) {
        let mut alone = Table::new();
        put(&mut alone, &path, value.clone());
        match alone.try_into::<Raw>() {
            Ok(_) => put(&mut sound, &path, value),
            Err(e) => faults.push(format!("{}: {}", path.join("."), e.message())),
        }
    }
    (sound.try_into().unwrap_or_default(), faults)
}

/// The values with their paths; a list, and an empty table, count as one.
fn leaves(table: Table) -> Vec<(Vec<String>, Value)> {
    let below = |(name, value): (String, Value)| match value {
        Value::Table(inner) if !inner.is_empty() => leaves(inner)
            .into_iter()
            .map(|(mut path, value)| {
                path.insert(0, name.clone());
                (path, value)
            })
            .collect(),
        value => vec![(vec![name], value)],
    };
    table.into_iter().flat_map(below).collect()
}

/// Puts a value under a path.
fn put(table: &mut Table, path: &[String], value: Value) {
    match path {
        [] => {}
        [name] => drop(table.insert(name.clone(), value)),
        [name, rest @ ..] => {
            let inner = table.entry(name.clone()).or_insert_with(|| Value::Table(Table::new()));
            if let Value::Table(inner) = inner {
                put(inner, rest, value);
            }
        }
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
    /// The policy without what is wrong, and what that is.
    fn typed(self, file: &Path) -> (Policy, Vec<String>) {
        let mut faults = Vec::new();
        let mut roles = BTreeMap::new();
        for (role, plugin) in self.roles {
            match role.parse::<Role>() {
                Err(e) => faults.push(format!("roles.{role}: {e}")),
                Ok(role) if !is_plugin_name(&plugin) => {
                    faults.push(format!("roles.{role}: {plugin:?} is not a plugin name"));
                }
                Ok(role) => drop(roles.insert(role, plugin)),
            }
        }
        let mut classify_failure = FailureRule::Closed;
        for (role, rule) in self.failure {
            match (role.parse::<Role>(), rule.parse::<FailureRule>()) {
                (Err(e), _) | (_, Err(e)) => faults.push(format!("failure.{role}: {e}")),
                (Ok(role), Ok(rule)) if !rule.fits(role) => {
                    faults.push(format!("failure.{role}: only `closed` is allowed"));
                }
                (Ok(Role::Classify), Ok(rule)) => classify_failure = rule,
                _ => {}
            }
        }
        for (name, plugin) in &self.plugins {
            if !is_plugin_name(name) {
                faults.push(format!("plugins.{name:?}: not a plugin name"));
            }
            faults.extend(plugin.limits.check().err().map(|e| format!("plugins.{name}.{e}")));
            let unknown = plugin.grants.iter().filter(|grant| !GRANTABLE.contains(&grant.as_str()));
            faults.extend(unknown.map(|grant| {
                format!("plugins.{name}.grants: `{grant}` is no interface that can be granted")
            }));
        }
        if self.signatures.require_signature && self.signatures.keys.is_empty() {
            faults.push("signatures.keys: empty, so that no plugin could be loaded".to_owned());
        }
        if self.activation.max_fault_percent > 100 {
            faults.push("activation.max_fault_percent must be at most 100".to_owned());
        }
        let policy = Policy {
            file: file.to_owned(),
            activation: self.activation,
            signers: self.signatures.require_signature.then_some(self.signatures.keys),
            roles,
            classify_failure,
            must_encrypt: self.must_encrypt.command_classes,
            all_other: self.classes.all_other,
            plugins: self.plugins,
        };
        (policy, faults)
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
