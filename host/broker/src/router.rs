//! From a message to the sessions that get it.
//!
//! It runs on the publisher's task: the tree is matched under a read lock, each session's queue is
//! filled under that session's own lock, and links are woken when both are released. A publisher's
//! task is sequential, hence the order per publisher and topic [MQTT-4.6.0-5].
//!
//! A session with several subscriptions that match gets one copy, in the highest QoS granted and
//! with the identifiers of all of them (5.0, section 3.3.4 leaves the choice). Shared subscriptions
//! stand apart: their copy comes besides [MQTT-4.8.2-3 and section 4.8.2].

mod group;

use std::hash::{BuildHasher, RandomState};
use std::num::NonZeroU32;
use std::sync::Arc;

use hashbrown::HashMap;
use smallvec::SmallVec;

pub(crate) use group::Group;

use crate::broker::Core;
use crate::message::Message;
use crate::queue::{Queued, SubscriptionIds, Via};
use crate::session::{Session, Wakes};
use crate::topic::{TopicFilter, Tree};
use crate::wire::QoS;

/// What a subscriber asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Granted QoS.
    pub qos: QoS,
    /// No Local.
    pub no_local: bool,
    /// Retain As Published.
    pub retain_as_published: bool,
    /// Subscription Identifier.
    pub id: Option<NonZeroU32>,
}

/// One subscription of one session.
#[derive(Debug)]
struct Subscriber {
    session: Arc<Session>,
    options: Options,
    /// Tells the filters apart that matched one topic.
    spot: u32,
}

#[derive(Debug)]
enum Target {
    Direct(Subscriber),
    Group(Arc<Group>),
}

/// All subscriptions.
#[derive(Debug, Default)]
pub(crate) struct Router {
    /// By session or group id, which come from one counter.
    tree: Tree<u64, Target>,
    groups: HashMap<TopicFilter, Arc<Group>>,
    hasher: RandomState,
}

/// One message's way through the router.
pub(crate) struct Route<'a> {
    pub(crate) core: &'a Core,
    pub(crate) message: &'a Arc<Message>,
    /// The session it came from, for No Local.
    pub(crate) from: Option<u64>,
    /// Sorted users whose feeds bring it: their sessions with a feed do not get it by the tree too.
    pub(crate) fed: &'a [(crate::wire::Text, u64)],
}

impl Router {
    /// Sets a session's subscription.
    pub(crate) fn subscribe(
        &mut self,
        session: &Arc<Session>,
        filter: &TopicFilter,
        options: Options,
        new_id: impl FnOnce() -> u64,
    ) {
        if filter.is_shared() {
            let group = self
                .groups
                .entry(filter.clone())
                .or_insert_with(|| Arc::new(Group::new(new_id(), filter.clone())));
            group.join(session, options);
            self.tree.insert(filter, group.id, Target::Group(Arc::clone(group)));
        } else {
            let spot = self.hasher.hash_one(filter.as_str()) as u32;
            let subscriber = Subscriber { session: Arc::clone(session), options, spot };
            self.tree.insert(filter, session.id, Target::Direct(subscriber));
        }
    }

    /// Takes a session's subscription out.
    pub(crate) fn unsubscribe(&mut self, session: &Session, filter: &TopicFilter) {
        if !filter.is_shared() {
            self.tree.remove(filter, &session.id);
        } else if let Some(group) = self.groups.get(filter)
            && group.leave(session.id)
        {
            self.tree.remove(filter, &group.id);
            self.groups.remove(filter);
        }
    }

    /// The group of a shared filter.
    pub(crate) fn group(&self, filter: &TopicFilter) -> Option<Arc<Group>> {
        self.groups.get(filter).cloned()
    }

    /// Queues a message for all whose filters match, and says how many those are.
    pub(crate) fn publish(&self, route: &Route<'_>, wakes: &mut Wakes) -> usize {
        let mut hits: SmallVec<[&Subscriber; 8]> = SmallVec::new();
        let mut matched = 0;
        let mut several_filters = false;
        self.tree.for_each_match(route.message.topic.as_str(), |_, target| match target {
            Target::Direct(hit) => {
                if route.leaves_out(hit) {
                    return;
                }
                several_filters |= hits.first().is_some_and(|first| first.spot != hit.spot);
                hits.push(hit);
            }
            Target::Group(group) => {
                matched += 1;
                group.deliver(route.core, route.message, wakes);
            }
        });
        if several_filters {
            hits.sort_unstable_by_key(|hit| hit.session.id);
            for hits in hits.chunk_by(|a, b| a.session.id == b.session.id) {
                matched += 1;
                route.queue(hits, wakes);
            }
        } else {
            matched += hits.len();
            for hit in hits {
                route.queue(&[hit], wakes);
            }
        }
        matched
    }
}

impl Route<'_> {
    fn leaves_out(&self, hit: &Subscriber) -> bool {
        if hit.options.no_local && self.from == Some(hit.session.id) {
            return true; // [MQTT-3.8.3-3]
        }
        if hit.session.denied.has(&self.message.topic) {
            return true;
        }
        if self.fed.is_empty() || !hit.session.has_feed() {
            return false;
        }
        let owner = hit.session.key.owner.as_ref();
        owner.is_some_and(|owner| self.fed.binary_search_by(|(user, _)| user.cmp(owner)).is_ok())
    }

    /// Queues the one copy for a session whose subscriptions `hits` matched.
    fn queue(&self, hits: &[&Subscriber], wakes: &mut Wakes) {
        let Some(first) = hits.first() else { return };
        let granted = hits.iter().map(|hit| hit.options.qos).max().unwrap_or_default();
        let ids = match hits {
            [one] => SubscriptionIds::from(one.options.id),
            many => SubscriptionIds::from_all(many.iter().map(|hit| hit.options.id)),
        };
        let qos = granted.min(self.message.qos);
        // [MQTT-3.3.1-12, 3.3.1-13]
        let retain = self.message.retain && hits.iter().any(|hit| hit.options.retain_as_published);
        let item = Queued::new(self.message, Via::Plain(ids), qos, retain);
        first.session.offer(self.core, item, wakes);
    }
}
