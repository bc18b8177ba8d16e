//! Topics (5.0, section 4.7): names, filters, and the two trees that pair them.
//!
//! name, filter (validated) · rules (`matches`, `covers`) · arena (levels as nodes) → tree (filters
//! that match a name: subscriptions), names (names that match a filter: retained messages).

mod arena;
mod filter;
mod name;
mod names;
mod rules;
mod tree;

#[cfg(test)]
mod tests;

pub use filter::TopicFilter;
pub use name::TopicName;
pub use names::NameTree;
pub use rules::{covers, matches};
pub use tree::Tree;

use crate::wire::ReasonCode;

/// The longest name or filter in bytes [MQTT-4.7.3-3].
pub const MAX_LEN: usize = 65_535;

/// The most levels that a name or filter may have here. MQTT sets no limit and lets a server refuse
/// any topic; this one bounds how deep the trees are walked.
pub const MAX_LEVELS: usize = 128;

/// Why a text is not a topic name or not a topic filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TopicError {
    /// [MQTT-4.7.3-1]
    #[error("it is empty")]
    Empty,
    /// [MQTT-4.7.3-3]
    #[error("it is longer than 65,535 bytes")]
    TooLong,
    /// [MQTT-4.7.3-2]
    #[error("it holds U+0000")]
    Nul,
    /// Over [`MAX_LEVELS`].
    #[error("it has more than 128 levels")]
    TooManyLevels,
    /// A topic name with `+` or `#` [MQTT-4.7.1-1].
    #[error("a topic name holds a wildcard")]
    WildcardInName,
    /// `+` that is not a whole level, or `#` that is not the whole last one [MQTT-4.7.1-1, 4.7.1-2].
    #[error("a wildcard is not a level of its own, or # is not the last")]
    MisplacedWildcard,
    /// `$share` without a proper group name or without a filter [MQTT-4.8.2-1, MQTT-4.8.2-2].
    #[error("a shared subscription lacks its group or its filter")]
    BadShare,
}

impl TopicError {
    /// What a publisher is told.
    pub fn for_name(self) -> ReasonCode {
        ReasonCode::TopicNameInvalid
    }

    /// What a subscriber is told in SUBACK or UNSUBACK.
    pub fn for_filter(self) -> ReasonCode {
        ReasonCode::TopicFilterInvalid
    }
}

/// The checks that names and filters share.
fn check(text: &str) -> Result<(), TopicError> {
    if text.is_empty() {
        return Err(TopicError::Empty);
    }
    if text.len() > MAX_LEN {
        return Err(TopicError::TooLong);
    }
    let mut levels = 1;
    for byte in text.bytes() {
        match byte {
            0 => return Err(TopicError::Nul),
            b'/' => levels += 1,
            _ => {}
        }
    }
    if levels > MAX_LEVELS { Err(TopicError::TooManyLevels) } else { Ok(()) }
}
