//! Copies of live calls of the pure roles, for those who record them or try a candidate on them. They cost
//! a look at a flag while nobody watches, and are dropped rather than waited for.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use parking_lot::Mutex;

use crate::roles::classify::{ClassifyError, Facts, Origin, SenderFacts, Verdict};
use crate::roles::encrypt::{self, Decision, EncryptError};
use crate::roles::types::{Relation, Transport};

/// Calls that wait to be looked at, for each who watches.
const WAITING: usize = 1_024;
/// Bytes of a body that is copied: what waits is bounded by both together.
const LARGEST: usize = 16 << 10;

/// One call and its answer, copied.
#[derive(Clone, Debug)]
pub struct Observed {
    /// What was asked and answered.
    pub call: Call,
    /// How long it took.
    pub took: Duration,
}

/// What was asked and answered.
#[derive(Clone, Debug)]
#[allow(missing_docs)] // a function's name
pub enum Call {
    Classify(Box<Message>, Result<Verdict, ClassifyError>),
    Decide(encrypt::Facts, Result<Decision, EncryptError>),
    IdlePeriod(encrypt::History, Result<u32, EncryptError>),
}

/// The facts of a message, copied.
#[derive(Clone, Debug)]
#[allow(missing_docs)] // as in `Facts`
pub struct Message {
    pub topic: String,
    pub payload: Vec<u8>,
    pub qos: u8,
    pub retain: bool,
    pub origin: Origin,
    pub transport: Transport,
    pub sender: Option<Arc<SenderFacts>>,
    pub relation: Relation,
    pub now: u64,
}

impl Message {
    pub(crate) fn of(facts: &Facts<'_>) -> Box<Self> {
        Box::new(Message {
            topic: facts.topic.to_owned(),
            payload: facts.payload.to_vec(),
            qos: facts.qos,
            retain: facts.retain,
            origin: facts.origin,
            transport: facts.transport,
            sender: facts.sender.cloned(),
            relation: facts.relation,
            now: facts.now,
        })
    }

    /// To ask again.
    pub fn facts(&self) -> Facts<'_> {
        Facts {
            topic: &self.topic,
            payload: &self.payload,
            qos: self.qos,
            retain: self.retain,
            origin: self.origin,
            transport: self.transport,
            sender: self.sender.as_ref(),
            relation: self.relation,
            now: self.now,
        }
    }
}

/// Who watches one role.
#[derive(Default)]
pub struct Watch {
    /// Looked at by each call.
    on: AtomicBool,
    taps: ArcSwap<Vec<Arc<Tap>>>,
    /// Held while somebody begins or ends.
    change: Mutex<()>,
}

/// One who watches.
struct Tap {
    /// One call in so many.
    every: u64,
    seen: AtomicU64,
    dropped: AtomicU64,
    to: SyncSender<Observed>,
}

/// What one who watches holds; dropped, it watches no more.
pub struct Watching {
    watch: Arc<Watch>,
    tap: Arc<Tap>,
    /// The calls.
    pub calls: Receiver<Observed>,
}

impl Watch {
    /// Begins to copy one call in `every`.
    pub fn begin(self: &Arc<Self>, every: u64) -> Watching {
        let (to, calls) = sync_channel(WAITING);
        let tap = Tap { every: every.max(1), seen: AtomicU64::new(0), dropped: AtomicU64::new(0), to };
        let tap = Arc::new(tap);
        let _change = self.change.lock();
        self.taps.rcu(|taps| [&taps[..], std::slice::from_ref(&tap)].concat());
        self.on.store(true, Ordering::Release);
        Watching { watch: self.clone(), tap, calls }
    }

    /// When a call begins: now, if anybody watches.
    #[inline]
    pub(crate) fn began(&self) -> Option<Instant> {
        self.on.load(Ordering::Relaxed).then(Instant::now)
    }

    /// A call about so many bytes that began then has been answered.
    #[cold]
    pub(crate) fn answered(&self, began: Instant, bytes: usize, call: impl Fn() -> Call) {
        let took = began.elapsed();
        for tap in self.taps.load().iter() {
            if !tap.seen.fetch_add(1, Ordering::Relaxed).is_multiple_of(tap.every) {
                continue;
            }
            if bytes > LARGEST {
                tap.dropped.fetch_add(1, Ordering::Relaxed);
                continue;
            }
            if let Err(TrySendError::Full(_)) = tap.to.try_send(Observed { call: call(), took }) {
                tap.dropped.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

impl Watching {
    /// Calls that were dropped because they would have had to wait, or are too large to be copied.
    pub fn dropped(&self) -> u64 {
        self.tap.dropped.load(Ordering::Relaxed)
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        let others = |taps: &Arc<Vec<Arc<Tap>>>| -> Vec<_> {
            taps.iter().filter(|tap| !Arc::ptr_eq(tap, &self.tap)).cloned().collect()
        };
        let _change = self.watch.change.lock();
        self.watch.taps.rcu(others);
        self.watch.on.store(!self.watch.taps.load().is_empty(), Ordering::Release);
    }
}
