//! Another policy while plugins serve: those whose table has changed are loaded again under it, from the bytes that
//! serve, beside what serves; only when all of them pass, it is in force.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use postern_guest::{LoadError, Part, Plugin, Role, SlotInfo, SlotState, read_component};
use tracing::{info, warn};

use super::{
    PluginError, activate, check_anonymous,
    folder::Candidate,
    kept::{self, Digest},
    life::{Life, Refused, State},
};
use crate::policy::Policy;

/// Plugins that were loaded again, by the generation that each is in the place of.
type Again = BTreeMap<u64, Arc<Plugin>>;

impl Life {
    /// Puts another policy in force. Gives the names of the plugins that serve under another table now.
    ///
    /// # Errors
    /// A plugin that does not pass under its new table; the former policy is in force, and what served serves on.
    pub async fn adopt(&self, policy: Policy) -> Result<Vec<String>, Refused> {
        let mut state = self.state.lock().await;
        let changed = policy.changed_plugins(&self.policy.load());
        let infos = || Role::ALL.into_iter().flat_map(|role| self.slots.infos(role));
        let mut again = Again::new();
        for info in infos().filter(|info| changed.contains(info.plugin.name())) {
            let name = info.plugin.name();
            self.load_again(&info.plugin, &policy, &mut again).await.map_err(|refused| {
                Refused::Conflict(format!("{}: plugins.{name}: {refused}", policy.file().display()))
            })?;
        }
        // Gone back to under the old table, it would be granted what the operator took back.
        let ready: Vec<_> = state.ready.iter().map(|(role, plugin)| (*role, plugin.clone())).collect();
        for (role, former) in ready.into_iter().filter(|(_, former)| changed.contains(former.name())) {
            match self.load_again(&former, &policy, &mut again).await {
                Ok(plugin) => drop(state.ready.insert(role, plugin)),
                Err(refused) => {
                    warn!(plugin = former.name(), %role, %refused, "cannot be gone back to under the new policy");
                    state.ready.remove(&role);
                }
            }
        }
        let names: BTreeSet<String> = infos()
            .filter(|info| again.contains_key(&info.plugin.generation()))
            .map(|info| info.plugin.name().to_owned())
            .collect();
        // No await from here on: it is in force, and all of its plugins serve.
        self.policy.store(Arc::new(policy));
        for role in Role::ALL {
            self.replace(role, &again)?;
        }
        move_probation(&mut state, &again);
        drop(state);
        for name in &names {
            info!(plugin = name, "plugin serves under another table of the policy");
        }
        self.look_again(&changed).await;
        Ok(names.into_iter().collect())
    }

    /// Loads what serves once more, under another policy.
    async fn load_again(
        &self,
        plugin: &Plugin,
        policy: &Policy,
        again: &mut Again,
    ) -> Result<Arc<Plugin>, Refused> {
        if let Some(loaded) = again.get(&plugin.generation()) {
            return Ok(loaded.clone());
        }
        let digest = Digest::new(plugin.digest());
        let kept = self.components.path(&digest);
        let path = if kept.is_file() { kept } else { plugin.path().to_owned() };
        let unfit = |reason| Refused::Unfit(LoadError { path: path.clone(), reasons: vec![reason] }.into());
        let source = read_component(&path).await.map_err(unfit)?;
        kept::check(&path, &digest, &source).map_err(|e| Refused::Unfit(PluginError::Altered(e)))?;
        let checked = self.runtime.check(&path, source, &|name| policy.plugin(name)).await;
        let checked = checked.map_err(|e| Refused::Unfit(e.into()))?;
        let loaded = self.runtime.prepare(checked).await.map_err(|e| Refused::Unfit(e.into()))?;
        if loaded.roles().contains(&Role::Token) {
            check_anonymous(&loaded, &self.public).await.map_err(Refused::Unfit)?;
        }
        again.insert(plugin.generation(), loaded.clone());
        Ok(loaded)
    }

    /// What was loaded again serves a role in the place of what served, to the same clients, paused if that was.
    fn replace(&self, role: Role, again: &Again) -> Result<(), Refused> {
        let infos = self.slots.infos(role);
        let fresh = |info: &SlotInfo| again.get(&info.plugin.generation()).cloned();
        let main = infos.iter().find(|info| info.part == Part::Main).and_then(&fresh);
        if let Some(main) = &main {
            activate(&self.slots, main, &[role]).map_err(Refused::Failed)?;
        }
        for info in &infos {
            let now = fresh(info).unwrap_or_else(|| info.plugin.clone());
            let is_new = now.generation() != info.plugin.generation();
            // Another main generation ended the canary.
            if let Part::Canary(part) = &info.part
                && (is_new || main.is_some())
            {
                let begun = self.slots.canary(role, now.clone(), part.clone());
                begun.map_err(|e| Refused::Conflict(e.to_string()))?;
            }
            if info.state == SlotState::Paused {
                self.slots.pause(role, now.generation(), true);
            }
        }
        Ok(())
    }

    /// What the folder offers may pass now, or not any more; and nothing is shadowed under an old table.
    async fn look_again(&self, changed: &BTreeSet<String>) {
        for name in changed {
            self.shadows.end(name);
        }
        for candidate in self.candidates.all() {
            if !changed.contains(&candidate.name()) {
                continue;
            }
            if let Ok(source) = read_component(&candidate.path).await {
                let report = self.examine(&candidate.path, source).await;
                self.candidates.put(Candidate { path: candidate.path, report });
            }
        }
    }
}

/// Probation goes on for what is in the place of what was on it; its calls are counted from nought.
fn move_probation(state: &mut State, again: &Again) {
    for probation in &mut state.probation {
        if let Some(plugin) = again.get(&probation.generation) {
            probation.generation = plugin.generation();
            probation.before.clear();
        }
    }
}
