//! CONNECT.

use bytes::Bytes;

use super::super::error::DecodeError;
use super::super::packet::{Connect, QoS, Version, Will};
use super::super::property as id;
use super::super::reason::ReasonCode;
use super::super::text::Text;
use super::publish::message_property;
use super::reader::Reader;

type Result<T> = std::result::Result<T, DecodeError>;

const USER_NAME: u8 = 0b1000_0000;
const PASSWORD: u8 = 0b0100_0000;
const WILL_RETAIN: u8 = 0b0010_0000;
const WILL_QOS: u8 = 0b0001_1000;
const WILL: u8 = 0b0000_0100;
const CLEAN_START: u8 = 0b0000_0010;
const RESERVED: u8 = 0b0000_0001;

pub(super) fn connect(r: &mut Reader<'_>) -> Result<Connect> {
    let version = version(r)?;
    body(r, version).map_err(|error| error.in_connect(version))
}

/// Protocol name and level. A name that is not MQTT's gets no answer; a level that is not ours is
/// told so in the nearest version's words [MQTT-3.1.2-1, MQTT-3.1.2-2].
fn version(r: &mut Reader<'_>) -> Result<Version> {
    const UNSUPPORTED: DecodeError = DecodeError::new(
        ReasonCode::UnsupportedProtocolVersion,
        "a protocol name or level that is not MQTT 3.1, 3.1.1 or 5.0 [MQTT-3.1.2-1]",
    );
    let len = r.u16()?;
    let name = match len {
        4 | 6 => r.take(usize::from(len))?,
        _ => return Err(UNSUPPORTED),
    };
    if name != b"MQTT" && name != b"MQIsdp" {
        return Err(UNSUPPORTED);
    }
    match (name, r.u8()?) {
        (b"MQIsdp", 3) => Ok(Version::V31),
        (b"MQTT", 4) => Ok(Version::V311),
        (b"MQTT", 5) => Ok(Version::V5),
        // The uppermost bit is how some bridges mark themselves: they fall back on code 1.
        (b"MQTT", 6..0x80) => Err(UNSUPPORTED.in_connect(Version::V5)),
        _ => Err(UNSUPPORTED.in_connect(Version::V311)),
    }
}

fn body(r: &mut Reader<'_>, version: Version) -> Result<Connect> {
    let flags = r.u8()?;
    if flags & RESERVED != 0 {
        return Err(DecodeError::malformed("the reserved flag of CONNECT [MQTT-3.1.2-3]"));
    }
    if flags & WILL == 0 && flags & (WILL_QOS | WILL_RETAIN) != 0 {
        return Err(DecodeError::malformed(
            "will QoS or retain without a will [MQTT-3.1.2-11, MQTT-3.1.2-13]",
        ));
    }
    let will_qos = QoS::from_bits((flags & WILL_QOS) >> 3)
        .ok_or(DecodeError::malformed("will QoS 3 [MQTT-3.1.2-12]"))?;
    if version != Version::V5 && flags & (USER_NAME | PASSWORD) == PASSWORD {
        return Err(DecodeError::malformed("a password without a user name [MQTT-3.1.2-22]"));
    }
    let mut connect = Connect {
        version,
        clean_start: flags & CLEAN_START != 0,
        keep_alive: r.u16()?,
        client_id: Text::new(),
        will: None,
        user_name: None,
        password: None,
        session_expiry: None,
        receive_maximum: None,
        maximum_packet_size: None,
        topic_alias_maximum: 0,
        request_response_information: false,
        request_problem_information: true,
        user_properties: Vec::new(),
        auth_method: None,
        auth_data: None,
    };
    if version == Version::V5 {
        r.properties(id::CONNECT, |property, r| value(property, &mut connect, r))?;
        if connect.auth_data.is_some() && connect.auth_method.is_none() {
            return Err(DecodeError::protocol("authentication data without a method"));
        }
    }
    connect.client_id = client_id(r, &connect)?;
    if flags & WILL != 0 {
        connect.will = Some(Box::new(will(r, version, will_qos, flags & WILL_RETAIN != 0)?));
    }
    if flags & USER_NAME != 0 && given(r, version) {
        connect.user_name = Some(r.text()?);
    }
    if flags & PASSWORD != 0 && given(r, version) {
        connect.password = Some(r.binary()?);
    }
    r.finish(connect)
}

/// In MQTT 3.1 the remaining length has precedence over the user name and password flags
/// (3.1, section 3.1): the fields may be missing.
fn given(r: &Reader<'_>, version: Version) -> bool {
    version != Version::V31 || !r.is_empty()
}

/// Only a clean session of 3.1.1, or MQTT 5, may leave the client identifier to the server
/// [MQTT-3.1.3-7, MQTT-3.1.3-8].
fn client_id(r: &mut Reader<'_>, connect: &Connect) -> Result<Text> {
    let client_id = r.text()?;
    let may_be_empty = match connect.version {
        Version::V31 => false,
        Version::V311 => connect.clean_start,
        Version::V5 => true,
    };
    if client_id.is_empty() && !may_be_empty {
        return Err(DecodeError::new(
            ReasonCode::ClientIdentifierNotValid,
            "an empty client identifier [MQTT-3.1.3-8]",
        ));
    }
    Ok(client_id)
}

fn value(property: u8, connect: &mut Connect, r: &mut Reader<'_>) -> Result<()> {
    match property {
        id::SESSION_EXPIRY_INTERVAL => connect.session_expiry = Some(r.u32()?),
        id::RECEIVE_MAXIMUM => match r.u16()? {
            0 => return Err(DecodeError::protocol("receive maximum 0")),
            maximum => connect.receive_maximum = Some(maximum),
        },
        id::MAXIMUM_PACKET_SIZE => match r.u32()? {
            0 => return Err(DecodeError::protocol("maximum packet size 0")),
            maximum => connect.maximum_packet_size = Some(maximum),
        },
        id::TOPIC_ALIAS_MAXIMUM => connect.topic_alias_maximum = r.u16()?,
        id::REQUEST_RESPONSE_INFORMATION => {
            connect.request_response_information = r.flag("request response information over 1")?;
        }
        id::REQUEST_PROBLEM_INFORMATION => {
            connect.request_problem_information = r.flag("request problem information over 1")?;
        }
        id::AUTHENTICATION_METHOD => connect.auth_method = Some(r.text()?),
        id::AUTHENTICATION_DATA => connect.auth_data = Some(r.binary()?),
        _ => connect.user_properties.push(r.pair()?),
    }
    Ok(())
}

fn will(r: &mut Reader<'_>, version: Version, qos: QoS, retain: bool) -> Result<Will> {
    let mut will =
        Will { topic: Text::new(), payload: Bytes::new(), qos, retain, delay_interval: 0, properties: None };
    if version == Version::V5 {
        r.properties(id::WILL, |property, r| match property {
            id::WILL_DELAY_INTERVAL => {
                will.delay_interval = r.u32()?;
                Ok(())
            }
            _ => message_property(property, will.properties.get_or_insert_default(), r),
        })?;
    }
    let (topic, odd) = r.text_and_odd()?;
    will.topic = topic;
    if will.topic.is_empty() {
        return Err(DecodeError::protocol("an empty will topic [MQTT-4.7.3-1]"));
    }
    if odd.wildcard {
        return Err(DecodeError::new(
            ReasonCode::TopicNameInvalid,
            "a will topic holds a wildcard [MQTT-4.7.1-1]",
        ));
    }
    will.payload = r.binary()?;
    Ok(will)
}
