//! Stored messages back into messages of the broker.
//!
//! The store role keeps MQTT 5 properties as opaque bytes: those of an MQTT 5 PUBLISH.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use postern_broker::{
    Message, Timestamp,
    topic::TopicName,
    wire::{Decoded, Decoder, Packet, Publish, PublishProperties, QoS, Side, Text, Version, encode},
};
use postern_guest::roles::store::Delivery;

/// The bytes to store; empty for none.
pub fn encode_properties(properties: &PublishProperties) -> Bytes {
    if properties.is_none() {
        return Bytes::new();
    }
    let carrier = Publish {
        dup: false,
        qos: QoS::AtMostOnce,
        retain: false,
        topic: Text::from("p"),
        packet_id: None,
        payload: Bytes::new(),
        topic_alias: None,
        subscription_ids: Default::default(),
        properties: properties.clone(),
    };
    let mut bytes = BytesMut::new();
    match encode(&Packet::Publish(carrier), Version::V5, &mut bytes) {
        Ok(()) => bytes.freeze(),
        Err(_) => Bytes::new(), // they came in a packet, so they fit one
    }
}

/// The properties again; none when the bytes are not ours.
pub fn decode_properties(bytes: &[u8]) -> PublishProperties {
    let decoder = Decoder { version: Some(Version::V5), max_packet_size: u32::MAX, side: Side::Server };
    match decoder.decode(bytes) {
        Ok(Decoded::Packet { packet: Packet::Publish(publish), .. }) => publish.properties,
        _ => None,
    }
}

/// A message of an inbox as it is delivered; None when the store gives a topic that is none.
pub fn to_message(delivery: Delivery) -> Option<Arc<Message>> {
    let topic = TopicName::new(Text::from(delivery.topic)).ok()?;
    let mut message = Message::new(topic, delivery.body, QoS::AtLeastOnce, Timestamp(delivery.sent_at));
    message.properties = decode_properties(&delivery.properties);
    message.expires_at = delivery.expires_at.map(Timestamp);
    Some(Arc::new(message))
}

/// Bytes of a page from which on there may be more than it has (`inbox` of wit/store).
const SHORT_PAGE: usize = 256 << 10;

/// Whether a page that was asked for with this limit has all that there is.
pub fn is_last(page: &[Delivery], limit: usize) -> bool {
    let bytes = page.iter().map(|delivery| delivery.body.len() + delivery.properties.len()).sum::<usize>();
    page.len() < limit && bytes < SHORT_PAGE
}

#[cfg(test)]
mod tests {
    use super::*;
    use postern_broker::wire::MessageProperties;

    #[test]
    fn properties_survive_the_store() {
        let properties = Some(Box::new(MessageProperties {
            content_type: Some(Text::from("text/plain")),
            user_properties: vec![(Text::from("id"), Text::from("m-1")), (Text::from("a"), Text::from("b"))],
            ..MessageProperties::default()
        }));
        assert_eq!(decode_properties(&encode_properties(&properties)), properties);
        assert!(encode_properties(&None).is_empty());
        assert_eq!(decode_properties(&[]), None);
        assert_eq!(decode_properties(b"garbage"), None);
    }
}
