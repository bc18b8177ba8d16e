//! Why a packet could not be read or written.

use super::packet::Version;
use super::reason::ReasonCode;

/// A packet that must end its link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct DecodeError {
    /// What the peer is told, where its version has a way to be told.
    pub reason: ReasonCode,
    /// What was wrong, for the log: never anything that the peer sent.
    pub what: &'static str,
    /// The version of the CONNECT at fault, as far as it was read.
    pub connect: Option<Version>,
}

impl DecodeError {
    /// The packet cannot be parsed (5.0, section 4.13: 0x81).
    pub(crate) const fn malformed(what: &'static str) -> Self {
        Self::new(ReasonCode::MalformedPacket, what)
    }

    /// The packet can be parsed and breaks a rule (5.0, section 4.13: 0x82).
    pub(crate) const fn protocol(what: &'static str) -> Self {
        Self::new(ReasonCode::ProtocolError, what)
    }

    pub(crate) const fn new(reason: ReasonCode, what: &'static str) -> Self {
        DecodeError { reason, what, connect: None }
    }

    pub(crate) const fn in_connect(mut self, version: Version) -> Self {
        self.connect = Some(version);
        self
    }

    /// The version in which a refused CONNECT is to be answered with a CONNACK that carries
    /// [`DecodeError::reason`]; None where the link is to be closed without a word.
    ///
    /// MQTT 5 has a reason code for everything [MQTT-4.13.1-1]; 3.x closes without CONNACK
    /// [MQTT-3.1.4-1] unless the fault has a return code of its own [MQTT-3.1.2-2, MQTT-3.1.3-8].
    pub fn connack_version(&self) -> Option<Version> {
        let has_return_code = matches!(
            self.reason,
            ReasonCode::UnsupportedProtocolVersion | ReasonCode::ClientIdentifierNotValid
        );
        self.connect.filter(|version| *version == Version::V5 || has_return_code)
    }
}

/// A packet that cannot be put on the wire; nothing of it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// Larger than the peer's Maximum Packet Size [MQTT-3.1.2-24] or than MQTT's own limit.
    #[error("packet of {size} bytes is over the limit of {limit}")]
    TooLarge {
        /// Bytes the packet would take.
        size: usize,
        /// Bytes that were allowed.
        limit: usize,
    },
    /// A string or binary field over 65,535 bytes (5.0, section 1.5.4).
    #[error("a field is longer than 65,535 bytes")]
    FieldTooLong,
    /// QoS 1 or 2 without a packet identifier [MQTT-2.2.1-2].
    #[error("a publish of QoS 1 or 2 has no packet identifier")]
    NoPacketId,
    /// AUTH in MQTT 3.x.
    #[error("the packet does not exist in this version")]
    NotInVersion,
}
