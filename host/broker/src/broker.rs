//! The broker: what the server calls. It is shared by all tasks and has no task of its own.
//!
//! Locks, in the order in which they may be taken: registry → a session's flow → router or
//! retained → a shared group → a session's mailbox. Publishing takes the router's (read), groups'
//! and mailboxes' only.

mod keeping;
mod life;
mod registry;
mod timers;

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};

use parking_lot::{Mutex, RwLock};

pub use keeping::Restored;
pub use registry::SessionInfo;

use crate::journal::{Journal, Mark};
use crate::limits::Limits;
use crate::message::Message;
use crate::queue::{Queued, Via};
use crate::retained::Retained;
use crate::router::{Route, Router};
use crate::session::{Link, Open, Opened, Session, SessionKey, Wakes, wake_all};
use crate::stats::Stats;
use crate::time::Timestamp;
use crate::topic::TopicFilter;
use crate::will::DueWill;
use crate::wire::{QoS, ReasonCode, Text};
use registry::Registry;
use timers::Timers;

/// The MQTT core: sessions, subscriptions, retained messages. Cheap to clone, all clones are one.
#[derive(Clone, Debug)]
pub struct Broker {
    core: Arc<Core>,
}

/// What all links share.
#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) limits: Limits,
    pub(crate) stats: Stats,
    registry: RwLock<Registry>,
    pub(crate) router: RwLock<Router>,
    pub(crate) retained: RwLock<Retained>,
    timers: Mutex<Timers>,
    pub(crate) journal: Journal,
    /// Why links are to leave, those that come included.
    leaving: OnceLock<ReasonCode>,
    last_id: AtomicU64,
}

impl Broker {
    /// A broker without sessions.
    pub fn new(limits: Limits) -> Self {
        Broker {
            core: Arc::new(Core {
                limits,
                stats: Stats::default(),
                registry: RwLock::default(),
                router: RwLock::default(),
                retained: RwLock::default(),
                timers: Mutex::default(),
                journal: Journal::default(),
                leaving: OnceLock::new(),
                last_id: AtomicU64::new(0),
            }),
        }
    }

    /// The limits it keeps.
    pub fn limits(&self) -> &Limits {
        &self.core.limits
    }

    /// What it has done so far.
    pub fn stats(&self) -> &Stats {
        &self.core.stats
    }

    /// A link has read so much; for the counters.
    pub fn note_read(&self, packets: usize, octets: usize) {
        self.core.stats.packets_in.add(packets as u64);
        self.core.stats.octets_in.add(octets as u64);
    }

    /// A link has written so much; for the counters.
    pub fn note_written(&self, octets: usize) {
        self.core.stats.octets_out.add(octets as u64);
    }

    /// A CONNECT is accepted: a new session, or the one of this key resumed [MQTT-3.1.2-4,
    /// 3.1.2-5]. A former link of it is displaced and told 0x8E [MQTT-3.1.4-3].
    pub fn open(&self, open: Open, now: Timestamp) -> Opened {
        self.core.open(open, now)
    }

    /// Publishes a message: retains it if it says so, and queues it for every session with a
    /// filter that matches. Runs on the publisher's task. Returns how many sessions and shared
    /// groups matched.
    pub fn publish(&self, message: &Arc<Message>, from: Option<&Link>, now: Timestamp) -> usize {
        self.publish_stored(message, &[], from, now)
    }

    /// Publishes a message that was stored for `recipients`, sorted users each with the message's
    /// sequence number in their inbox: their devices get it by their feeds, and, so that they do not
    /// get it twice, not by a subscription too; all others by what they subscribed to.
    pub fn publish_stored(
        &self,
        message: &Arc<Message>,
        recipients: &[(Text, u64)],
        from: Option<&Link>,
        now: Timestamp,
    ) -> usize {
        let core = &*self.core;
        core.stats.messages_in.add(1);
        core.stats.bytes_in.add(message.bytes() as u64);
        for (user, seq) in recipients {
            self.deliver_stored(user, *seq, message, from.map(|link| &**link.key()), now);
        }
        let mut wakes = Wakes::new();
        if message.retain {
            wakes.recorded(core.retain(message, from.map(|link| Arc::clone(link.key()))));
        }
        let route = Route { core, message, from: from.map(Link::session_id), fed: recipients };
        let matched = core.router.read().publish(&route, &mut wakes);
        if message.qos != QoS::AtMostOnce
            && let Some(link) = from
        {
            link.wait_for(wakes.mark); // before its acknowledgement
        }
        wake_all(wakes);
        core.stats.unrouted.add(u64::from(matched == 0 && recipients.is_empty()));
        matched
    }

    /// A message was stored as number `seq` of this user's inbox: to the devices of the user that
    /// have a feed. `origin` is the device that sent it: it does not get it back (A14).
    pub fn deliver_stored(
        &self,
        user: &str,
        seq: u64,
        message: &Arc<Message>,
        origin: Option<&SessionKey>,
        _now: Timestamp,
    ) {
        let core = &*self.core;
        let mut wakes = Wakes::new();
        for session in core.registry.read().of_owner(user) {
            let own = origin == Some(&*session.key);
            session.offer_stored(core, seq, message, own, &mut wakes);
        }
        wake_all(wakes);
    }

