//! Property identifiers of MQTT 5.0 (table 2-4) and which packet may carry which.

pub(crate) const PAYLOAD_FORMAT_INDICATOR: u8 = 0x01;
pub(crate) const MESSAGE_EXPIRY_INTERVAL: u8 = 0x02;
pub(crate) const CONTENT_TYPE: u8 = 0x03;
pub(crate) const RESPONSE_TOPIC: u8 = 0x08;
pub(crate) const CORRELATION_DATA: u8 = 0x09;
pub(crate) const SUBSCRIPTION_IDENTIFIER: u8 = 0x0B;
pub(crate) const SESSION_EXPIRY_INTERVAL: u8 = 0x11;
pub(crate) const ASSIGNED_CLIENT_IDENTIFIER: u8 = 0x12;
pub(crate) const SERVER_KEEP_ALIVE: u8 = 0x13;
pub(crate) const AUTHENTICATION_METHOD: u8 = 0x15;
pub(crate) const AUTHENTICATION_DATA: u8 = 0x16;
pub(crate) const REQUEST_PROBLEM_INFORMATION: u8 = 0x17;
pub(crate) const WILL_DELAY_INTERVAL: u8 = 0x18;
pub(crate) const REQUEST_RESPONSE_INFORMATION: u8 = 0x19;
pub(crate) const RESPONSE_INFORMATION: u8 = 0x1A;
pub(crate) const SERVER_REFERENCE: u8 = 0x1C;
pub(crate) const REASON_STRING: u8 = 0x1F;
pub(crate) const RECEIVE_MAXIMUM: u8 = 0x21;
pub(crate) const TOPIC_ALIAS_MAXIMUM: u8 = 0x22;
pub(crate) const TOPIC_ALIAS: u8 = 0x23;
pub(crate) const MAXIMUM_QOS: u8 = 0x24;
pub(crate) const RETAIN_AVAILABLE: u8 = 0x25;
pub(crate) const USER_PROPERTY: u8 = 0x26;
pub(crate) const MAXIMUM_PACKET_SIZE: u8 = 0x27;
pub(crate) const WILDCARD_SUBSCRIPTION_AVAILABLE: u8 = 0x28;
pub(crate) const SUBSCRIPTION_IDENTIFIERS_AVAILABLE: u8 = 0x29;
pub(crate) const SHARED_SUBSCRIPTION_AVAILABLE: u8 = 0x2A;

/// A set of property identifiers; all of them are below 64.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Set(u64);

impl Set {
    pub(crate) const EMPTY: Set = Set(0);

    pub(crate) const fn of(ids: &[u8]) -> Set {
        let mut set = Set::EMPTY;
        let mut rest = ids;
        while let [id, tail @ ..] = rest {
            set = set.with(*id as u32);
            rest = tail;
        }
        set
    }

    #[inline]
    pub(crate) const fn with(self, id: u32) -> Set {
        Set(self.0 | Set::bit(id))
    }

    #[inline]
    pub(crate) const fn has(self, id: u32) -> bool {
        self.0 & Set::bit(id) != 0
    }

    const fn bit(id: u32) -> u64 {
        if id < 64 { 1 << id } else { 0 }
    }
}

/// What a packet may carry, and what of that more than once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Allowed {
    pub(crate) ids: Set,
    pub(crate) repeated: Set,
}

const fn allow(ids: &[u8], repeated: &[u8]) -> Allowed {
    Allowed { ids: Set::of(ids), repeated: Set::of(repeated) }
}

pub(crate) const CONNECT: Allowed = allow(
    &[
        SESSION_EXPIRY_INTERVAL,
        AUTHENTICATION_METHOD,
        AUTHENTICATION_DATA,
        REQUEST_PROBLEM_INFORMATION,
        REQUEST_RESPONSE_INFORMATION,
        RECEIVE_MAXIMUM,
        TOPIC_ALIAS_MAXIMUM,
        USER_PROPERTY,
        MAXIMUM_PACKET_SIZE,
    ],
    &[USER_PROPERTY],
);

pub(crate) const WILL: Allowed = allow(
    &[
        WILL_DELAY_INTERVAL,
        PAYLOAD_FORMAT_INDICATOR,
        MESSAGE_EXPIRY_INTERVAL,
        CONTENT_TYPE,
        RESPONSE_TOPIC,
        CORRELATION_DATA,
        USER_PROPERTY,
    ],
    &[USER_PROPERTY],
);

pub(crate) const CONNACK: Allowed = allow(
    &[
        SESSION_EXPIRY_INTERVAL,
        ASSIGNED_CLIENT_IDENTIFIER,
        SERVER_KEEP_ALIVE,
        AUTHENTICATION_METHOD,
        AUTHENTICATION_DATA,
        RESPONSE_INFORMATION,
        SERVER_REFERENCE,
        REASON_STRING,
        RECEIVE_MAXIMUM,
        TOPIC_ALIAS_MAXIMUM,
        MAXIMUM_QOS,
        RETAIN_AVAILABLE,
        USER_PROPERTY,
        MAXIMUM_PACKET_SIZE,
        WILDCARD_SUBSCRIPTION_AVAILABLE,
        SUBSCRIPTION_IDENTIFIERS_AVAILABLE,
        SHARED_SUBSCRIPTION_AVAILABLE,
    ],
    &[USER_PROPERTY],
);

const PUBLISH_IDS: &[u8] = &[
    PAYLOAD_FORMAT_INDICATOR,
    MESSAGE_EXPIRY_INTERVAL,
    CONTENT_TYPE,
    RESPONSE_TOPIC,
    CORRELATION_DATA,
    SUBSCRIPTION_IDENTIFIER,
    TOPIC_ALIAS,
    USER_PROPERTY,
];

/// Several subscriptions may match one message, hence several identifiers [MQTT-3.3.4-4].
pub(crate) const PUBLISH: Allowed = allow(PUBLISH_IDS, &[SUBSCRIPTION_IDENTIFIER, USER_PROPERTY]);

/// PUBACK, PUBREC, PUBREL, PUBCOMP, SUBACK and UNSUBACK.
pub(crate) const ACK: Allowed = allow(&[REASON_STRING, USER_PROPERTY], &[USER_PROPERTY]);

pub(crate) const SUBSCRIBE: Allowed = allow(&[SUBSCRIPTION_IDENTIFIER, USER_PROPERTY], &[USER_PROPERTY]);

pub(crate) const UNSUBSCRIBE: Allowed = allow(&[USER_PROPERTY], &[USER_PROPERTY]);

pub(crate) const DISCONNECT: Allowed =
    allow(&[SESSION_EXPIRY_INTERVAL, SERVER_REFERENCE, REASON_STRING, USER_PROPERTY], &[USER_PROPERTY]);

pub(crate) const AUTH: Allowed =
    allow(&[AUTHENTICATION_METHOD, AUTHENTICATION_DATA, REASON_STRING, USER_PROPERTY], &[USER_PROPERTY]);
