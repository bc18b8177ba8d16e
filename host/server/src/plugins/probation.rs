//! A new generation on probation: when it fails too often, what served before serves again.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use postern_guest::{Plugin, Role, SlotInfo, SlotState};
use tracing::{error, warn};

use super::life::{Life, State};
use crate::audit::Audit;

/// How often it is looked at.
const LOOK: Duration = Duration::from_millis(200);
/// Calls before a share of them says anything.
const ENOUGH: u64 = 20;

/// A generation that has just begun to serve.
#[derive(Clone, Debug)]
pub struct Probation {
    /// The plugin's name.
    pub name: String,
    /// Which load of it.
    pub generation: u64,
    /// Where it serves.
    pub roles: Vec<Role>,
    /// Calls and faults when it began: a canary that is promoted has some behind it.
    pub before: BTreeMap<Role, (u64, u64)>,
    /// When it has proved itself.
    pub until: Instant,
}

impl Life {
    /// Watches what has just begun to serve, in place of what was watched in these roles.
    pub(super) fn begin_probation(&self, state: &mut State, plugin: &Plugin, roles: &[Role]) {
        for probation in &mut state.probation {
            probation.roles.retain(|role| !roles.contains(role));
        }
        let until = Instant::now() + self.policy.load().activation.probation();
        let infos = roles.iter().flat_map(|role| self.slots.infos(*role));
        let before = infos
            .filter(|info| info.plugin.generation() == plugin.generation())
            .map(|info| (info.role, (info.stats.calls(), info.stats.faults())))
            .collect();
        state.probation.push(Probation {
            name: plugin.name().to_owned(),
            generation: plugin.generation(),
            roles: roles.to_vec(),
            before,
            until,
        });
    }
}

/// Watches new generations until it is stopped.
pub async fn watch(life: Arc<Life>, audit: Audit) {
    let mut interval = tokio::time::interval(LOOK);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        interval.tick().await;
        for probation in life.on_probation(Instant::now()).await {
            let most = life.policy.load().activation.max_fault_percent;
            let infos = probation.roles.iter().flat_map(|role| life.slots.infos(*role));
            let mut serving = infos.filter(|info| info.plugin.generation() == probation.generation);
            if let Some(why) = serving.find_map(|info| failing(&info, &probation.before, most)) {
                roll_back(&life, &audit, &probation, &why).await;
            }
        }
    }
}

async fn roll_back(life: &Life, audit: &Audit, probation: &Probation, why: &str) {
    let (name, generation) = (&*probation.name, probation.generation);
    warn!(plugin = name, why, "plugin fails on probation");
    // It goes even when that cannot be written down: it does harm now.
    let act = audit.begin("server", "plugin.rollback", name, why).await;
    let done = life.roll_back(name, Some(generation)).await;
    let outcome = match &done {
        Ok(_) => ("done", String::new()),
        Err(refused) => ("failed", refused.to_string()),
    };
    if let Err(refused) = done {
        error!(plugin = name, %refused, "it could not be rolled back");
        life.leave_probation(generation).await;
    }
    match act {
        Ok(act) => act.end(outcome.0, &outcome.1).await,
        Err(e) => error!(error = %e, "audit log"),
    }
}

/// Why a generation has failed its probation, if it has.
fn failing(info: &SlotInfo, before: &BTreeMap<Role, (u64, u64)>, most_percent: u8) -> Option<String> {
    if info.state == SlotState::Recovering {
        return Some(format!("role {}: it failed again and again", info.role));
    }
    let (calls, faults) = before.get(&info.role).copied().unwrap_or_default();
    let calls = info.stats.calls().saturating_sub(calls);
    let faults = info.stats.faults().saturating_sub(faults);
    if calls < ENOUGH || faults * 100 <= calls * u64::from(most_percent) {
        return None;
    }
    Some(format!("role {}: {faults} of {calls} calls failed", info.role))
}
