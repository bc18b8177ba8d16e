//! The life of plugins: loaded, checked, swapped, gone back from, while everything runs (C2, C3).
//!
//! What begins to serve is written down before it does: what a restart finds is what served, or was about to. A
//! way back is gone first and written down then, since what fails does harm meanwhile.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Instant,
};

use postern_guest::{
    Canary, Checked, LoadError, Part, Plugin, Role, Runtime, SlotInfo, Slots, read_component,
};
use tokio::sync::Mutex;
use tracing::{info, warn};

use super::{
    Folders, PluginError, activate, check_anonymous, check_name,
    folder::Candidates,
    kept::{Digest, Kept},
    probation::Probation,
    record::{Pinned, PinnedCanary, Record},
    trial::Shadows,
};
use crate::{
    config::NodeRoles,
    listen::wire::ListenerName,
    policy::{InForce, is_run_by},
};

/// What changes which plugin serves.
pub struct Life {
    /// Loads.
    pub runtime: Arc<Runtime>,
    /// What serves.
    pub slots: Arc<Slots>,
    /// Grants, and how activations are watched.
    pub policy: InForce,
    /// The node's.
    pub roles: NodeRoles,
    /// Where `NAME.wasm` are.
    pub folders: Folders,
    /// The bytes of what serves.
    pub components: Kept,
    /// The record of activations.
    pub file: PathBuf,
    /// Listeners that clients come in through.
    pub public: Vec<(ListenerName, SocketAddr)>,
    /// What the folder offers.
    pub candidates: Candidates,
    /// Candidates in the shadow of what serves.
    pub shadows: Shadows,
    pub(super) state: Mutex<State>,
}

/// One change at a time holds it.
pub(super) struct State {
    pub(super) record: Record,
    /// What served before, ready to serve again.
    pub(super) ready: BTreeMap<Role, Arc<Plugin>>,
    pub(super) probation: Vec<Probation>,
}

/// Why a verb was not done; one line.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// There is nothing of this name.
    #[error("{0}")]
    NotFound(String),
    /// It was checked and found unfit.
    #[error(transparent)]
    Unfit(PluginError),
    /// It cannot be done as things are.
    #[error("{0}")]
    Conflict(String),
    /// The host could not do its part.
    #[error(transparent)]
    Failed(PluginError),
}

/// A plugin and the roles that it serves now.
pub struct Serves {
    /// The plugin.
    pub plugin: Arc<Plugin>,
    /// At least one.
    pub roles: Vec<Role>,
}

/// What a life is made of.
#[allow(missing_docs)] // as in `Life`
pub struct Parts {
    pub runtime: Arc<Runtime>,
    pub slots: Arc<Slots>,
    pub policy: InForce,
    pub roles: NodeRoles,
    pub folders: Folders,
    pub components: Kept,
    pub file: PathBuf,
    pub public: Vec<(ListenerName, SocketAddr)>,
    pub record: Record,
    pub ready: BTreeMap<Role, Arc<Plugin>>,
}

impl Life {
    /// Goes on from what a start found.
    pub fn new(parts: Parts) -> Self {
        let Parts { runtime, slots, policy, roles, folders, components, file, public, record, ready } = parts;
        let state = Mutex::new(State { record, ready, probation: Vec::new() });
        let (candidates, shadows) = Default::default();
        Life { runtime, slots, policy, roles, folders, components, file, public, candidates, shadows, state }
    }

    /// Loads `NAME.wasm` of the folder beside what serves, checks it, and only then swaps (C3); for a part of the
    /// clients, or for all.
    ///
    /// # Errors
    /// What is wrong with it; what served serves on.
    pub async fn activate(&self, name: &str, part: Option<Canary>) -> Result<Serves, Refused> {
        let path = self.file_of(name)?;
        let table = self.policy.load().plugin(name);
        let (checked, source) = self.checked(name, &path).await?;
        let roles = self.roles_of(checked.plugin())?;
        if let (Some(_), Some(whole)) = (&part, roles.iter().find(|role| !role.takes_canary())) {
            let why = format!("{name}: the role {whole} is swapped whole; activate it without --canary");
            return Err(Refused::Conflict(why));
        }
        let plugin = self.runtime.prepare(checked).await.map_err(|e| Refused::Unfit(e.into()))?;
        if roles.contains(&Role::Token) {
            check_anonymous(&plugin, &self.public).await.map_err(|e| Refused::Conflict(e.to_string()))?;
        }
        // Held from here on only: compiling takes its time, and a way back must not wait for it. But what is kept and
        // not on record yet must not be there when another change forgets what no record names.
        let mut state = self.state.lock().await;
        if self.policy.load().plugin(name) != table {
            return Err(Refused::Conflict(format!(
                "{name}: the policy has changed meanwhile; activate it again"
            )));
        }
        let pinned = Pinned { name: name.to_owned(), digest: Digest::new(plugin.digest()) };
        let (components, digest) = (self.components.clone(), pinned.digest.clone());
        let kept = tokio::task::spawn_blocking(move || components.put(&digest, &source)).await;
        let not_kept =
            |error| Refused::Failed(PluginError::NotKept { folder: self.folders.own().to_owned(), error });
        kept.map_err(std::io::Error::other).flatten().map_err(not_kept)?;
        let is_new = roles
            .iter()
            .any(|role| self.slots.info(*role).is_none_or(|info| info.plugin.digest() != plugin.digest()));
        let mut record = state.record.clone();
        for role in &roles {
            let former = self.pinned(&record, *role);
            let served = record.of_mut(*role);
            match &part {
                Some(part) => {
                    served.canary = Some(PinnedCanary { plugin: pinned.clone(), part: part.to_string() });
                }
                None => {
                    served.canary = None;
                    if former.as_ref() != Some(&pinned) {
                        served.previous = former;
                    }
                    served.active = Some(pinned.clone());
                }
            }
        }
        // What cannot be remembered is not done: after a restart the old one would serve again.
        self.write(&mut state, record)?;
        match part {
            Some(part) => {
                for role in &roles {
                    let begun = self.slots.canary(*role, plugin.clone(), part.clone());
                    begun.map_err(|e| Refused::Conflict(e.to_string()))?;
                }
                info!(plugin = name, version = plugin.version(), part = %part, "plugin serves a part");
            }
            None => {
                self.swap(&mut state, &plugin, &roles)?;
                info!(
                    plugin = name,
                    version = plugin.version(),
                    generation = plugin.generation(),
                    "plugin activated"
                );
            }
        }
        metrics::counter!("postern_plugin_activations_total").increment(1);
        if is_new {
            self.begin_probation(&mut state, &plugin, &roles);
        }
        self.candidates.forget(&path);
        self.shadows.end(name);
        Ok(Serves { plugin, roles })
    }

