//! The wire format of MQTT 3.1, 3.1.1 and 5.0.
//!
//! packet (types) ← decode (plain slice → packet, one copy of the body, a reason code for every
//! refusal) · encode (packet → bytes, exact sizes first) · publish fast path for sessions.

pub mod packet;
pub mod reason;
pub mod text;

mod decode;
mod encode;
mod error;
mod kind;
mod property;
mod varint;

#[cfg(test)]
mod tests;

pub use decode::{Decoded, Decoder, Side, payload_is_as_declared};
pub use encode::{PublishHeader, encode, encode_publish, encode_within, encoded_len, publish_len};
pub use error::{DecodeError, EncodeError};
pub use packet::*;
pub use reason::ReasonCode;
pub use text::{Text, detached};
pub use varint::MAX_REMAINING_LENGTH;
