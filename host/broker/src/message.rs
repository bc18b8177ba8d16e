//! An application message inside the broker.

use bytes::Bytes;

use crate::time::Timestamp;
use crate::topic::TopicName;
use crate::wire::{PublishProperties, QoS};

/// An application message; all who get it share one behind an `Arc`.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    /// Where it was published.
    pub topic: TopicName,
    /// Application data.
    pub payload: Bytes,
    /// The QoS it was published with; a subscriber gets the lower of this and what it was granted
    /// [MQTT-3.8.4-8].
    pub qos: QoS,
    /// The RETAIN flag as published.
    pub retain: bool,
    /// Properties that are forwarded unchanged, but for the expiry interval, which `expires_at`
    /// replaces.
    pub properties: PublishProperties,
    /// When the server got it.
    pub published_at: Timestamp,
    /// When it is worth nothing any more [MQTT-3.3.2-5].
    pub expires_at: Option<Timestamp>,
}

impl Message {
    /// A message without properties.
    pub fn new(topic: TopicName, payload: impl Into<Bytes>, qos: QoS, now: Timestamp) -> Self {
        let payload = payload.into();
        Message { topic, payload, qos, retain: false, properties: None, published_at: now, expires_at: None }
    }

    /// The same with the RETAIN flag.
    #[must_use]
    pub fn retained(mut self) -> Self {
        self.retain = true;
        self
    }

    /// The same with properties; `expires_at` follows from their expiry interval and
    /// `published_at`.
    #[must_use]
    pub fn with_properties(mut self, properties: PublishProperties) -> Self {
        let expiry = properties.as_ref().and_then(|p| p.message_expiry);
        self.expires_at = expiry.map(|secs| self.published_at.plus_secs(secs));
        self.properties = properties;
        self
    }

    /// Whether it must not be handed out any more.
    pub fn is_expired(&self, now: Timestamp) -> bool {
        self.expires_at.is_some_and(|at| at <= now)
    }

    /// What it counts for in a queue's limit, in bytes: topic, payload and properties, and what it takes to hold them.
    pub fn size(&self) -> usize {
        // An empty one is 5 bytes on the wire, and a dozen times that in memory.
        let pairs = self.properties.as_ref().map_or(0, |p| size_of_val(p.user_properties.as_slice()));
        self.bytes() + pairs
    }

    /// Bytes of topic, payload and properties.
    pub fn bytes(&self) -> usize {
        let properties = self.properties.as_ref().map_or(0, |p| {
            let text = |t: &Option<crate::wire::Text>| t.as_ref().map_or(0, |t| t.len());
            text(&p.response_topic)
                + text(&p.content_type)
                + p.correlation_data.as_ref().map_or(0, Bytes::len)
                + p.user_properties.iter().map(|(k, v)| k.len() + v.len()).sum::<usize>()
        });
        self.topic.as_str().len() + self.payload.len() + properties
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{MessageProperties, Text};

    #[test]
    fn empty_user_properties_count_for_what_holds_them() {
        let pair = || (Text::from(""), Text::from(""));
        let properties = MessageProperties { user_properties: vec![pair(); 1_000], ..Default::default() };
        let topic = TopicName::new(Text::from("a")).unwrap();
        let message = Message::new(topic, Bytes::new(), QoS::AtMostOnce, Timestamp(0));
        let message = message.with_properties(Some(Box::new(properties)));
        assert_eq!(message.bytes(), 1);
        assert!(message.size() >= 1_000 * size_of_val(&pair()), "{}", message.size());
    }
}