    /// The canary of this name serves everybody from now on.
    ///
    /// # Errors
    /// There is none.
    pub async fn promote(&self, name: &str) -> Result<Serves, Refused> {
        let mut state = self.state.lock().await;
        let roles = self.serving_part(name, None);
        let none = || Refused::NotFound(format!("{name} serves no part of the clients"));
        if roles.is_empty() {
            return Err(none());
        }
        let mut record = state.record.clone();
        for role in &roles {
            let former = self.pinned(&record, *role);
            let served = record.of_mut(*role);
            let Some(canary) = served.canary.take() else { continue };
            (served.previous, served.active) = (former, Some(canary.plugin));
        }
        self.write(&mut state, record)?;
        for role in &roles {
            if let Some(former) = self.slots.promote(*role) {
                state.ready.insert(*role, former);
            }
        }
        let plugin = roles.first().and_then(|role| self.slots.info(*role)).ok_or_else(none)?.plugin;
        info!(plugin = name, version = plugin.version(), "plugin promoted");
        self.begin_probation(&mut state, &plugin, &roles);
        Ok(Serves { plugin, roles })
    }

    /// Ends the canary of this name, or has what served before it serve again; `generation`: of this one only, when
    /// it still serves. A role in which nothing served before it stays.
    ///
    /// # Errors
    /// It does not serve, nothing did before it, or what did may not any more. When the way back cannot be written
    /// down, it is gone all the same: what fails does harm now.
    pub async fn roll_back(&self, name: &str, generation: Option<u64>) -> Result<Serves, Refused> {
        let mut state = self.state.lock().await;
        let parts = self.serving_part(name, generation);
        if !parts.is_empty() {
            return self.end_canary(&mut state, name, &parts);
        }
        let none = || Refused::NotFound(format!("no plugin {name:?} serves"));
        let is_it =
            |role: &Role| self.slots.info(*role).is_some_and(|info| is_meant(&info.plugin, name, generation));
        let roles: Vec<Role> = Role::ALL.into_iter().filter(is_it).collect();
        let first = *roles.first().ok_or_else(none)?;
        let back: Vec<Role> = roles.into_iter().filter(|role| state.ready.contains_key(role)).collect();
        if back.is_empty() {
            return Err(Refused::Conflict(format!(
                "{name}: nothing is ready that served the role {first} before it"
            )));
        }
        if let Some(former) = state.ready.get(&Role::Token).filter(|_| back.contains(&Role::Token)) {
            // A listener may have come since it served.
            check_anonymous(former, &self.public).await.map_err(|e| Refused::Conflict(e.to_string()))?;
        }
        let mut record = state.record.clone();
        let mut serves = None;
        for role in &back {
            let served = record.of_mut(*role);
            (served.active, served.canary) = (served.previous.take(), None);
            let Some(former) = state.ready.remove(role) else { continue };
            activate(&self.slots, &former, &[*role]).map_err(Refused::Failed)?;
            serves = Some(former);
        }
        state.probation.retain(|probation| !back.iter().any(|role| probation.roles.contains(role)));
        metrics::counter!("postern_plugin_rollbacks_total").increment(1);
        let plugin = serves.ok_or_else(none)?;
        warn!(from = name, to = plugin.name(), version = plugin.version(), "plugin rolled back");
        self.write(&mut state, record)?;
        Ok(Serves { plugin, roles: back })
    }

