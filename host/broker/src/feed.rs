//! The feed: a user's stored messages to one device, in order, none skipped and none doubled
//! (A10, A14; 2-architecture.md, decision 7).
//!
//! A stored message has a sequence number per recipient. Two parts watch over it: the [`Gate`]
//! stands where publishers come in and lets a live message pass only if it is exactly the next one;
//! else the device pulls pages from the store until it is level again. The [`Tracker`] stands at the
//! link and knows which messages are done, which makes the [`Cursor`] that the server keeps.

use std::collections::VecDeque;

use crate::wire::QoS;

/// How far a device has got: all of `seq <= watermark` are done, and those in `above`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cursor {
    /// Everything up to here is done.
    pub watermark: u64,
    /// Done beyond it, ascending.
    pub above: Vec<u64>,
}

/// The publishers' side of a feed: where the queue stands.
#[derive(Debug)]
pub(crate) struct Gate {
    /// The first sequence number that is neither queued nor passed.
    next: u64,
    /// The greatest one that a live delivery has named.
    known: u64,
    mode: Mode,
    /// Messages queued and not yet written, for the limits.
    pub(crate) queued: usize,
    /// Their bytes.
    pub(crate) queued_bytes: usize,
    /// Granted QoS.
    pub(crate) qos: QoS,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// No link, or one that has not started its feed.
    Stopped,
    /// Level with the store: the next live message passes.
    Live,
    /// Behind: pages are needed.
    Behind,
    /// A page has been asked for; `known` was this then.
    Asked(u64),
}

/// What the gate says to a live message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pass {
    /// Queue it.
    Queue,
    /// Not now, or not again.
    Ignore,
    /// Not now, and the link must pull pages: wake it.
    FallBehind,
}

impl Gate {
    pub(crate) fn new(watermark: u64) -> Self {
        Gate {
            next: watermark.saturating_add(1),
            known: 0,
            mode: Mode::Stopped,
            queued: 0,
            queued_bytes: 0,
            qos: QoS::AtMostOnce,
        }
    }

    /// A link starts: what is in the store comes first.
    pub(crate) fn start(&mut self, qos: QoS) {
        self.qos = qos;
        if self.mode == Mode::Stopped {
            self.mode = Mode::Behind;
        }
    }

    /// The link is gone; what was not done comes again from `watermark` on.
    pub(crate) fn stop(&mut self, watermark: u64) {
        *self = Gate { known: self.known, ..Gate::new(watermark) };
    }

    pub(crate) fn is_started(&self) -> bool {
        self.mode != Mode::Stopped
    }

    /// A live message. `room` says whether the queue may take it.
    pub(crate) fn live(&mut self, seq: u64, room: bool) -> Pass {
        self.known = self.known.max(seq);
        match self.mode {
            Mode::Live if seq < self.next => Pass::Ignore,
            Mode::Live if seq == self.next && room => {
                self.next = seq.saturating_add(1);
                Pass::Queue
            }
            Mode::Live => {
                self.mode = Mode::Behind;
                Pass::FallBehind
            }
            Mode::Stopped | Mode::Behind | Mode::Asked(_) => Pass::Ignore,
        }
    }

    /// After which sequence number a page is needed, if one is and none has been asked for.
    pub(crate) fn wants(&self) -> Option<u64> {
        (self.mode == Mode::Behind).then_some(self.next - 1)
    }

    /// A page is on its way.
    pub(crate) fn asked(&mut self) {
        self.mode = Mode::Asked(self.known);
    }

    pub(crate) fn is_asked(&self) -> bool {
        matches!(self.mode, Mode::Asked(_))
    }

    /// A message of the page: false when it is queued or passed already.
    pub(crate) fn page_item(&mut self, seq: u64) -> bool {
        let fresh = seq >= self.next;
        if fresh {
            self.next = seq.saturating_add(1);
        }
        fresh
    }

    /// The page is through. At the end of the inbox, everything that was known when the page was
    /// asked for, by live deliveries or because the device has had it (`had`), and is not in it is
    /// gone from the store. Returns the greatest sequence number that is queued or passed.
    pub(crate) fn page_end(&mut self, end: bool, had: u64) -> u64 {
        if let Mode::Asked(known_then) = self.mode {
            self.mode = Mode::Behind;
            if end {
                self.next = self.next.max(known_then.max(had).saturating_add(1));
                if self.known < self.next {
                    self.mode = Mode::Live;
                }
            }
        }
        self.next - 1
    }

