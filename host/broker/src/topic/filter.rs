//! Topic filters, shared ones among them.

use super::TopicError;
use crate::wire::{Text, detached};

const SHARE: &str = "$share/";

/// A topic filter: wildcards stand where they may, and a `$share/GROUP/FILTER` is taken apart.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopicFilter {
    text: Text,
    /// Bytes of the group's name; 0 for a filter that is not shared.
    group: u16,
}

impl TopicFilter {
    /// Checks `text`, whose bytes it goes on sharing.
    ///
    /// # Errors
    /// See [`TopicError`].
    pub fn new(text: Text) -> Result<Self, TopicError> {
        super::check(&text)?;
        let (group, filter) = match text.strip_prefix(SHARE) {
            None if &*text == "$share" => return Err(TopicError::BadShare),
            None => ("", &*text),
            Some(rest) => match rest.split_once('/') {
                Some((group, filter))
                    if !group.is_empty() && !filter.is_empty() && !group.contains(['+', '#']) =>
                {
                    (group, filter)
                }
                _ => return Err(TopicError::BadShare),
            },
        };
        wildcards(filter)?;
        // Both are parts of a text of at most 65,535 bytes.
        let group = u16::try_from(group.len()).map_err(|_| TopicError::TooLong)?;
        Ok(TopicFilter { text, group })
    }

    /// The filter as it was subscribed, with its `$share/GROUP/`.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The filter as it was subscribed, as a text.
    pub fn as_text(&self) -> &Text {
        &self.text
    }

    /// The part that topic names are matched with: all but `$share/GROUP/`.
    pub fn matched(&self) -> &str {
        match self.group {
            0 => &self.text,
            group => self.text.get(SHARE.len() + usize::from(group) + 1..).unwrap_or_default(),
        }
    }

    /// The group's name of a shared subscription (section 4.8.2).
    pub fn group(&self) -> Option<&str> {
        match self.group {
            0 => None,
            group => self.text.get(SHARE.len()..SHARE.len() + usize::from(group)),
        }
    }

    /// Whether it is a shared subscription's.
    pub fn is_shared(&self) -> bool {
        self.group != 0
    }

    /// Whether a wildcard is in it.
    pub fn has_wildcard(&self) -> bool {
        self.matched().contains(['+', '#'])
    }

    /// Whether `topic` matches.
    pub fn matches(&self, topic: &str) -> bool {
        super::matches(self.matched(), topic)
    }

    /// The same filter in bytes of its own: for one that outlives its packet.
    pub fn detached(&self) -> Self {
        TopicFilter { text: detached(&self.text), group: self.group }
    }
}

/// `+` is a whole level, `#` the whole last one [MQTT-4.7.1-1, MQTT-4.7.1-2].
fn wildcards(filter: &str) -> Result<(), TopicError> {
    let mut levels = filter.split('/').peekable();
    while let Some(level) = levels.next() {
        let good = match level {
            "+" => true,
            "#" => levels.peek().is_none(),
            literal => !literal.contains(['+', '#']),
        };
        if !good {
            return Err(TopicError::MisplacedWildcard);
        }
    }
    Ok(())
}

impl TryFrom<Text> for TopicFilter {
    type Error = TopicError;

    fn try_from(text: Text) -> Result<Self, TopicError> {
        TopicFilter::new(text)
    }
}

impl TryFrom<&str> for TopicFilter {
    type Error = TopicError;

    fn try_from(text: &str) -> Result<Self, TopicError> {
        TopicFilter::new(Text::from(text))
    }
}

impl std::fmt::Display for TopicFilter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}
