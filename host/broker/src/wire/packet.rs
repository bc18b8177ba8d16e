//! The control packets of MQTT 3.1, 3.1.1 and 5.0 as types.
//!
//! One set of types serves all versions: what a version lacks is empty. `decode` and `encode` know
//! the differences; nobody above them asks.

use bytes::Bytes;

use super::text::Text;

/// Protocol level of a CONNECT.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    /// MQTT 3.1 (`MQIsdp`, level 3).
    V31,
    /// MQTT 3.1.1 (level 4).
    V311,
    /// MQTT 5.0 (level 5).
    V5,
}

/// Quality of service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum QoS {
    /// At most once.
    #[default]
    AtMostOnce = 0,
    /// At least once.
    AtLeastOnce = 1,
    /// Exactly once.
    ExactlyOnce = 2,
}

impl QoS {
    /// The level of the two bits that carry it; 3 is reserved [MQTT-3.3.1-4].
    pub const fn from_bits(bits: u8) -> Option<QoS> {
        match bits {
            0 => Some(QoS::AtMostOnce),
            1 => Some(QoS::AtLeastOnce),
            2 => Some(QoS::ExactlyOnce),
            _ => None,
        }
    }
}

/// A packet identifier: never zero [MQTT-2.2.1-3].
pub type PacketId = std::num::NonZeroU16;

/// User properties, in the order they came [MQTT-3.1.3-10].
pub type UserProperties = Vec<(Text, Text)>;

/// Any control packet.
#[derive(Clone, Debug, PartialEq)]
pub enum Packet {
    /// Client requests a connection.
    Connect(Box<Connect>),
    /// Connect acknowledgement.
    ConnAck(Box<ConnAck>),
    /// Publish message.
    Publish(Publish),
    /// QoS 1 acknowledgement.
    PubAck(Ack),
    /// QoS 2, part 1.
    PubRec(Ack),
    /// QoS 2, part 2.
    PubRel(Ack),
    /// QoS 2, part 3.
    PubComp(Ack),
    /// Subscribe request.
    Subscribe(Subscribe),
    /// Subscribe acknowledgement.
    SubAck(SubAck),
    /// Unsubscribe request.
    Unsubscribe(Unsubscribe),
    /// Unsubscribe acknowledgement.
    UnsubAck(SubAck),
    /// Ping request.
    PingReq,
    /// Ping response.
    PingResp,
    /// Disconnect notification.
    Disconnect(Disconnect),
    /// Authentication exchange (MQTT 5).
    Auth(Auth),
}

/// CONNECT.
#[derive(Clone, Debug, PartialEq)]
pub struct Connect {
    /// Protocol version.
    pub version: Version,
    /// Clean Session (3.x) or Clean Start (5).
    pub clean_start: bool,
    /// Seconds; 0 switches keep alive off.
    pub keep_alive: u16,
    /// Empty when the server is to assign one.
    pub client_id: Text,
    /// The will, if any.
    pub will: Option<Box<Will>>,
    /// User name.
    pub user_name: Option<Text>,
    /// Password: binary.
    pub password: Option<Bytes>,
    /// Session Expiry Interval in seconds; None when absent (5: 0; 3.x: see `clean_start`).
    pub session_expiry: Option<u32>,
    /// Receive Maximum; None when absent (65,535).
    pub receive_maximum: Option<u16>,
    /// Maximum Packet Size in bytes; None for no limit.
    pub maximum_packet_size: Option<u32>,
    /// Topic Alias Maximum; 0 when absent.
    pub topic_alias_maximum: u16,
    /// Request Response Information.
    pub request_response_information: bool,
    /// Request Problem Information; true when absent.
    pub request_problem_information: bool,
    /// User properties.
    pub user_properties: UserProperties,
    /// Authentication Method.
    pub auth_method: Option<Text>,
    /// Authentication Data.
    pub auth_data: Option<Bytes>,
}

/// The will of a CONNECT.
#[derive(Clone, Debug, PartialEq)]
pub struct Will {
    /// Will topic.
    pub topic: Text,
    /// Will payload.
    pub payload: Bytes,
    /// Will QoS.
    pub qos: QoS,
    /// Will retain.
    pub retain: bool,
    /// Will Delay Interval in seconds.
    pub delay_interval: u32,
    /// Properties to publish it with.
    pub properties: PublishProperties,
}

/// CONNACK.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ConnAck {
    /// Session Present.
    pub session_present: bool,
    /// A reason code of MQTT 5; the encoder maps it for 3.x (0x80 and above to 1..=5).
    pub reason: super::reason::ReasonCode,
    /// Session Expiry Interval that the server uses instead of the client's.
    pub session_expiry: Option<u32>,
    /// The server's Receive Maximum.
    pub receive_maximum: Option<u16>,
    /// Maximum QoS, when below 2.
    pub maximum_qos: Option<QoS>,
    /// Retain Available, when not.
    pub retain_available: Option<bool>,
    /// The server's Maximum Packet Size in bytes.
    pub maximum_packet_size: Option<u32>,
    /// Assigned Client Identifier.
    pub assigned_client_id: Option<Text>,
    /// The server's Topic Alias Maximum.
    pub topic_alias_maximum: Option<u16>,
    /// Reason String.
    pub reason_string: Option<Text>,
    /// User properties.
    pub user_properties: UserProperties,
    /// Server Keep Alive in seconds.
    pub server_keep_alive: Option<u16>,
    /// Response Information.
    pub response_information: Option<Text>,
    /// Server Reference.
    pub server_reference: Option<Text>,
    /// Authentication Method.
    pub auth_method: Option<Text>,
    /// Authentication Data.
    pub auth_data: Option<Bytes>,
}

