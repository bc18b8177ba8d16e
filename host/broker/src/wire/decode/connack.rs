//! CONNACK, for clients: the benchmark's and the tests'.

use super::super::error::DecodeError;
use super::super::kind::Kind;
use super::super::packet::{ConnAck, QoS, Version};
use super::super::property as id;
use super::super::reason::ReasonCode;
use super::Side;
use super::reader::Reader;
use super::reasons::reason;

type Result<T> = std::result::Result<T, DecodeError>;

pub(super) fn connack(r: &mut Reader<'_>, version: Version) -> Result<ConnAck> {
    let flags = r.u8()?;
    // The first byte is unused in MQTT 3.1.
    if version != Version::V31 && flags > 1 {
        return Err(DecodeError::malformed("reserved acknowledge flags [MQTT-3.2.2-1]"));
    }
    let code = r.u8()?;
    let reason = match version {
        Version::V5 => reason(Kind::ConnAck, Side::Client, code)?,
        _ => ReasonCode::from_connect_return_code(code)
            .ok_or(DecodeError::malformed("a return code that CONNACK does not have"))?,
    };
    let session_present = flags == 1 && version != Version::V31;
    if session_present && reason.is_error() {
        return Err(DecodeError::protocol("a refusal with a session present [MQTT-3.2.2-6]"));
    }
    let mut ack = ConnAck { session_present, reason, ..ConnAck::default() };
    if version == Version::V5 {
        r.properties(id::CONNACK, |property, r| value(property, &mut ack, r))?;
    }
    r.finish(ack)
}

fn value(property: u8, ack: &mut ConnAck, r: &mut Reader<'_>) -> Result<()> {
    match property {
        id::SESSION_EXPIRY_INTERVAL => ack.session_expiry = Some(r.u32()?),
        id::RECEIVE_MAXIMUM => match r.u16()? {
            0 => return Err(DecodeError::protocol("receive maximum 0")),
            maximum => ack.receive_maximum = Some(maximum),
        },
        id::MAXIMUM_QOS => {
            let one = r.flag("a maximum QoS over 1")?;
            ack.maximum_qos = Some(if one { QoS::AtLeastOnce } else { QoS::AtMostOnce });
        }
        id::RETAIN_AVAILABLE => ack.retain_available = Some(r.flag("retain available over 1")?),
        id::MAXIMUM_PACKET_SIZE => match r.u32()? {
            0 => return Err(DecodeError::protocol("maximum packet size 0")),
            maximum => ack.maximum_packet_size = Some(maximum),
        },
        id::ASSIGNED_CLIENT_IDENTIFIER => ack.assigned_client_id = Some(r.text()?),
        id::TOPIC_ALIAS_MAXIMUM => ack.topic_alias_maximum = Some(r.u16()?),
        id::REASON_STRING => ack.reason_string = Some(r.text()?),
        id::USER_PROPERTY => ack.user_properties.push(r.pair()?),
        id::SERVER_KEEP_ALIVE => ack.server_keep_alive = Some(r.u16()?),
        id::RESPONSE_INFORMATION => ack.response_information = Some(r.text()?),
        id::SERVER_REFERENCE => ack.server_reference = Some(r.text()?),
        id::AUTHENTICATION_METHOD => ack.auth_method = Some(r.text()?),
        id::AUTHENTICATION_DATA => ack.auth_data = Some(r.binary()?),
        // What a server may lack beyond retain and QoS: nothing of ours asks, so it is only checked.
        _ => _ = r.flag("an availability over 1")?,
    }
    Ok(())
}
