//! What has to outlive the process, in the order in which it happened: changes of sessions that
//! persist and of retained messages.
//!
//! ```text
//! under a session's lock   record(Change) → Mark, noted by the links that must wait for it
//! the server's one writer  poll_changes → Batch → its tables → settle(mark)
//! a link                   drain → bytes and a Mark → poll_settled(mark) → the socket
//! ```
//!
//! The core knows nothing of tables: whoever takes the batches says when they are safe. Nothing is
//! recorded until somebody has said that there is such a one ([`Journal::start`]).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};

use parking_lot::{Mutex, RwLock, RwLockReadGuard};

use crate::message::Message;
use crate::router::Options;
use crate::session::SessionKey;
use crate::time::Timestamp;
use crate::topic::TopicFilter;
use crate::will::Will;
use crate::wire::{PacketId, QoS, Version};

/// A place in the journal: everything recorded up to it. The default is before everything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mark(pub(crate) u64);

/// One change, of the session with this number or of a topic's retained message.
#[derive(Clone, Debug)]
pub enum Change {
    /// A session has something to keep, or what is known of it has changed.
    Session(u64, KeptSession),
    /// Its will, which counts from the end of its link; none when it is published or dropped.
    Will(u64, Option<KeptWill>),
    /// It is over: nothing of it is needed any more.
    Ended(u64),
    /// A subscription, new or changed.
    Subscribed(u64, TopicFilter, Options),
    /// A subscription is gone.
    Unsubscribed(u64, TopicFilter),
    /// A message of QoS 1 or 2 for it.
    Queued(u64, KeptMessage),
    /// That message is on its way, or the client owns it.
    Moved(u64, u64, Stage),
    /// That message is done.
    Done(u64, u64),
    /// A QoS 2 publish of the client was taken.
    Received(u64, PacketId),
    /// The client will not repeat it.
    Forgotten(u64, PacketId),
    /// The topic's retained message; one without payload takes it away.
    Retained(Arc<Message>),
}

/// What is kept of a session.
#[derive(Clone, Debug)]
pub struct KeptSession {
    /// Whose it is.
    pub key: Arc<SessionKey>,
    /// Protocol version of its last link.
    pub version: Version,
    /// Seconds it outlives its link; `u32::MAX` for ever.
    pub expiry_secs: u32,
    /// When its link went; none while it has one.
    pub left: Option<Timestamp>,
    /// A feed brings it what is stored for its user.
    pub has_feed: bool,
}

/// What is kept of a will.
#[derive(Clone, Debug)]
pub struct KeptWill {
    /// The will.
    pub will: Will,
    /// When it is to be published; none while the session has its link.
    pub due: Option<Timestamp>,
}

/// A message that waits for its session's client.
#[derive(Clone, Debug)]
pub struct KeptMessage {
    /// Counts the session's kept messages; they go out in this order.
    pub number: u64,
    /// What it says.
    pub body: Body,
    /// The QoS to write.
    pub qos: QoS,
    /// The RETAIN flag to write.
    pub retain: bool,
    /// Subscription Identifiers to write.
    pub subscription_ids: Vec<u32>,
    /// The shared subscription whose turn it was.
    pub shared: Option<TopicFilter>,
    /// How far it has got.
    pub stage: Stage,
}

/// Where a kept message's content is.
#[derive(Clone, Debug)]
pub enum Body {
    /// Here.
    Message(Arc<Message>),
    /// In the store, under this sequence number of the user's inbox.
    Stored(u64),
}

/// How far a kept message has got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Waits to be written.
    Waiting,
    /// Written, as the session's message in flight with this serial, which gives the packet identifier.
    Sent(u64),
    /// The client owns it; the same serial waits for PUBCOMP.
    Released(u64),
}

/// Changes that belong to the past together.
#[derive(Debug)]
pub struct Batch {
    /// To be settled when all of it is safe.
    pub mark: Mark,
    /// In the order in which they happened.
    pub changes: Vec<Change>,
}

/// The journal of one broker.
#[derive(Debug, Default)]
pub(crate) struct Journal {
    started: AtomicBool,
    open: Mutex<Open>,
    settled: AtomicU64,
    waiting: Mutex<Vec<(Mark, Waker)>>,
    /// Held for reading while changes are made that must be kept together or not at all.
    together: RwLock<()>,
}

#[derive(Debug, Default)]
struct Open {
    /// Batches taken so far.
    taken: u64,
    changes: Vec<Change>,
    taker: Option<Waker>,
}

impl Journal {
    /// From now on changes are recorded: somebody takes them.
    pub(crate) fn start(&self) {
        self.started.store(true, Ordering::Release);
    }

    /// Whether changes are recorded.
    pub(crate) fn is_on(&self) -> bool {
        self.started.load(Ordering::Relaxed)
    }

    /// Notes a change. To be called under the lock that orders it.
    pub(crate) fn record(&self, change: Change) -> Mark {
        let (mark, taker) = {
            let mut open = self.open.lock();
            open.changes.push(change);
            (Mark(open.taken + 1), open.taker.take())
        };
        if let Some(taker) = taker {
            taker.wake();
        }
        mark
    }

    /// While this is held, what is recorded is taken in one batch.
    pub(crate) fn together(&self) -> RwLockReadGuard<'_, ()> {
        // A thread may hold it already: a message of one session that ends goes to another.
        self.together.read_recursive()
    }

    /// What has changed since the last batch, as soon as that is anything.
    pub(crate) fn poll_changes(&self, cx: &mut Context<'_>) -> Poll<Batch> {
        let _whole = self.together.write();
        let mut open = self.open.lock();
        if open.changes.is_empty() {
            open.taker = Some(cx.waker().clone());
            return Poll::Pending;
        }
        open.taken += 1;
        Poll::Ready(Batch { mark: Mark(open.taken), changes: std::mem::take(&mut open.changes) })
    }

    /// Everything up to `mark` is safe.
    pub(crate) fn settle(&self, mark: Mark) {
        let due: Vec<Waker> = {
            let mut waiting = self.waiting.lock();
            self.settled.fetch_max(mark.0, Ordering::AcqRel);
            waiting.extract_if(.., |(waits, _)| *waits <= mark).map(|(_, waker)| waker).collect()
        };
        due.into_iter().for_each(Waker::wake);
    }

    /// Whether everything up to `mark` is safe.
    pub(crate) fn is_settled(&self, mark: Mark) -> bool {
        mark.0 <= self.settled.load(Ordering::Acquire)
    }

    /// Wakes once when everything up to `mark` is safe; to be asked once for each mark.
    pub(crate) fn poll_settled(&self, cx: &mut Context<'_>, mark: Mark) -> Poll<()> {
        if self.is_settled(mark) {
            return Poll::Ready(());
        }
        let mut waiting = self.waiting.lock();
        // Again under the lock: `settle` may have been between.
        if self.is_settled(mark) {
            return Poll::Ready(());
        }
        waiting.push((mark, cx.waker().clone()));
        Poll::Pending
    }
}
