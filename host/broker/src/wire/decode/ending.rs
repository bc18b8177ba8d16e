//! DISCONNECT and AUTH.

use super::super::error::DecodeError;
use super::super::kind::Kind;
use super::super::packet::{Auth, Disconnect, Version};
use super::super::property as id;
use super::Side;
use super::reader::Reader;
use super::reasons::reason;

type Result<T> = std::result::Result<T, DecodeError>;

pub(super) fn disconnect(r: &mut Reader<'_>, version: Version, side: Side) -> Result<Disconnect> {
    let mut disconnect = Disconnect::default();
    if version == Version::V5 && !r.is_empty() {
        disconnect.reason = reason(Kind::Disconnect, side, r.u8()?)?;
        if !r.is_empty() {
            r.properties(id::DISCONNECT, |property, r| {
                match property {
                    id::SESSION_EXPIRY_INTERVAL if side == Side::Client => {
                        return Err(DecodeError::protocol(
                            "a session expiry from the server [MQTT-3.14.2-2]",
                        ));
                    }
                    id::SESSION_EXPIRY_INTERVAL => disconnect.session_expiry = Some(r.u32()?),
                    id::SERVER_REFERENCE => disconnect.server_reference = Some(r.text()?),
                    id::REASON_STRING => disconnect.reason_string = Some(r.text()?),
                    _ => disconnect.user_properties.push(r.pair()?),
                }
                Ok(())
            })?;
        }
    }
    r.finish(disconnect)
}

pub(super) fn auth(r: &mut Reader<'_>, side: Side) -> Result<Auth> {
    let mut auth = Auth::default();
    if r.is_empty() {
        // Success, which only a server may send; there are no properties (section 3.15.2.1).
        auth.reason = reason(Kind::Auth, side, 0)?;
        return Ok(auth);
    }
    auth.reason = reason(Kind::Auth, side, r.u8()?)?;
    r.properties(id::AUTH, |property, r| {
        match property {
            id::AUTHENTICATION_METHOD => auth.method = Some(r.text()?),
            id::AUTHENTICATION_DATA => auth.data = Some(r.binary()?),
            id::REASON_STRING => auth.reason_string = Some(r.text()?),
            _ => auth.user_properties.push(r.pair()?),
        }
        Ok(())
    })?;
    if auth.method.is_none() {
        return Err(DecodeError::protocol("AUTH without an authentication method"));
    }
    r.finish(auth)
}
