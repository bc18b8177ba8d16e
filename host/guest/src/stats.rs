//! What the calls of one generation in one role came to and cost.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use metrics::Counter;
use parking_lot::Mutex;

use crate::call::Outcome;

/// Bounds of the buckets of latency, in microseconds; the last has none.
const BOUNDS_US: [u64; 15] =
    [1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 5_000, 20_000, 100_000, 1_000_000, 10_000_000];
const BUCKETS: usize = BOUNDS_US.len() + 1;
const OUTCOMES: usize = Outcome::NAMES.len();

/// Of the calls of a pure role, one in so many is timed: the clock would cost a tenth of the call.
pub(crate) const SAMPLE: u32 = 64;

/// Counts on the hot path with one atomic; shown to Prometheus when it asks.
pub(crate) struct Stats {
    outcomes: [AtomicU64; OUTCOMES],
    latency: [AtomicU64; BUCKETS],
    /// CPU time of the calls that were timed, in ns.
    cpu_ns: AtomicU64,
    timed: AtomicU64,
    /// Calls that wait for their turn.
    queue: AtomicU32,
    /// None for calls that are nobody's, such as those of a candidate in the shadow.
    shown: Option<Mutex<Shown>>,
}

/// What Prometheus has been told so far.
struct Shown {
    outcomes: [(Counter, u64); OUTCOMES],
    latency: [(Counter, u64); BUCKETS],
    cpu: (Counter, u64),
}

/// What a generation's calls came to and cost in one role.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CallStats {
    /// Outcome and count, as `postern_plugin_calls_total` labels them.
    pub outcomes: Vec<(&'static str, u64)>,
    /// Half of the calls took no longer, in microseconds; the bound of a bucket. None before the first.
    pub p50_us: Option<u64>,
    /// 99 of a hundred calls took no longer.
    pub p99_us: Option<u64>,
    /// CPU time of all calls, in microseconds; for pure roles from one call in 64.
    pub cpu_us: u64,
    /// Calls that wait for their turn.
    pub queue: u32,
}

impl CallStats {
    /// Calls that reached the plugin.
    pub fn calls(&self) -> u64 {
        let all: u64 = self.outcomes.iter().map(|(_, count)| count).sum();
        all - self.of("busy") - self.of("recovering")
    }

    /// Calls that came to this.
    pub fn of(&self, outcome: &str) -> u64 {
        self.outcomes.iter().filter(|(name, _)| *name == outcome).map(|(_, count)| count).sum()
    }

    /// Calls that speak against the plugin: it trapped, took too long, answered nonsense, or said that
    /// it cannot do its work.
    pub fn faults(&self) -> u64 {
        ["trapped", "slow", "nonsense", "unavailable"].iter().map(|outcome| self.of(outcome)).sum()
    }
}

impl Stats {
    /// Those of calls that nobody asked for are not shown to Prometheus.
    pub(crate) fn hidden() -> Stats {
        Stats::with(None)
    }

    pub(crate) fn new(role: &'static str, plugin: &str) -> Stats {
        let outcomes = Outcome::NAMES.map(|outcome| {
            let plugin = plugin.to_owned();
            let labels = [
                ("role", role.into()),
                ("plugin", plugin.into()),
                ("outcome", metrics::SharedString::from(outcome)),
            ];
            (metrics::counter!("postern_plugin_calls_total", &labels), 0)
        });
        let latency = std::array::from_fn(|n| {
            let le = BOUNDS_US.get(n).map_or("+Inf".to_owned(), |us| seconds(*us));
            let counter = metrics::counter!(
                "postern_plugin_call_seconds_bucket",
                "role" => role, "plugin" => plugin.to_owned(), "le" => le
            );
            (counter, 0)
        });
        let cpu = metrics::counter!(
            "postern_plugin_cpu_microseconds_total", "role" => role, "plugin" => plugin.to_owned()
        );
        Stats::with(Some(Mutex::new(Shown { outcomes, latency, cpu: (cpu, 0) })))
    }

    fn with(shown: Option<Mutex<Shown>>) -> Stats {
        Stats {
            outcomes: Default::default(),
            latency: Default::default(),
            cpu_ns: AtomicU64::new(0),
            timed: AtomicU64::new(0),
            queue: AtomicU32::new(0),
            shown,
        }
    }