/// PUBLISH as it stands on the wire.
#[derive(Clone, Debug, PartialEq)]
pub struct Publish {
    /// Duplicate delivery.
    pub dup: bool,
    /// Quality of service.
    pub qos: QoS,
    /// Retain flag.
    pub retain: bool,
    /// Topic name; empty when an alias stands for it.
    pub topic: Text,
    /// Present for QoS 1 and 2.
    pub packet_id: Option<PacketId>,
    /// Application message.
    pub payload: Bytes,
    /// Topic Alias.
    pub topic_alias: Option<u16>,
    /// Subscription Identifiers (server to client only).
    pub subscription_ids: smallvec::SmallVec<[u32; 1]>,
    /// The properties that travel with the message from publisher to subscribers.
    pub properties: PublishProperties,
}

/// Properties of an application message that are forwarded unchanged.
///
/// Boxed behind an option: most messages have none, and those pay 8 bytes.
pub type PublishProperties = Option<Box<MessageProperties>>;

/// The properties of an application message.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MessageProperties {
    /// Payload Format Indicator: the payload is UTF-8.
    pub payload_format_utf8: Option<bool>,
    /// Message Expiry Interval in seconds, as received.
    pub message_expiry: Option<u32>,
    /// Response Topic.
    pub response_topic: Option<Text>,
    /// Correlation Data.
    pub correlation_data: Option<Bytes>,
    /// Content Type.
    pub content_type: Option<Text>,
    /// User properties, in order.
    pub user_properties: UserProperties,
}

/// PUBACK, PUBREC, PUBREL or PUBCOMP.
#[derive(Clone, Debug, PartialEq)]
pub struct Ack {
    /// The packet that is acknowledged.
    pub packet_id: PacketId,
    /// Reason code; `Success` for 3.x.
    pub reason: super::reason::ReasonCode,
    /// Reason String.
    pub reason_string: Option<Text>,
    /// User properties.
    pub user_properties: UserProperties,
}

impl Ack {
    /// An acknowledgement with nothing but a reason.
    pub fn new(packet_id: PacketId, reason: super::reason::ReasonCode) -> Self {
        Ack { packet_id, reason, reason_string: None, user_properties: Vec::new() }
    }
}

/// SUBSCRIBE.
#[derive(Clone, Debug, PartialEq)]
pub struct Subscribe {
    /// Packet identifier.
    pub packet_id: PacketId,
    /// Subscription Identifier, 1 to 268,435,455.
    pub subscription_id: Option<u32>,
    /// User properties.
    pub user_properties: UserProperties,
    /// At least one.
    pub filters: Vec<SubscribeFilter>,
}

/// One filter of a SUBSCRIBE.
#[derive(Clone, Debug, PartialEq)]
pub struct SubscribeFilter {
    /// The topic filter, unchecked.
    pub filter: Text,
    /// Maximum QoS.
    pub qos: QoS,
    /// No Local.
    pub no_local: bool,
    /// Retain As Published.
    pub retain_as_published: bool,
    /// Retain Handling.
    pub retain_handling: RetainHandling,
}

/// When retained messages are sent for a subscription.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum RetainHandling {
    /// At every SUBSCRIBE.
    #[default]
    Send = 0,
    /// Only when the subscription is new.
    SendIfNew = 1,
    /// Never.
    DoNotSend = 2,
}

/// SUBACK or UNSUBACK.
#[derive(Clone, Debug, PartialEq)]
pub struct SubAck {
    /// Packet identifier.
    pub packet_id: PacketId,
    /// Reason String.
    pub reason_string: Option<Text>,
    /// User properties.
    pub user_properties: UserProperties,
    /// One for each filter, in order; granted QoS are `GrantedQoS0..2`. A 3.x encoder writes 0x80
    /// for any failure, and no codes in an UNSUBACK.
    pub reasons: Vec<super::reason::ReasonCode>,
}

/// UNSUBSCRIBE.
#[derive(Clone, Debug, PartialEq)]
pub struct Unsubscribe {
    /// Packet identifier.
    pub packet_id: PacketId,
    /// User properties.
    pub user_properties: UserProperties,
    /// At least one.
    pub filters: Vec<Text>,
}

/// DISCONNECT.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Disconnect {
    /// Reason code.
    pub reason: super::reason::ReasonCode,
    /// Session Expiry Interval in seconds.
    pub session_expiry: Option<u32>,
    /// Reason String.
    pub reason_string: Option<Text>,
    /// User properties.
    pub user_properties: UserProperties,
    /// Server Reference.
    pub server_reference: Option<Text>,
}

/// AUTH.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Auth {
    /// `Success`, `ContinueAuthentication` or `ReAuthenticate`.
    pub reason: super::reason::ReasonCode,
    /// Authentication Method.
    pub method: Option<Text>,
    /// Authentication Data.
    pub data: Option<Bytes>,
    /// Reason String.
    pub reason_string: Option<Text>,
    /// User properties.
    pub user_properties: UserProperties,
}
