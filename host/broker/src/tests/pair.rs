//! A broker with simulated time, and clients that read what it writes.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::task::{Wake, Waker};

use bytes::BytesMut;

use crate::journal::Mark;
use crate::topic::{TopicFilter, TopicName};
use crate::wire::{
    Ack, Decoded, Decoder, Packet, PacketId, Publish, QoS, ReasonCode, RetainHandling, SubAck, Text, Version,
};
use crate::{Broker, Cursor, DueWill, Limits, Link, Message, Open, Requested, SessionKey, Timestamp, Will};

pub(super) const QOS: [QoS; 3] = [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce];

pub(super) struct Bench {
    pub(super) broker: Broker,
    now: Cell<u64>,
}

impl Bench {
    pub(super) fn new() -> Self {
        Self::with(Limits::default())
    }

    pub(super) fn with(limits: Limits) -> Self {
        Bench { broker: Broker::new(limits), now: Cell::new(1_000_000) }
    }

    pub(super) fn now(&self) -> Timestamp {
        Timestamp(self.now.get())
    }

    pub(super) fn pass_secs(&self, secs: u64) {
        self.now.set(self.now.get() + secs * 1000);
    }

    /// A client whose session ends with its link.
    pub(super) fn client(&self, id: &str) -> Client {
        self.open(Open::new(SessionKey::new(None, id), Version::V5))
    }

    /// A client whose session lives an hour longer.
    pub(super) fn durable(&self, id: &str) -> Client {
        self.open(durable(id))
    }

    /// A device of a user's, whose session lives an hour longer.
    pub(super) fn device(&self, user: &str, id: &str) -> Client {
        self.open(Open { key: SessionKey::new(Some(user), id).into(), ..durable(id) })
    }

    pub(super) fn open(&self, open: Open) -> Client {
        let version = open.version;
        let opened = self.broker.open(open, self.now());
        Client {
            decoder: Decoder::client(version, u32::MAX),
            link: opened.link,
            present: opened.session_present,
            expiry: opened.session_expiry_secs,
            will: opened.will,
            cursor: opened.cursor,
            woken: Arc::default(),
        }
    }

    pub(super) fn message(&self, topic: &str, payload: &str, qos: QoS) -> Message {
        Message::new(topic.try_into().unwrap(), payload.to_owned(), qos, self.now())
    }

    pub(super) fn publish(&self, topic: &str, payload: &str, qos: QoS) -> usize {
        self.broker.publish(&Arc::new(self.message(topic, payload, qos)), None, self.now())
    }

    pub(super) fn retain(&self, topic: &str, payload: &str, qos: QoS) -> usize {
        self.broker.publish(&Arc::new(self.message(topic, payload, qos).retained()), None, self.now())
    }
}

pub(super) fn durable(id: &str) -> Open {
    Open {
        clean_start: false,
        session_expiry_secs: 3600,
        ..Open::new(SessionKey::new(None, id), Version::V5)
    }
}

pub(super) struct Client {
    decoder: Decoder,
    pub(super) link: Link,
    pub(super) present: bool,
    pub(super) expiry: u32,
    pub(super) will: Option<DueWill>,
    pub(super) cursor: Option<Cursor>,
    pub(super) woken: Arc<Woken>,
}

#[derive(Default)]
pub(super) struct Woken(AtomicUsize);

impl Woken {
    pub(super) fn count(&self) -> usize {
        self.0.load(SeqCst)
    }
}

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, SeqCst);
    }
}

impl Client {
    /// All that the broker writes now, and why the link has to end, if it has.
    pub(super) fn drain(&self, now: Timestamp) -> (Vec<Packet>, Option<ReasonCode>) {
        let mut packets = Vec::new();
        loop {
            let mut out = BytesMut::new();
            let drained = self.link.drain(&mut out, 512, now);
            packets.extend(self.decode(&out));
            if !drained.more || drained.closing.is_some() {
                return (packets, drained.closing);
            }
        }
    }

    /// What the broker writes in one go of so many bytes.
    pub(super) fn drain_once(&self, max_bytes: usize, now: Timestamp) -> Vec<Packet> {
        self.drain_marked(max_bytes, now).0
    }

    /// The same, and how far the journal has to be settled before the client may see it.
    pub(super) fn drain_marked(&self, max_bytes: usize, now: Timestamp) -> (Vec<Packet>, Mark) {
        let mut out = BytesMut::new();
        let drained = self.link.drain(&mut out, max_bytes, now);
        (self.decode(&out), drained.mark)
    }

    /// How far the journal has to be settled before anything more may be written.
    pub(super) fn mark(&self, now: Timestamp) -> Mark {
        self.drain_marked(usize::MAX, now).1
    }

