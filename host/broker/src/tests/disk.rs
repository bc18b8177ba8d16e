//! What a broker's journal comes to: the tables of the server in a few maps.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use crate::journal::{Change, KeptMessage, KeptSession, KeptWill};
use crate::topic::TopicFilter;
use crate::wire::PacketId;
use crate::{Broker, Limits, Message, Restored, SubscriptionOptions, Timestamp};

#[derive(Clone, Default)]
pub(super) struct Disk {
    sessions: BTreeMap<u64, Saved>,
    retained: BTreeMap<String, Arc<Message>>,
}

#[derive(Clone, Default)]
struct Saved {
    session: Option<KeptSession>,
    will: Option<KeptWill>,
    subscriptions: BTreeMap<String, (TopicFilter, SubscriptionOptions)>,
    messages: BTreeMap<u64, KeptMessage>,
    received: BTreeSet<PacketId>,
}

impl Disk {
    /// Writes down what has changed, and says so.
    pub(super) fn write(&mut self, broker: &Broker) {
        let mut cx = Context::from_waker(Waker::noop());
        while let Poll::Ready(batch) = broker.poll_changes(&mut cx) {
            batch.changes.into_iter().for_each(|change| self.change(change));
            broker.settle(batch.mark);
        }
    }

    fn change(&mut self, change: Change) {
        match change {
            Change::Session(id, session) => self.of(id).session = Some(session),
            Change::Will(id, will) => self.of(id).will = will,
            Change::Ended(id) => drop(self.sessions.remove(&id)),
            Change::Subscribed(id, filter, options) => {
                self.of(id).subscriptions.insert(filter.as_str().to_owned(), (filter, options));
            }
            Change::Unsubscribed(id, filter) => drop(self.of(id).subscriptions.remove(filter.as_str())),
            Change::Queued(id, message) => drop(self.of(id).messages.insert(message.number, message)),
            Change::Moved(id, number, stage) => {
                self.of(id).messages.get_mut(&number).expect("it was queued").stage = stage;
            }
            Change::Done(id, number) => {
                if let Some(saved) = self.sessions.get_mut(&id) {
                    saved.messages.remove(&number);
                }
            }
            Change::Received(id, packet_id) => drop(self.of(id).received.insert(packet_id)),
            Change::Forgotten(id, packet_id) => drop(self.of(id).received.remove(&packet_id)),
            Change::Retained(message) => {
                let topic = message.topic.as_str().to_owned();
                if message.payload.is_empty() {
                    self.retained.remove(&topic);
                } else {
                    self.retained.insert(topic, message);
                }
            }
        }
    }

    fn of(&mut self, id: u64) -> &mut Saved {
        self.sessions.entry(id).or_default()
    }

    /// A new process with what is written.
    pub(super) fn start(&self, limits: Limits, now: Timestamp) -> Broker {
        let broker = Broker::new(limits);
        let sessions = self.sessions.iter().map(|(id, saved)| Restored {
            id: *id,
            session: saved.session.clone().expect("a session comes before its parts"),
            will: saved.will.clone(),
            subscriptions: saved.subscriptions.values().cloned().collect(),
            messages: saved.messages.values().cloned().collect(),
            received: saved.received.iter().copied().collect(),
        });
        let retained: Vec<_> = self.retained.values().cloned().collect();
        broker.restore(sessions.collect(), &retained, now);
        broker
    }

    /// Sessions with any record, and messages in them.
    pub(super) fn size(&self) -> (usize, usize) {
        (self.sessions.len(), self.sessions.values().map(|saved| saved.messages.len()).sum())
    }
}