    /// Queues a message for the devices of this user that are online, whatever they subscribed to
    /// (presence, the control unit's pushes). Returns how many those are.
    pub fn deliver_to_user(&self, user: &str, message: &Arc<Message>, _now: Timestamp) -> usize {
        let core = &*self.core;
        core.stats.messages_in.add(1);
        let mut wakes = Wakes::new();
        let mut online = 0;
        for session in core.registry.read().of_owner(user) {
            if session.online.load(Relaxed) {
                online += 1;
                session.offer(core, push(message), &mut wakes);
            }
        }
        wake_all(wakes);
        online
    }

    /// Queues a message for one link, whatever it subscribed to. It never reaches another link of the
    /// session: what this one has not written, or not had acknowledged, when it ends is dropped. What may
    /// go out on TLS only is safe with it. False when the link has ended or the session no room.
    pub fn deliver_to_link(&self, link: &Link, message: &Arc<Message>) -> bool {
        let mut wakes = Wakes::new();
        let taken = link.session().offer_to(&self.core, link.number(), push(message), &mut wakes);
        wake_all(wakes);
        taken
    }

    /// The retained messages that match `filter`, in no order.
    pub fn retained(&self, filter: &TopicFilter, now: Timestamp) -> Vec<Arc<Message>> {
        let mut found = Vec::new();
        let retained = self.core.retained.read();
        retained.for_each(filter.matched(), now, |kept| found.push(Arc::clone(&kept.message)));
        found
    }

    /// How many messages are retained.
    pub fn retained_count(&self) -> usize {
        self.core.retained.read().len()
    }

    /// Does what time has made due: sessions that expired, retained messages that expired. Returns
    /// the wills that are to be published now.
    pub fn tick(&self, now: Timestamp) -> Vec<DueWill> {
        self.core.tick(now)
    }

    /// When `tick` has something to do next.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        let timer = self.core.timers.lock().next();
        timer.into_iter().chain(self.core.retained.read().next_expiry()).min()
    }

    /// All sessions.
    pub fn sessions(&self) -> Vec<SessionInfo> {
        self.core.registry.read().all().map(|session| SessionInfo::of(session)).collect()
    }

    /// One session.
    pub fn session(&self, key: &SessionKey) -> Option<SessionInfo> {
        self.core.registry.read().find(key).map(|session| SessionInfo::of(session))
    }

    /// Ends the link of a session, whose next `drain` says `closing` with this reason. False when
    /// it has none.
    pub fn disconnect(&self, key: &SessionKey, reason: ReasonCode) -> bool {
        let session = self.core.registry.read().find(key).cloned();
        session.is_some_and(|session| close_link(&session, reason))
    }

    /// The same for all devices of a user; how many were online.
    pub fn disconnect_user(&self, user: &str, reason: ReasonCode) -> usize {
        let sessions = self.core.registry.read().of_owner(user).to_vec();
        sessions.iter().filter(|session| close_link(session, reason)).count()
    }

    /// Has all links leave, those that come later included, for instance at shutdown (0x8B): each begins no
    /// message any more, and its `drain` says `closing` when what is in flight is acknowledged. How many there were.
    pub fn drain_all(&self, reason: ReasonCode) -> usize {
        let reason = *self.core.leaving.get_or_init(|| reason);
        let sessions: Vec<_> = self.core.registry.read().all().cloned().collect();
        let leave = |session: &&Arc<Session>| {
            let mut wakes = Wakes::new();
            let leaves = session.mailbox.lock().leave(reason, &mut wakes);
            wake_all(wakes);
            leaves
        };
        sessions.iter().filter(leave).count()
    }

    /// Whether [`Broker::drain_all`] was called.
    pub fn is_draining(&self) -> bool {
        self.core.leaving.get().is_some()
    }

    /// Ends all links now, whatever is in flight; how many there were.
    pub fn disconnect_all(&self, reason: ReasonCode) -> usize {
        let sessions: Vec<_> = self.core.registry.read().all().cloned().collect();
        sessions.iter().filter(|session| close_link(session, reason)).count()
    }
}

impl Core {
    /// Why links are to leave, if they are.
    pub(crate) fn leaving(&self) -> Option<ReasonCode> {
        self.leaving.get().copied()
    }

    pub(crate) fn next_id(&self) -> u64 {
        self.last_id.fetch_add(1, Relaxed) + 1
    }

    fn retain(&self, message: &Arc<Message>, publisher: Option<Arc<SessionKey>>) -> Mark {
        let mut retained = self.retained.write();
        let before = retained.len();
        let kept = retained.set(message, publisher, &self.limits);
        self.stats.retained.change(before, retained.len());
        if !kept {
            self.stats.dropped_retained.add(1);
            return Mark::default();
        }
        self.keep_retained(message)
    }

    /// Gives messages of shared subscriptions that their member did not acknowledge to other
    /// members [MQTT-4.8.2-4 leaves it to the server].
    pub(crate) fn hand_on(&self, orphans: Vec<Queued>, wakes: &mut Wakes) {
        for orphan in orphans {
            if let Via::Shared(group, _) = &orphan.via {
                group.deliver(self, &orphan.message, wakes);
            }
        }
    }
}

/// A message from the server itself.
fn push(message: &Arc<Message>) -> Queued {
    Queued::new(message, Via::Push, message.qos, message.retain)
}

fn close_link(session: &Session, reason: ReasonCode) -> bool {
    let mut wakes = Wakes::new();
    let closing = session.mailbox.lock().close(reason, &mut wakes);
    wake_all(wakes);
    closing
}
