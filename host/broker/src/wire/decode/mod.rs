//! Bytes to packets, with every check of a receiver that needs no session.
//!
//! fixed header (here) → one file per family of packets → `reader` for the fields, `reasons` for
//! the reason codes that a packet may carry.

mod ack;
mod connack;
mod connect;
mod ending;
mod publish;
mod reader;
mod reasons;
mod subscribe;

pub use publish::payload_is_as_declared;

use super::error::DecodeError;
use super::kind::Kind;
use super::packet::{Packet, Version};
use super::reason::ReasonCode;
use super::varint::{self, VarInt};
use reader::Reader;

/// Which end of the link decodes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Side {
    /// The server: CONNECT, SUBSCRIBE and the like may come.
    #[default]
    Server,
    /// A client: CONNACK, SUBACK and the like may come.
    Client,
}

/// Decodes packets off the front of a buffer.
///
/// It holds no bytes of its own: the caller keeps the buffer and may use it again, because a
/// packet that keeps data copies its body once, whole. All strings and binary fields of a packet
/// are slices of that copy, so a kept client identifier keeps the password beside it in memory:
/// take [`super::detached`] of what outlives the packet.
#[derive(Clone, Copy, Debug)]
pub struct Decoder {
    /// The link's version; None on a server before CONNECT, when nothing else is accepted.
    pub version: Option<Version>,
    /// The largest packet, fixed header included, in bytes.
    pub max_packet_size: u32,
    /// Which end this is.
    pub side: Side,
}

/// What the front of a buffer holds.
#[derive(Clone, Debug, PartialEq)]
pub enum Decoded {
    /// Not yet a whole packet.
    Incomplete {
        /// Bytes that the buffer must hold, from the packet's first, before asking again pays:
        /// the packet's size once that is known. Always more than it holds.
        need: usize,
    },
    /// One packet.
    Packet {
        /// The packet.
        packet: Packet,
        /// Bytes it took from the front, at least 2.
        consumed: usize,
    },
}

impl Decoder {
    /// A server's, before CONNECT.
    pub fn server(max_packet_size: u32) -> Self {
        Decoder { version: None, max_packet_size, side: Side::Server }
    }

    /// A client's.
    pub fn client(version: Version, max_packet_size: u32) -> Self {
        Decoder { version: Some(version), max_packet_size, side: Side::Client }
    }

    /// Decodes the packet at the front of `input`, if it is there whole.
    ///
    /// # Errors
    /// As soon as it is clear that the packet must end the link: a wrong type, wrong flags or an
    /// excessive size are refused when the fixed header is there, before the body is.
    pub fn decode(&self, input: &[u8]) -> Result<Decoded, DecodeError> {
        let Some((&first, rest)) = input.split_first() else {
            return Ok(Decoded::Incomplete { need: 2 });
        };
        let kind = self.kind(first)?;
        let (remaining, len) = match varint::read(rest) {
            VarInt::Value(value, len) => (value as usize, len),
            VarInt::Incomplete => return Ok(Decoded::Incomplete { need: input.len() + 1 }),
            VarInt::TooLong => {
                return Err(DecodeError::malformed("a remaining length of more than four bytes"));
            }
        };
        let size = 1 + len + remaining;
        if size > self.max_packet_size as usize {
            return Err(DecodeError::new(
                ReasonCode::PacketTooLarge,
                "packet over the maximum packet size [MQTT-3.2.2-15]",
            ));
        }
        match input.get(1 + len..size) {
            Some(body) => Ok(Decoded::Packet { packet: self.body(kind, first, body)?, consumed: size }),
            None => Ok(Decoded::Incomplete { need: size }),
        }
    }

    /// Checks the first byte: is a packet of this type and with these flags welcome here?
    #[inline]
    fn kind(&self, first: u8) -> Result<Kind, DecodeError> {
        let kind = Kind::of(first).ok_or(DecodeError::malformed("packet type 0 is reserved"))?;
        let flags = first & 0x0F;
        let bad_flags = DecodeError::malformed("reserved flags of the fixed header [MQTT-2.1.3-1]");
        let Some(version) = self.version else {
            return match kind {
                Kind::Connect if self.side == Side::Server && flags == 0 => Ok(kind),
                Kind::Connect if self.side == Side::Server => Err(bad_flags),
                _ => Err(DecodeError::protocol("the first packet is not CONNECT [MQTT-3.1.0-1]")),
            };
        };
        // MQTT 3.1 lets a sender mark any packet of QoS 1 as repeated (3.1, section 2.1).
        let may_repeat = version == Version::V31 && kind.flags() != 0;
        let good_flags =
            kind == Kind::Publish || flags == kind.flags() || may_repeat && flags == kind.flags() | 0b1000;
        if !good_flags {
            return Err(bad_flags);
        }
        if kind == Kind::Auth && version != Version::V5 {
            return Err(DecodeError::malformed("packet type 15 is reserved in MQTT 3.x"));
        }
        let welcome = match kind {
            Kind::Connect | Kind::Subscribe | Kind::Unsubscribe | Kind::PingReq => self.side == Side::Server,
            Kind::ConnAck | Kind::SubAck | Kind::UnsubAck | Kind::PingResp => self.side == Side::Client,
            Kind::Disconnect => self.side == Side::Server || version == Version::V5,
            _ => true,
        };
        if welcome { Ok(kind) } else { Err(DecodeError::protocol("a packet of the other side's")) }
    }

    #[inline]
    fn body(&self, kind: Kind, first: u8, body: &[u8]) -> Result<Packet, DecodeError> {
        let mut r = Reader::new(body);
        // Before CONNECT there is only CONNECT, which tells its own version.
        let version = self.version.unwrap_or(Version::V5);
        match kind {
            Kind::Publish => publish::publish(r, first, version, self.side).map(Packet::Publish),
            Kind::PubAck | Kind::PubRec | Kind::PubRel | Kind::PubComp => {
                let ack = ack::ack(&mut r, kind, version)?;
                Ok(match kind {
                    Kind::PubAck => Packet::PubAck(ack),
                    Kind::PubRec => Packet::PubRec(ack),
                    Kind::PubRel => Packet::PubRel(ack),
                    _ => Packet::PubComp(ack),
                })
            }
            Kind::Connect => connect::connect(&mut r).map(|c| Packet::Connect(Box::new(c))),
            Kind::ConnAck => connack::connack(&mut r, version).map(|c| Packet::ConnAck(Box::new(c))),
            Kind::Subscribe => subscribe::subscribe(&mut r, version).map(Packet::Subscribe),
            Kind::Unsubscribe => subscribe::unsubscribe(&mut r, version).map(Packet::Unsubscribe),
            Kind::SubAck => ack::suback(&mut r, kind, version).map(Packet::SubAck),
            Kind::UnsubAck => ack::suback(&mut r, kind, version).map(Packet::UnsubAck),
            Kind::PingReq => r.finish(Packet::PingReq),
            Kind::PingResp => r.finish(Packet::PingResp),
            Kind::Disconnect => ending::disconnect(&mut r, version, self.side).map(Packet::Disconnect),
            Kind::Auth => ending::auth(&mut r, self.side).map(Packet::Auth),
        }
    }
}
