//! A user's stored messages to two devices: live deliveries late and out of turn, pages that fail,
//! messages purged, links lost, taken over, sessions ended. Every stored message comes to both, none
//! is skipped or doubled, and no cursor runs ahead of its device.
//!
//! inbox (what the store has) → device (what one device got, and what the server keeps of that)

mod device;
mod inbox;

use std::sync::Arc;

use postern_broker::wire::{Packet, Publish, QoS};
use postern_broker::{Broker, Close, Limits, Timestamp};

use crate::client::QOS;
use crate::script::{self, Ops, from_bytes};
use device::Device;
use inbox::Inbox;

const DEVICES: [&str; 2] = ["phone", "pc"];
/// What an ordinary subscription brings in between.
const PLAIN: &str = "plain";

from_bytes! {
    #[derive(Debug)]
    struct Script {
        queued: u8,
        inflight: u8,
        ops: Ops<Op>,
    }
}

from_bytes! {
    #[derive(Clone, Copy, Debug)]
    enum Op {
        /// Stores a message, from one of the devices or somebody else.
        Store {
            qos: u8,
            from: u8,
            size: u8,
        },
        /// Tells the broker of the n-th stored one that it was not told of yet.
        Deliver {
            nth: u8,
        },
        Purge {
            nth: u8,
        },
        Drain {
            device: bool,
            bytes: u8,
        },
        Acknowledge {
            device: bool,
            nth: u8,
        },
        Page {
            device: bool,
            limit: u8,
        },
        /// The store is asked and does not answer.
        PageFails {
            device: bool,
        },
        /// An ordinary message in between.
        Publish {},
        Rest {
            device: bool,
        },
        /// What was written last is lost with its link.
        Lose {
            device: bool,
            unread: u8,
        },
        Reconnect {
            device: bool,
            window: u8,
            start: bool,
        },
        Stop {
            device: bool,
        },
        Start {
            device: bool,
            qos: u8,
        },
        SetQos {
            device: bool,
            qos: u8,
        },
        /// The session ends; what the server saved of its cursor is all that is left.
        Forget {
            device: bool,
        },
    }
}

struct World {
    broker: Broker,
    inbox: Inbox,
    devices: [Device; 2],
}

const NOW: Timestamp = Timestamp(1_000_000);

pub(crate) fn run(bytes: &[u8]) {
    let script: Script = script::of(bytes);
    let _shown = crate::Shown(&script);
    let feed_queued = usize::from(script.queued % 16);
    let inflight = u16::from(script.inflight % 8) + 1;
    let broker = Broker::new(Limits { feed_queued, inflight, ..Limits::default() });
    let devices = [0, 1].map(|number| Device::new(&broker, number));
    let mut world = World { broker, inbox: Inbox::default(), devices };
    for op in &script.ops.0 {
        world.apply(*op);
        world.check(feed_queued, inflight);
    }
    world.finish();
}

impl World {
    fn apply(&mut self, op: Op) {
        let World { broker, inbox, devices } = self;
        match op {
            Op::Store { qos, from, size } => {
                let from = usize::from(from % 4);
                let seq = inbox.store(QOS[usize::from(qos % 3)], from, usize::from(size));
                if let Some(device) = devices.get_mut(from) {
                    device.own.insert(seq);
                }
            }
            Op::Deliver { nth } => {
                if !inbox.untold.is_empty() {
                    let row = inbox.untold.remove(usize::from(nth) % inbox.untold.len());
                    inbox.tell(broker, row);
                }
            }
            Op::Purge { nth } => {
                if let Some(seq) = inbox.rows.get(usize::from(nth)).map(|row| row.0) {
                    inbox.purged.insert(seq);
                    inbox.rows.retain(|row| row.0 != seq);
                }
            }
            Op::Drain { device, bytes } => {
                let device = &mut devices[usize::from(device)];
                let (packets, closing) = device.client.drain(usize::from(bytes), NOW);
                assert_eq!(closing, None);
                device.receive(packets);
                device.save(inbox);
            }
            Op::Acknowledge { device, nth } => devices[usize::from(device)].acknowledge(usize::from(nth)),
            Op::Page { device, limit } => {
                inbox.serve(&devices[usize::from(device)], usize::from(limit % 8) + 1);
            }
            Op::PageFails { device } => {
                let link = &devices[usize::from(device)].client.link;
                if link.feed_wants().is_some() {
                    link.feed_failed();
                }
            }
            Op::Publish {} => {
                inbox.plain += 1;
                broker.publish(&inbox::message(PLAIN, inbox.plain.to_string(), QoS::ExactlyOnce), None, NOW);
            }
            Op::Rest { device } => {
                // As the pump of a link does it: what the feed wants is asked before.
                let device = &mut devices[usize::from(device)];
                inbox.serve(device, 4);
                device.client.rest();
            }
            Op::Lose { device, unread } => {
                let device = &mut devices[usize::from(device)];
                let (packets, _) = device.client.drain(usize::from(unread), NOW);
                for packet in packets {
                    if let Packet::Publish(Publish { qos: QoS::AtMostOnce, payload, .. }) = packet {
                        device
                            .unread
                            .insert(std::str::from_utf8(&payload).unwrap().trim_end().parse().unwrap());
                    }
                }
                let number = device.number;
                self.reconnect(number, 4, true, Some(Close::Lost));
            }
            Op::Reconnect { device, window, start } => {
                let lose = window.is_multiple_of(2).then_some(Close::Lost);
                self.reconnect(usize::from(device), u16::from(window % 8) + 1, start, lose);
            }
            Op::Stop { device } => devices[usize::from(device)].client.link.stop_feed(),
            Op::Start { device, qos } => devices[usize::from(device)].start(QOS[usize::from(qos % 3)]),
            Op::SetQos { device, qos } => {
                devices[usize::from(device)].client.link.set_feed_qos(QOS[usize::from(qos % 3)]);
            }
            Op::Forget { device } => self.forget(usize::from(device)),
        }
    }

