//! The one ordered queue of a session: what waits to be written.

use std::collections::VecDeque;
use std::num::NonZeroU32;
use std::sync::Arc;

use smallvec::SmallVec;

use crate::journal::{Body, KeptMessage, Stage};
use crate::message::Message;
use crate::router::Group;
use crate::wire::QoS;

/// Why a session gets a message.
#[derive(Clone, Debug)]
pub(crate) enum Via {
    /// One or more subscriptions, with their identifiers.
    Plain(SubscriptionIds),
    /// The server's own, to whoever is there; of the moment.
    Push,
    /// A retained message, sent because of a new subscription. It refers to what is kept anyway, so
    /// the queue's limits do not count it.
    Retained(Option<NonZeroU32>),
    /// Its turn in a shared subscription; should it leave, another member gets what it had not
    /// acknowledged.
    Shared(Arc<Group>, Option<NonZeroU32>),
    /// The feed: a stored message by its sequence number. `done` when there is nothing to write,
    /// because this device sent it or has it already.
    Feed {
        /// Sequence number in the user's inbox.
        seq: u64,
        /// Nothing to write.
        done: bool,
    },
}

/// Subscription Identifiers of the subscriptions that matched; nearly always none or one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum SubscriptionIds {
    #[default]
    None,
    One(NonZeroU32),
    Many(Box<[NonZeroU32]>),
}

impl SubscriptionIds {
    pub(crate) fn from_all(ids: impl Iterator<Item = Option<NonZeroU32>>) -> Self {
        let ids: SmallVec<[NonZeroU32; 4]> = ids.flatten().collect();
        match ids.as_slice() {
            [] => SubscriptionIds::None,
            [one] => SubscriptionIds::One(*one),
            many => SubscriptionIds::Many(many.into()),
        }
    }
}

impl From<Option<NonZeroU32>> for SubscriptionIds {
    fn from(id: Option<NonZeroU32>) -> Self {
        id.map_or(SubscriptionIds::None, SubscriptionIds::One)
    }
}

/// One message on its way to one session.
#[derive(Clone, Debug)]
pub(crate) struct Queued {
    pub(crate) message: Arc<Message>,
    pub(crate) via: Via,
    /// The lower of the message's and the granted QoS.
    pub(crate) qos: QoS,
    /// The RETAIN flag to write.
    pub(crate) retain: bool,
    /// Its number among what the session keeps on disk; 0 when it is not kept.
    pub(crate) number: u64,
}

impl Queued {
    pub(crate) fn new(message: &Arc<Message>, via: Via, qos: QoS, retain: bool) -> Self {
        Queued { message: Arc::clone(message), via, qos, retain, number: 0 }
    }

    /// The item as the journal has it.
    pub(crate) fn kept(&self) -> KeptMessage {
        KeptMessage {
            number: self.number,
            body: match self.via {
                Via::Feed { seq, .. } => Body::Stored(seq),
                _ => Body::Message(Arc::clone(&self.message)),
            },
            qos: self.qos,
            retain: self.retain,
            subscription_ids: self.subscription_ids().to_vec(),
            shared: match &self.via {
                Via::Shared(group, _) => Some(group.filter.clone()),
                _ => None,
            },
            stage: Stage::Waiting,
        }
    }

    /// What it counts for in the limits of a queue: messages and bytes. What can be had again from
    /// where it is kept counts for nothing.
    pub(crate) fn cost(&self) -> Cost {
        match self.via {
            Via::Plain(_) | Via::Push | Via::Shared(..) => Cost { messages: 1, bytes: self.message.size() },
            Via::Retained(_) | Via::Feed { .. } => Cost::default(),
        }
    }

    /// The Subscription Identifiers to write [MQTT-3.3.4-3].
    pub(crate) fn subscription_ids(&self) -> SmallVec<[u32; 1]> {
        match &self.via {
            Via::Plain(SubscriptionIds::Many(ids)) => ids.iter().map(|id| id.get()).collect(),
            Via::Plain(SubscriptionIds::One(id)) => SmallVec::from_buf([id.get()]),
            Via::Shared(_, Some(id)) | Via::Retained(Some(id)) => SmallVec::from_buf([id.get()]),
            _ => SmallVec::new(),
        }
    }

