//! Compliance: what people write to each other is held against lists of words. Words of `mask` are replaced
//! by asterisks, a message with a word of `refuse` is refused. Everything else is as with classify-topic.
//! Binding only; the rules are in [`words`] and in topic-classes.

pub mod words;

use std::sync::OnceLock;

use topic_classes::{
    bindings::exports::postern::{
        classify::classify::{Class, ClassifyError, Facts, Guest, Verdict},
        host::plugin::{About, Guest as Lifecycle},
    },
    rules::Rules,
    settings::{self, flag, known_keys, sender_groups, texts},
};
use words::{Judged, Words};

/// The component.
pub struct Plugin;

#[cfg(target_family = "wasm")] // exported names are none that a native linker takes
topic_classes::bindings::export!(Plugin);

/// What the policy file sets.
struct Settings {
    rules: Rules,
    words: Words,
}

/// Read once per instance: the configuration of a generation does not change.
static SETTINGS: OnceLock<Result<Settings, String>> = OnceLock::new();

fn settings() -> Result<&'static Settings, String> {
    let read = || {
        let words = Words::new(&texts("mask")?, &texts("refuse")?, flag("allow_binary")?)?;
        Ok(Settings { rules: settings::rules()?, words })
    };
    SETTINGS.get_or_init(read).as_ref().map_err(Clone::clone)
}

impl Lifecycle for Plugin {
    fn describe() -> About {
        About { name: env!("CARGO_PKG_NAME").into(), version: env!("CARGO_PKG_VERSION").into() }
    }

    fn prepare() -> Result<(), String> {
        known_keys("", &["all_other", "ask_always", "notifiers", "mask", "refuse", "allow_binary"])?;
        known_keys("notifiers", &["users", "groups"])?;
        settings().map(drop)
    }

    fn self_check() -> Result<(), String> {
        settings()?.rules.self_check()
    }
}

impl Guest for Plugin {
    fn classify(facts: Facts) -> Result<Verdict, ClassifyError> {
        let settings = settings().map_err(ClassifyError::Unavailable)?;
        let mut verdict = settings.rules.classify(&facts, sender_groups)?;
        if !matches!(verdict.class, Class::Instant | Class::Notification) {
            return Ok(verdict); // machines' words mean something else
        }
        verdict.holds = false; // the next body is another
        match settings.words.judge(&facts.payload) {
            Judged::Clean => {}
            Judged::Masked(text) => verdict.payload = Some(text.into_bytes()),
            Judged::Refused(why) => return Err(ClassifyError::Refused(why.to_owned())),
        }
        Ok(verdict)
    }
}
