//! The instances of one plugin in one role: an idle stack, bounds, a breaker.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use postern_trace::Span;
use tokio::sync::Semaphore;
use wasmtime::Store;
use wasmtime::component::{ComponentNamedList, Instance, InstancePre, Lift, Lower, TypedFunc};

use crate::breaker::Breaker;
use crate::call::{Down, Outcome};
use crate::inspect::WIT_VERSION;
use crate::plugin::Plugin;
use crate::plugin_log::LogLevel;
use crate::policy::Role;
use crate::state::State;
use crate::stats::Stats;

/// A function of a guest that answers `result<T, E>`.
pub(crate) type Asked<P, T, E> = TypedFunc<P, (Result<T, E>,)>;

/// The functions of one role in one instance.
pub(crate) trait Face: Sized + Send + 'static {
    /// Which role.
    const ROLE: Role;

    /// Looks the functions up, and sees that they have the shape that `wit/` gives them.
    fn bind(store: &mut Store<State>, instance: &Instance) -> wasmtime::Result<Self>;
}

/// Looks up a function of an exported interface, of any version that fits ours.
pub(crate) fn interface_func<P, R>(
    store: &mut Store<State>,
    instance: &Instance,
    interface: &str,
    name: &str,
) -> wasmtime::Result<TypedFunc<P, R>>
where
    P: ComponentNamedList + Lower,
    R: ComponentNamedList + Lift,
{
    let exported = format!("{interface}@{WIT_VERSION}");
    instance
        .get_export_index(&mut *store, None, &exported)
        .and_then(|index| instance.get_export_index(&mut *store, Some(&index), name))
        .ok_or_else(|| wasmtime::Error::msg(format!("{exported} lacks {name}")))
        .and_then(|index| {
            instance.get_typed_func(&mut *store, index).map_err(|error| {
                wasmtime::Error::msg(format!("{interface}.{name} is of another shape: {error:#}"))
            })
        })
}

/// An instance that has been made and may be called.
pub(crate) struct Warm<F> {
    pub(crate) store: Store<State>,
    pub(crate) face: F,
    /// Calls so far.
    pub(crate) calls: u32,
}

/// All instances of a generation in a role, and what bounds their calls.
pub(crate) struct Pool<F> {
    pub(crate) plugin: Arc<Plugin>,
    pub(crate) breaker: Arc<Breaker>,
    /// For roles that may wait: one for each call under way.
    pub(crate) permits: Arc<Semaphore>,
    /// Last in, first out: the warmest is used first.
    idle: Mutex<Vec<Box<Warm<F>>>>,
    /// Instances idle or in use; bounds pure roles.
    live: AtomicU32,
    /// Another generation serves now: do not keep instances.
    retired: AtomicBool,
    pub(crate) stats: Stats,
}

impl<F: Face> Pool<F> {
    /// Instances of a plugin; `hidden`: their calls are not shown in the metrics.
    pub(crate) fn new(plugin: Arc<Plugin>, hidden: bool) -> Pool<F> {
        let concurrency = usize::try_from(plugin.limits().concurrency).unwrap_or(Semaphore::MAX_PERMITS);
        Pool {
            breaker: Arc::new(Breaker::new()),
            permits: Arc::new(Semaphore::new(concurrency.min(Semaphore::MAX_PERMITS))),
            idle: Mutex::new(Vec::new()),
            live: AtomicU32::new(0),
            retired: AtomicBool::new(false),
            stats: if hidden { Stats::hidden() } else { Stats::new(F::ROLE.name(), plugin.name()) },
            plugin,
        }
    }

    pub(crate) fn pre(&self) -> Result<&InstancePre<State>, Down> {
        if F::ROLE.is_pure() {
            // A plugin with a pure role has it: `Runtime::load` links it then.
            self.plugin.pure.as_ref().ok_or_else(|| Down::Failed("not linked for a pure role".into()))
        } else {
            Ok(&self.plugin.waiting)
        }
    }

