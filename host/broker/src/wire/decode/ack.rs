//! PUBACK, PUBREC, PUBREL, PUBCOMP; SUBACK and UNSUBACK.

use super::super::error::DecodeError;
use super::super::kind::Kind;
use super::super::packet::{Ack, SubAck, UserProperties, Version};
use super::super::property as id;
use super::super::reason::ReasonCode;
use super::super::text::Text;
use super::Side;
use super::reader::Reader;
use super::reasons::reason;

type Result<T> = std::result::Result<T, DecodeError>;

pub(super) fn ack(r: &mut Reader<'_>, kind: Kind, version: Version) -> Result<Ack> {
    let mut ack = Ack::new(r.packet_id()?, ReasonCode::Success);
    // Success without properties may end here, a reason without properties behind it
    // (section 3.4.2.1).
    if version == Version::V5 && !r.is_empty() {
        ack.reason = reason(kind, Side::Server, r.u8()?)?;
        if !r.is_empty() {
            (ack.reason_string, ack.user_properties) = diagnostics(r)?;
        }
    }
    r.finish(ack)
}

/// The properties of all acknowledgements.
fn diagnostics(r: &mut Reader<'_>) -> Result<(Option<Text>, UserProperties)> {
    let mut reason_string = None;
    let mut user_properties = Vec::new();
    r.properties(id::ACK, |property, r| {
        match property {
            id::REASON_STRING => reason_string = Some(r.text()?),
            _ => user_properties.push(r.pair()?),
        }
        Ok(())
    })?;
    Ok((reason_string, user_properties))
}

pub(super) fn suback(r: &mut Reader<'_>, kind: Kind, version: Version) -> Result<SubAck> {
    let packet_id = r.packet_id()?;
    let (reason_string, user_properties) =
        if version == Version::V5 { diagnostics(r)? } else { (None, Vec::new()) };
    let mut ack = SubAck { packet_id, reason_string, user_properties, reasons: Vec::new() };
    if kind == Kind::UnsubAck && version != Version::V5 {
        return r.finish(ack);
    }
    if r.is_empty() {
        return Err(DecodeError::protocol("an acknowledgement without a reason code"));
    }
    ack.reasons.reserve_exact(r.left());
    while !r.is_empty() {
        let value = r.u8()?;
        ack.reasons.push(match version {
            Version::V5 => reason(kind, Side::Client, value)?,
            // [MQTT-3.9.3-2]
            _ if matches!(value, 0..=2 | 0x80) => reason(kind, Side::Client, value)?,
            _ => return Err(DecodeError::malformed("a return code that SUBACK does not have")),
        });
    }
    Ok(ack)
}