    fn decode(&self, mut bytes: &[u8]) -> Vec<Packet> {
        let mut packets = Vec::new();
        while !bytes.is_empty() {
            match self.decoder.decode(bytes).unwrap() {
                Decoded::Packet { packet, consumed } => {
                    packets.push(packet);
                    bytes = &bytes[consumed..];
                }
                Decoded::Incomplete { .. } => panic!("drain wrote half a packet"),
            }
        }
        packets
    }

    pub(super) fn packets(&self, now: Timestamp) -> Vec<Packet> {
        self.drain(now).0
    }

    pub(super) fn closing(&self, now: Timestamp) -> Option<ReasonCode> {
        self.drain(now).1
    }

    /// The publishes that come now, unacknowledged.
    pub(super) fn publishes(&self, now: Timestamp) -> Vec<Publish> {
        let publish = |packet| if let Packet::Publish(publish) = packet { Some(publish) } else { None };
        self.packets(now).into_iter().filter_map(publish).collect()
    }

    /// Reads until nothing comes any more, acknowledging everything; the payloads.
    pub(super) fn read(&self, now: Timestamp) -> Vec<String> {
        let mut payloads = Vec::new();
        loop {
            let packets = self.packets(now);
            if packets.is_empty() {
                return payloads;
            }
            for packet in packets {
                match packet {
                    Packet::Publish(publish) => {
                        payloads.push(payload(&publish));
                        self.acknowledge(&publish);
                    }
                    Packet::PubRel(ack) => self.link.pubcomp(&success(ack.packet_id)).unwrap(),
                    _ => {}
                }
            }
        }
    }

    /// PUBACK or PUBREC.
    pub(super) fn acknowledge(&self, publish: &Publish) {
        match (publish.qos, publish.packet_id) {
            (QoS::AtLeastOnce, Some(id)) => self.link.puback(&success(id)).unwrap(),
            (QoS::ExactlyOnce, Some(id)) => self.link.pubrec(&success(id)).unwrap(),
            _ => {}
        }
    }

    pub(super) fn subscribe(&self, filter: &str, qos: QoS) -> ReasonCode {
        self.ask(request(filter, qos), None)
    }

    pub(super) fn ask(&self, request: Requested, id: Option<u32>) -> ReasonCode {
        let now = Timestamp(1_000_000);
        self.link.subscribe(packet_id(1), id, &[Ok(request)], now).unwrap()[0]
    }

    pub(super) fn unsubscribe(&self, filter: &str) -> ReasonCode {
        self.link.unsubscribe(packet_id(1), &[Ok(filter.try_into().unwrap())])[0]
    }

    /// Registers the counting waker.
    pub(super) fn rest(&self) {
        self.link.register(&Waker::from(Arc::clone(&self.woken)));
    }
}

pub(super) fn request(filter: &str, qos: QoS) -> Requested {
    Requested::new(TopicFilter::try_from(filter).unwrap(), qos)
}

pub(super) fn handling(filter: &str, qos: QoS, retain_handling: RetainHandling) -> Requested {
    Requested { retain_handling, ..request(filter, qos) }
}

pub(super) fn packet_id(id: u16) -> PacketId {
    PacketId::new(id).unwrap()
}

pub(super) fn success(id: PacketId) -> Ack {
    Ack::new(id, ReasonCode::Success)
}

pub(super) fn payload(publish: &Publish) -> String {
    String::from_utf8(publish.payload.to_vec()).unwrap()
}

pub(super) fn payloads(publishes: &[Publish]) -> Vec<String> {
    publishes.iter().map(payload).collect()
}

pub(super) fn ids(publishes: &[Publish]) -> Vec<u16> {
    publishes.iter().filter_map(|publish| publish.packet_id).map(PacketId::get).collect()
}

/// A publish as a client sends it.
pub(super) fn publish(topic: &str, payload: &str, qos: QoS, id: u16) -> Publish {
    Publish {
        dup: false,
        qos,
        retain: false,
        topic: Text::from(topic),
        packet_id: PacketId::new(id),
        payload: payload.to_owned().into(),
        topic_alias: None,
        subscription_ids: Default::default(),
        properties: None,
    }
}

pub(super) fn will(topic: &str, delay_secs: u32) -> Will {
    Will {
        topic: TopicName::try_from(topic).unwrap(),
        payload: "gone".into(),
        qos: QoS::AtLeastOnce,
        retain: false,
        delay_secs,
        properties: None,
        context: None,
    }
}

pub(super) fn suback_reasons(packet: &Packet) -> Vec<ReasonCode> {
    match packet {
        Packet::SubAck(SubAck { reasons, .. }) | Packet::UnsubAck(SubAck { reasons, .. }) => reasons.clone(),
        other => panic!("{other:?} is no SUBACK"),
    }
}