    pub(crate) fn cpu(&self) -> Duration {
        Duration::from_millis(self.plugin.limits().call_cpu_ms.into())
    }

    pub(crate) fn wall(&self) -> Duration {
        Duration::from_millis(self.plugin.limits().call_wall_ms.into())
    }

    /// Takes the warmest idle instance.
    #[inline]
    pub(crate) fn take(&self) -> Option<Box<Warm<F>>> {
        self.idle.lock().pop()
    }

    /// Makes room for one more instance, while there are fewer than calls allowed. Every success is
    /// followed by a `give_back` or a `shrink`.
    pub(crate) fn grow(&self) -> bool {
        let most = self.plugin.limits().concurrency;
        self.live
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |live| (live < most).then_some(live + 1))
            .is_ok()
    }

    /// Counts one more instance, which a permit has bounded. Followed as `grow` is.
    pub(crate) fn add(&self) {
        self.live.fetch_add(1, Ordering::Relaxed);
    }

    /// An instance that was counted is gone.
    pub(crate) fn shrink(&self) {
        self.live.fetch_sub(1, Ordering::Relaxed);
    }

    /// Takes an instance back after a call that returned, unless its time has come.
    #[inline]
    pub(crate) fn give_back(&self, mut warm: Box<Warm<F>>) {
        warm.calls += 1;
        if warm.calls < self.plugin.limits().calls_per_instance && !self.retired.load(Ordering::Acquire) {
            self.idle.lock().push(warm);
            if self.retired.load(Ordering::Acquire) {
                self.retire(); // it was retired between the look and the push
            }
        } else {
            self.shrink();
        }
    }

    /// Another generation serves from now on: idle instances go at once, the others after their call.
    pub(crate) fn retire(&self) {
        self.retired.store(true, Ordering::Release);
        let idle = std::mem::take(&mut *self.idle.lock());
        for warm in idle {
            self.shrink();
            drop(warm);
        }
    }

    /// Counts a call that ended.
    #[inline]
    pub(crate) fn count(&self, outcome: Outcome) {
        self.stats.count(outcome);
    }

    /// Counts a call that gave no answer.
    pub(crate) fn count_down(&self, down: Down) -> Down {
        self.count(down.outcome());
        down
    }

    /// Reads why an instance did not return, and tells the operator; clients are told nothing of it.
    pub(crate) fn failure(&self, error: &wasmtime::Error) -> Down {
        let down = Down::from_error(error);
        self.tell(&format!("{down}: {error:#}"));
        down
    }

    /// A call that waited was over its deadline.
    pub(crate) fn overdue(&self) -> Down {
        self.tell(&format!("over its {} ms", self.wall().as_millis()));
        Down::Slow
    }

    /// An answer does not fit the question.
    pub(crate) fn nonsense(&self) -> Down {
        self.tell(&Down::Nonsense.to_string());
        Down::Nonsense
    }

    fn tell(&self, fault: &str) {
        if self.plugin.granted.faults.take(Instant::now()).is_some() {
            let plugin = self.plugin.name();
            let (role, generation) = (F::ROLE.name(), self.plugin.generation);
            tracing::warn!(plugin, role, generation, "{fault}");
            let line = format!("role {role}, generation {generation}: {fault}");
            self.plugin.granted.lines.push(LogLevel::Error, line);
        }
    }

    /// Which plugin a step of a trace is a call of.
    #[inline]
    pub(crate) fn note(&self, span: &mut Span) {
        span.note("postern.plugin", || self.plugin.name().to_owned().into());
        span.note("postern.generation", || i64::try_from(self.plugin.generation).unwrap_or(i64::MAX).into());
    }

    /// Instances idle, and all.
    pub(crate) fn instances(&self) -> (u32, u32) {
        let idle = self.idle.lock().len();
        (u32::try_from(idle).unwrap_or(u32::MAX), self.live.load(Ordering::Relaxed))
    }
}
