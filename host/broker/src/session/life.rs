//! How links and sessions come and go: CONNECT, takeover, close, end.
//!
//! All of it happens under the registry's lock, so that two links of one client cannot both think
//! they have the session. Leaving the router and handing messages on come after that lock.

use std::sync::Arc;
use std::task::Waker;

use super::mailbox::{Mailbox, Wakes};
use super::{Flow, KeptWill, Link, Session, SessionKey};
use crate::alias;
use crate::broker::Core;
use crate::feed::Cursor;
use crate::limits::Limits;
use crate::queue::{Queued, Via};
use crate::time::Timestamp;
use crate::topic::TopicFilter;
use crate::will::{DueWill, Will};
use crate::wire::{QoS, ReasonCode, Version};

/// A CONNECT that the server accepts.
#[derive(Clone, Debug)]
pub struct Open {
    /// Whose session; in bytes of its own, as [`SessionKey::new`] makes it: the session keeps it.
    pub key: Arc<SessionKey>,
    /// Protocol version.
    pub version: Version,
    /// Clean Start (5), Clean Session (3.x).
    pub clean_start: bool,
    /// Seconds the session outlives the link, `u32::MAX` for ever; 0 for Clean Session of 3.x. Cut
    /// down to the limit.
    pub session_expiry_secs: u32,
    /// The client's Receive Maximum; 65,535 when it named none.
    pub receive_maximum: u16,
    /// The client's Maximum Packet Size in bytes; `u32::MAX` when it named none.
    pub max_packet_size: u32,
    /// The client's Topic Alias Maximum; 0 when it named none.
    pub topic_alias_maximum: u16,
    /// Request Problem Information; true when absent.
    pub problem_information: bool,
    /// The will.
    pub will: Option<Will>,
}

impl Open {
    /// A new session that ends with its link, without limits of the client's.
    pub fn new(key: impl Into<Arc<SessionKey>>, version: Version) -> Self {
        Open {
            key: key.into(),
            version,
            clean_start: true,
            session_expiry_secs: 0,
            receive_maximum: u16::MAX,
            max_packet_size: u32::MAX,
            topic_alias_maximum: 0,
            problem_information: true,
            will: None,
        }
    }
}

/// What came of it.
#[derive(Debug)]
pub struct Opened {
    /// The handle of the new link.
    pub link: Link,
    /// Session Present [MQTT-3.2.2-2, 3.2.2-3].
    pub session_present: bool,
    /// The session expiry in force, in seconds, to be told when it is not what was asked for.
    pub session_expiry_secs: u32,
    /// A will of the former link that is due now.
    pub will: Option<DueWill>,
    /// Where the feed of a session that ended here stood, if that was not taken yet.
    pub cursor: Option<Cursor>,
}

/// How a link ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Close {
    /// DISCONNECT with reason 0x00: the will is dropped [MQTT-3.14.4-3].
    Normal {
        /// Session Expiry Interval in seconds, if the packet names one; it cannot raise it from 0.
        session_expiry_secs: Option<u32>,
    },
    /// DISCONNECT with another reason.
    WithWill {
        /// As above.
        session_expiry_secs: Option<u32>,
    },
    /// Without DISCONNECT: lost, timed out, closed by the server.
    Lost,
}

/// A session that has just ended: what is left to do outside the registry's lock.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) session: Arc<Session>,
    pub(crate) filters: Vec<TopicFilter>,
    /// Messages of shared subscriptions for other members.
    pub(crate) orphans: Vec<Queued>,
    pub(crate) cursor: Option<Cursor>,
    /// The journal knows it.
    pub(crate) kept: bool,
}

impl Link {
    /// Ends the link. To be called once, when all publishes that it had begun are finished; those
    /// that are not count as not received. Returns the will if it is due now; a delayed one comes
    /// from `Broker::tick`.
    pub fn close(&self, how: Close, now: Timestamp) -> Option<DueWill> {
        self.core.close(&self.session, self.number, how, now)
    }
}

impl Session {
    /// Attaches a new link; the session must have none.
    pub(crate) fn attach(
        self: &Arc<Self>,
        core: &Arc<Core>,
        flow: &mut Flow,
        open: Open,
        now: Timestamp,
    ) -> Link {
        let limits = &core.limits;
        flow.last_link = flow.last_link.wrapping_add(1).max(1);
        flow.link = flow.last_link;
        flow.version = open.version;
        flow.window = open.receive_maximum.min(limits.inflight).max(1);
        flow.quota = flow.window;
        flow.blocked = false;
        flow.feeding = false;
        flow.inflight.begin_link();
        flow.aliases_in = None;
        let aliases = open.topic_alias_maximum.min(limits.topic_aliases_out);
        flow.aliases_out = (aliases > 0).then(|| Box::new(alias::Outbound::new(aliases)));
        flow.will = open.will.map(|will| Box::new(KeptWill { will, due: None }));
        flow.expiry_secs = expiry(open.session_expiry_secs, limits);
        flow.since = now;
        {
            let mut mailbox = self.mailbox.lock();
            mailbox.link = flow.link;
            mailbox.version = Some(open.version);
            mailbox.more = flow.inflight.len() > 0;
            mailbox.receipts.begin_link();
            mailbox.leaving = core.leaving();
            mailbox.more |= mailbox.leaving.is_some();
            mailbox.note_pace(limits);
            self.keep_from_link(core, flow, &mut mailbox);
        }
        self.set_online(true);
        Link {
            core: Arc::clone(core),
            session: Arc::clone(self),
            number: flow.link,
            version: open.version,
            problem_information: open.problem_information,
            max_packet_size: open.max_packet_size,
        }
    }

