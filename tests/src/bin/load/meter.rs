//! What is counted while messages flow.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Instant;

use anyhow::Result;
use serde_json::{Value, json};

use crate::vitals::cpu_secs;

/// The counters of one run.
pub(crate) struct Meter {
    begun: Instant,
    stopped: AtomicBool,
    measuring: AtomicBool,
    /// Messages written.
    pub(crate) sent: AtomicU64,
    /// Messages acknowledged to their publishers.
    pub(crate) acked: AtomicU64,
    /// Messages that reached their recipient.
    pub(crate) delivered: AtomicU64,
    /// Messages that came although a later one had, or twice.
    pub(crate) repeated: AtomicU64,
    /// Messages that a later one overtook.
    pub(crate) missed: AtomicU64,
    to_ack: Mutex<Vec<u64>>,
    to_recipient: Mutex<Vec<u64>>,
}

/// The counters at one moment.
pub(crate) struct Moment {
    at: Instant,
    acked: u64,
    delivered: u64,
    own_cpu: f64,
    server_cpu: Option<f64>,
}

impl Meter {
    pub(crate) fn new() -> Self {
        Meter {
            begun: Instant::now(),
            stopped: AtomicBool::new(false),
            measuring: AtomicBool::new(false),
            sent: AtomicU64::new(0),
            acked: AtomicU64::new(0),
            delivered: AtomicU64::new(0),
            repeated: AtomicU64::new(0),
            missed: AtomicU64::new(0),
            to_ack: Mutex::default(),
            to_recipient: Mutex::default(),
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

    /// Microseconds since the run began: the stamp of a message.
    pub(crate) fn now_micros(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// The same of a moment that was.
    pub(crate) fn micros_at(&self, at: Instant) -> u64 {
        u64::try_from(at.duration_since(self.begun).as_micros()).unwrap_or(u64::MAX)
    }

    /// A sampled message was acknowledged that was sent at `sent_micros`.
    pub(crate) fn note_ack(&self, sent_micros: u64) {
        self.note(&self.to_ack, sent_micros);
    }

    /// A sampled message came that was sent at `sent_micros`.
    pub(crate) fn note_delivery(&self, sent_micros: u64) {
        self.note(&self.to_recipient, sent_micros);
    }

    fn note(&self, to: &Mutex<Vec<u64>>, sent_micros: u64) {
        if self.measuring.load(Relaxed)
            && let Ok(mut samples) = to.lock()
        {
            samples.push(self.now_micros().saturating_sub(sent_micros));
        }
    }

    /// Whether latencies are kept.
    pub(crate) fn measure(&self, on: bool) {
        self.measuring.store(on, Relaxed);
    }

    /// The counters now.
    pub(crate) fn moment(&self, server: Option<u32>) -> Result<Moment> {
        Ok(Moment {
            own_cpu: cpu_secs("self")?,
            server_cpu: server.map(|id| cpu_secs(&id.to_string())).transpose()?,
            acked: self.acked.load(Relaxed),
            delivered: self.delivered.load(Relaxed),
            at: Instant::now(),
        })
    }

    /// What happened between two moments, and in all.
    pub(crate) fn report(&self, from: &Moment, to: &Moment) -> Value {
        let secs = to.at.duration_since(from.at).as_secs_f64();
        let rate = |from: u64, to: u64| to.saturating_sub(from) as f64 / secs;
        let share = |from: f64, to: f64| (to - from) / secs;
        json!({
            "secs": secs,
            "acked_per_sec": rate(from.acked, to.acked),
            "delivered_per_sec": rate(from.delivered, to.delivered),
            "generator_cpu": share(from.own_cpu, to.own_cpu),
            "server_cpu": from.server_cpu.zip(to.server_cpu).map(|(from, to)| share(from, to)),
            "ack_ms": quantiles(&self.to_ack),
            "delivery_ms": quantiles(&self.to_recipient),
            "sent": self.sent.load(Relaxed),
            "acked": self.acked.load(Relaxed),
            "delivered": self.delivered.load(Relaxed),
            "repeated": self.repeated.load(Relaxed),
            "missed": self.missed.load(Relaxed),
        })
    }
}

/// Median and 99th percentile in milliseconds; null without samples.
fn quantiles(samples: &Mutex<Vec<u64>>) -> Value {
    let mut samples = samples.lock().map(|samples| samples.clone()).unwrap_or_default();
    samples.sort_unstable();
    let at =
        |percent: usize| samples.get(samples.len() * percent / 100).map(|&micros| micros as f64 / 1000.0);
    json!({ "p50": at(50), "p99": at(99) })
}
