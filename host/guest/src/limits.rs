//! What one call may use: CPU time, judged by the epoch, and memory.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use wasmtime::{ResourceLimiter, Store, UpdateDeadline};

use crate::state::State;

/// Length of an epoch.
pub(crate) const TICK: Duration = Duration::from_millis(1);

/// Elements of one table; JavaScript and Python need tens of thousands.
pub(crate) const TABLE_ELEMENTS: usize = 100_000;

/// The CPU time of the call under way.
///
/// Epochs are wall time, and a call that was preempted must not pay for it. So the epoch only makes
/// a long call look at its thread's CPU clock. A short call never does, since the look costs more
/// than the call: a call on the calling thread is timed from its first tick on, up to 1 ms late.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    limit_ns: AtomicU64,
    /// CPU time of former polls of this call.
    spent_ns: AtomicU64,
    /// The thread's CPU clock when this poll began; 0 when nobody looked yet.
    since_ns: AtomicU64,
}

impl Meter {
    /// A call begins.
    #[inline]
    fn begin(&self, limit: Duration) {
        self.limit_ns.store(nanos(limit), Ordering::Relaxed);
        self.spent_ns.store(0, Ordering::Relaxed);
        self.since_ns.store(0, Ordering::Relaxed);
    }

    /// Whether the call is over its CPU time. Asked on the thread that runs it.
    fn is_over(&self) -> bool {
        let now = thread_cpu_ns();
        match self.since_ns.load(Ordering::Relaxed) {
            0 => {
                self.since_ns.store(now, Ordering::Relaxed);
                false
            }
            since => {
                let spent = self.spent_ns.load(Ordering::Relaxed) + now.saturating_sub(since);
                spent >= self.limit_ns.load(Ordering::Relaxed)
            }
        }
    }

    /// CPU time of the call that ended, in ns, where it was counted poll by poll.
    pub(crate) fn spent_ns(&self) -> u64 {
        self.spent_ns.load(Ordering::Relaxed)
    }

    fn enter(&self) {
        self.since_ns.store(thread_cpu_ns(), Ordering::Relaxed);
    }

    fn leave(&self) {
        let spent = thread_cpu_ns().saturating_sub(self.since_ns.load(Ordering::Relaxed));
        self.spent_ns.fetch_add(spent, Ordering::Relaxed);
    }
}

/// Polls `call` so that its CPU time is counted poll by poll: between polls it may change threads,
/// and other tasks use this one.
pub(crate) async fn metered<F: Future>(meter: Arc<Meter>, call: F) -> F::Output {
    let mut call = pin!(call);
    poll_fn(|cx| {
        meter.enter();
        let polled = call.as_mut().poll(cx);
        meter.leave();
        polled
    })
    .await
}

/// Sets what happens when the epoch comes to the deadline, for calls on the calling thread.
pub(crate) fn watch_sync(store: &mut Store<State>) {
    store.epoch_deadline_callback(|store| {
        let over = store.data().meter.is_over();
        Ok(if over { UpdateDeadline::Interrupt } else { UpdateDeadline::Continue(1) })
    });
}

/// The same for calls that may wait: each tick lets other tasks have the thread.
pub(crate) fn watch_async(store: &mut Store<State>) {
    store.epoch_deadline_callback(|store| {
        let over = store.data().meter.is_over();
        Ok(if over {
            UpdateDeadline::Interrupt
        } else {
            UpdateDeadline::YieldCustom(1, Box::pin(tokio::task::yield_now()))
        })
    });
}

/// A call (or an instantiation) begins and may use this much CPU time.
#[inline]
pub(crate) fn arm(store: &mut Store<State>, cpu: Duration) {
    store.data().meter.begin(cpu);
    store.set_epoch_deadline(1);
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

fn thread_cpu_ns() -> u64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let secs = u64::try_from(time.tv_sec).unwrap_or(0);
    let nanos = u64::try_from(time.tv_nsec).unwrap_or(0);
    secs.saturating_mul(1_000_000_000).saturating_add(nanos)
}

/// Bounds the linear memories of one store together, and counts those of a plugin.
#[derive(Debug)]
pub(crate) struct MemoryLimit {
    limit: usize,
    used: usize,
    plugin: Arc<MemoryUse>,
}

/// Linear memory of all instances of one plugin, in bytes.
#[derive(Debug, Default)]
pub(crate) struct MemoryUse {
    pub(crate) now: AtomicUsize,
    /// The most that it has been.
    pub(crate) peak: AtomicUsize,
}

impl MemoryLimit {
    pub(crate) fn new(limit_mib: u32, plugin: Arc<MemoryUse>) -> MemoryLimit {
        let limit = usize::try_from(limit_mib).unwrap_or(0).saturating_mul(1 << 20);
        MemoryLimit { limit, used: 0, plugin }
    }
}

impl Drop for MemoryLimit {
    fn drop(&mut self) {
        self.plugin.now.fetch_sub(self.used, Ordering::Relaxed);
    }
}

impl ResourceLimiter for MemoryLimit {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let growth = desired.saturating_sub(current);
        let Some(used) = self.used.checked_add(growth).filter(|used| *used <= self.limit) else {
            return Ok(false);
        };
        self.used = used;
        let now = self.plugin.now.fetch_add(growth, Ordering::Relaxed) + growth;
        self.plugin.peak.fetch_max(now, Ordering::Relaxed);
        Ok(true)
    }

    fn table_growing(
        &mut self,
        _current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        Ok(desired <= TABLE_ELEMENTS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn burn(cpu: Duration) {
        let start = thread_cpu_ns();
        while thread_cpu_ns() - start < nanos(cpu) {
            std::hint::spin_loop();
        }
    }

    #[test]
    fn a_meter_counts_cpu_time_from_its_first_look() {
        let meter = Meter::default();
        meter.begin(Duration::from_millis(2));
        burn(Duration::from_millis(3));
        assert!(!meter.is_over(), "the first look only begins to count");
        burn(Duration::from_millis(3));
        assert!(meter.is_over());
        meter.begin(Duration::from_secs(3600));
        assert!(!meter.is_over() && !meter.is_over());
    }

    #[tokio::test]
    async fn only_the_polls_of_the_call_are_counted() {
        let meter = Arc::new(Meter::default());
        meter.begin(Duration::from_secs(1));
        metered(meter.clone(), async {
            burn(Duration::from_millis(1));
            tokio::task::yield_now().await;
            burn(Duration::from_millis(1));
        })
        .await;
        assert!(meter.spent_ns.load(Ordering::Relaxed) >= 2_000_000);
    }

    #[test]
    fn memories_of_a_store_share_one_bound() {
        let plugin = Arc::new(MemoryUse::default());
        let mut limit = MemoryLimit::new(1, plugin.clone());
        assert!(limit.memory_growing(0, 600 << 10, None).unwrap());
        assert!(limit.memory_growing(0, 400 << 10, None).unwrap());
        assert!(!limit.memory_growing(600 << 10, 700 << 10, None).unwrap());
        assert_eq!(plugin.now.load(Ordering::Relaxed), 1000 << 10);
        drop(limit);
        assert_eq!(plugin.now.load(Ordering::Relaxed), 0);
    }
}