    /// Takes the link away. Stored messages are let go, the store has them; messages of QoS 0 are
    /// lost.
    pub(crate) fn detach(&self, core: &Core, flow: &mut Flow, now: Timestamp, wakes: &mut Wakes) {
        self.set_online(false);
        flow.link = 0;
        flow.since = now;
        flow.aliases_in = None;
        flow.aliases_out = None;
        let mut mailbox = self.mailbox.lock();
        mailbox.wake(wakes);
        flow.suspend_feed(&mut mailbox);
        mailbox.queue.put_back(std::mem::take(&mut flow.taken));
        // What was for this link alone is for no other: it may be a plain one.
        flow.inflight.take_unowned(|item| matches!(item.via, Via::Push));
        let lasts = |item: &Queued| item.qos != QoS::AtMostOnce && !matches!(item.via, Via::Push);
        let lost = mailbox.queue.split_off(lasts);
        core.stats.dropped_offline.add(lost.len() as u64);
        mailbox.link = 0;
        mailbox.closing = None;
        mailbox.leaving = None;
        mailbox.blocked = false;
        mailbox.more = false;
        mailbox.kept_up = false;
        mailbox.control = bytes::BytesMut::new();
        mailbox.queue.rest();
        flow.inflight.rest();
    }

    /// Ends a session that has no link any more.
    pub(crate) fn end(self: &Arc<Self>, flow: &mut Flow) -> Ended {
        flow.ended = true;
        flow.will = None;
        let mut mailbox = self.mailbox.lock();
        mailbox.ended = true;
        mailbox.receipts = super::inbound::Receipts::default();
        // [MQTT-4.8.2-5]: what was on its way in QoS 2 goes to nobody else.
        let mut orphans = flow
            .inflight
            .take_unowned(|item| matches!(item.via, Via::Shared(..)) && item.qos == QoS::AtLeastOnce);
        orphans.extend(mailbox.queue.split_off(|item| !matches!(item.via, Via::Shared(..))));
        mailbox.queue = Default::default();
        mailbox.gate = None;
        Ended {
            session: Arc::clone(self),
            filters: std::mem::take(&mut flow.subscriptions).into_keys().collect(),
            orphans,
            cursor: flow.tracker.take().and_then(|mut tracker| tracker.take_changed()),
            kept: Session::stop_keeping(&mut mailbox),
        }
    }

    pub(crate) fn due(&self, will: Will) -> DueWill {
        DueWill { key: Arc::clone(&self.key), will }
    }
}

impl Flow {
    /// When a session without link ends; None for never.
    pub(crate) fn ends_at(&self) -> Option<Timestamp> {
        (self.expiry_secs != u32::MAX).then(|| self.since.plus_secs(self.expiry_secs))
    }

    /// When something is to be done for a session without link.
    pub(crate) fn next_deadline(&self) -> Option<Timestamp> {
        let will = self.will.as_ref().and_then(|kept| kept.due);
        will.into_iter().chain(self.ends_at()).min()
    }

    /// The will, if it is due: its delay is over, or the session ends [MQTT-3.1.3-9].
    pub(crate) fn take_due_will(&mut self, now: Timestamp, ending: bool) -> Option<Will> {
        self.will.take_if(|kept| ending || kept.due.is_some_and(|at| at <= now)).map(|kept| kept.will)
    }

    /// The link is gone without a normal DISCONNECT: the will's delay starts.
    pub(crate) fn start_will(&mut self, now: Timestamp) {
        if let Some(kept) = &mut self.will {
            kept.due = Some(now.plus_secs(kept.will.delay_secs));
        }
    }

    pub(crate) fn drop_will(&mut self) {
        self.will = None;
    }

    /// A DISCONNECT names another expiry. It cannot raise it from 0 [MQTT-3.1.2-23 and section
    /// 3.14.2.2.2].
    pub(crate) fn change_expiry(&mut self, secs: Option<u32>, limits: &Limits) {
        if let Some(secs) = secs
            && self.expiry_secs != 0
        {
            self.expiry_secs = expiry(secs, limits);
        }
    }
}

impl Mailbox {
    /// A link that is gone will finish no publish any more.
    pub(crate) fn abandon(&mut self, link: u32, wakes: &mut Wakes) {
        if self.receipts.abandon(link, self.link) {
            // Its successor told the client nothing yet: a new link sends it again.
            self.close(ReasonCode::UnspecifiedError, wakes);
        }
    }
}

/// The session expiry in force.
fn expiry(asked: u32, limits: &Limits) -> u32 {
    asked.min(limits.session_expiry_secs)
}

/// Wakes links when no lock is held.
pub(crate) fn wake_all(wakes: Wakes) {
    wakes.wakers.into_iter().for_each(Waker::wake);
}
