//! What is kept as bytes: small facts as JSON, a message as the PUBLISH packet it came in.

use std::{num::NonZeroU32, sync::Arc};

use bytes::BytesMut;
use postern_broker::{
    Message, SessionKey, SubscriptionOptions, Timestamp, Will,
    journal::{Body, KeptMessage, KeptSession, KeptWill, Stage},
    topic::{TopicFilter, TopicName},
    wire::{
        Decoded, Decoder, Packet, PacketId, PublishHeader, PublishProperties, QoS, Side, Text, Version,
        encode_publish,
    },
};
use postern_guest::roles::token::Rights as Granted;
use serde::{Deserialize, Serialize};

use crate::{
    control::wire::{Partner, Profile},
    mqtt::{publish::Sender, rights::Rights},
};

/// Which kind of record. The numbers are on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// The session itself; the key is empty.
    Session = 1,
    /// Its will; the key is empty.
    Will = 2,
    /// A subscription by its filter.
    Subscription = 3,
    /// A message by its number.
    Message = 4,
    /// How far the message of that number has got; without it, it waits.
    Progress = 5,
    /// A QoS 2 publish of the client that was taken, by its packet identifier.
    Received = 6,
    /// A retained message by its topic; of no session.
    Retained = 7,
}

#[derive(Serialize, Deserialize)]
struct SessionRecord {
    owner: Option<String>,
    client_id: String,
    version: u8,
    expiry_secs: u32,
    left: Option<u64>,
    has_feed: bool,
}

#[derive(Serialize, Deserialize)]
struct WillRecord {
    due: Option<u64>,
    delay_secs: u32,
    packet: Vec<u8>,
    sender: SenderRecord,
}

/// Under which rights the will was accepted.
#[derive(Serialize, Deserialize)]
struct SenderRecord {
    owner: Option<String>,
    client_id: String,
    profile: Option<Profile>,
    partners: Vec<Partner>,
    rights: Granted,
    tls: bool,
}

#[derive(Serialize, Deserialize)]
struct SubscriptionRecord {
    qos: u8,
    no_local: bool,
    retain_as_published: bool,
    id: Option<NonZeroU32>,
}

#[derive(Serialize, Deserialize)]
struct MessageHead {
    qos: u8,
    retain: bool,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    ids: Vec<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    shared: Option<String>,
    /// In the store, by the user's sequence number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    stored: Option<u64>,
    /// With which serial a stored message went out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    serial: Option<u64>,
}

#[derive(Serialize, Deserialize)]
struct BodyHead {
    at: u64,
    until: Option<u64>,
}

/// A number as a key: it sorts as it counts.
pub fn number(number: u64) -> Vec<u8> {
    number.to_be_bytes().to_vec()
}

pub fn session(kept: &KeptSession) -> Option<Vec<u8>> {
    json(&SessionRecord {
        owner: kept.key.owner.as_ref().map(ToString::to_string),
        client_id: kept.key.client_id.to_string(),
        version: match kept.version {
            Version::V31 => 3,
            Version::V311 => 4,
            Version::V5 => 5,
        },
        expiry_secs: kept.expiry_secs,
        left: kept.left.map(|at| at.0),
        has_feed: kept.has_feed,
    })
}

pub fn read_session(bytes: &[u8]) -> Option<KeptSession> {
    let record: SessionRecord = serde_json::from_slice(bytes).ok()?;
    Some(KeptSession {
        key: Arc::new(SessionKey::new(record.owner.as_deref(), &record.client_id)),
        version: match record.version {
            3 => Version::V31,
            4 => Version::V311,
            _ => Version::V5,
        },
        expiry_secs: record.expiry_secs,
        left: record.left.map(Timestamp),
        has_feed: record.has_feed,
    })
}

pub fn will(kept: &KeptWill) -> Option<Vec<u8>> {
    let KeptWill { will, due } = kept;
    let sender = will.context.clone()?.downcast::<Sender>().ok()?;
    let packet = packet(&will.topic, &will.payload, will.qos, will.retain, &will.properties)?;
    json(&WillRecord {
        due: due.map(|at| at.0),
        delay_secs: will.delay_secs,
        packet: packet.to_vec(),
        sender: SenderRecord {
            owner: sender.key.owner.as_ref().map(ToString::to_string),
            client_id: sender.key.client_id.to_string(),
            profile: sender.profile.as_deref().cloned(),
            partners: sender.partners.clone(),
            rights: sender.rights.granted(),
            tls: sender.transport == postern_guest::roles::types::Transport::Tls,
        },
    })
}

pub fn read_will(bytes: &[u8]) -> Option<KeptWill> {
    let record: WillRecord = serde_json::from_slice(bytes).ok()?;
    let (topic, publish) = read_packet(&record.packet)?;
    let key = Arc::new(SessionKey::new(record.sender.owner.as_deref(), &record.sender.client_id));
    let transport = if record.sender.tls {
        postern_guest::roles::types::Transport::Tls
    } else {
        postern_guest::roles::types::Transport::Plain
    };
    let rights = Arc::new(Rights::compile(&record.sender.rights).ok()?);
    let sender = Sender::new(key, record.sender.profile, record.sender.partners, rights, transport);
    let will = Will {
        topic,
        payload: publish.payload,
        qos: publish.qos,
        retain: publish.retain,
        delay_secs: record.delay_secs,
        properties: publish.properties,
        context: Some(Arc::new(sender)),
    };
    Some(KeptWill { will, due: record.due.map(Timestamp) })
}

