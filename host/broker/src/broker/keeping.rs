//! What the broker keeps over a restart: handing changes to whoever writes them down, and taking
//! back what was written.

use std::sync::Arc;
use std::task::{Context, Poll};

use super::{Broker, Core};
use crate::journal::{Batch, Change, KeptMessage, KeptSession, KeptWill, Mark};
use crate::message::Message;
use crate::router::Options;
use crate::session::Session;
use crate::time::Timestamp;
use crate::topic::TopicFilter;
use crate::wire::PacketId;

/// A session as an earlier process kept it.
#[derive(Clone, Debug)]
pub struct Restored {
    /// Its number.
    pub id: u64,
    /// What it is.
    pub session: KeptSession,
    /// Its will, if that was not published.
    pub will: Option<KeptWill>,
    /// Its subscriptions.
    pub subscriptions: Vec<(TopicFilter, Options)>,
    /// Its messages, by ascending number.
    pub messages: Vec<KeptMessage>,
    /// QoS 2 publishes of its client that were taken and not released.
    pub received: Vec<PacketId>,
}

impl Broker {
    /// Takes back what an earlier process kept, before there is any link. From now on changes are
    /// recorded, and somebody must take them: [`Broker::poll_changes`].
    ///
    /// A session whose link was alive when the process died has lost it now: its expiry and its
    /// will's delay begin at `now`.
    pub fn restore(&self, sessions: Vec<Restored>, retained: &[Arc<Message>], now: Timestamp) {
        for message in retained {
            self.core.retain(message, None);
        }
        let last = sessions.iter().map(|session| session.id).max().unwrap_or(0);
        self.core.last_id.fetch_max(last, std::sync::atomic::Ordering::Relaxed);
        self.core.journal.start();
        for restored in sessions {
            self.core.restore(restored, now);
        }
    }

    /// The next changes to write down, in the order of their marks.
    pub fn poll_changes(&self, cx: &mut Context<'_>) -> Poll<Batch> {
        self.core.journal.poll_changes(cx)
    }

    /// Everything up to `mark` is safe on disk: what waited for it may be written to clients.
    pub fn settle(&self, mark: Mark) {
        self.core.journal.settle(mark);
    }

    /// Whether everything up to `mark` is safe on disk.
    pub fn is_settled(&self, mark: Mark) -> bool {
        self.core.journal.is_settled(mark)
    }

    /// Wakes once when everything up to `mark` is safe; to be asked once for each mark.
    pub fn poll_settled(&self, cx: &mut Context<'_>, mark: Mark) -> Poll<()> {
        self.core.journal.poll_settled(cx, mark)
    }

    /// While this is held, all that changes is written down in one piece: a QoS 2 publish is queued
    /// for its subscribers and known as taken, or neither.
    pub fn together(&self) -> impl Drop + '_ {
        self.core.journal.together()
    }
}

impl Core {
    pub(super) fn keep_retained(&self, message: &Arc<Message>) -> Mark {
        // What the server says of itself it says anew.
        if !self.journal.is_on() || message.topic.as_str().starts_with("$SYS/") {
            return Mark::default();
        }
        self.journal.record(Change::Retained(Arc::clone(message)))
    }

    fn restore(&self, restored: Restored, now: Timestamp) {
        let session = Arc::new(Session::new(Arc::clone(&restored.session.key), restored.id));
        let subscriptions = restored.subscriptions.clone();
        self.registry.write().insert(&session);
        for (filter, options) in &subscriptions {
            self.router.write().subscribe(&session, filter, *options, || self.next_id());
        }
        self.stats.sessions.add(1);
        self.stats.subscriptions.add(subscriptions.len() as u64);
        let mut flow = session.flow.lock();
        session.restore(self, &mut flow, restored, now);
        let deadline = flow.next_deadline();
        self.timers.lock().set(&session, &mut flow.timer, deadline);
    }
}
