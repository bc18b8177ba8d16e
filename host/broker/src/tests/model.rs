//! A model of sessions under random operations with simulated time: what was published arrives at
//! every session that had subscribed, QoS 2 once, in order per publisher and topic, over closed
//! windows, lost links, takeovers and kills of the process. And what clients publish in QoS 2 is
//! taken once.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use proptest::prelude::*;

use super::disk::Disk;
use super::pair::*;
use crate::journal::Mark;
use crate::wire::{Packet, Publish, QoS};
use crate::{Begin, Broker, Close, Limits, Open};

const SESSIONS: usize = 3;
const FILTERS: [&str; 4] = ["a", "b", "+", "#"];

#[derive(Clone, Debug)]
enum Op {
    Publish {
        publisher: u8,
        topic: usize,
        qos: usize,
    },
    Subscribe {
        session: usize,
        filter: usize,
        qos: usize,
    },
    Unsubscribe {
        session: usize,
        filter: usize,
    },
    /// Writes at most so many bytes, once.
    Drain {
        session: usize,
        bytes: usize,
    },
    /// Acknowledges the n-th of what is not acknowledged.
    Acknowledge {
        session: usize,
        nth: usize,
    },
    Lose {
        session: usize,
    },
    /// Attaches a link, displacing the former if it is still there.
    Attach {
        session: usize,
        window: u16,
    },
    /// The client sends a new QoS 2 message.
    Send {
        session: usize,
    },
    /// The client sends an unanswered one again.
    Repeat {
        session: usize,
        nth: usize,
    },
    Pass {
        secs: u64,
    },
    /// What has changed is written down.
    Write,
    /// The process dies and another begins with what was written.
    Kill,
}

fn op() -> impl Strategy<Value = Op> {
    let session = 0..SESSIONS;
    prop_oneof![
        8 => (0..2u8, 0..2usize, 0..3usize)
            .prop_map(|(publisher, topic, qos)| Op::Publish { publisher, topic, qos }),
        2 => (session.clone(), 0..4usize, 0..3usize)
            .prop_map(|(session, filter, qos)| Op::Subscribe { session, filter, qos }),
        1 => (session.clone(), 0..4usize).prop_map(|(session, filter)| Op::Unsubscribe { session, filter }),
        4 => (session.clone(), 1..60usize).prop_map(|(session, bytes)| Op::Drain { session, bytes }),
        6 => (session.clone(), 0..4usize).prop_map(|(session, nth)| Op::Acknowledge { session, nth }),
        1 => session.clone().prop_map(|session| Op::Lose { session }),
        2 => (session.clone(), 1..4u16).prop_map(|(session, window)| Op::Attach { session, window }),
        2 => session.clone().prop_map(|session| Op::Send { session }),
        2 => (session, 0..3usize).prop_map(|(session, nth)| Op::Repeat { session, nth }),
        1 => (1..60u64).prop_map(|secs| Op::Pass { secs }),
        6 => Just(Op::Write),
        1 => Just(Op::Kill),
    ]
}

/// What a client keeps over its links, and what should come to it.
#[derive(Default)]
struct Peer {
    link: Option<Client>,
    /// Encoded for it, and not let out before the journal is settled so far.
    withheld: Vec<(Mark, Vec<Packet>)>,
    /// Filters, and serial numbers that have to arrive.
    told: Told,
    /// The same as far as it is written.
    written: Told,
    /// Serial numbers that may arrive.
    maybe: BTreeSet<u32>,
    got: HashSet<u32>,
    /// The last serial that came first, per publisher and topic.
    last: HashMap<(String, String), u32>,
    /// Identifiers of QoS 2 messages that are received and not released.
    held: HashSet<u16>,
    /// A process has died: what had been sent may come without DUP.
    survived: bool,
    /// Not acknowledged yet on this link.
    open: Vec<Packet>,
    /// Its own QoS 2 messages without PUBCOMP: identifier, and whether PUBREC came.
    sending: BTreeMap<u16, bool>,
}

#[derive(Clone, Default)]
struct Told {
    filters: BTreeMap<usize, QoS>,
    due: BTreeSet<u32>,
}

impl Peer {
    /// Takes what may be let out by now.
    fn release(&mut self, broker: &Broker) {
        while self.withheld.first().is_some_and(|(mark, _)| broker.is_settled(*mark)) {
            let (_, packets) = self.withheld.remove(0);
            self.receive(packets);
        }
    }

