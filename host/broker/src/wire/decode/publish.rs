//! PUBLISH, and the properties that travel with a message (a will has them too).

use bytes::{Buf, Bytes};

use super::super::error::DecodeError;
use super::super::packet::{MessageProperties, Publish, PublishProperties, QoS, Version};
use super::super::property as id;
use super::super::reason::ReasonCode;
use super::super::text::Text;
use super::Side;
use super::reader::{NOT_UTF8, Reader};

type Result<T> = std::result::Result<T, DecodeError>;

/// Fields are kept apart until the end, where the packet is put together in its place: moving a
/// `Publish` about as it is built up takes a tenth of the whole decoding.
#[inline]
pub(super) fn publish(mut r: Reader<'_>, first: u8, version: Version, side: Side) -> Result<Publish> {
    let qos = QoS::from_bits(first >> 1 & 0b11).ok_or(DecodeError::malformed("QoS 3 [MQTT-3.3.1-4]"))?;
    let dup = first & 0b1000 != 0;
    if dup && qos == QoS::AtMostOnce {
        return Err(DecodeError::malformed("DUP with QoS 0 [MQTT-3.3.1-2]"));
    }
    let topic = r.topic()?;
    let packet_id = match qos {
        QoS::AtMostOnce => None,
        _ => Some(r.packet_id()?),
    };
    let mut own = Own::default();
    let mut properties = None;
    if version == Version::V5 && !r.skip_empty_properties() {
        properties = self::properties(&mut r, &mut own, side)?;
    }
    if topic.is_empty() && own.topic_alias.is_none() {
        return Err(DecodeError::protocol("an empty topic name without a topic alias [MQTT-4.7.3-1]"));
    }
    let (body, payload) = r.into_rest();
    let topic = Text::try_from(body.slice(topic)).map_err(|_| NOT_UTF8)?;
    Ok(Publish {
        dup,
        qos,
        retain: first & 1 != 0,
        topic,
        packet_id,
        payload: tail(body, payload),
        topic_alias: own.topic_alias,
        subscription_ids: own.subscription_ids,
        properties,
    })
}

/// The properties that stay with one connection.
#[derive(Default)]
struct Own {
    topic_alias: Option<u16>,
    subscription_ids: smallvec::SmallVec<[u32; 1]>,
}

fn properties(r: &mut Reader<'_>, own: &mut Own, side: Side) -> Result<PublishProperties> {
    let mut carried: PublishProperties = None;
    r.properties(id::PUBLISH, |property, r| {
        match property {
            id::TOPIC_ALIAS => match r.u16()? {
                0 => {
                    return Err(DecodeError::new(
                        ReasonCode::TopicAliasInvalid,
                        "topic alias 0 [MQTT-3.3.2-8]",
                    ));
                }
                alias => own.topic_alias = Some(alias),
            },
            id::SUBSCRIPTION_IDENTIFIER if side == Side::Server => {
                return Err(DecodeError::protocol("a subscription identifier from a client [MQTT-3.3.4-6]"));
            }
            id::SUBSCRIPTION_IDENTIFIER => own.subscription_ids.push(subscription_id(r)?),
            _ => message_property(property, carried.get_or_insert_default(), r)?,
        }
        Ok(())
    })?;
    Ok(carried)
}

/// What is behind the first `at` bytes; takes the copy's own reference instead of one more.
fn tail(mut body: Bytes, at: usize) -> Bytes {
    if at == body.len() {
        // An empty payload need not keep the body.
        return Bytes::new();
    }
    body.advance(at);
    body
}

/// A Subscription Identifier, 1 to 268,435,455 (section 3.8.2.1.2).
pub(super) fn subscription_id(r: &mut Reader<'_>) -> Result<u32> {
    match r.var()? {
        0 => Err(DecodeError::protocol("subscription identifier 0")),
        value => Ok(value),
    }
}

/// Any of the properties that a message and a will share.
pub(super) fn message_property(
    property: u8,
    message: &mut MessageProperties,
    r: &mut Reader<'_>,
) -> Result<()> {
    match property {
        id::PAYLOAD_FORMAT_INDICATOR => {
            message.payload_format_utf8 = Some(r.flag("a payload format indicator over 1")?);
        }
        id::MESSAGE_EXPIRY_INTERVAL => message.message_expiry = Some(r.u32()?),
        id::CONTENT_TYPE => message.content_type = Some(r.text()?),
        id::RESPONSE_TOPIC => {
            let (topic, odd) = r.text_and_odd()?;
            if topic.is_empty() || odd.wildcard {
                return Err(DecodeError::protocol("a response topic is no topic name [MQTT-3.3.2-14]"));
            }
            message.response_topic = Some(topic);
        }
        id::CORRELATION_DATA => message.correlation_data = Some(r.binary()?),
        id::USER_PROPERTY => message.user_properties.push(r.pair()?),
        _ => return Err(DecodeError::malformed("a property does not belong in this packet")),
    }
    Ok(())
}

/// Whether a payload that is declared as UTF-8 is so (section 3.3.2.3.2). A server that looks
/// answers `PayloadFormatInvalid` when not; it need not look, so `decode` does not.
pub fn payload_is_as_declared(properties: &PublishProperties, payload: &[u8]) -> bool {
    match properties {
        Some(p) if p.payload_format_utf8 == Some(true) => std::str::from_utf8(payload).is_ok(),
        _ => true,
    }
}
