//! The life of plugins: loaded, checked, swapped, gone back from, while everything runs (C2, C3).
//!
//! A change is written down before it is done: what a restart finds is what served, or was about to.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Instant,
};

use postern_guest::{
    Canary, LoadError, Plugin, Report, Role, Runtime, Slots, is_plugin_name, read_component,
};
use tokio::sync::Mutex;
use tracing::{info, warn};

use super::{
    PluginError, activate, check_anonymous, check_name, file_of,
    folder::Candidates,
    kept::{Digest, Kept},
    probation::Probation,
    record::{Pinned, PinnedCanary, Record},
    trial::Shadows,
};
use crate::{
    config::NodeRoles,
    datadir::write_whole,
    listen::wire::ListenerName,
    policy::{Policy, is_run_by},
};

/// What changes which plugin serves.
pub struct Life {
    /// Loads.
    pub runtime: Arc<Runtime>,
    /// What serves.
    pub slots: Arc<Slots>,
    /// Grants, and how activations are watched.
    pub policy: Arc<Policy>,
    /// The node's.
    pub roles: NodeRoles,
    /// Where `NAME.wasm` are dropped.
    pub dir: PathBuf,
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
    state: Mutex<State>,
}

/// One change at a time holds it.
struct State {
    record: Record,
    /// What served before, ready to serve again.
    ready: BTreeMap<Role, Arc<Plugin>>,
    probation: Vec<Probation>,
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
    pub policy: Arc<Policy>,
    pub roles: NodeRoles,
    pub dir: PathBuf,
    pub components: Kept,
    pub file: PathBuf,
    pub public: Vec<(ListenerName, SocketAddr)>,
    pub record: Record,
    pub ready: BTreeMap<Role, Arc<Plugin>>,
}

impl Life {
    /// Goes on from what a start found.
    pub fn new(parts: Parts) -> Self {
        let Parts { runtime, slots, policy, roles, dir, components, file, public, record, ready } = parts;
        let state = Mutex::new(State { record, ready, probation: Vec::new() });
        let (candidates, shadows) = Default::default();
        Life { runtime, slots, policy, roles, dir, components, file, public, candidates, shadows, state }
    }

    /// Loads `NAME.wasm` of the folder beside what serves, checks it, and only then swaps (C3); for a part of the
    /// clients, or for all.
    ///
    /// # Errors
    /// What is wrong with it; what served serves on.
    pub async fn activate(&self, name: &str, part: Option<Canary>) -> Result<Serves, Refused> {
        let path = self.file_of(name)?;
        let mut state = self.state.lock().await;
        let unfit = |reason| Refused::Unfit(LoadError { path: path.clone(), reasons: vec![reason] }.into());
        let source = read_component(&path).await.map_err(unfit)?;
        let loaded = self.runtime.load_source(&path, source.clone(), &|name| self.policy.plugin(name)).await;
        let plugin = loaded.map_err(|e| Refused::Unfit(e.into()))?;
        check_name(&plugin, name).map_err(Refused::Unfit)?;
        let roles = self.roles_of(&plugin)?;
        if roles.contains(&Role::Token) {
            check_anonymous(&plugin, &self.public).await.map_err(|e| Refused::Conflict(e.to_string()))?;
        }
        if let (Some(_), Some(whole)) = (&part, roles.iter().find(|role| !role.takes_canary())) {
            let why = format!("{name}: the role {whole} is swapped whole; activate it without --canary");
            return Err(Refused::Conflict(why));
        }
        let pinned = Pinned { name: name.to_owned(), digest: Digest::new(plugin.digest()) };
        let kept = self.components.put(&pinned.digest, &source);
        kept.map_err(|error| self.not_kept(error))?;
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
        self.begin_probation(&mut state, &plugin, &roles);
        self.candidates.forget(&path);
        Ok(Serves { plugin, roles })
    }

    /// Tries a component out and puts it into the folder, where it is a candidate.
    ///
    /// # Errors
    /// What is wrong with it, or the disk's; nothing is there then.
    pub async fn install(&self, source: Arc<[u8]>) -> Result<Report, Refused> {
        let upload = PathBuf::from("this file");
        let report = self.examine(&upload, source.clone()).await;
        let Some(name) = report.name.clone().filter(|_| report.reasons.is_empty()) else {
            return Err(Refused::Unfit(LoadError { path: upload, reasons: report.reasons }.into()));
        };
        let path = self.file_of(&name)?;
        self.pin(&name).await?;
        let written = {
            let path = path.clone();
            tokio::task::spawn_blocking(move || write_whole(&path, &source, 0o644))
        };
        let written = written.await.map_err(std::io::Error::other).flatten();
        written.map_err(|error| Refused::Failed(PluginError::NotInstalled { path: path.clone(), error }))?;
        info!(plugin = name, file = %path.display(), "plugin installed");
        Ok(report)
    }

