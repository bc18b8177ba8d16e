//! Classifies messages by their topic (A12, A16). Binding only; the rules are in [`rules`].

pub mod rules;

#[allow(unsafe_code, missing_docs, unreachable_pub, clippy::all)] // generated from wit/
pub mod bindings {
    wit_bindgen::generate!({
        path: ["../../wit/host", "../../wit/classify"],
        world: "postern:classify/classify-plugin",
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
    postern::{
        classify::sender,
        host::config::{self, Value},
    },
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
    Ok(Rules {
        all_other: flag("all_other")?,
        ask_always: flag("ask_always")?,
        notifier_users: texts("notifiers.users")?,
        notifier_groups: texts("notifiers.groups")?,
    })
}

fn flag(key: &str) -> Result<bool, String> {
    match config::get(key) {
        None => Ok(false),
        Some(Value::Flag(value)) => Ok(value),
        Some(_) => Err(format!("config `{key}` must be true or false")),
    }
}

fn texts(key: &str) -> Result<Vec<String>, String> {
    match config::get(key) {
        None => Ok(Vec::new()),
        Some(Value::Texts(value)) => Ok(value),
        Some(_) => Err(format!("config `{key}` must be a list of texts")),
    }
}

/// A typing mistake in the policy is told, not passed over.
fn known_keys(table: &str, known: &[&str]) -> Result<(), String> {
    let dot = if table.is_empty() { "" } else { "." };
    match config::keys(table).iter().find(|key| !known.contains(&key.as_str())) {
        Some(key) => Err(format!("config has the unknown key `{table}{dot}{key}`")),
        None => Ok(()),
    }
}

fn sender_groups() -> Vec<String> {
    sender::profile().map(|profile| profile.groups).unwrap_or_default()
}

impl Lifecycle for Plugin {
    fn describe() -> About {
        About { name: env!("CARGO_PKG_NAME").into(), version: env!("CARGO_PKG_VERSION").into() }
    }

    fn prepare() -> Result<(), String> {
        known_keys("", &["all_other", "ask_always", "notifiers"])?;
        known_keys("notifiers", &["users", "groups"])?;
        rules().map(drop).map_err(Clone::clone)
    }

    fn self_check() -> Result<(), String> {
        rules().map_err(Clone::clone)?.self_check()
    }
}

impl Guest for Plugin {
    fn classify(facts: Facts) -> Result<Verdict, ClassifyError> {
        rules().map_err(|text| ClassifyError::Unavailable(text.clone()))?.classify(&facts, sender_groups)
    }
}
