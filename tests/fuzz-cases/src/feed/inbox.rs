//! The store's side: a user's messages.

use std::collections::BTreeSet;
use std::sync::Arc;

use postern_broker::wire::QoS;
use postern_broker::{Broker, Message, SessionKey};

use super::device::Device;
use super::{DEVICES, NOW};

/// A user's inbox as the store has it.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    /// Sequence number, message, and the device that it came from.
    pub(super) rows: Vec<(u64, Arc<Message>, usize)>,
    pub(super) head: u64,
    pub(super) untold: Vec<(u64, Arc<Message>, usize)>,
    pub(super) purged: BTreeSet<u64>,
    /// How many ordinary messages there were.
    pub(super) plain: u32,
}

pub(super) fn message(topic: &str, payload: String, qos: QoS) -> Arc<Message> {
    Arc::new(Message::new(topic.try_into().unwrap(), payload, qos, NOW))
}

impl Inbox {
    pub(super) fn store(&mut self, qos: QoS, from: usize, size: usize) -> u64 {
        self.head += 1;
        let row = (self.head, message("im/u/alice/bob", format!("{:<size$}", self.head), qos), from);
        self.rows.push(row.clone());
        self.untold.push(row);
        self.head
    }

    /// Answers one wish of the device's, if it has one.
    pub(super) fn serve(&self, device: &Device, limit: usize) -> bool {
        let Some(after) = device.client.link.feed_wants() else { return false };
        assert_eq!(device.client.link.feed_wants(), None, "told once");
        let left: Vec<_> = self.rows.iter().filter(|row| row.0 > after).collect();
        let end = left.len() <= limit;
        let page = left.into_iter().take(limit);
        let page = page.map(|(seq, m, from)| (*seq, Arc::clone(m), *from == device.number)).collect();
        device.client.link.feed_page(page, end);
        true
    }

    pub(super) fn tell(&self, broker: &Broker, (seq, message, from): (u64, Arc<Message>, usize)) {
        if !self.purged.contains(&seq) {
            let origin = DEVICES.get(from).map(|name| SessionKey::new(Some("alice"), name));
            broker.deliver_stored("alice", seq, &message, origin.as_ref(), NOW);
        }
    }
}
