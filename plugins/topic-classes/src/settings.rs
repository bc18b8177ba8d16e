//! The plugin's table of the policy file, inside a component.

use crate::bindings::postern::{
    classify::sender,
    host::config::{self, Value},
};
use crate::rules::Rules;

/// The rules by topic: `all_other`, `ask_always`, `notifiers.users`, `notifiers.groups`.
///
/// # Errors
/// A value is of another kind.
pub fn rules() -> Result<Rules, String> {
    Ok(Rules {
        all_other: flag("all_other")?,
        ask_always: flag("ask_always")?,
        notifier_users: texts("notifiers.users")?,
        notifier_groups: texts("notifiers.groups")?,
    })
}

/// A value that is true or false; false when it is not set.
///
/// # Errors
/// It is something else.
pub fn flag(key: &str) -> Result<bool, String> {
    match config::get(key) {
        None => Ok(false),
        Some(Value::Flag(value)) => Ok(value),
        Some(_) => Err(format!("config `{key}` must be true or false")),
    }
}

/// A list of texts; empty when it is not set.
///
/// # Errors
/// It is something else.
pub fn texts(key: &str) -> Result<Vec<String>, String> {
    match config::get(key) {
        None => Ok(Vec::new()),
        Some(Value::Texts(value)) => Ok(value),
        Some(_) => Err(format!("config `{key}` must be a list of texts")),
    }
}

/// A typing mistake in the policy is told, not passed over.
///
/// # Errors
/// The first key of `table` that is none of `known`.
pub fn known_keys(table: &str, known: &[&str]) -> Result<(), String> {
    let dot = if table.is_empty() { "" } else { "." };
    match config::keys(table).iter().find(|key| !known.contains(&key.as_str())) {
        Some(key) => Err(format!("config has the unknown key `{table}{dot}{key}`")),
        None => Ok(()),
    }
}

/// The groups of the message's sender.
pub fn sender_groups() -> Vec<String> {
    sender::profile().map(|profile| profile.groups).unwrap_or_default()
}
