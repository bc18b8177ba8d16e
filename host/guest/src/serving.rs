//! What serves one role: a generation for all, and perhaps a newer one for a part of the clients.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::{ArcSwapOption, Guard};

use crate::canary::{Canary, Who};
use crate::plugin::Plugin;
use crate::policy::Role;
use crate::pool::{Face, Pool};
use crate::stats::CallStats;

/// How a generation does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SlotState {
    /// Calls go to the plugin.
    Serving,
    /// The plugin failed again and again and is left alone for a while.
    Recovering,
    /// The operator lets no call through.
    Paused,
}

/// Whom a generation serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// Everybody whom no canary serves.
    Main,
    /// A part of the clients.
    Canary(Canary),
}

/// One generation in one role.
#[derive(Clone, Debug)]
pub struct SlotInfo {
    /// The role.
    pub role: Role,
    /// The plugin.
    pub plugin: Arc<Plugin>,
    /// Whom it serves.
    pub part: Part,
    /// How it does.
    pub state: SlotState,
    /// Instances that wait for a call.
    pub idle_instances: u32,
    /// All instances.
    pub instances: u32,
    /// What its calls came to and cost.
    pub stats: CallStats,
}

/// The generations that serve a role.
pub(crate) struct Serving<F> {
    main: Arc<Pool<F>>,
    canary: Option<(Canary, Arc<Pool<F>>)>,
}

impl<F: Face> Serving<F> {
    /// The one for this call.
    #[inline]
    pub(crate) fn pool(&self, who: Who<'_>) -> &Arc<Pool<F>> {
        match &self.canary {
            Some((canary, pool)) if canary.takes(who) => pool,
            _ => &self.main,
        }
    }

    fn pools(&self) -> impl Iterator<Item = (&Arc<Pool<F>>, Part)> {
        let canary = self.canary.as_ref().map(|(canary, pool)| (pool, Part::Canary(canary.clone())));
        std::iter::once((&self.main, Part::Main)).chain(canary)
    }
}

/// The slot of one role.
pub(crate) struct Slot<F> {
    serving: ArcSwapOption<Serving<F>>,
    /// Its calls are not shown in the metrics.
    hidden: AtomicBool,
}

impl<F> Default for Slot<F> {
    fn default() -> Self {
        Slot { serving: ArcSwapOption::empty(), hidden: AtomicBool::new(false) }
    }
}

/// What an operator does to a slot, whatever its role. Changes to one slot must not overlap; calls may.
pub(crate) trait AnySlot {
    fn set(&self, plugin: Option<Arc<Plugin>>) -> Option<Arc<Plugin>>;
    fn set_canary(&self, canary: Option<(Canary, Arc<Plugin>)>) -> Option<Arc<Plugin>>;
    fn promote(&self) -> Option<Arc<Plugin>>;
    fn pause(&self, generation: u64, paused: bool) -> bool;
    fn infos(&self) -> Vec<SlotInfo>;
    fn show(&self);
    fn hide(&self);
}

impl<F: Face> AnySlot for Slot<F> {
    /// Another main generation, or none; a canary ends. Gives back the former main one.
    fn set(&self, plugin: Option<Arc<Plugin>>) -> Option<Arc<Plugin>> {
        let hidden = self.hidden.load(Ordering::Relaxed);
        let serving =
            plugin.map(|plugin| Serving { main: Arc::new(Pool::new(plugin, hidden)), canary: None });
        let old = self.serving.swap(serving.map(Arc::new))?;
        old.pools().for_each(|(pool, _)| pool.retire());
        Some(old.main.plugin.clone())
    }

    /// Another canary, or none, beside the main generation, which must be there. Gives back the former canary.
    fn set_canary(&self, canary: Option<(Canary, Arc<Plugin>)>) -> Option<Arc<Plugin>> {
        let main = self.serving.load().as_ref()?.main.clone();
        let hidden = self.hidden.load(Ordering::Relaxed);
        let canary = canary.map(|(canary, plugin)| (canary, Arc::new(Pool::new(plugin, hidden))));
        let old = self.serving.swap(Some(Arc::new(Serving { main, canary })))?;
        let (_, pool) = old.canary.as_ref()?;
        pool.retire();
        Some(pool.plugin.clone())
    }

    /// The canary serves all from now on, with its warm instances. Gives back the former main generation.
    fn promote(&self) -> Option<Arc<Plugin>> {
        let (_, main) = self.serving.load().as_ref()?.canary.clone()?;
        let old = self.serving.swap(Some(Arc::new(Serving { main, canary: None })))?;
        old.main.retire();
        Some(old.main.plugin.clone())
    }

    fn pause(&self, generation: u64, paused: bool) -> bool {
        let serving = self.serving.load();
        let Some(serving) = serving.as_ref() else { return false };
        let mut found = serving.pools().filter(|(pool, _)| pool.plugin.generation == generation);
        found.next().map(|(pool, _)| pool.breaker.pause(paused)).is_some()
    }

    fn infos(&self) -> Vec<SlotInfo> {
        let serving = self.serving.load();
        let Some(serving) = serving.as_ref() else { return Vec::new() };
        let info = |(pool, part): (&Arc<Pool<F>>, Part)| {
            let (idle_instances, instances) = pool.instances();
            let state = match &pool.breaker {
                breaker if breaker.is_paused() => SlotState::Paused,
                breaker if breaker.is_open() => SlotState::Recovering,
                _ => SlotState::Serving,
            };
            let (plugin, stats) = (pool.plugin.clone(), pool.stats.snapshot());
            SlotInfo { role: F::ROLE, plugin, part, state, idle_instances, instances, stats }
        };
        serving.pools().map(info).collect()
    }

    fn show(&self) {
        if let Some(serving) = self.serving.load().as_ref() {
            serving.pools().for_each(|(pool, _)| pool.stats.show());
        }
    }

    fn hide(&self) {
        self.hidden.store(true, Ordering::Relaxed);
    }
}

impl<F: Face> Slot<F> {
    /// The generation that serves this client, 0 when none does.
    #[inline]
    pub(crate) fn generation(&self, who: Who<'_>) -> u64 {
        self.serving.load().as_ref().map_or(0, |serving| serving.pool(who).plugin.generation)
    }

    /// What serves now.
    #[inline]
    pub(crate) fn serving(&self) -> Guard<Option<Arc<Serving<F>>>> {
        self.serving.load()
    }
}
