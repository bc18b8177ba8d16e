//! Counters, for metrics and `$SYS`. They only ever grow, but for the ones called gauges.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// One counter or gauge on a cache line of its own: those next to each other are bumped by
/// different cores.
#[derive(Debug, Default)]
#[repr(align(64))]
pub struct Counter(AtomicU64);

impl Counter {
    /// The value.
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }

    pub(crate) fn add(&self, n: u64) {
        if n > 0 {
            self.0.fetch_add(n, Relaxed);
        }
    }

    pub(crate) fn sub(&self, n: u64) {
        if n > 0 {
            self.0.fetch_sub(n, Relaxed);
        }
    }

    /// A gauge's part went from one size to another.
    pub(crate) fn change(&self, from: usize, to: usize) {
        self.add(to.saturating_sub(from) as u64);
        self.sub(from.saturating_sub(to) as u64);
    }
}

/// What a broker has done so far.
#[derive(Debug, Default)]
pub struct Stats {
    /// Control packets of all kinds that links have read.
    pub packets_in: Counter,
    /// Control packets of all kinds encoded for links.
    pub packets_out: Counter,
    /// Bytes that links have read, without TLS and WebSocket framing.
    pub octets_in: Counter,
    /// Bytes that links have written, without TLS and WebSocket framing.
    pub octets_out: Counter,
    /// Messages handed to `publish` and the deliver calls.
    pub messages_in: Counter,
    /// Their bytes of topic, payload and properties.
    pub bytes_in: Counter,
    /// PUBLISH packets written to clients, redeliveries included.
    pub messages_out: Counter,
    /// Their bytes on the wire.
    pub bytes_out: Counter,
    /// PUBLISH packets that were written again with DUP.
    pub redelivered: Counter,
    /// Messages that matched no session.
    pub unrouted: Counter,
    /// Dropped at a full queue.
    pub dropped_queue_full: Counter,
    /// QoS 0 dropped because the session was offline.
    pub dropped_offline: Counter,
    /// Dropped because they expired while they waited.
    pub dropped_expired: Counter,
    /// Dropped because the client's Maximum Packet Size was smaller.
    pub dropped_too_large: Counter,
    /// Retained messages refused at the limit.
    pub dropped_retained: Counter,
    /// Links closed with 0x97 because they read too slowly.
    pub slow_readers: Counter,
    /// Sessions opened, new or resumed.
    pub connections: Counter,
    /// Links displaced by a newer one of the same client.
    pub takeovers: Counter,
    /// Sessions that ended by expiry.
    pub sessions_expired: Counter,
    /// Gauge: sessions, connected or not.
    pub sessions: Counter,
    /// Gauge: sessions with a link.
    pub connected: Counter,
    /// Gauge: subscriptions of all sessions.
    pub subscriptions: Counter,
    /// Gauge: retained messages.
    pub retained: Counter,
}
