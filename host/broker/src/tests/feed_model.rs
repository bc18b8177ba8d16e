//! A model of the feed under random operations: live deliveries late and out of turn, pages that
//! fail, messages purged, links lost, sessions lost. Every stored message comes, none is skipped or
//! doubled, and the cursor never runs ahead of the device.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::feed::Inbox;
use super::pair::*;
use crate::wire::{Packet, QoS};
use crate::{Close, Cursor, Limits, Open, SessionKey};

#[derive(Clone, Debug)]
enum Op {
    /// Stores a message, from this device itself or another one.
    Store {
        qos: usize,
        own: bool,
    },
    /// Tells the broker of the n-th stored one that it was not told of yet.
    Deliver {
        nth: usize,
    },
    Purge {
        nth: usize,
    },
    Drain {
        bytes: usize,
    },
    Acknowledge {
        nth: usize,
    },
    Page {
        limit: usize,
    },
    /// The store is asked and does not answer.
    PageFails,
    /// An ordinary message in between.
    Publish,
    Reconnect {
        window: u16,
        feed: bool,
    },
    Stop,
    Start {
        qos: usize,
    },
    /// The session ends; what the server saved of its cursor is all that is left.
    Forget,
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        8 => (0..3usize, prop::bool::weighted(0.2)).prop_map(|(qos, own)| Op::Store { qos, own }),
        8 => (0..2usize).prop_map(|nth| Op::Deliver { nth }),
        1 => (0..10usize).prop_map(|nth| Op::Purge { nth }),
        5 => (1..80usize).prop_map(|bytes| Op::Drain { bytes }),
        8 => (0..4usize).prop_map(|nth| Op::Acknowledge { nth }),
        5 => (1..5usize).prop_map(|limit| Op::Page { limit }),
        1 => Just(Op::PageFails),
        2 => Just(Op::Publish),
        1 => (1..6u16, prop::bool::weighted(0.8)).prop_map(|(window, feed)| Op::Reconnect { window, feed }),
        1 => Just(Op::Stop),
        2 => (0..3usize).prop_map(|qos| Op::Start { qos }),
        1 => Just(Op::Forget),
    ]
}

struct World {
    bench: Bench,
    inbox: Inbox,
    client: Client,
    saved: Cursor,
    untold: Vec<u64>,
    own: BTreeSet<u64>,
    purged: BTreeSet<u64>,
    got: BTreeSet<u64>,
    /// The greatest that came for the first time in this session.
    last: u64,
    /// What may come again, because the session that knew of it is gone.
    again: BTreeSet<u64>,
    held: BTreeSet<u16>,
    open: Vec<Packet>,
    plain: usize,
    plain_got: usize,
}

impl World {
    fn new() -> Self {
        let bench = Bench::with(Limits { feed_queued: 6, ..Limits::default() });
        let client = bench.device("alice", "phone");
        client.subscribe("plain", QoS::ExactlyOnce);
        client.link.start_feed(Cursor::default(), QoS::ExactlyOnce);
        World {
            bench,
            inbox: Inbox::new("alice"),
            client,
            saved: Cursor::default(),
            untold: Vec::new(),
            own: BTreeSet::new(),
            purged: BTreeSet::new(),
            got: BTreeSet::new(),
            last: 0,
            again: BTreeSet::new(),
            held: BTreeSet::new(),
            open: Vec::new(),
            plain: 0,
            plain_got: 0,
        }
    }

    fn receive(&mut self, packets: Vec<Packet>) {
        for packet in packets {
            match packet {
                Packet::Publish(p) => {
                    let fresh = p.qos != QoS::ExactlyOnce || self.held.insert(p.packet_id.unwrap().get());
                    assert!(fresh || p.dup);
                    if !fresh {
                    } else if &*p.topic == "plain" {
                        self.plain_got += 1;
                    } else {
                        self.take(payload(&p).parse().unwrap(), p.dup);
                    }
                    if p.qos != QoS::AtMostOnce {
                        self.open.push(Packet::Publish(p));
                    }
                }
                Packet::PubRel(ack) => self.open.push(Packet::PubRel(ack)),
                _ => {}
            }
        }
    }

    fn take(&mut self, seq: u64, dup: bool) {
        assert!(!self.own.contains(&seq), "{seq} is its own");
        let repeated = !self.got.insert(seq);
        if repeated && !dup {
            assert!(self.again.remove(&seq), "{seq} came twice");
        }
        if !dup {
            assert!(self.last < seq, "{seq} after {}", self.last);
            self.last = seq;
        }
    }

    fn acknowledge(&mut self, nth: usize) {
        if self.open.is_empty() {
            return;
        }
        match self.open.remove(nth % self.open.len()) {
            Packet::Publish(publish) => self.client.acknowledge(&publish),
            Packet::PubRel(ack) => {
                self.held.remove(&ack.packet_id.get());
                self.client.link.pubcomp(&success(ack.packet_id)).unwrap();
            }
            other => panic!("{other:?}"),
        }
    }

