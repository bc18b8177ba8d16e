//! What operators do with the plugin folder and with what serves, short of changing which.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use postern_guest::{LoadError, Report, Role, is_plugin_name, read_component};
use tracing::info;

use super::{
    PluginError,
    kept::Digest,
    life::{Life, Refused},
    record::Pinned,
};
use crate::datadir::write_whole;

impl Life {
    /// The file of a name, in the folder that has it.
    ///
    /// # Errors
    /// It is no name.
    pub fn file_of(&self, name: &str) -> Result<PathBuf, Refused> {
        named(name).map(|name| self.folders.file_of(name))
    }

    /// The file of a name in the operator's folder.
    fn own_file(&self, name: &str) -> Result<PathBuf, Refused> {
        named(name).map(|name| self.folders.own_file(name))
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
        let path = self.own_file(&name)?;
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
        self.runtime.examine(path, source, &|name| self.policy.load().plugin(name)).await
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
                let pinned = self.pinned(&state.record, role);
                let lost = || {
                    Refused::Conflict(format!(
                        "{name}: its bytes could not be kept, and its file is the only copy"
                    ))
                };
                record.of_mut(role).active = Some(pinned.ok_or_else(lost)?);
                info!(plugin = name, %role, "serves after a restart, too, whatever becomes of its file");
            }
        }
        if record == state.record { Ok(()) } else { self.write(&mut state, record) }
    }

    /// Takes `NAME.wasm` out of the folder; when there is none, forgets it as what served before.
    ///
    /// # Errors
    /// It serves, or there is none.
    pub async fn remove(&self, name: &str) -> Result<(), Refused> {
        let path = self.own_file(name)?;
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
        self.shadows.end(name);
        if roles.is_empty() && !removed {
            return Err(Refused::NotFound(format!("{}: there is no such file", path.display())));
        }
        // A bad candidate goes, and the way back to a plugin of the same name stays.
        for role in roles.into_iter().filter(|_| !removed) {
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
}

fn named(name: &str) -> Result<&str, Refused> {
    if is_plugin_name(name) {
        Ok(name)
    } else {
        Err(Refused::NotFound(format!("{name:?} is not a plugin name")))
    }
}

async fn digest_of(path: &Path) -> Option<Digest> {
    read_component(path).await.ok().map(|source| Digest::of(&source))
}
