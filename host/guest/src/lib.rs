//! Runs the rules: WebAssembly components behind typed roles (C1 to C6). Knows handlers, not MQTT.
//!
//! A plugin's way in:
//!
//! ```text
//! Runtime::load   file → cache (compiled, authenticated) → inspect (world, imports against grants)
//!                 → describe → prepare → self-check → Plugin
//! Slots::activate Plugin → Pool (idle stack, permits, breaker) → Slot (ArcSwap)
//! slots.login()…  breaker → permit → warm instance → deadline → guest → commit → back to the stack
//! ```
//!
//! `roles/` has one typed face per role, `imports/` one file per host interface of `wit/host`.

mod breaker;
mod cache;
mod call;
mod canary;
pub mod cases;
mod engine;
mod http;
mod imports;
mod inspect;
mod invoke;
mod keyring;
mod limits;
mod load;
mod native;
mod plugin;
mod plugin_log;
mod policy;
mod pool;
mod probe;
mod reason;
pub mod roles;
mod serving;
mod shadow;
mod signature;
mod slot;
mod state;
mod stats;
mod trial;
mod watch;

pub use call::{CallError, Down};
pub use canary::{Canary, Who};
pub use engine::{Host, Runtime, RuntimeConfig, StartError};
pub use http::HttpHost;
pub use imports::GRANTABLE;
pub use imports::password::{ARGON2_MEMORY_KIB, ARGON2_PASSES, ARGON2_THREADS, Secret};
pub use imports::proof::{NotAKey, PublicKey, Signed};
pub use keyring::{Key, Keyring, KeyringError};
pub use load::{Checked, read_component};
pub use plugin::{About, Plugin};
pub use plugin_log::{LogLevel, LogLine, PluginLogs};
pub use policy::{FailureRule, PluginLimits, PluginPolicy, Role};
pub use postern_store::is_plugin_name;
pub use reason::{LoadError, MAX_COMPONENT_MIB, Reason};
pub use serving::{Part, SlotInfo, SlotState};
pub use shadow::{Findings, Shadow};
pub use signature::{SignerKey, sign, signer_of};
pub use slot::{ActivateError, Slots};
pub use stats::CallStats;
pub use trial::Report;
pub use watch::{Watch, Watching};
