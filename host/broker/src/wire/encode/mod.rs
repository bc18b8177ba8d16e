//! Packets to bytes. Sizes are counted first, by the code that writes, so that nothing is written
//! of a packet that may not go.
//!
//! sizes and the parts that may be left out (here) → one file per family of packets → `sink`.

mod answer;
mod connect;
mod publish;
mod request;
mod sink;

pub use publish::{PublishHeader, encode_publish, publish_len};

use bytes::BytesMut;

use super::error::EncodeError;
use super::kind::Kind;
use super::packet::{Packet, Version};
use super::varint::{self, MAX_REMAINING_LENGTH};
use sink::{Count, Sink};

/// What of a packet is written.
#[derive(Clone, Copy)]
struct Shape {
    version: Version,
    /// The Reason String of an answer.
    reason_string: bool,
    /// The user properties of an answer.
    user_properties: bool,
}

/// Appends `packet`; what `version` lacks is left out.
///
/// # Errors
/// See [`EncodeError`]; then nothing was written.
pub fn encode(packet: &Packet, version: Version, out: &mut BytesMut) -> Result<(), EncodeError> {
    encode_within(packet, version, u32::MAX, out)
}

/// Appends `packet` for a peer that takes at most `max_packet_size` bytes.
///
/// An answer (CONNACK, the acknowledgements, DISCONNECT, AUTH) loses its user properties, then its
/// Reason String, where it would be too large with them [MQTT-3.2.2-19, MQTT-3.2.2-20,
/// MQTT-3.4.2-2, MQTT-3.4.2-3 and the like].
///
/// # Errors
/// See [`EncodeError`]; then nothing was written. A packet over the peer's limit is to be dropped
/// as if it had been sent [MQTT-3.1.2-25].
pub fn encode_within(
    packet: &Packet,
    version: Version,
    max_packet_size: u32,
    out: &mut BytesMut,
) -> Result<(), EncodeError> {
    if let Packet::Publish(p) = packet {
        return publish::packet(p, version, max_packet_size, out);
    }
    if let Some(short) = answer::short(packet).filter(|short| short.len() <= max_packet_size as usize) {
        out.extend_from_slice(&short);
        return Ok(());
    }
    let first = first_byte(packet, version)?;
    let whole = Shape { version, reason_string: true, user_properties: true };
    let mut refused = EncodeError::FieldTooLong;
    for shape in [
        whole,
        Shape { user_properties: false, ..whole },
        Shape { user_properties: false, reason_string: false, ..whole },
    ] {
        let mut count = Count::default();
        body(packet, shape, &mut count);
        match frame_len(&count, max_packet_size) {
            Ok(len) => {
                out.reserve(len);
                out.u8(first);
                out.var(count.bytes);
                body(packet, shape, out);
                return Ok(());
            }
            Err(error) => refused = error,
        }
    }
    Err(refused)
}

/// Bytes that `packet` takes whole, fixed header included; 0 where the version has no such packet.
pub fn encoded_len(packet: &Packet, version: Version) -> usize {
    if let Packet::Publish(p) = packet {
        return publish::packet_len(p, version);
    }
    if first_byte(packet, version).is_err() {
        return 0;
    }
    let mut count = Count::default();
    body(packet, Shape { version, reason_string: true, user_properties: true }, &mut count);
    1 + varint::len(count.bytes) + count.bytes
}

/// The size of a packet whose body was counted, if it may go.
fn frame_len(body: &Count, max_packet_size: u32) -> Result<usize, EncodeError> {
    if body.field_too_long {
        return Err(EncodeError::FieldTooLong);
    }
    let size = 1 + varint::len(body.bytes) + body.bytes;
    let limit = (max_packet_size as usize).min(5 + MAX_REMAINING_LENGTH);
    if size > limit { Err(EncodeError::TooLarge { size, limit }) } else { Ok(size) }
}

fn first_byte(packet: &Packet, version: Version) -> Result<u8, EncodeError> {
    let kind = match packet {
        Packet::Connect(_) => Kind::Connect,
        Packet::ConnAck(_) => Kind::ConnAck,
        Packet::Publish(_) => Kind::Publish,
        Packet::PubAck(_) => Kind::PubAck,
        Packet::PubRec(_) => Kind::PubRec,
        Packet::PubRel(_) => Kind::PubRel,
        Packet::PubComp(_) => Kind::PubComp,
        Packet::Subscribe(_) => Kind::Subscribe,
        Packet::SubAck(_) => Kind::SubAck,
        Packet::Unsubscribe(_) => Kind::Unsubscribe,
        Packet::UnsubAck(_) => Kind::UnsubAck,
        Packet::PingReq => Kind::PingReq,
        Packet::PingResp => Kind::PingResp,
        Packet::Disconnect(_) => Kind::Disconnect,
        Packet::Auth(_) if version == Version::V5 => Kind::Auth,
        Packet::Auth(_) => return Err(EncodeError::NotInVersion),
    };
    Ok(kind.first_byte())
}

fn body(packet: &Packet, shape: Shape, sink: &mut dyn Sink) {
    match packet {
        Packet::Connect(connect) => connect::connect(connect, sink),
        Packet::ConnAck(ack) => connect::connack(ack, shape, sink),
        Packet::PubAck(ack) | Packet::PubRec(ack) | Packet::PubRel(ack) | Packet::PubComp(ack) => {
            answer::ack(ack, shape, sink);
        }
        Packet::SubAck(ack) => answer::suback(ack, shape, sink),
        Packet::UnsubAck(ack) => answer::unsuback(ack, shape, sink),
        Packet::Disconnect(disconnect) => answer::disconnect(disconnect, shape, sink),
        Packet::Auth(auth) => answer::auth(auth, shape, sink),
        Packet::Subscribe(subscribe) => request::subscribe(subscribe, shape.version, sink),
        Packet::Unsubscribe(unsubscribe) => request::unsubscribe(unsubscribe, shape.version, sink),
        // PUBLISH has a way of its own; the pings have no body.
        Packet::Publish(_) | Packet::PingReq | Packet::PingResp => {}
    }
}