    fn receive(&mut self, packets: Vec<Packet>) {
        for packet in packets {
            match packet {
                Packet::Publish(publish) => {
                    self.take(&publish);
                    if publish.qos != QoS::AtMostOnce {
                        self.open.push(Packet::Publish(publish));
                    }
                }
                Packet::PubRel(ack) => self.open.push(Packet::PubRel(ack)),
                Packet::PubRec(ack) => {
                    if let Some(received) = self.sending.get_mut(&ack.packet_id.get()) {
                        *received = true;
                    }
                    self.open.push(Packet::PubRec(ack));
                }
                Packet::PubComp(ack) => {
                    self.sending.remove(&ack.packet_id.get());
                }
                _ => {}
            }
        }
    }

    fn take(&mut self, publish: &Publish) {
        let id = publish.packet_id.map_or(0, |id| id.get());
        if publish.qos == QoS::ExactlyOnce && !self.held.insert(id) {
            assert!(publish.dup, "an identifier in use came as new");
            return;
        }
        let text = payload(publish);
        let (publisher, serial) = text.split_once(' ').unwrap();
        let serial: u32 = serial.parse().unwrap();
        assert!(self.told.due.contains(&serial) || self.maybe.contains(&serial), "{serial} is not for it");
        if !self.got.insert(serial) {
            assert_eq!(publish.qos, QoS::AtLeastOnce, "{serial} came twice");
            assert!(publish.dup || self.survived, "{serial} came twice without DUP");
            return;
        }
        let last = self.last.entry((publisher.to_owned(), publish.topic.to_string())).or_default();
        assert!(*last < serial, "{serial} after {last}");
        *last = serial;
    }

    fn acknowledge(&mut self, nth: usize) {
        let (Some(client), false) = (&self.link, self.open.is_empty()) else { return };
        match self.open.remove(nth % self.open.len()) {
            Packet::Publish(publish) => client.acknowledge(&publish),
            Packet::PubRec(ack) => client.link.pubrel(&success(ack.packet_id)).unwrap(),
            Packet::PubRel(ack) => {
                self.held.remove(&ack.packet_id.get());
                client.link.pubcomp(&success(ack.packet_id)).unwrap();
            }
            other => panic!("{other:?}"),
        }
    }
}

struct World {
    bench: Bench,
    disk: Disk,
    peers: Vec<Peer>,
    serial: u32,
    /// Identifier of each session's next own message, and how often each was routed.
    sent: Vec<u16>,
    routed: HashMap<(usize, u16), usize>,
    /// The same as far as it is written.
    routed_written: HashMap<(usize, u16), usize>,
}

impl World {
    fn new() -> Self {
        let mut bench = Bench::new();
        bench.broker = Disk::default().start(Limits::default(), bench.now());
        let mut world = World {
            bench,
            disk: Disk::default(),
            peers: Vec::new(),
            serial: 0,
            sent: vec![0; SESSIONS],
            routed: HashMap::new(),
            routed_written: HashMap::new(),
        };
        for session in 0..SESSIONS {
            world.peers.push(Peer::default());
            world.attach(session, 2);
        }
        world
    }

    fn attach(&mut self, session: usize, window: u16) {
        let open = Open { receive_maximum: window, ..durable(&session.to_string()) };
        let client = self.bench.open(open);
        let peer = &mut self.peers[session];
        peer.open.clear();
        peer.withheld.clear();
        // A client sends what is unfinished again, in order [MQTT-4.4.0-1].
        let again: Vec<_> = peer.sending.iter().map(|(id, received)| (*id, *received)).collect();
        peer.link = Some(client);
        for (id, received) in again {
            if received {
                self.peers[session].link.as_ref().unwrap().link.pubrel(&success(packet_id(id))).unwrap();
            } else {
                self.send(session, id);
            }
        }
    }

    fn send(&mut self, session: usize, id: u16) {
        let Some(client) = &self.peers[session].link else { return };
        match client.link.begin_publish(&mut publish("none", "", QoS::ExactlyOnce, id)).unwrap() {
            Begin::New => *self.routed.entry((session, id)).or_default() += 1,
            Begin::Duplicate => {}
        }
        let reason = crate::wire::ReasonCode::Success;
        client.link.finish_publish(packet_id(id), QoS::ExactlyOnce, reason, None);
    }

