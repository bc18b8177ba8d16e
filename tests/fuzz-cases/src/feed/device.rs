//! A device, and the server's side of its cursor.

use std::collections::BTreeSet;

use postern_broker::wire::{Packet, PacketId, Publish, QoS, Version};
use postern_broker::{Broker, Cursor, Open, Requested, SessionKey};

use super::inbox::Inbox;
use super::{DEVICES, NOW, PLAIN};
use crate::client::{Client, success};

#[derive(Debug)]
pub(super) struct Device {
    pub(super) client: Client,
    pub(super) number: usize,
    /// What the server has saved of the cursor.
    pub(super) saved: Cursor,
    pub(super) own: BTreeSet<u64>,
    pub(super) got: BTreeSet<u64>,
    /// The greatest that came for the first time in this session.
    pub(super) last: u64,
    /// What may come again, because the session that knew of it is gone.
    pub(super) again: BTreeSet<u64>,
    /// Of QoS 0, and lost with a link.
    pub(super) unread: BTreeSet<u64>,
    pub(super) held: BTreeSet<PacketId>,
    pub(super) open: Vec<Packet>,
    /// Ordinary messages that came, since how many.
    pub(super) plain: u32,
}

pub(super) fn open(broker: &Broker, number: usize, window: u16) -> (Client, bool) {
    let open = Open {
        clean_start: false,
        session_expiry_secs: 3600,
        receive_maximum: window,
        ..Open::new(SessionKey::new(Some("alice"), DEVICES[number]), Version::V5)
    };
    let opened = broker.open(open, NOW);
    (Client::new(opened.link, 0), opened.session_present)
}

impl Device {
    pub(super) fn new(broker: &Broker, number: usize) -> Self {
        let (client, present) = open(broker, number, 2);
        assert!(!present);
        let device = Device {
            client,
            number,
            saved: Cursor::default(),
            own: BTreeSet::new(),
            got: BTreeSet::new(),
            last: 0,
            again: BTreeSet::new(),
            unread: BTreeSet::new(),
            held: BTreeSet::new(),
            open: Vec::new(),
            plain: 0,
        };
        device.subscribe();
        device.start(QoS::ExactlyOnce);
        device
    }

    pub(super) fn subscribe(&self) {
        let requested = Requested::new(PLAIN.try_into().unwrap(), QoS::ExactlyOnce);
        self.client.link.subscribe(PacketId::MIN, None, &[Ok(requested)], NOW).unwrap();
    }

    pub(super) fn start(&self, qos: QoS) {
        self.client.link.start_feed(self.saved.clone(), qos);
    }

    pub(super) fn receive(&mut self, packets: Vec<Packet>) {
        for packet in packets {
            match packet {
                Packet::Publish(publish) => {
                    let id = publish.packet_id;
                    let fresh = publish.qos != QoS::ExactlyOnce || self.held.insert(id.unwrap());
                    assert!(fresh || publish.dup, "an identifier in use came as new");
                    if fresh {
                        self.take(&publish);
                    }
                    if publish.qos != QoS::AtMostOnce {
                        self.open.push(Packet::Publish(publish));
                    }
                }
                Packet::PubRel(_) => self.open.push(packet),
                Packet::SubAck(_) => {}
                other => panic!("the broker wrote {other:?}"),
            }
        }
    }

    pub(super) fn take(&mut self, publish: &Publish) {
        let number: u64 = std::str::from_utf8(&publish.payload).unwrap().trim_end().parse().unwrap();
        if &*publish.topic == PLAIN {
            self.plain += 1;
            return;
        }
        assert!(!self.own.contains(&number), "{number} is its own");
        let repeated = !self.got.insert(number);
        let expected = self.again.remove(&number);
        assert!(!repeated || publish.dup || expected, "{number} came twice");
        if !publish.dup {
            assert!(self.last < number, "{number} after {}", self.last);
            self.last = number;
        }
    }

    pub(super) fn acknowledge(&mut self, nth: usize) {
        if self.open.is_empty() {
            return;
        }
        match self.open.remove(nth % self.open.len()) {
            Packet::Publish(publish) => self.client.acknowledge(&publish),
            Packet::PubRel(ack) => {
                self.held.remove(&ack.packet_id);
                self.client.link.pubcomp(&success(ack.packet_id)).unwrap();
            }
            other => panic!("{other:?}"),
        }
    }

    /// The server saves the cursor: nothing that it calls done may be missing.
    pub(super) fn save(&mut self, inbox: &Inbox) {
        let Some(cursor) = self.client.link.take_cursor() else { return };
        assert!(cursor.watermark >= self.saved.watermark, "the watermark never moves back");
        assert!(cursor.watermark <= inbox.head);
        assert!(cursor.above.is_sorted() && cursor.above.first().is_none_or(|seq| *seq > cursor.watermark));
        for seq in (self.saved.watermark + 1..=cursor.watermark).chain(cursor.above.iter().copied()) {
            let done = self.got.contains(&seq)
                || self.unread.contains(&seq)
                || self.own.contains(&seq)
                || inbox.purged.contains(&seq);
            assert!(done, "{cursor:?} calls {seq} done");
        }
        self.saved = cursor;
    }
}
