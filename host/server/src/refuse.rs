//! Any error → what the peer is told. The only place that decides it.
//!
//! Errors live beside their code; here they become a reason code (MQTT 5), a return code or a close
//! (3.x), and a counter. The log gets the cause, the peer only what it may know.

use postern_broker::wire::{DecodeError, ReasonCode, Text};

/// Why a link, a sign-in or a message was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The bytes are not MQTT, or break its rules.
    #[error("{1}")]
    Packet(ReasonCode, &'static str),
    /// The peer took longer than the handshake timeout to say who it is.
    #[error("no CONNECT in time")]
    TooSlow,
    /// Nothing came within one and a half keep alive periods [MQTT-3.1.2-22].
    #[error("keep alive timeout")]
    KeepAlive,
    /// Proof, password or bearer is wrong, spent, expired or in the wrong place.
    #[error("sign-in refused: {0}")]
    BadCredentials(&'static str),
    /// MQTT 5: an authentication method that the token role does not know.
    #[error("unknown authentication method")]
    BadMethod,
    /// The client id is not the one that the token is bound to, or not usable.
    #[error("client id refused")]
    ClientId,
    /// The grant has no right to it.
    #[error("no right to {0}")]
    NotAllowed(&'static str),
    /// The classify role refused the message; the text is the plugin's, meant for the sender.
    #[error("refused: {0}")]
    ByRule(String),
    /// The topic is not one that the application knows, or its prefix and the class differ (A16).
    #[error("{0}")]
    Topic(&'static str),
    /// The payload is not the UTF-8 that it is declared as (MQTT 5, section 3.3.2.3.2).
    #[error("the payload is not the UTF-8 that it is declared as")]
    PayloadFormat,
    /// A role that is needed is down, or storage is: temporary (C6).
    #[error("{0} is unavailable: {1}")]
    Unavailable(&'static str, String),
    /// This node does not hold the broker role (A2).
    #[error("this server takes no MQTT clients")]
    WrongGroup,
    /// The node stops; where to turn instead, if that is configured.
    #[error("this server is shutting down")]
    Stopping(Option<Text>),
    /// The token has expired while the link was live.
    #[error("token expired")]
    Expired,
    /// Told by the broker: taken over, kicked, revoked, too slow a reader.
    #[error("closed: {0:?}")]
    Closed(ReasonCode),
}

impl From<DecodeError> for Refusal {
    fn from(e: DecodeError) -> Self {
        Refusal::Packet(e.reason, e.what)
    }
}

impl Refusal {
    /// The reason code of a CONNACK, which has no keep alive timeout (MQTT 5, table 3-1).
    pub fn connack_code(&self) -> ReasonCode {
        match self.reason_code() {
            ReasonCode::KeepAliveTimeout => ReasonCode::UnspecifiedError,
            code => code,
        }
    }

    /// The reason code of a DISCONNECT, which may carry fewer than a CONNACK (MQTT 5, table 3-10).
    pub fn disconnect_code(&self) -> ReasonCode {
        match self.reason_code() {
            ReasonCode::BadUserNameOrPassword
            | ReasonCode::BadAuthenticationMethod
            | ReasonCode::ClientIdentifierNotValid => ReasonCode::NotAuthorized,
            ReasonCode::ServerUnavailable => ReasonCode::ServerBusy,
            code => code,
        }
    }

    /// What it is, before it is put into the words of a packet.
    fn reason_code(&self) -> ReasonCode {
        match self {
            Refusal::Packet(code, _) | Refusal::Closed(code) => *code,
            // In a CONNACK, which has no code of its own for it (MQTT 5, table 3-1).
            Refusal::TooSlow => ReasonCode::UnspecifiedError,
            Refusal::KeepAlive => ReasonCode::KeepAliveTimeout,
            Refusal::BadCredentials(_) => ReasonCode::BadUserNameOrPassword,
            Refusal::BadMethod => ReasonCode::BadAuthenticationMethod,
            Refusal::ClientId => ReasonCode::ClientIdentifierNotValid,
            Refusal::NotAllowed(_) | Refusal::ByRule(_) => ReasonCode::NotAuthorized,
            Refusal::Topic(_) => ReasonCode::TopicNameInvalid,
            Refusal::PayloadFormat => ReasonCode::PayloadFormatInvalid,
            Refusal::Unavailable(..) => ReasonCode::ServerUnavailable,
            Refusal::WrongGroup | Refusal::Stopping(Some(_)) => ReasonCode::UseAnotherServer,
            // A CONNACK has no code of its own for it (MQTT 5, table 3-1).
            Refusal::Stopping(None) => ReasonCode::ServerUnavailable,
            Refusal::Expired => ReasonCode::MaximumConnectTime,
        }
    }

    /// The reason code of a PUBACK or PUBREC, which may carry fewer (MQTT 5, table 3-4).
    pub fn ack_code(&self) -> ReasonCode {
        match self.reason_code() {
            code @ (ReasonCode::NotAuthorized
            | ReasonCode::TopicNameInvalid
            | ReasonCode::QuotaExceeded
            | ReasonCode::PayloadFormatInvalid) => code,
            ReasonCode::ServerUnavailable => ReasonCode::ImplementationSpecificError,
            _ => ReasonCode::UnspecifiedError,
        }
    }

    /// What an MQTT 5 peer reads as reason string; never a plugin's or a library's inner text.
    pub fn told(&self) -> String {
        match self {
            Refusal::Unavailable(what, _) => format!("{what} is unavailable, try again"),
            Refusal::BadCredentials(_) => "sign-in refused".to_owned(),
            other => other.to_string(),
        }
    }

    /// Where the peer is to turn, if it is told.
    pub fn server_reference(&self) -> Option<Text> {
        if let Refusal::Stopping(elsewhere) = self { elsewhere.clone() } else { None }
    }

    /// What a log line says of it: not what a rule tells the sender, which may name whom it is about.
    pub fn logged(&self) -> String {
        match self {
            Refusal::ByRule(_) => "refused by rule".to_owned(),
            other => other.to_string(),
        }
    }

    /// Whether the peer is nobody any more: revoked, or its token has expired.
    pub fn ends_sign_in(&self) -> bool {
        matches!(self, Refusal::Expired | Refusal::Closed(ReasonCode::NotAuthorized))
    }

    /// A label for `postern_refused_total`; a fixed set, so no peer can grow it.
    pub fn label(&self) -> &'static str {
        match self {
            Refusal::Packet(ReasonCode::PacketTooLarge, _) => "packet-too-large",
            Refusal::Packet(ReasonCode::ProtocolError, _) => "protocol-error",
            Refusal::Packet(..) => "malformed-packet",
            Refusal::TooSlow => "too-slow",
            Refusal::KeepAlive => "keep-alive",
            Refusal::BadCredentials(_) | Refusal::BadMethod => "bad-credentials",
            Refusal::ClientId => "client-id",
            Refusal::NotAllowed(_) => "not-allowed",
            Refusal::ByRule(_) => "by-rule",
            Refusal::Topic(_) => "topic",
            Refusal::PayloadFormat => "payload-format",
            Refusal::Unavailable(..) => "unavailable",
            Refusal::WrongGroup => "wrong-group",
            Refusal::Stopping(_) => "stopping",
            Refusal::Expired => "expired",
            Refusal::Closed(_) => "closed",
        }
    }

    /// Counts it.
    pub fn count(&self) {
        metrics::counter!("postern_refused_total", "reason" => self.label()).increment(1);
    }
}
