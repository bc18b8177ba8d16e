//! Which reason codes a packet may carry (5.0, table 2-6).

use super::super::error::DecodeError;
use super::super::kind::Kind;
use super::super::reason::ReasonCode::{self, *};
use super::Side;

/// The code of `value` in a packet of this kind that `side` receives.
///
/// # Errors
/// `MalformedPacket` for a value that no packet has, `ProtocolError` for one that this packet has
/// not, or not from the other side.
pub(super) fn reason(kind: Kind, side: Side, value: u8) -> Result<ReasonCode, DecodeError> {
    let reason =
        ReasonCode::from_u8(value).ok_or(DecodeError::malformed("a reason code that does not exist"))?;
    let fits = match kind {
        Kind::ConnAck => connack(reason),
        Kind::PubAck | Kind::PubRec => publish(reason),
        Kind::PubRel | Kind::PubComp => matches!(reason, Success | PacketIdentifierNotFound),
        Kind::SubAck => suback(reason),
        Kind::UnsubAck => unsuback(reason),
        Kind::Disconnect => {
            either_disconnects(reason) || side == Side::Client && server_disconnects(reason)
            // A client alone has a will.
            || side == Side::Server && reason == DisconnectWithWill
        }
        Kind::Auth => match reason {
            Success => side == Side::Client,
            ReAuthenticate => side == Side::Server,
            other => other == ContinueAuthentication,
        },
        _ => false,
    };
    if fits { Ok(reason) } else { Err(DecodeError::protocol("a reason code that this packet does not have")) }
}

fn connack(reason: ReasonCode) -> bool {
    matches!(
        reason,
        Success
            | UnspecifiedError
            | MalformedPacket
            | ProtocolError
            | ImplementationSpecificError
            | UnsupportedProtocolVersion
            | ClientIdentifierNotValid
            | BadUserNameOrPassword
            | NotAuthorized
            | ServerUnavailable
            | ServerBusy
            | Banned
            | BadAuthenticationMethod
            | TopicNameInvalid
            | PacketTooLarge
            | QuotaExceeded
            | PayloadFormatInvalid
            | RetainNotSupported
            | QoSNotSupported
            | UseAnotherServer
            | ServerMoved
            | ConnectionRateExceeded
    )
}

fn publish(reason: ReasonCode) -> bool {
    matches!(
        reason,
        Success
            | NoMatchingSubscribers
            | UnspecifiedError
            | ImplementationSpecificError
            | NotAuthorized
            | TopicNameInvalid
            | PacketIdentifierInUse
            | QuotaExceeded
            | PayloadFormatInvalid
    )
}

fn suback(reason: ReasonCode) -> bool {
    matches!(
        reason,
        Success
            | GrantedQoS1
            | GrantedQoS2
            | UnspecifiedError
            | ImplementationSpecificError
            | NotAuthorized
            | TopicFilterInvalid
            | PacketIdentifierInUse
            | QuotaExceeded
            | SharedSubscriptionsNotSupported
            | SubscriptionIdentifiersNotSupported
            | WildcardSubscriptionsNotSupported
    )
}

fn unsuback(reason: ReasonCode) -> bool {
    matches!(
        reason,
        Success
            | NoSubscriptionExisted
            | UnspecifiedError
            | ImplementationSpecificError
            | NotAuthorized
            | TopicFilterInvalid
            | PacketIdentifierInUse
    )
}

/// DISCONNECT from a client or a server (table 3-10).
fn either_disconnects(reason: ReasonCode) -> bool {
    matches!(
        reason,
        Success
            | UnspecifiedError
            | MalformedPacket
            | ProtocolError
            | ImplementationSpecificError
            | TopicNameInvalid
            | ReceiveMaximumExceeded
            | TopicAliasInvalid
            | PacketTooLarge
            | MessageRateTooHigh
            | QuotaExceeded
            | AdministrativeAction
            | PayloadFormatInvalid
    )
}

/// DISCONNECT from a server only.
fn server_disconnects(reason: ReasonCode) -> bool {
    matches!(
        reason,
        NotAuthorized
            | ServerBusy
            | ServerShuttingDown
            | KeepAliveTimeout
            | SessionTakenOver
            | TopicFilterInvalid
            | RetainNotSupported
            | QoSNotSupported
            | UseAnotherServer
            | ServerMoved
            | SharedSubscriptionsNotSupported
            | ConnectionRateExceeded
            | MaximumConnectTime
            | SubscriptionIdentifiersNotSupported
            | WildcardSubscriptionsNotSupported
    )
}