    fn apply(&mut self, op: Op) {
        let now = self.bench.now();
        match op {
            Op::Publish { publisher, topic, qos } => {
                self.serial += 1;
                let (topic, qos) = (FILTERS[topic], QOS[qos]);
                for peer in &mut self.peers {
                    let matching =
                        |filter: usize| matches!(FILTERS[filter], "+" | "#") || FILTERS[filter] == topic;
                    let granted =
                        peer.told.filters.iter().filter(|(f, _)| matching(**f)).map(|(_, qos)| *qos).max();
                    match granted.map(|granted| granted.min(qos)) {
                        None => {}
                        Some(QoS::AtMostOnce) => {
                            peer.maybe.insert(self.serial);
                        }
                        Some(_) => {
                            peer.told.due.insert(self.serial);
                        }
                    }
                }
                self.bench.publish(topic, &format!("{publisher} {}", self.serial), qos);
            }
            Op::Subscribe { session, filter, qos } => {
                let peer = &mut self.peers[session];
                if let Some(client) = &peer.link {
                    client.subscribe(FILTERS[filter], QOS[qos]);
                    peer.told.filters.insert(filter, QOS[qos]);
                }
            }
            Op::Unsubscribe { session, filter } => {
                let peer = &mut self.peers[session];
                if let Some(client) = &peer.link {
                    client.unsubscribe(FILTERS[filter]);
                    peer.told.filters.remove(&filter);
                }
            }
            Op::Drain { session, bytes } => {
                let peer = &mut self.peers[session];
                if let Some(client) = &peer.link {
                    let (packets, mark) = client.drain_marked(bytes, now);
                    peer.withheld.push((mark, packets));
                    peer.release(&self.bench.broker);
                }
            }
            Op::Acknowledge { session, nth } => self.peers[session].acknowledge(nth),
            Op::Lose { session } => {
                if let Some(client) = self.peers[session].link.take() {
                    client.link.close(Close::Lost, now);
                }
            }
            Op::Attach { session, window } => self.attach(session, window),
            Op::Send { session } => {
                if self.peers[session].link.is_some() {
                    self.sent[session] += 1;
                    let id = self.sent[session];
                    self.peers[session].sending.insert(id, false);
                    self.send(session, id);
                }
            }
            Op::Repeat { session, nth } => {
                let unanswered = self.peers[session].sending.iter().filter(|(_, received)| !**received);
                if let Some(id) = unanswered.map(|(id, _)| *id).nth(nth) {
                    self.send(session, id);
                }
            }
            Op::Write => self.write(),
            Op::Kill => self.kill(),
            Op::Pass { secs } => {
                self.bench.pass_secs(secs);
                self.bench.broker.tick(self.bench.now());
            }
        }
    }

    fn write(&mut self) {
        self.disk.write(&self.bench.broker);
        self.routed_written.clone_from(&self.routed);
        for peer in &mut self.peers {
            peer.written = peer.told.clone();
            peer.release(&self.bench.broker);
        }
    }

    /// What was not written may never arrive: nobody was told that it would.
    fn kill(&mut self) {
        self.bench.broker = self.disk.start(Limits::default(), self.bench.now());
        self.routed.clone_from(&self.routed_written);
        for peer in &mut self.peers {
            peer.link = None;
            peer.withheld.clear();
            peer.open.clear();
            peer.survived = true;
            let lost = std::mem::replace(&mut peer.told, peer.written.clone());
            peer.maybe.extend(lost.due);
        }
    }

    /// All come back, read and acknowledge everything.
    fn finish(mut self) {
        for session in 0..SESSIONS {
            self.attach(session, 2);
            let peer = &mut self.peers[session];
            loop {
                let packets = peer.link.as_ref().unwrap().packets(self.bench.now());
                self.disk.write(&self.bench.broker);
                if packets.is_empty() && peer.open.is_empty() {
                    break;
                }
                peer.receive(packets);
                while !peer.open.is_empty() {
                    peer.acknowledge(0);
                }
            }
            let missing: Vec<_> = peer.told.due.iter().filter(|serial| !peer.got.contains(serial)).collect();
            assert!(missing.is_empty(), "{missing:?} never came");
            assert!(peer.sending.is_empty(), "{:?} were not finished", peer.sending);
            let info = self.bench.broker.session(peer.link.as_ref().unwrap().link.key()).unwrap();
            assert_eq!((info.queued_messages, info.queued_bytes, info.inflight), (0, 0, 0));
            assert_eq!(info.inbound_exactly_once, 0);
        }
        assert!(self.routed.values().all(|times| *times == 1), "{:?}", self.routed);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_published_arrives_qos_2_once_and_in_order(ops in prop::collection::vec(op(), 1..120)) {
        let mut world = World::new();
        for op in ops {
            world.apply(op);
        }
        world.finish();
    }
}
