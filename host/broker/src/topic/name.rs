//! Topic names.

use std::ops::Deref;

use super::TopicError;
use crate::wire::{Text, detached, text::odd};

/// A topic name: at least one character, no wildcard, no U+0000.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopicName(Text);

impl TopicName {
    /// Checks `text`, whose bytes it goes on sharing.
    ///
    /// # Errors
    /// See [`TopicError`].
    pub fn new(text: Text) -> Result<Self, TopicError> {
        super::check(&text)?;
        if odd(text.as_bytes()).wildcard {
            return Err(TopicError::WildcardInName);
        }
        Ok(TopicName(text))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name as a text.
    pub fn as_text(&self) -> &Text {
        &self.0
    }

    /// The name as a text.
    pub fn into_text(self) -> Text {
        self.0
    }

    /// The same name in bytes of its own: for one that outlives its packet.
    pub fn detached(&self) -> Self {
        TopicName(detached(&self.0))
    }

    /// Whether it starts with `$`: then leading wildcards do not match it [MQTT-4.7.2-1].
    pub fn is_dollar(&self) -> bool {
        self.0.starts_with('$')
    }
}

impl TryFrom<Text> for TopicName {
    type Error = TopicError;

    fn try_from(text: Text) -> Result<Self, TopicError> {
        TopicName::new(text)
    }
}

impl TryFrom<&str> for TopicName {
    type Error = TopicError;

    fn try_from(text: &str) -> Result<Self, TopicError> {
        TopicName::new(Text::from(text))
    }
}

impl Deref for TopicName {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for TopicName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self)
    }
}
