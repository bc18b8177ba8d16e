//! A client at the other end of a link: reads what the broker writes, and rests.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::task::{Wake, Waker};

use bytes::BytesMut;
use postern_broker::wire::{
    Ack, Decoded, Decoder, Packet, PacketId, Publish, QoS, ReasonCode, Text, Version,
};
use postern_broker::{Link, Timestamp};

pub(crate) const QOS: [QoS; 3] = [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce];

#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) link: Link,
    decoder: Decoder,
    aliases: HashMap<u16, Text>,
    alias_maximum: u16,
    woken: Arc<Woken>,
    /// Set while it rests: how often it had been woken.
    resting: Option<usize>,
}

#[derive(Debug, Default)]
struct Woken(AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Relaxed);
    }
}

impl Client {
    pub(crate) fn new(link: Link, alias_maximum: u16) -> Self {
        let decoder = Decoder::client(link.version(), link.max_packet_size());
        let (aliases, woken) = (HashMap::new(), Arc::default());
        Client { link, decoder, aliases, alias_maximum, woken, resting: None }
    }

    /// Takes what is written in one go, and tells why the link has to end, if it has. Who rests and
    /// was not woken has missed nothing.
    pub(crate) fn drain(&mut self, max_bytes: usize, now: Timestamp) -> (Vec<Packet>, Option<ReasonCode>) {
        let mut out = BytesMut::new();
        let asleep = self.resting.take() == Some(self.woken.0.load(Relaxed));
        let drained = self.link.drain(&mut out, max_bytes, now);
        assert!(!asleep || out.is_empty() && drained.closing.is_none(), "nobody woke the link");
        (self.read(&out), drained.closing)
    }

    fn read(&mut self, mut bytes: &[u8]) -> Vec<Packet> {
        let mut packets = Vec::new();
        while !bytes.is_empty() {
            match self.decoder.decode(bytes) {
                Ok(Decoded::Packet { mut packet, consumed }) => {
                    if let Packet::Publish(publish) = &mut packet {
                        self.resolve(publish);
                    }
                    packets.push(packet);
                    bytes = &bytes[consumed..];
                }
                other => panic!("the broker wrote {bytes:?}: {other:?}"),
            }
        }
        packets
    }

    /// The topic that an alias stands for [MQTT-3.3.2-10, 3.3.2-12].
    fn resolve(&mut self, publish: &mut Publish) {
        let Some(alias) = publish.topic_alias else { return };
        assert!((1..=self.alias_maximum).contains(&alias) && self.link.version() == Version::V5);
        if publish.topic.is_empty() {
            publish.topic = self.aliases.get(&alias).expect("an alias that was set").clone();
        } else {
            self.aliases.insert(alias, publish.topic.clone());
        }
    }

    /// Waits to be woken.
    pub(crate) fn rest(&mut self) {
        let before = self.woken.0.load(Relaxed);
        self.link.register(&Waker::from(Arc::clone(&self.woken)));
        self.resting = Some(before);
    }

    /// PUBACK or PUBREC.
    pub(crate) fn acknowledge(&self, publish: &Publish) {
        match (publish.qos, publish.packet_id) {
            (QoS::AtLeastOnce, Some(id)) => self.link.puback(&success(id)).unwrap(),
            (QoS::ExactlyOnce, Some(id)) => self.link.pubrec(&success(id)).unwrap(),
            _ => {}
        }
    }
}

pub(crate) fn success(id: PacketId) -> Ack {
    Ack::new(id, ReasonCode::Success)
}
