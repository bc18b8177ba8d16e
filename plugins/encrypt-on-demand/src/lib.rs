//! Decides which commands need encryption (B3 to B7, B13). Binding only; the rules are in [`rules`].

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
        encrypt::policy::{Decision, EncryptError, Facts, Guest},
        host::plugin::{About, Guest as Lifecycle},
    },
    postern::host::config::{self, Value},
};
use rules::Rules;

/// The component.
pub struct Plugin;

/// Read once per instance: the configuration of a generation does not change.
static RULES: OnceLock<Result<Rules, String>> = OnceLock::new();

fn rules() -> Result<&'static Rules, String> {
    RULES.get_or_init(read_rules).as_ref().map_err(Clone::clone)
}

fn read_rules() -> Result<Rules, String> {
    let mut rules = Rules::default();
    if let Some(classes) = texts("encrypted")? {
        rules.encrypted = classes;
    }
    if let Some(classes) = texts("refused")? {
        rules.refused = classes;
    }
    Ok(rules)
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
            if !["encrypted", "refused"].contains(&key.as_str()) {
                return Err(format!("config has the unknown key `{key}`"));
            }
        }
        rules().map(drop)
    }

    fn self_check() -> Result<(), String> {
        rules().map(drop)
    }
}

impl Guest for Plugin {
    fn decide(facts: Facts) -> Result<Decision, EncryptError> {
        Ok(rules().map_err(EncryptError::Unavailable)?.decide(&facts))
    }
}
