//! Decides which commands need encryption (B3 to B7, B13), and how long a terminal stays on TLS (B9).
//! Binding only: the rules are in [`rules`] and [`idle`].

pub mod idle;
pub mod rules;

#[allow(unsafe_code, missing_docs, unreachable_pub, clippy::all)] // generated from wit/
pub mod bindings {
    wit_bindgen::generate!({
        path: ["../../wit/host", "../../wit/encrypt"],
        world: "postern:encrypt/encrypt-plugin",
        generate_all,
    });
    #[cfg(target_family = "wasm")] // exported names are none that a native linker takes
    export!(Plugin);
    #[cfg(target_family = "wasm")]
    use super::Plugin;
}

use std::sync::OnceLock;

use bindings::{
    exports::postern::{
        encrypt::policy::{Decision, EncryptError, Facts, Guest, History},
        host::plugin::{About, Guest as Lifecycle},
    },
    postern::host::config::{self, Value},
};
use idle::Bounds;
use rules::Rules;

/// The component.
pub struct Plugin;

/// What the plugin's table of the policy file says.
#[derive(Debug, Default)]
struct Settings {
    rules: Rules,
    idle: Bounds,
}

/// Read once per instance: the configuration of a generation does not change.
static SETTINGS: OnceLock<Result<Settings, String>> = OnceLock::new();

fn settings() -> Result<&'static Settings, String> {
    SETTINGS.get_or_init(read).as_ref().map_err(Clone::clone)
}

fn read() -> Result<Settings, String> {
    let mut settings = Settings::default();
    let Settings { rules, idle } = &mut settings;
    if let Some(classes) = texts("encrypted")? {
        rules.encrypted = classes;
    }
    if let Some(classes) = texts("refused")? {
        rules.refused = classes;
    }
    idle.least_secs = secs("idle_min_secs", idle.least_secs)?;
    idle.most_secs = secs("idle_max_secs", idle.most_secs)?;
    if idle.least_secs > idle.most_secs {
        return Err("config `idle_min_secs` is more than `idle_max_secs`".to_owned());
    }
    Ok(settings)
}

fn secs(key: &str, usual: u32) -> Result<u32, String> {
    match config::get(key) {
        None => Ok(usual),
        Some(Value::Integer(secs)) => u32::try_from(secs)
            .ok()
            .filter(|secs| *secs > 0)
            .ok_or_else(|| format!("config `{key}` must be 1 to {} seconds", u32::MAX)),
        Some(_) => Err(format!("config `{key}` must be a number of seconds")),
    }
}

fn texts(key: &str) -> Result<Option<Vec<String>>, String> {
    match config::get(key) {
        None => Ok(None),
        Some(Value::Texts(value)) => Ok(Some(value)),
        Some(_) => Err(format!("config `{key}` must be a list of texts")),
    }
}

impl Lifecycle for Plugin {
    fn describe() -> About {
        About { name: env!("CARGO_PKG_NAME").into(), version: env!("CARGO_PKG_VERSION").into() }
    }

    fn prepare() -> Result<(), String> {
        for key in config::keys("") {
            if !["encrypted", "refused", "idle_min_secs", "idle_max_secs"].contains(&key.as_str()) {
                return Err(format!("config has the unknown key `{key}`"));
            }
        }
        settings().map(drop)
    }

    fn self_check() -> Result<(), String> {
        settings().map(drop)
    }
}

impl Guest for Plugin {
    fn decide(facts: Facts) -> Result<Decision, EncryptError> {
        Ok(settings().map_err(EncryptError::Unavailable)?.rules.decide(&facts))
    }

    fn idle_period(history: History) -> Result<u32, EncryptError> {
        Ok(settings().map_err(EncryptError::Unavailable)?.idle.period(&history))
    }
}