pub fn subscription(options: SubscriptionOptions) -> Option<Vec<u8>> {
    let SubscriptionOptions { qos, no_local, retain_as_published, id } = options;
    json(&SubscriptionRecord { qos: qos as u8, no_local, retain_as_published, id })
}

pub fn read_subscription(key: &[u8], bytes: &[u8]) -> Option<(TopicFilter, SubscriptionOptions)> {
    let SubscriptionRecord { qos, no_local, retain_as_published, id } = serde_json::from_slice(bytes).ok()?;
    let options = SubscriptionOptions { qos: QoS::from_bits(qos)?, no_local, retain_as_published, id };
    Some((filter(std::str::from_utf8(key).ok()?)?, options))
}

pub fn message(kept: &KeptMessage) -> Option<Vec<u8>> {
    let (stored, body) = match &kept.body {
        Body::Stored(seq) => (Some(*seq), None),
        Body::Message(message) => (None, Some(message)),
    };
    let serial = match kept.stage {
        Stage::Sent(serial) => Some(serial),
        Stage::Waiting | Stage::Released(_) => None,
    };
    let head = MessageHead {
        qos: kept.qos as u8,
        retain: kept.retain,
        ids: kept.subscription_ids.clone(),
        shared: kept.shared.as_ref().map(|filter| filter.as_str().to_owned()),
        stored,
        serial,
    };
    let mut bytes = line(&head)?;
    if let Some(message) = body {
        bytes.extend(retained(message)?);
    }
    Some(bytes)
}

pub fn read_message(number: u64, bytes: &[u8]) -> Option<KeptMessage> {
    let (head, rest) = read_line::<MessageHead>(bytes)?;
    Some(KeptMessage {
        number,
        body: match head.stored {
            Some(seq) => Body::Stored(seq),
            None => Body::Message(read_retained(rest)?),
        },
        qos: QoS::from_bits(head.qos)?,
        retain: head.retain,
        subscription_ids: head.ids,
        shared: match head.shared {
            Some(text) => Some(filter(&text)?),
            None => None,
        },
        stage: head.serial.map_or(Stage::Waiting, Stage::Sent),
    })
}

pub fn progress(stage: Stage) -> Option<Vec<u8>> {
    let (kind, serial) = match stage {
        Stage::Waiting => return None,
        Stage::Sent(serial) => (1, serial),
        Stage::Released(serial) => (2, serial),
    };
    let mut bytes = vec![kind];
    bytes.extend(serial.to_be_bytes());
    Some(bytes)
}

pub fn read_progress(bytes: &[u8]) -> Option<Stage> {
    let (kind, serial) = bytes.split_first()?;
    let serial = u64::from_be_bytes(serial.try_into().ok()?);
    match kind {
        1 => Some(Stage::Sent(serial)),
        2 => Some(Stage::Released(serial)),
        _ => None,
    }
}

/// A message with its times.
pub fn retained(message: &Message) -> Option<Vec<u8>> {
    let Message { topic, payload, qos, retain, properties, published_at, expires_at } = message;
    let mut bytes = line(&BodyHead { at: published_at.0, until: expires_at.map(|at| at.0) })?;
    bytes.extend(packet(topic, payload, *qos, *retain, properties)?);
    Some(bytes)
}

pub fn read_retained(bytes: &[u8]) -> Option<Arc<Message>> {
    let (head, rest) = read_line::<BodyHead>(bytes)?;
    let (topic, publish) = read_packet(rest)?;
    Some(Arc::new(Message {
        topic,
        payload: publish.payload,
        qos: publish.qos,
        retain: publish.retain,
        properties: publish.properties,
        published_at: Timestamp(head.at),
        expires_at: head.until.map(Timestamp),
    }))
}

fn packet(
    topic: &TopicName,
    payload: &[u8],
    qos: QoS,
    retain: bool,
    properties: &PublishProperties,
) -> Option<BytesMut> {
    let header = PublishHeader {
        qos,
        retain,
        packet_id: (qos != QoS::AtMostOnce).then_some(PacketId::MIN),
        message_expiry: properties.as_ref().and_then(|properties| properties.message_expiry),
        ..PublishHeader::default()
    };
    let mut out = BytesMut::new();
    encode_publish(&header, topic.as_str(), payload, properties.as_deref(), Version::V5, &mut out).ok()?;
    Some(out)
}

fn read_packet(bytes: &[u8]) -> Option<(TopicName, postern_broker::wire::Publish)> {
    let decoder = Decoder { version: Some(Version::V5), max_packet_size: u32::MAX, side: Side::Server };
    match decoder.decode(bytes).ok()? {
        Decoded::Packet { packet: Packet::Publish(publish), .. } => {
            Some((TopicName::new(publish.topic.clone()).ok()?.detached(), publish))
        }
        _ => None,
    }
}

fn filter(text: &str) -> Option<TopicFilter> {
    TopicFilter::new(Text::from(text)).ok()
}

fn json(record: &impl Serialize) -> Option<Vec<u8>> {
    serde_json::to_vec(record).ok()
}

/// JSON and the end of its line.
fn line(record: &impl Serialize) -> Option<Vec<u8>> {
    let mut bytes = json(record)?;
    bytes.push(b'\n');
    Some(bytes)
}

fn read_line<T: for<'de> Deserialize<'de>>(bytes: &[u8]) -> Option<(T, &[u8])> {
    let end = bytes.iter().position(|byte| *byte == b'\n')?;
    let (head, rest) = bytes.split_at_checked(end)?;
    Some((serde_json::from_slice(head).ok()?, rest.get(1..)?))
}