    fn end_canary(&self, state: &mut State, name: &str, roles: &[Role]) -> Result<Serves, Refused> {
        let mut record = state.record.clone();
        roles.iter().for_each(|role| record.of_mut(*role).canary = None);
        let ended = roles.iter().filter_map(|role| self.slots.end_canary(*role)).last();
        if let Some(ended) = &ended {
            state.probation.retain(|probation| probation.generation != ended.generation());
        }
        metrics::counter!("postern_plugin_rollbacks_total").increment(1);
        warn!(plugin = name, "plugin serves no part any more");
        self.write(state, record)?;
        let main = roles.first().and_then(|role| self.slots.info(*role));
        let plugin = main.map(|info| info.plugin).or(ended);
        let plugin = plugin.ok_or_else(|| Refused::NotFound(format!("no plugin {name:?} serves")))?;
        Ok(Serves { plugin, roles: roles.to_vec() })
    }

    /// The roles in which this plugin serves a part now.
    fn serving_part(&self, name: &str, generation: Option<u64>) -> Vec<Role> {
        let is_it = |info: &SlotInfo| info.part != Part::Main && is_meant(&info.plugin, name, generation);
        Role::ALL.into_iter().filter(|role| self.slots.infos(*role).iter().any(is_it)).collect()
    }

    /// Reads a file of the folder and checks it, up to where it is asked itself.
    pub(super) async fn checked(&self, name: &str, path: &Path) -> Result<(Checked, Arc<[u8]>), Refused> {
        let unfit =
            |reason| Refused::Unfit(LoadError { path: path.to_owned(), reasons: vec![reason] }.into());
        let source = read_component(path).await.map_err(unfit)?;
        let checked = self.runtime.check(path, source.clone(), &|name| self.policy.load().plugin(name)).await;
        let checked = checked.map_err(|e| Refused::Unfit(e.into()))?;
        check_name(checked.plugin(), name).map_err(Refused::Unfit)?;
        Ok((checked, source))
    }

    /// What served before, by role.
    pub async fn ready(&self) -> Vec<(Role, Arc<Plugin>)> {
        let state = self.state.lock().await;
        state.ready.iter().map(|(role, plugin)| (*role, plugin.clone())).collect()
    }

    /// The roles whose plugin is on record: activated, or kept when its file changed or went.
    pub async fn activated(&self) -> BTreeSet<Role> {
        let state = self.state.lock().await;
        let activated = state.record.roles.iter().filter(|(_, served)| served.active.is_some());
        activated.map(|(role, _)| *role).collect()
    }

    /// Generations in their probation; those whose time is over leave it.
    pub(super) async fn on_probation(&self, now: Instant) -> Vec<Probation> {
        let mut state = self.state.lock().await;
        state.probation.retain(|probation| probation.until > now);
        state.probation.clone()
    }

    /// It could not be gone back from: nobody looks at it any more.
    pub(super) async fn leave_probation(&self, generation: u64) {
        self.state.lock().await.probation.retain(|probation| probation.generation != generation);
    }

    /// The roles of this node that a plugin fills.
    fn roles_of(&self, plugin: &Plugin) -> Result<Vec<Role>, Refused> {
        let mut roles = plugin.roles().iter().copied().filter(|role| is_run_by(*role, self.roles)).peekable();
        if roles.peek().is_none() {
            let why = format!("{}: fills no role that this node runs", plugin.path().display());
            return Err(Refused::Conflict(why));
        }
        Ok(roles.collect())
    }

    /// What serves a role, if it is kept: what is not cannot be gone back to after a restart.
    pub(super) fn pinned(&self, record: &Record, role: Role) -> Option<Pinned> {
        if let Some(active) = record.of(role).and_then(|served| served.active.clone()) {
            return Some(active);
        }
        let plugin = self.slots.info(role)?.plugin;
        let digest = Digest::new(plugin.digest());
        self.components.path(&digest).is_file().then(|| Pinned { name: plugin.name().to_owned(), digest })
    }

    fn swap(&self, state: &mut State, plugin: &Arc<Plugin>, roles: &[Role]) -> Result<(), Refused> {
        for role in roles {
            let former = self.slots.info(*role).map(|info| info.plugin);
            activate(&self.slots, plugin, &[*role]).map_err(Refused::Failed)?;
            if let Some(former) = former
                && former.digest() != plugin.digest()
            {
                state.ready.insert(*role, former);
            }
        }
        Ok(())
    }

    pub(super) fn write(&self, state: &mut State, record: Record) -> Result<(), Refused> {
        record.write(&self.file).map_err(Refused::Failed)?;
        let mut needed = record.digests();
        // What the policy chose is in no record, and may be what is gone back to.
        let serving = Role::ALL.into_iter().flat_map(|role| self.slots.infos(role));
        needed.extend(serving.map(|info| Digest::new(info.plugin.digest())));
        self.components.forget_others(&needed);
        state.record = record;
        Ok(())
    }
}

/// Whether this is the plugin, and the generation if one is named.
fn is_meant(plugin: &Plugin, name: &str, generation: Option<u64>) -> bool {
    plugin.name() == name && generation.is_none_or(|generation| plugin.generation() == generation)
}
