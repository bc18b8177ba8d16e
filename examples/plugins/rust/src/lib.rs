//! Classifies messages, and lets people raise an alarm. Binding only; the rules are in [`rules`].

pub mod rules;

#[allow(unsafe_code, missing_docs, unreachable_pub, clippy::all)] // generated from wit/
pub mod bindings {
    wit_bindgen::generate!({
        path: "wit",
        world: "classify-plugin",
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
        classify::classify::{ClassifyError, Facts, Guest, Verdict},
        host::plugin::{About, Guest as Lifecycle},
    },
    postern::host::config::{self, Value},
};
use rules::Rules;

/// The component.
pub struct Plugin;

/// Read once per instance: the configuration of a generation does not change.
static RULES: OnceLock<Result<Rules, String>> = OnceLock::new();

fn rules() -> Result<&'static Rules, &'static String> {
    RULES.get_or_init(read_rules).as_ref()
}

fn read_rules() -> Result<Rules, String> {
    match config::get("words") {
        None => Ok(Rules { words: vec!["ALARM".to_owned()] }),
        Some(Value::Texts(words)) if !words.is_empty() => Ok(Rules { words }),
        Some(_) => Err("config `words` must be a list of texts".to_owned()),
    }
}

impl Lifecycle for Plugin {
    fn describe() -> About {
        About { name: env!("CARGO_PKG_NAME").into(), version: env!("CARGO_PKG_VERSION").into() }
    }

    fn prepare() -> Result<(), String> {
        // A typing mistake in the policy is told, not passed over.
        if let Some(key) = config::keys("").iter().find(|key| *key != "words") {
            return Err(format!("config has the unknown key `{key}`"));
        }
        rules().map(drop).map_err(Clone::clone)
    }

    fn self_check() -> Result<(), String> {
        rules().map_err(Clone::clone)?.self_check()
    }
}

impl Guest for Plugin {
    fn classify(facts: Facts) -> Result<Verdict, ClassifyError> {
        rules().map_err(|text| ClassifyError::Unavailable(text.clone()))?.classify(&facts)
    }
}
