//! What is counted while messages flow, phase by phase.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering::Relaxed};
use std::time::Instant;

use anyhow::Result;
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::vitals::cpu_secs;

/// The counters of a run.
pub(crate) struct Gauge {
    begun: Instant,
    stopped: AtomicBool,
    /// Messages written.
    pub(crate) sent: AtomicU64,
    /// Messages acknowledged.
    pub(crate) acked: AtomicU64,
    /// Messages that reached their recipient.
    pub(crate) delivered: AtomicU64,
    /// Messages that came twice, or after a later one.
    pub(crate) repeated: AtomicU64,
    /// Messages that a later one overtook.
    pub(crate) missed: AtomicU64,
    to_ack: Mutex<Vec<u64>>,
    to_recipient: Mutex<Vec<u64>>,
    /// What is waited for: 0 nothing, else [`PLAIN`] or [`MASKED`].
    awaited: AtomicU8,
    /// Of messages that were due since then.
    since: AtomicU64,
    seen: Mutex<Option<Instant>>,
    has_come: Notify,
}

/// A message whose word is as it was sent.
pub(crate) const PLAIN: u8 = 1;
/// A message whose word is masked.
pub(crate) const MASKED: u8 = 2;

/// The counters at one moment.
pub(crate) struct Moment {
    at: Instant,
    acked: u64,
    delivered: u64,
    own_cpu: f64,
    server_cpu: f64,
}

impl Gauge {
    pub(crate) fn new() -> Self {
        Gauge {
            begun: Instant::now(),
            stopped: AtomicBool::new(false),
            sent: AtomicU64::new(0),
            acked: AtomicU64::new(0),
            delivered: AtomicU64::new(0),
            repeated: AtomicU64::new(0),
            missed: AtomicU64::new(0),
            to_ack: Mutex::default(),
            to_recipient: Mutex::default(),
            awaited: AtomicU8::new(0),
            since: AtomicU64::new(0),
            seen: Mutex::default(),
            has_come: Notify::new(),
        }
    }

    /// Whether publishers are to go on.
    pub(crate) fn goes_on(&self) -> bool {
        !self.stopped.load(Relaxed)
    }

    /// No more messages.
    pub(crate) fn stop(&self) {
        self.stopped.store(true, Relaxed);
    }

    /// Microseconds of the run at a moment: the stamp of a message.
    pub(crate) fn micros(&self, at: Instant) -> u64 {
        u64::try_from(at.duration_since(self.begun).as_micros()).unwrap_or(u64::MAX)
    }

    /// A message that was due then has been acknowledged.
    pub(crate) fn note_ack(&self, due: u64) {
        self.note(&self.to_ack, due);
    }

    /// A message that was due then has come.
    pub(crate) fn note_delivery(&self, due: u64) {
        self.note(&self.to_recipient, due);
    }

    fn note(&self, to: &Mutex<Vec<u64>>, due: u64) {
        if let Ok(mut samples) = to.lock() {
            samples.push(self.micros(Instant::now()).saturating_sub(due));
        }
    }

    /// A message has come that was due then, and whose word looks like this.
    pub(crate) fn look_at(&self, word: u8, due: u64) {
        if self.awaited.load(Relaxed) == word && due >= self.since.load(Relaxed) {
            self.awaited.store(0, Relaxed);
            if let Ok(mut seen) = self.seen.lock() {
                *seen = Some(Instant::now());
            }
            self.has_come.notify_one();
        }
    }

    /// The first message is waited for that is due from now on and whose word looks like this.
    pub(crate) fn expect(&self, word: u8) {
        if let Ok(mut seen) = self.seen.lock() {
            *seen = None;
        }
        self.since.store(self.micros(Instant::now()), Relaxed);
        self.awaited.store(word, Relaxed);
    }

    /// When the first of those that are waited for came.
    pub(crate) async fn first(&self) -> Instant {
        loop {
            let has_come = self.has_come.notified();
            if let Some(seen) = self.seen.lock().ok().and_then(|seen| *seen) {
                return seen;
            }
            has_come.await;
        }
    }

    /// The counters now; the latencies so far are forgotten.
    pub(crate) fn moment(&self, server: u32) -> Result<Moment> {
        drop((taken(&self.to_ack), taken(&self.to_recipient)));
        self.now(server)
    }

    fn now(&self, server: u32) -> Result<Moment> {
        Ok(Moment {
            own_cpu: cpu_secs("self")?,
            server_cpu: cpu_secs(&server.to_string())?,
            acked: self.acked.load(Relaxed),
            delivered: self.delivered.load(Relaxed),
            at: Instant::now(),
        })
    }

    /// What happened since a moment.
    pub(crate) fn since(&self, from: &Moment, server: u32) -> Result<Value> {
        let to = self.now(server)?;
        let secs = to.at.duration_since(from.at).as_secs_f64();
        let rate = |from: u64, to: u64| to.saturating_sub(from) as f64 / secs;
        Ok(json!({
            "secs": secs,
            "acked_per_sec": rate(from.acked, to.acked),
            "delivered_per_sec": rate(from.delivered, to.delivered),
            "generator_cpu": (to.own_cpu - from.own_cpu) / secs,
            "server_cpu": (to.server_cpu - from.server_cpu) / secs,
            "ack_ms": of_micros(taken(&self.to_ack)),
            "delivery_ms": of_micros(taken(&self.to_recipient)),
        }))
    }

    /// What became of all messages.
    pub(crate) fn totals(&self) -> Value {
        let (sent, delivered) = (self.sent.load(Relaxed), self.delivered.load(Relaxed));
        json!({
            "sent": sent,
            "acked": self.acked.load(Relaxed),
            "delivered": delivered,
            "lost": sent.saturating_sub(delivered),
            "repeated": self.repeated.load(Relaxed),
            "missed": self.missed.load(Relaxed),
        })
    }
}

fn taken(samples: &Mutex<Vec<u64>>) -> Vec<u64> {
    samples.lock().map(|mut samples| std::mem::take(&mut *samples)).unwrap_or_default()
}

fn of_micros(samples: Vec<u64>) -> Value {
    quantiles(samples.into_iter().map(|micros| micros as f64 / 1e3).collect())
}

/// How many, median, 99th and 99.9th percentile, the most.
pub(crate) fn quantiles(mut samples: Vec<f64>) -> Value {
    samples.sort_unstable_by(f64::total_cmp);
    let at = |share: f64| samples.get((samples.len() as f64 * share) as usize);
    json!({ "n": samples.len(), "p50": at(0.5), "p99": at(0.99), "p999": at(0.999), "max": samples.last() })
}
