//! Copies of live calls of the pure roles, for those who record them or try a candidate on them. They cost
//! a look at a flag while nobody watches, and are dropped rather than waited for. Whoever watches looks by himself
//! whether there are any: to wake him would cost a served call more than the copy does.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use parking_lot::Mutex;

use crate::roles::classify::{ClassifyError, Facts, Origin, SenderFacts, Verdict};
use crate::roles::encrypt::{self, Decision, EncryptError};
use crate::roles::types::{Relation, Transport};

/// Calls that wait to be looked at, for each who watches.
const WAITING: usize = 1_024;
/// How often one who watches looks; what comes meanwhile has room at 100,000 calls a second.
const LOOK: Duration = Duration::from_millis(5);
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
    /// Calls that wait to be looked at.
    waiting: AtomicUsize,
    to: SyncSender<Observed>,
}

/// What one who watches holds; dropped, it watches no more.
pub struct Watching {
    watch: Arc<Watch>,
    tap: Arc<Tap>,
    calls: Receiver<Observed>,
}

impl Watch {
    /// Begins to copy one call in `every`.
    pub fn begin(self: &Arc<Self>, every: u64) -> Watching {
        let (to, calls) = sync_channel(WAITING);
        let (seen, dropped, waiting) = Default::default();
        let tap = Arc::new(Tap { every: every.max(1), seen, dropped, waiting, to });
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
            // Nothing is copied that has no room.
            if bytes > LARGEST || tap.waiting.load(Ordering::Relaxed) >= WAITING {
                tap.dropped.fetch_add(1, Ordering::Relaxed);
                continue;
            }
            tap.waiting.fetch_add(1, Ordering::Relaxed);
            if tap.to.try_send(Observed { call: call(), took }).is_err() {
                tap.waiting.fetch_sub(1, Ordering::Relaxed);
                tap.dropped.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

impl Watching {
    /// The next call; None when none comes until then. Blocks the calling thread.
    pub fn next(&self, until: Instant) -> Option<Observed> {
        loop {
            if let Ok(observed) = self.calls.try_recv() {
                self.tap.waiting.fetch_sub(1, Ordering::Relaxed);
                return Some(observed);
            }
            let left = until.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())?;
            thread::sleep(left.min(LOOK));
        }
    }

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

#[cfg(test)]
mod tests {
    use super::*;

    fn message(topic: &str) -> Call {
        let message = Message {
            topic: topic.to_owned(),
            payload: Vec::new(),
            qos: 1,
            retain: false,
            origin: Origin::Client,
            transport: Transport::Tls,
            sender: None,
            relation: Relation::Internal,
            now: 1,
        };
        Call::Classify(Box::new(message), Err(ClassifyError::Refused(String::new())))
    }

    fn answer(watch: &Watch, topic: &str) {
        watch.answered(Instant::now(), 0, || message(topic));
    }

    #[test]
    fn what_has_no_room_is_dropped_and_not_even_copied() {
        let watch = Arc::new(Watch::default());
        let watching = watch.begin(1);
        (0..WAITING).for_each(|n| answer(&watch, &n.to_string()));
        watch.answered(Instant::now(), 0, || panic!("it is copied and has no room"));
        watch.answered(Instant::now(), LARGEST + 1, || panic!("it is copied and too large"));
        assert_eq!(watching.dropped(), 2);

        let now = Instant::now();
        for n in 0..WAITING {
            let Some(Call::Classify(message, _)) = watching.next(now).map(|it| it.call) else {
                panic!("{n}")
            };
            assert_eq!(message.topic, n.to_string());
        }
        assert!(watching.next(now).is_none());
        answer(&watch, "again");
        assert!(watching.next(now).is_some() && watching.dropped() == 2, "what was taken has made room");
    }

    #[test]
    fn nothing_is_copied_for_nobody() {
        let watch = Arc::new(Watch::default());
        assert!(watch.began().is_none());
        let watching = watch.begin(2);
        assert!(watch.began().is_some());
        (0..4).for_each(|n| answer(&watch, &n.to_string()));
        assert_eq!(std::iter::from_fn(|| watching.next(Instant::now())).count(), 2, "one in two");
        drop(watching);
        assert!(watch.began().is_none());
    }
}
