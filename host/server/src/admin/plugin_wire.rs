//! What is said of plugins, as JSON; see [`super::wire`].

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A plugin: one that serves, that served before, or a file of the plugin folder.
#[derive(Debug, Serialize, Deserialize)]
pub struct PluginView {
    /// Name, which is also its file's.
    pub name: String,
    /// Roles it serves now, or can fill.
    pub roles: Vec<String>,
    /// Its own version.
    pub version: String,
    /// Which load it is, counted from 1 since the server started; 0 for a file that was not loaded to serve.
    pub generation: u64,
    /// `active`; `canary`, for a part of the clients; `previous`, ready to serve again; `candidate`, a file that
    /// passes all checks; `failed`, a file that does not, or a plugin that is left alone after repeated failures;
    /// `paused`.
    pub state: String,
    /// The file it was loaded from.
    pub file: String,
    /// SHA-256 of it.
    #[serde(default)]
    pub digest: String,
    /// The part of the clients that a canary serves, such as `10%`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part: Option<String>,
    /// Who chose it for its roles: `policy` or `activation`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chosen_by: Option<String>,
    /// What is wrong with a file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// How a plugin is to be activated.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ActivatePlugin {
    /// For this part of the clients only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub canary: Option<String>,
}

/// A plugin with what it may do.
#[derive(Debug, Serialize, Deserialize)]
pub struct PluginDetail {
    /// As in the list.
    #[serde(flatten)]
    pub plugin: PluginView,
    /// Interfaces that the policy grants.
    pub grants: Vec<String>,
    /// Those of them that it imports.
    pub used: Vec<String>,
    /// Keys that the policy grants.
    pub keys: Vec<String>,
    /// Bounds: name and value.
    pub limits: BTreeMap<String, u64>,
    /// What its generations do in each role.
    #[serde(default)]
    pub generations: Vec<GenerationView>,
}

/// One generation in one role, since it began to serve.
#[derive(Debug, Serialize, Deserialize)]
pub struct GenerationView {
    /// Which load it is.
    pub generation: u64,
    /// The plugin's own version.
    pub version: String,
    /// The role.
    pub role: String,
    /// As in the list.
    pub state: String,
    /// The part of the clients that it serves, if not all.
    pub part: Option<String>,
    /// What its calls came to: outcome and count.
    pub calls: BTreeMap<String, u64>,
    /// Half of the calls took no longer, in microseconds.
    pub p50_us: Option<u64>,
    /// 99 of a hundred took no longer.
    pub p99_us: Option<u64>,
    /// CPU time of all calls, in microseconds.
    pub cpu_us: u64,
    /// Calls that wait for their turn.
    pub queue: u32,
    /// Instances.
    pub instances: u32,
    /// Those of them that wait for a call.
    pub idle_instances: u32,
    /// Linear memory of all instances of the generation, in bytes.
    pub memory_bytes: u64,
    /// The most that it was.
    pub peak_memory_bytes: u64,
}

/// What was found out about a component.
#[derive(Debug, Serialize, Deserialize)]
pub struct ReportView {
    /// Who it says it is.
    pub name: Option<String>,
    /// Its own version.
    pub version: Option<String>,
    /// The roles that it can fill.
    pub roles: Vec<String>,
    /// The interfaces of `postern:host` that it imports.
    pub imports: Vec<String>,
    /// SHA-256.
    pub digest: String,
    /// Of the file.
    pub size_bytes: u64,
    /// Linear memory of one instance.
    pub memory_bytes: u64,
    /// Time of all checks, compiling included.
    pub took_ms: u64,
    /// What a sample call takes, in nanoseconds, by role.
    pub call_ns: BTreeMap<String, u64>,
    /// Why it cannot serve; empty when it can.
    pub reasons: Vec<String>,
}

/// Lines of a plugin's log.
#[derive(Debug, Serialize, Deserialize)]
pub struct LogPage {
    /// Oldest first.
    pub lines: Vec<LogView>,
}

/// One line.
#[derive(Debug, Serialize, Deserialize)]
pub struct LogView {
    /// To ask for those after it.
    pub seq: u64,
    /// In ms since the Unix epoch.
    pub at: u64,
    /// `debug`, `info`, `warn` or `error`.
    pub level: String,
    /// What it says.
    pub text: String,
    /// The request or packet that it was written for, or several, separated by spaces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
}

/// Which calls to record.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecordCalls {
    /// So many at most.
    pub calls: u32,
    /// For so many seconds at most.
    pub secs: u32,
}

/// How a candidate is to be shadowed.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BeginShadow {
    /// One live call in so many.
    pub every: u32,
}

/// A candidate in the shadow of what serves.
#[derive(Debug, Serialize, Deserialize)]
pub struct ShadowView {
    /// Its name.
    pub name: String,
    /// Its own version.
    pub version: String,
    /// SHA-256 of its file.
    pub digest: String,
    /// Calls that were compared.
    pub compared: u64,
    /// Those that were answered alike.
    pub alike: u64,
    /// Calls that the candidate did not answer.
    pub failed: u64,
    /// Calls that were not looked at, because the machine had other work.
    pub shed: u64,
    /// What a call of what serves took, in nanoseconds.
    pub served_ns: u64,
    /// What a call of the candidate took.
    pub candidate_ns: u64,
    /// The last differences, one line each.
    pub differences: Vec<String>,
}