    /// The server saves the cursor: nothing that it calls done may be missing.
    fn save(&mut self) {
        let Some(cursor) = self.client.link.take_cursor() else { return };
        assert!(cursor.watermark >= self.saved.watermark, "the watermark never moves back");
        assert!(cursor.watermark <= self.inbox.head);
        let done =
            |seq: u64| self.got.contains(&seq) || self.own.contains(&seq) || self.purged.contains(&seq);
        for seq in (1..=cursor.watermark).chain(cursor.above.iter().copied()) {
            assert!(done(seq), "{cursor:?} calls {seq} done");
        }
        self.saved = cursor;
    }

    fn reconnect(&mut self, window: u16, feed: bool, lose: Option<Close>) {
        self.save();
        if let Some(how) = lose {
            self.client.link.close(how, self.bench.now());
        }
        self.open.clear();
        let key = SessionKey::new(Some("alice"), "phone");
        self.client = self.bench.open(Open { receive_maximum: window, key: key.into(), ..durable("") });
        if !self.client.present {
            self.client.subscribe("plain", QoS::ExactlyOnce);
        }
        if feed {
            self.client.link.start_feed(self.saved.clone(), QoS::ExactlyOnce);
        }
    }

    fn apply(&mut self, op: Op) {
        match op {
            Op::Store { qos, own } => {
                let seq = self.inbox.head + 1;
                let origin = if own { "phone" } else { "pc" };
                self.inbox.store(&self.bench, &seq.to_string(), QOS[qos], origin);
                self.untold.push(seq);
                if own {
                    self.own.insert(seq);
                }
            }
            Op::Deliver { nth } => {
                if nth < self.untold.len() {
                    let seq = self.untold.remove(nth);
                    if !self.purged.contains(&seq) {
                        self.inbox.deliver(&self.bench, seq);
                    }
                }
            }
            Op::Purge { nth } => {
                if let Some(seq) = self.inbox.rows.get(nth).map(|row| row.0) {
                    self.purged.insert(seq);
                    self.inbox.purge(seq);
                }
            }
            Op::Drain { bytes } => {
                let packets = self.client.drain_once(bytes, self.bench.now());
                self.receive(packets);
                self.save();
            }
            Op::Acknowledge { nth } => self.acknowledge(nth),
            Op::Page { limit } => {
                self.inbox.serve(&self.client, limit);
            }
            Op::PageFails => {
                if self.client.link.feed_wants().is_some() {
                    self.client.link.feed_failed();
                }
            }
            Op::Publish => {
                self.plain += 1;
                self.bench.publish("plain", "", QoS::ExactlyOnce);
            }
            Op::Reconnect { window, feed } => {
                let lose = (window % 2 == 0).then_some(Close::Lost);
                self.reconnect(window, feed, lose);
            }
            Op::Stop => self.client.link.stop_feed(),
            Op::Start { qos } => self.client.link.start_feed(self.saved.clone(), QOS[qos]),
            Op::Forget => {
                let end = Close::Normal { session_expiry_secs: Some(0) };
                self.reconnect(4, true, Some(end));
                assert!(!self.client.present);
                self.held.clear();
                let done = |seq: &u64| *seq <= self.saved.watermark || self.saved.above.contains(seq);
                self.again = self.got.iter().copied().filter(|seq| !done(seq)).collect();
                self.last = 0;
                self.plain = self.plain_got;
            }
        }
    }

    fn finish(mut self) {
        self.reconnect(4, true, None);
        let mut idle = 0;
        while idle < 2 {
            let packets = self.client.packets(self.bench.now());
            let paged = self.inbox.serve(&self.client, 3);
            idle = if packets.is_empty() && !paged && self.open.is_empty() { idle + 1 } else { 0 };
            self.receive(packets);
            while !self.open.is_empty() {
                self.acknowledge(0);
            }
            for seq in std::mem::take(&mut self.untold) {
                if !self.purged.contains(&seq) {
                    self.inbox.deliver(&self.bench, seq);
                }
            }
        }
        self.save();
        for seq in 1..=self.inbox.head {
            let excused = self.own.contains(&seq) || self.purged.contains(&seq);
            assert!(excused || self.got.contains(&seq), "{seq} never came");
        }
        let kept = self.inbox.rows.last().map_or(0, |row| row.0);
        assert!(self.saved.watermark >= kept && self.saved.above.is_empty(), "{:?}", self.saved);
        assert_eq!(self.plain_got, self.plain);
        let info = &self.bench.broker.sessions()[0];
        assert_eq!((info.queued_messages, info.queued_bytes, info.inflight), (0, 0, 0));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_feed_neither_skips_nor_doubles(ops in prop::collection::vec(op(), 1..120)) {
        let mut world = World::new();
        for op in ops {
            world.apply(op);
        }
        world.finish();
    }
}