    fn reconnect(&mut self, device: usize, window: u16, start: bool, lose: Option<Close>) {
        let World { broker, inbox, devices } = self;
        let device = &mut devices[device];
        device.save(inbox);
        if let Some(how) = lose {
            device.client.link.close(how, NOW);
        }
        device.open.clear();
        let (client, present) = device::open(broker, device.number, window);
        device.client = client;
        if !present {
            device.subscribe();
        }
        if start {
            device.start(QoS::ExactlyOnce);
        }
    }

    fn forget(&mut self, device: usize) {
        self.reconnect(device, 4, true, Some(Close::Normal { session_expiry_secs: Some(0) }));
        let World { inbox, devices, .. } = self;
        let device = &mut devices[device];
        device.held.clear();
        let done = |seq: &u64| *seq <= device.saved.watermark || device.saved.above.contains(seq);
        device.again = device.got.iter().copied().filter(|seq| !done(seq)).collect();
        device.last = 0;
        device.plain = inbox.plain;
    }

    /// What a session holds is bounded, however much is stored.
    fn check(&self, feed_queued: usize, inflight: u16) {
        for info in self.broker.sessions() {
            // What is live, and the pages that were asked for when there was little.
            let waiting = info.queued_messages.saturating_sub(self.inbox.plain as usize);
            assert!(waiting <= feed_queued + 8, "{info:?}");
            assert!(info.inflight <= usize::from(inflight), "{info:?}");
        }
    }

    fn finish(mut self) {
        for device in 0..DEVICES.len() {
            self.reconnect(device, 4, true, None);
            self.level(device);
        }
        let World { broker, inbox, devices } = &mut self;
        for device in devices {
            device.save(inbox);
            for seq in 1..=inbox.head {
                let excused =
                    device.own.contains(&seq) || inbox.purged.contains(&seq) || device.unread.contains(&seq);
                assert!(excused || device.got.contains(&seq), "{seq} never came to {}", device.number);
            }
            let kept = inbox.rows.last().map_or(0, |row| row.0);
            assert!(device.saved.watermark >= kept && device.saved.above.is_empty(), "{:?}", device.saved);
            assert_eq!(device.plain, inbox.plain, "ordinary messages");
            device.client.link.close(Close::Normal { session_expiry_secs: Some(0) }, NOW);
        }
        assert!(broker.sessions().is_empty());
        let left = inbox.rows.iter().find(|row| Arc::strong_count(&row.1) > 1);
        assert!(left.is_none(), "a message is kept for nobody");
    }

    /// Tells, pages, reads and acknowledges until nothing moves any more.
    fn level(&mut self, device: usize) {
        let World { broker, inbox, devices } = self;
        let device = &mut devices[device];
        let mut quiet = 0;
        for _ in 0..10_000 {
            let (packets, closing) = device.client.drain(512, NOW);
            assert_eq!(closing, None);
            let paged = inbox.serve(device, 3);
            quiet = if packets.is_empty() && !paged && device.open.is_empty() { quiet + 1 } else { 0 };
            device.receive(packets);
            while !device.open.is_empty() {
                device.acknowledge(0);
            }
            for row in std::mem::take(&mut inbox.untold) {
                inbox.tell(broker, row);
            }
            if quiet == 2 {
                return;
            }
        }
        panic!("device {} does not come to rest", device.number);
    }
}
