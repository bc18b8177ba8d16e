//! What a simulated terminal has been through.

use std::time::{Duration, Instant};

use terminal::message::Transport;

use crate::segments::Carried;

/// Sums since its first link.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sums {
    pub(crate) carried: Carried,
    pub(crate) pings: u64,
    /// Times that it followed an instruction.
    pub(crate) switches: u64,
    pub(crate) full: u64,
    pub(crate) resumed: u64,
    pub(crate) on_tls: Duration,
}

/// One terminal's sums, and what they were when the counting began and ended.
#[derive(Debug, Default)]
pub(crate) struct Diary {
    pub(crate) group: usize,
    pub(crate) sums: Sums,
    begun: Option<Sums>,
    ended: Option<Sums>,
    /// Milliseconds from PINGREQ to PINGRESP while it was counted.
    pub(crate) pings_ms: Vec<f32>,
    /// Links that ended without a reason of ours, and sign-ins that failed.
    pub(crate) broken: u64,
    pub(crate) why: String,
    /// Messages that it did not believe, results that were not taken.
    pub(crate) odd: u64,
}

impl Diary {
    /// An empty one, of a terminal of this group.
    pub(crate) fn of(group: usize) -> Self {
        Diary { group, ..Diary::default() }
    }

    /// Its sums with what the link of now has carried.
    pub(crate) fn now(&self, live: Carried, since: Instant, transport: Transport) -> Sums {
        let stay = if transport == Transport::Tls { since.elapsed() } else { Duration::ZERO };
        Sums { carried: self.sums.carried + live, on_tls: self.sums.on_tls + stay, ..self.sums }
    }

    pub(crate) fn begin(&mut self, now: Sums) {
        self.begun = Some(now);
    }

    pub(crate) fn end(&mut self, now: Sums) {
        self.ended = Some(now);
    }

    /// Whether it is being counted.
    pub(crate) fn is_counting(&self) -> bool {
        self.begun.is_some() && self.ended.is_none()
    }

    /// What passed between beginning and end.
    pub(crate) fn day(&self) -> Option<Sums> {
        let (from, to) = (self.begun?, self.ended?);
        Some(Sums {
            carried: to.carried - from.carried,
            pings: to.pings - from.pings,
            switches: to.switches - from.switches,
            full: to.full - from.full,
            resumed: to.resumed - from.resumed,
            on_tls: to.on_tls.saturating_sub(from.on_tls),
        })
    }
}
