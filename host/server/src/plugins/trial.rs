//! Candidates beside what serves: in the shadow of live calls, and calls recorded to be run again.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use parking_lot::Mutex;
use postern_guest::{Plugin, Role, Shadow, cases::Cases};

use super::life::{Life, Refused};

/// Calls of one record, and its time, at most.
const MOST_CALLS: u32 = 10_000;
const MOST_SECS: u32 = 240;

/// Candidates in the shadow, by name.
#[derive(Default)]
pub struct Shadows(Mutex<BTreeMap<String, Arc<Shadow>>>);

impl Shadows {
    /// Ends the shadow of this name, if there is one.
    pub fn end(&self, name: &str) {
        self.0.lock().remove(name);
    }
}

impl Life {
    /// Loads `NAME.wasm` of the folder, and has it answer copies of one live call in `every`.
    ///
    /// # Errors
    /// What is wrong with it, or that its roles cannot be shadowed.
    pub async fn begin_shadow(&self, name: &str, every: u32) -> Result<Arc<Shadow>, Refused> {
        let path = self.file_of(name)?;
        let (checked, _) = self.checked(name, &path).await?;
        if let Some(role) = checked.plugin().roles().iter().find(|role| !Shadow::covers(**role)) {
            let why = format!(
                "{name}: calls of the role {role} have effects; only classify and encrypt are shadowed"
            );
            return Err(Refused::Conflict(why));
        }
        // It does not prepare: nothing of it stays.
        let plugin = self.runtime.resume(checked).await.map_err(|e| Refused::Unfit(e.into()))?;
        let shadow = Shadow::begin(plugin, &self.slots, every.into());
        let shadow = Arc::new(shadow.map_err(|e| Refused::Conflict(e.to_string()))?);
        self.shadows.0.lock().insert(name.to_owned(), shadow.clone());
        Ok(shadow)
    }

    /// A candidate in the shadow.
    ///
    /// # Errors
    /// There is none of this name.
    pub fn shadow(&self, name: &str) -> Result<Arc<Shadow>, Refused> {
        let found = self.shadows.0.lock().get(name).cloned();
        found.ok_or_else(|| Refused::NotFound(format!("{name} is in nobody's shadow; begin with --start")))
    }

    /// Ends a shadow, and gives back what it found.
    ///
    /// # Errors
    /// There is none of this name.
    pub fn end_shadow(&self, name: &str) -> Result<Arc<Shadow>, Refused> {
        let shadow = self.shadow(name)?;
        self.shadows.0.lock().remove(name);
        Ok(shadow)
    }

    /// Records calls of what serves under this name, until there are `calls` or the time is over.
    ///
    /// # Errors
    /// It does not serve, or its roles cannot be recorded.
    pub async fn record(&self, name: &str, calls: u32, secs: u32) -> Result<Cases, Refused> {
        let infos = Role::ALL.into_iter().flat_map(|role| self.slots.infos(role));
        let serves: Vec<(Role, Arc<Plugin>)> =
            infos.filter(|info| info.plugin.name() == name).map(|info| (info.role, info.plugin)).collect();
        let Some((_, plugin)) = serves.first().cloned() else {
            return Err(Refused::NotFound(format!("no plugin {name:?} serves")));
        };
        let watches = serves.iter().filter_map(|(role, _)| self.slots.watch(*role));
        let Some(watching) = watches.map(|watch| watch.begin(1)).next() else {
            let why = format!(
                "{name}: only calls of classify and encrypt are recorded; the others have effects, and secrets"
            );
            return Err(Refused::Conflict(why));
        };
        let most = calls.clamp(1, MOST_CALLS) as usize;
        let time = Duration::from_secs(secs.clamp(1, MOST_SECS).into());
        let recording = tokio::task::spawn_blocking(move || Cases::record(&plugin, &watching, most, time));
        recording.await.map_err(|e| Refused::Conflict(e.to_string()))
    }
}