    /// Tries a component out; nothing of it stays.
    pub async fn examine(&self, path: &Path, source: Arc<[u8]>) -> Report {
        self.runtime.examine(path, source, &|name| self.policy.plugin(name)).await
    }

    /// What serves by the policy under this name is to serve after a restart, too: its file is about to become
    /// another one.
    ///
    /// # Errors
    /// That cannot be written down.
    pub async fn pin(&self, name: &str) -> Result<(), Refused> {
        let mut state = self.state.lock().await;
        let mut record = state.record.clone();
        for role in Role::ALL {
            let is_it = self.slots.info(role).is_some_and(|info| info.plugin.name() == name);
            let by_policy = record.of(role).is_none_or(|served| served.active.is_none());
            if is_it && by_policy {
                record.of_mut(role).active = self.pinned(&state.record, role);
            }
        }
        if record == state.record { Ok(()) } else { self.write(&mut state, record) }
    }

    /// The canary of this name serves everybody from now on.
    ///
    /// # Errors
    /// There is none.
    pub async fn promote(&self, name: &str) -> Result<Serves, Refused> {
        let mut state = self.state.lock().await;
        let roles = canaries(&state.record, name);
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

    /// Ends the canary of this name, or has what served before it serve again.
    ///
    /// # Errors
    /// It does not serve, or nothing did before it.
    pub async fn roll_back(&self, name: &str) -> Result<Serves, Refused> {
        let mut state = self.state.lock().await;
        let parts = canaries(&state.record, name);
        if !parts.is_empty() {
            return self.end_canary(&mut state, name, &parts);
        }
        let is_active = |role: &Role| self.slots.info(*role).is_some_and(|info| info.plugin.name() == name);
        let roles: Vec<Role> = Role::ALL.into_iter().filter(is_active).collect();
        if roles.is_empty() {
            return Err(Refused::NotFound(format!("no plugin {name:?} serves")));
        }
        let (back, stay): (Vec<Role>, Vec<Role>) =
            roles.into_iter().partition(|role| state.ready.contains_key(role));
        if let Some(role) = stay.first() {
            return Err(Refused::Conflict(format!("{name}: nothing served the role {role} before it")));
        }
        let mut record = state.record.clone();
        for role in &back {
            let served = record.of_mut(*role);
            (served.active, served.canary) = (served.previous.take(), None);
        }
        self.write(&mut state, record)?;
        let mut serves = None;
        for role in &back {
            let Some(former) = state.ready.remove(role) else { continue };
            activate(&self.slots, &former, &[*role]).map_err(Refused::Failed)?;
            serves = Some(former);
        }
        state.probation.retain(|probation| !back.iter().any(|role| probation.roles.contains(role)));
        metrics::counter!("postern_plugin_rollbacks_total").increment(1);
        let plugin = serves.ok_or_else(|| Refused::NotFound(format!("no plugin {name:?} serves")))?;
        warn!(from = name, to = plugin.name(), version = plugin.version(), "plugin rolled back");
        Ok(Serves { plugin, roles: back })
    }

    fn end_canary(&self, state: &mut State, name: &str, roles: &[Role]) -> Result<Serves, Refused> {
        let mut record = state.record.clone();
        roles.iter().for_each(|role| record.of_mut(*role).canary = None);
        self.write(state, record)?;
        let ended = roles.iter().filter_map(|role| self.slots.end_canary(*role)).last();
        if let Some(ended) = &ended {
            state.probation.retain(|probation| probation.generation != ended.generation());
        }
        metrics::counter!("postern_plugin_rollbacks_total").increment(1);
        warn!(plugin = name, "plugin serves no part any more");
        let main = roles.first().and_then(|role| self.slots.info(*role));
        let plugin = main.map(|info| info.plugin).or(ended);
        let plugin = plugin.ok_or_else(|| Refused::NotFound(format!("no plugin {name:?} serves")))?;
        Ok(Serves { plugin, roles: roles.to_vec() })
    }

    /// Takes `NAME.wasm` out of the folder, and forgets it as what served before.
    ///
    /// # Errors
    /// It serves, or there is none.
    pub async fn remove(&self, name: &str) -> Result<(), Refused> {
        let path = self.file_of(name)?;
        let mut state = self.state.lock().await;
        let infos = Role::ALL.into_iter().flat_map(|role| self.slots.infos(role));
        if let Some(serving) = infos.into_iter().find(|info| info.plugin.name() == name) {
            // A candidate of the same name may be removed: the bytes that serve are kept apart.
            if !path.is_file() || Some(Digest::new(serving.plugin.digest())) == digest_of(&path).await {
                let why =
                    format!("{name} serves the role {}: activate another first, or roll back", serving.role);
                return Err(Refused::Conflict(why));
            }
        }
        let mut record = state.record.clone();
        let is_it = |pinned: &Option<Pinned>| pinned.as_ref().is_some_and(|pinned| pinned.name == name);
        let roles: Vec<Role> = record
            .roles
            .iter()
            .filter(|(_, served)| is_it(&served.previous))
            .map(|(role, _)| *role)
            .collect();
        let removed = match tokio::fs::remove_file(&path).await {
            Ok(()) => true,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => false,
            Err(e) => return Err(Refused::Conflict(format!("{}: {e}", path.display()))),
        };
        self.candidates.forget(&path);
        if roles.is_empty() && !removed {
            return Err(Refused::NotFound(format!("{}: there is no such file", path.display())));
        }
        for role in roles {
            record.of_mut(role).previous = None;
            state.ready.remove(&role);
        }
        self.write(&mut state, record)
    }

    /// Lets no call through to the plugin of this name, or all again. Callers get what the role's failure rule
    /// says meanwhile; a restart ends it.
    ///
    /// # Errors
    /// It does not serve.
    pub async fn pause(&self, name: &str, paused: bool) -> Result<(), Refused> {
        let _state = self.state.lock().await;
        let mut found = false;
        for info in Role::ALL.into_iter().flat_map(|role| self.slots.infos(role)) {
            if info.plugin.name() == name {
                found |= self.slots.pause(info.role, info.plugin.generation(), paused);
            }
        }
        if found { Ok(()) } else { Err(Refused::NotFound(format!("no plugin {name:?} serves"))) }
    }

    /// What served before, by role.
    pub async fn ready(&self) -> Vec<(Role, Arc<Plugin>)> {
        let state = self.state.lock().await;
        state.ready.iter().map(|(role, plugin)| (*role, plugin.clone())).collect()
    }

    /// The roles that an operator has activated a plugin for.
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
    pub(super) async fn leave_probation(&self, name: &str) {
        self.state.lock().await.probation.retain(|probation| probation.name != name);
    }

    /// The file of a name.
    ///
    /// # Errors
    /// It is no name.
    pub fn file_of(&self, name: &str) -> Result<PathBuf, Refused> {
        if is_plugin_name(name) {
            return Ok(file_of(&self.dir, name));
        }
        Err(Refused::NotFound(format!("{name:?} is not a plugin name")))
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
    fn pinned(&self, record: &Record, role: Role) -> Option<Pinned> {
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

    fn write(&self, state: &mut State, record: Record) -> Result<(), Refused> {
        record.write(&self.file).map_err(Refused::Failed)?;
        let mut needed = record.digests();
        // What the policy chose is in no record, and may be what is gone back to.
        let serving = Role::ALL.into_iter().flat_map(|role| self.slots.infos(role));
        needed.extend(serving.map(|info| Digest::new(info.plugin.digest())));
        self.components.forget_others(&needed);
        state.record = record;
        Ok(())
    }

    fn begin_probation(&self, state: &mut State, plugin: &Plugin, roles: &[Role]) {
        let generation = plugin.generation();
        state.probation.retain(|probation| !probation.roles.iter().any(|role| roles.contains(role)));
        let until = Instant::now() + self.policy.activation.probation();
        let name = plugin.name().to_owned();
        state.probation.push(Probation { name, generation, roles: roles.to_vec(), until });
    }

    fn not_kept(&self, error: std::io::Error) -> Refused {
        Refused::Failed(PluginError::NotKept { folder: self.dir.clone(), error })
    }
}

/// The roles in which this plugin serves a part.
fn canaries(record: &Record, name: &str) -> Vec<Role> {
    let is_it = |canary: &Option<PinnedCanary>| canary.as_ref().is_some_and(|it| it.plugin.name == name);
    record.roles.iter().filter(|(_, served)| is_it(&served.canary)).map(|(role, _)| *role).collect()
}

async fn digest_of(path: &Path) -> Option<Digest> {
    read_component(path).await.ok().map(|source| Digest::of(&source))
}
