//! PUBLISH: the one packet that is written by the hundred thousand a second.

use bytes::{BufMut, BytesMut};

use super::super::error::EncodeError;
use super::super::kind::Kind;
use super::super::packet::{MessageProperties, PacketId, Publish, QoS, Version};
use super::super::property as id;
use super::super::varint;
use super::frame_len;
use super::sink::{Count, Sink};

/// What differs from one subscriber's PUBLISH of a message to the next one's.
#[derive(Clone, Copy, Debug)]
pub struct PublishHeader<'a> {
    /// Duplicate delivery; left out at QoS 0 [MQTT-3.3.1-2].
    pub dup: bool,
    /// Quality of service.
    pub qos: QoS,
    /// Retain flag.
    pub retain: bool,
    /// Needed for QoS 1 and 2; not written at QoS 0.
    pub packet_id: Option<PacketId>,
    /// Topic Alias to write (MQTT 5).
    pub alias: Option<u16>,
    /// Whether the topic is written: false only where `alias` already stands for it (MQTT 5).
    pub send_topic: bool,
    /// Identifiers of the subscriptions that matched (MQTT 5).
    pub subscription_ids: &'a [u32],
    /// What is left of the Message Expiry Interval in seconds [MQTT-3.3.2-6]; it is written in
    /// place of the one in the message's properties (MQTT 5).
    pub message_expiry: Option<u32>,
}

impl Default for PublishHeader<'_> {
    fn default() -> Self {
        PublishHeader {
            dup: false,
            qos: QoS::AtMostOnce,
            retain: false,
            packet_id: None,
            alias: None,
            send_topic: true,
            subscription_ids: &[],
            message_expiry: None,
        }
    }
}

/// Bytes that [`encode_publish`] would write.
pub fn publish_len(
    header: &PublishHeader<'_>,
    topic: &str,
    payload_len: usize,
    properties: Option<&MessageProperties>,
    version: Version,
) -> usize {
    let body = count(header, topic, payload_len, properties, version).0.bytes;
    1 + varint::len(body) + body
}

/// Appends a PUBLISH.
///
/// # Errors
/// A missing packet identifier, a size over MQTT's own limit, a field over 65,535 bytes; then
/// nothing was written. The peer's Maximum Packet Size is the caller's to compare with
/// [`publish_len`] before it spends a packet identifier or an alias.
pub fn encode_publish(
    header: &PublishHeader<'_>,
    topic: &str,
    payload: &[u8],
    properties: Option<&MessageProperties>,
    version: Version,
    out: &mut BytesMut,
) -> Result<(), EncodeError> {
    within(header, topic, payload, properties, version, u32::MAX, out)
}

#[inline]
fn within(
    header: &PublishHeader<'_>,
    topic: &str,
    payload: &[u8],
    properties: Option<&MessageProperties>,
    version: Version,
    max_packet_size: u32,
    out: &mut BytesMut,
) -> Result<(), EncodeError> {
    let (body, properties_len) = count(header, topic, payload.len(), properties, version);
    let len = frame_len(&body, max_packet_size)?;
    let packet_id = match (header.qos, header.packet_id) {
        (QoS::AtMostOnce, _) => None,
        (_, Some(packet_id)) => Some(packet_id),
        (_, None) => return Err(EncodeError::NoPacketId),
    };
    let dup = header.dup && packet_id.is_some();

    out.reserve(len);
    out.put_u8(
        Kind::Publish.first_byte() | u8::from(dup) << 3 | (header.qos as u8) << 1 | u8::from(header.retain),
    );
    out.var(body.bytes);
    out.field(written_topic(header, topic, version).as_bytes());
    if let Some(packet_id) = packet_id {
        out.put_u16(packet_id.get());
    }
    if version == Version::V5 {
        out.var(properties_len);
        if properties_len != 0 {
            publish_properties(header, properties, out);
        }
    }
    out.put_slice(payload);
    Ok(())
}

/// The size of the body, and of the properties in it.
#[inline]
fn count(
    header: &PublishHeader<'_>,
    topic: &str,
    payload_len: usize,
    properties: Option<&MessageProperties>,
    version: Version,
) -> (Count, usize) {
    let mut count = Count::default();
    let mut properties_len = 0;
    if version == Version::V5 {
        publish_properties(header, properties, &mut count);
        properties_len = count.bytes;
        count.bytes += varint::len(properties_len);
    }
    count.field(written_topic(header, topic, version).as_bytes());
    count.bytes += if header.qos == QoS::AtMostOnce { 0 } else { 2 };
    count.bytes += payload_len;
    (count, properties_len)
}

/// An alias alone can stand for the topic, and only in MQTT 5.
#[inline]
fn written_topic<'a>(header: &PublishHeader<'_>, topic: &'a str, version: Version) -> &'a str {
    let by_alias = !header.send_topic && header.alias.is_some() && version == Version::V5;
    if by_alias { "" } else { topic }
}

#[inline]
fn publish_properties<S: Sink>(
    header: &PublishHeader<'_>,
    properties: Option<&MessageProperties>,
    sink: &mut S,
) {
    sink.u16_property(id::TOPIC_ALIAS, header.alias);
    for &subscription in header.subscription_ids {
        sink.var_property(id::SUBSCRIPTION_IDENTIFIER, Some(subscription));
    }
    match properties {
        Some(message) => message_properties(message, header.message_expiry, sink),
        None => sink.u32_property(id::MESSAGE_EXPIRY_INTERVAL, header.message_expiry),
    }
}

/// The properties that a message and a will share.
pub(super) fn message_properties<S: Sink + ?Sized>(
    message: &MessageProperties,
    expiry: Option<u32>,
    sink: &mut S,
) {
    sink.byte_property(id::PAYLOAD_FORMAT_INDICATOR, message.payload_format_utf8.map(u8::from));
    sink.u32_property(id::MESSAGE_EXPIRY_INTERVAL, expiry);
    sink.text_property(id::CONTENT_TYPE, &message.content_type);
    sink.text_property(id::RESPONSE_TOPIC, &message.response_topic);
    sink.binary_property(id::CORRELATION_DATA, &message.correlation_data);
    sink.user_properties(&message.user_properties);
}

/// How a [`Publish`] that was decoded, or built by a client, is written.
fn header(publish: &Publish) -> PublishHeader<'_> {
    PublishHeader {
        dup: publish.dup,
        qos: publish.qos,
        retain: publish.retain,
        packet_id: publish.packet_id,
        alias: publish.topic_alias,
        send_topic: true,
        subscription_ids: &publish.subscription_ids,
        message_expiry: publish.properties.as_ref().and_then(|message| message.message_expiry),
    }
}

pub(super) fn packet(
    publish: &Publish,
    version: Version,
    max_packet_size: u32,
    out: &mut BytesMut,
) -> Result<(), EncodeError> {
    let properties = publish.properties.as_deref();
    within(&header(publish), &publish.topic, &publish.payload, properties, version, max_packet_size, out)
}

pub(super) fn packet_len(publish: &Publish, version: Version) -> usize {
    let properties = publish.properties.as_deref();
    publish_len(&header(publish), &publish.topic, publish.payload.len(), properties, version)
}
