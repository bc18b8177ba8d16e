//! Presence: the user's, not one link's (A14), pushed as class *status* (A12) to those who may see it.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use bytes::Bytes;
use parking_lot::Mutex;
use postern_broker::{
    Broker, Link, Message, Timestamp,
    topic::TopicName,
    wire::{QoS, Text},
};
use postern_bus::Bus;
use tracing::warn;

use super::{
    push::Push,
    wire::{Partner, PresenceChange, Profile},
};
use crate::clock;

/// Who is online, here and on the other nodes.
pub struct Presence {
    node: String,
    bus: Bus,
    broker: Arc<Broker>,
    push: Push,
    here: Mutex<Here>,
    known: Mutex<HashMap<String, Known>>,
    /// Held from counting a link to telling of it: two changes of one user are told in order.
    order: tokio::sync::Mutex<()>,
}

/// This node's own links.
#[derive(Default)]
struct Here {
    /// Live links of each user.
    links: HashMap<String, usize>,
    /// Links that get presence, by the organisations whose people their users may see. Links, not
    /// users: a plain link of the same user may get none of it (rule 2).
    watchers: HashMap<String, Vec<Arc<Link>>>,
}

struct Known {
    org: String,
    nodes: HashSet<String>,
    since: Timestamp,
}

impl Presence {
    /// Nobody is online yet. `node` tells this node from the others.
    pub fn new(node: String, bus: Bus, broker: Arc<Broker>, push: Push) -> Self {
        Presence {
            node,
            bus,
            broker,
            push,
            here: Mutex::default(),
            known: Mutex::default(),
            order: tokio::sync::Mutex::default(),
        }
    }

    /// A link of `profile`'s user has signed in. `counted` is set when it has been counted, so that
    /// a link which ends half-way knows whether it has to leave.
    pub async fn arrived(
        &self,
        profile: &Profile,
        partners: &[Partner],
        link: &Arc<Link>,
        counted: &AtomicBool,
    ) {
        let _order = self.order.lock().await;
        counted.store(true, Ordering::Release);
        let first = {
            let mut here = self.here.lock();
            for org in visible(profile, partners) {
                here.watchers.entry(org.to_owned()).or_default().push(link.clone());
            }
            let links = here.links.entry(profile.user.clone()).or_default();
            *links += 1;
            *links == 1
        };
        if first {
            self.tell(profile, true).await;
        }
    }

    /// A link of `profile`'s user has ended.
    pub async fn left(&self, profile: &Profile, partners: &[Partner], link: &Arc<Link>) {
        let _order = self.order.lock().await;
        let last = {
            let mut here = self.here.lock();
            for org in visible(profile, partners) {
                if let Some(watchers) = here.watchers.get_mut(org) {
                    watchers.retain(|watcher| !Arc::ptr_eq(watcher, link));
                    if watchers.is_empty() {
                        here.watchers.remove(org);
                    }
                }
            }
            count_down(&mut here.links, &profile.user)
        };
        if last {
            self.tell(profile, false).await;
        }
    }

    async fn tell(&self, profile: &Profile, online: bool) {
        let change = PresenceChange {
            node: self.node.clone(),
            user: profile.user.clone(),
            org: profile.org.clone(),
            online,
            at: clock::now().0,
        };
        let told = match serde_json::to_vec(&change) {
            Ok(body) => {
                self.bus.publish(PresenceChange::SUBJECT, Bytes::from(body)).await.map_err(|e| e.to_string())
            }
            Err(e) => Err(e.to_string()),
        };
        if let Err(e) = told {
            warn!(error = e, "presence not told to the other nodes");
            self.changed(change);
        }
    }

    /// A node told a change: push it to those here who may see it, if the user's state changed.
    pub fn changed(&self, change: PresenceChange) {
        let (at, now) = (Timestamp(change.at), clock::now());
        // Held to the end: a snapshot that is being taken must not overtake the change, or be
        // overtaken by it.
        let mut known = self.known.lock();
        if !note(&mut known, &change) {
            return;
        }
        let Some(message) = self.push.status(&change.user, change.online, at, now) else { return };
        let watchers = self.here.lock().watchers.get(&change.org).cloned().unwrap_or_default();
        for link in watchers {
            self.broker.deliver_to_link(&link, &message);
        }
        // Retained, for subscribers that are not signed-in devices.
        let retained = Arc::new(Message { retain: true, ..(*message).clone() });
        self.broker.publish(&retained, None, now);
    }

    /// Sends a link the present state of everyone online whom its user may see: the first class of
    /// the sign-in push (A11, A12).
    pub fn snapshot(&self, profile: &Profile, partners: &[Partner], link: &Link) {
        let orgs: HashSet<&str> = visible(profile, partners).collect();
        let now = clock::now();
        let known = self.known.lock();
        for (user, state) in known.iter().filter(|(_, k)| orgs.contains(k.org.as_str())) {
            if let Some(message) = self.push.status(user, true, state.since, now) {
                self.broker.deliver_to_link(link, &message);
            }
        }
    }
}

/// Notes a change; true when the user's state is another now.
fn note(known: &mut HashMap<String, Known>, change: &PresenceChange) -> bool {
    if change.online {
        let entry = known.entry(change.user.clone()).or_insert_with(|| Known {
            org: change.org.clone(),
            nodes: HashSet::new(),
            since: Timestamp(change.at),
        });
        return entry.nodes.insert(change.node.clone()) && entry.nodes.len() == 1;
    }
    let Some(entry) = known.get_mut(&change.user) else { return false };
    entry.nodes.remove(&change.node);
    let gone = entry.nodes.is_empty();
    if gone {
        known.remove(&change.user);
    }
    gone
}

/// The organisations whose people a user may see (A13).
fn visible<'a>(profile: &'a Profile, partners: &'a [Partner]) -> impl Iterator<Item = &'a str> {
    std::iter::once(profile.org.as_str()).chain(partners.iter().map(|p| p.org.as_str()))
}

/// Counts down and forgets at zero; true when it came to zero.
fn count_down(counts: &mut HashMap<String, usize>, key: &str) -> bool {
    let Some(count) = counts.get_mut(key) else { return false };
    *count -= 1;
    let zero = *count == 0;
    if zero {
        counts.remove(key);
    }
    zero
}

/// The body of a status message.
pub fn status_body(user: &str, online: bool, since: Timestamp) -> Bytes {
    let state = if online { "online" } else { "offline" };
    Bytes::from(serde_json::json!({ "user": user, "state": state, "since": since.0 }).to_string())
}

/// The message of a status, before it is classified.
pub fn status_message(user: &str, online: bool, since: Timestamp, now: Timestamp) -> Option<Message> {
    let topic = TopicName::new(Text::from(format!("status/{user}"))).ok()?;
    Some(Message::new(topic, status_body(user, online, since), QoS::AtMostOnce, now))
}