    /// A call waits for its turn, until this is dropped.
    pub(crate) fn wait(&self) -> impl Drop + Send + '_ {
        self.queue.fetch_add(1, Ordering::Relaxed);
        Waiting(&self.queue)
    }

    /// A call ended.
    #[inline]
    pub(crate) fn count(&self, outcome: Outcome) {
        if let Some(counter) = self.outcomes.get(outcome as usize) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// A call was timed.
    pub(crate) fn time(&self, wall: Duration, cpu_ns: u64) {
        let us = u64::try_from(wall.as_micros()).unwrap_or(u64::MAX);
        let bucket = BOUNDS_US.partition_point(|bound| *bound < us);
        if let Some(bucket) = self.latency.get(bucket) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
        self.cpu_ns.fetch_add(cpu_ns, Ordering::Relaxed);
        self.timed.fetch_add(1, Ordering::Relaxed);
    }

    /// How it is now.
    pub(crate) fn snapshot(&self) -> CallStats {
        let counts = self.outcomes.each_ref().map(|count| count.load(Ordering::Relaxed));
        let latency = self.latency.each_ref().map(|count| count.load(Ordering::Relaxed));
        CallStats {
            outcomes: Outcome::NAMES.into_iter().zip(counts).collect(),
            p50_us: quantile(&latency, 50),
            p99_us: quantile(&latency, 99),
            cpu_us: self.cpu_us(),
            queue: self.queue.load(Ordering::Relaxed),
        }
    }

    /// CPU time of all calls, from those that were timed.
    fn cpu_us(&self) -> u64 {
        // Those that were turned away cost nothing.
        let ran = |outcome: &str| !matches!(outcome, "busy" | "recovering");
        let counts = Outcome::NAMES.iter().zip(&self.outcomes).filter(|(outcome, _)| ran(outcome));
        let calls: u64 = counts.map(|(_, count)| count.load(Ordering::Relaxed)).sum();
        let timed = self.timed.load(Ordering::Relaxed).max(1);
        let ns = u128::from(self.cpu_ns.load(Ordering::Relaxed)) * u128::from(calls.max(timed))
            / u128::from(timed);
        u64::try_from(ns / 1_000).unwrap_or(u64::MAX)
    }

    /// Tells Prometheus what came since it was told last.
    pub(crate) fn show(&self) {
        let Some(mut shown) = self.shown.as_ref().map(|shown| shown.lock()) else { return };
        let tell = |(counter, told): &mut (Counter, u64), now: u64| {
            counter.increment(now.saturating_sub(*told));
            *told = now.max(*told);
        };
        let Shown { outcomes, latency, cpu } = &mut *shown;
        outcomes.iter_mut().zip(&self.outcomes).for_each(|(it, now)| tell(it, now.load(Ordering::Relaxed)));
        let mut sum = 0; // buckets hold what is below, too
        for (it, now) in latency.iter_mut().zip(&self.latency) {
            sum += now.load(Ordering::Relaxed);
            tell(it, sum);
        }
        tell(cpu, self.cpu_us());
    }
}

struct Waiting<'a>(&'a AtomicU32);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drop for Stats {
    fn drop(&mut self) {
        self.show();
    }
}

fn seconds(us: u64) -> String {
    format!("{}", us as f64 / 1e6)
}

/// The bound under which so many of a hundred are.
fn quantile(buckets: &[u64; BUCKETS], percent: u64) -> Option<u64> {
    let all: u64 = buckets.iter().sum();
    let rank = (all * percent).div_ceil(100);
    let mut sum = 0;
    let bucket = buckets.iter().position(|count| {
        sum += count;
        all > 0 && sum >= rank
    })?;
    Some(BOUNDS_US.get(bucket).copied().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_bounds_of_buckets() {
        let stats = Stats::new("classify", "p");
        assert_eq!(stats.snapshot().p50_us, None);
        for us in [1, 1, 1, 3, 4_000] {
            stats.time(Duration::from_micros(us), us * 1_000);
        }
        let told = stats.snapshot();
        assert_eq!((told.p50_us, told.p99_us, told.cpu_us), (Some(1), Some(5_000), 4_006));
        stats.time(Duration::from_secs(3_600), 0);
        assert_eq!(stats.snapshot().p99_us, Some(u64::MAX));
    }

    #[test]
    fn what_was_not_timed_is_estimated() {
        let stats = Stats::new("classify", "p");
        (0..128).for_each(|_| stats.count(Outcome::Ok));
        stats.count(Outcome::Trapped);
        stats.count(Outcome::Unavailable);
        stats.time(Duration::from_micros(2), 2_000);
        let told = stats.snapshot();
        assert_eq!((told.calls(), told.faults(), told.cpu_us), (130, 2, 260));
        stats.show();
        stats.show();
        assert_eq!(stats.shown.as_ref().unwrap().lock().outcomes[0].1, 128, "told once");
        Stats::hidden().show();
    }
}