    /// The page did not come: it may be asked for again.
    pub(crate) fn page_failed(&mut self) {
        if self.is_asked() {
            self.mode = Mode::Behind;
        }
    }

    pub(crate) fn add(&mut self, bytes: usize) {
        self.queued += 1;
        self.queued_bytes += bytes;
    }

    pub(crate) fn take(&mut self, messages: usize, bytes: usize) {
        self.queued = self.queued.saturating_sub(messages);
        self.queued_bytes = self.queued_bytes.saturating_sub(bytes);
    }
}

/// The link's side of a feed: what is done.
#[derive(Debug, Default)]
pub(crate) struct Tracker {
    watermark: u64,
    /// Done on an earlier link, beyond the watermark; ascending.
    above: VecDeque<u64>,
    /// Those on their way, ascending, each with whether it is done.
    slots: VecDeque<(u64, bool)>,
    /// The greatest one on its way or passed: what is missing up to here is gone from the store.
    horizon: u64,
    changed: bool,
}

impl Tracker {
    pub(crate) fn new(cursor: Cursor) -> Self {
        let mut above = cursor.above;
        above.sort_unstable();
        above.dedup();
        above.retain(|seq| *seq > cursor.watermark);
        Tracker {
            watermark: cursor.watermark,
            horizon: cursor.watermark,
            above: above.into(),
            ..Tracker::default()
        }
    }

    pub(crate) fn watermark(&self) -> u64 {
        self.watermark
    }

    /// Messages on their way, with those that are done behind them.
    pub(crate) fn unsettled(&self) -> usize {
        self.slots.len()
    }

    /// The greatest one that an earlier link has done, beyond the watermark; else 0.
    pub(crate) fn greatest_above(&self) -> u64 {
        self.above.back().copied().unwrap_or_default()
    }

    /// Whether an earlier link has done it.
    pub(crate) fn is_done(&self, seq: u64) -> bool {
        seq <= self.watermark || self.above.binary_search(&seq).is_ok()
    }

    /// A message is on its way. They come in ascending order; one that is known already is not
    /// taken twice.
    pub(crate) fn on_its_way(&mut self, seq: u64) {
        if seq > self.horizon {
            self.slots.push_back((seq, false));
            self.horizon = seq;
        }
    }

    /// A message is done.
    pub(crate) fn done(&mut self, seq: u64) {
        let found = self.slots.binary_search_by_key(&seq, |slot| slot.0);
        if let Ok(index) = found
            && let Some(slot) = self.slots.get_mut(index)
        {
            self.changed |= !slot.1;
            slot.1 = true;
            self.settle();
        } else if seq > self.watermark
            && let Err(index) = self.above.binary_search(&seq)
        {
            // Acknowledged after the feed was stopped.
            self.above.insert(index, seq);
            self.changed = true;
        }
    }

    /// A page has covered everything up to `seq`.
    pub(crate) fn covered(&mut self, seq: u64) {
        self.horizon = self.horizon.max(seq);
        self.settle();
    }

    /// Moves the watermark up to just before the first that is not done.
    fn settle(&mut self) {
        while self.slots.front().is_some_and(|slot| slot.1) {
            self.slots.pop_front();
        }
        let watermark = self.slots.front().map_or(self.horizon, |slot| slot.0 - 1);
        if watermark > self.watermark {
            self.watermark = watermark;
            self.changed = true;
        }
        while self.above.front().is_some_and(|seq| *seq <= self.watermark) {
            self.above.pop_front();
        }
    }

    pub(crate) fn cursor(&self) -> Cursor {
        let done = self.slots.iter().filter(|slot| slot.1).map(|slot| slot.0);
        let mut above: Vec<u64> = done.chain(self.above.iter().copied()).collect();
        above.sort_unstable();
        above.dedup();
        Cursor { watermark: self.watermark, above }
    }

    /// The cursor, if it has moved since it was last taken.
    pub(crate) fn take_changed(&mut self) -> Option<Cursor> {
        std::mem::take(&mut self.changed).then(|| self.cursor())
    }

    /// The link is gone: what is not done starts again from the store.
    pub(crate) fn restart(&mut self) {
        let changed = self.changed;
        *self = Tracker { changed, ..Tracker::new(self.cursor()) };
    }
}