    /// Whether it is here for this shared group.
    pub(crate) fn is_of(&self, group: u64) -> bool {
        matches!(&self.via, Via::Shared(of, _) if of.id == group)
    }

    pub(crate) fn seq(&self) -> Option<u64> {
        match self.via {
            Via::Feed { seq, .. } => Some(seq),
            _ => None,
        }
    }
}

/// A share of a queue's limits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Cost {
    pub(crate) messages: usize,
    pub(crate) bytes: usize,
}

impl Cost {
    pub(crate) fn add(&mut self, other: Cost) {
        self.messages += other.messages;
        self.bytes += other.bytes;
    }

    pub(crate) fn take(&mut self, other: Cost) {
        self.messages = self.messages.saturating_sub(other.messages);
        self.bytes = self.bytes.saturating_sub(other.bytes);
    }
}

/// Messages in order. Owns no memory while empty.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    items: VecDeque<Queued>,
    /// Everything that waits, the part included that the link has taken over and not written yet.
    load: Cost,
    /// How many of `items` may be dropped when room is needed.
    droppable: usize,
}

impl Queue {
    pub(crate) fn push(&mut self, item: Queued) {
        self.load.add(item.cost());
        self.droppable += usize::from(is_droppable(&item));
        self.items.push_back(item);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Messages here, without those at the link.
    pub(crate) fn len(&self) -> usize {
        self.items.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Queued> {
        self.items.iter()
    }

    /// What waits here and at the link.
    pub(crate) fn load(&self) -> Cost {
        self.load
    }

    /// Whether `cost` more would be over the limits. A queue without load takes one of any size.
    pub(crate) fn is_full(&self, cost: Cost, messages: usize, bytes: usize) -> bool {
        self.load.messages > 0
            && (self.load.messages + cost.messages > messages || self.load.bytes + cost.bytes > bytes)
    }

    /// Drops all of QoS 0 to make room and says how many that were. All at once, so that a reader
    /// that stays slow costs its publishers one pass and not one for each message.
    pub(crate) fn drop_qos0(&mut self) -> usize {
        if self.droppable == 0 {
            return 0;
        }
        let load = &mut self.load;
        let before = self.items.len();
        self.items.retain(|item| {
            let keep = !is_droppable(item);
            if !keep {
                load.take(item.cost());
            }
            keep
        });
        self.droppable = 0;
        before - self.items.len()
    }

    /// Hands everything to the link, which must be out of items; the load stays until
    /// [`Queue::written`].
    pub(crate) fn swap_into(&mut self, taken: &mut VecDeque<Queued>) {
        std::mem::swap(&mut self.items, taken);
        self.droppable = 0;
    }

    /// What the link had taken is written or dropped.
    pub(crate) fn written(&mut self, cost: Cost) {
        self.load.take(cost);
    }

    /// Puts back, in front, what a link that is gone had taken and not written.
    pub(crate) fn put_back(&mut self, mut taken: VecDeque<Queued>) {
        taken.append(&mut self.items);
        self.items = taken;
        self.droppable = self.items.iter().filter(|item| is_droppable(item)).count();
    }

    /// Keeps what `keep` says and hands out the rest. Nothing may be with the link.
    pub(crate) fn split_off(&mut self, mut keep: impl FnMut(&Queued) -> bool) -> Vec<Queued> {
        let mut out = Vec::new();
        for item in std::mem::take(self).items {
            if keep(&item) {
                self.push(item);
            } else {
                out.push(item);
            }
        }
        out
    }

    #[cfg(test)]
    pub(crate) fn capacity(&self) -> usize {
        self.items.capacity()
    }

    /// Gives memory back after a burst.
    pub(crate) fn rest(&mut self) {
        if self.items.is_empty() && self.items.capacity() > 4 {
            self.items = VecDeque::new();
        }
    }
}

fn is_droppable(item: &Queued) -> bool {
    item.qos == QoS::AtMostOnce && matches!(item.via, Via::Plain(_) | Via::Push | Via::Shared(..))
}
