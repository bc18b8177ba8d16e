//! Classifies messages by their topic (A12, A16). Binding only; the rules are topic-classes'.

use std::sync::OnceLock;

use topic_classes::bindings::exports::postern::{
    classify::classify::{ClassifyError, Facts, Guest, Verdict},
    host::plugin::{About, Guest as Lifecycle},
};
pub use topic_classes::{bindings, rules};
use topic_classes::{
    rules::Rules,
    settings::{self, known_keys, sender_groups},
};

/// The component.
pub struct Plugin;

#[cfg(target_family = "wasm")] // exported names are none that a native linker takes
topic_classes::bindings::export!(Plugin);

/// Read once per instance: the configuration of a generation does not change.
static RULES: OnceLock<Result<Rules, String>> = OnceLock::new();

fn rules() -> Result<&'static Rules, &'static String> {
    RULES.get_or_init(settings::rules).as_ref()
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
