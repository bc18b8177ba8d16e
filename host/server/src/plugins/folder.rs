//! What the plugin folder offers: each file that is not what serves is tried out once it lies still, and is a
//! candidate then, or named with what is wrong with it.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use parking_lot::Mutex;
use postern_guest::{LoadError, Report, Role, read_component};
use tracing::{info, warn};

use super::{folders::Stamp, kept::Digest, life::Life, name_mismatch};
use crate::audit::Audit;

/// How often the folder is looked at. A file that is the same twice has been copied to its end.
const LOOK: Duration = Duration::from_secs(1);
/// Files that are looked at.
const MOST: usize = 200;

/// A file that does not serve.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// Where it is.
    pub path: PathBuf,
    /// What was found out about it.
    pub report: Report,
}

impl Candidate {
    /// The name that it is activated by.
    pub fn name(&self) -> String {
        self.path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// What is wrong with it, in one line.
    pub fn wrong(&self) -> Option<String> {
        let Candidate { path, report } = self;
        if !report.reasons.is_empty() {
            return Some(LoadError { path: path.clone(), reasons: report.reasons.clone() }.to_string());
        }
        let name = report.name.as_ref().filter(|name| **name != self.name())?;
        Some(name_mismatch(path, name))
    }
}

/// All candidates, by file.
#[derive(Debug, Default)]
pub struct Candidates(Mutex<BTreeMap<PathBuf, Candidate>>);

impl Candidates {
    /// All of them.
    pub fn all(&self) -> Vec<Candidate> {
        self.0.lock().values().cloned().collect()
    }

    /// It serves now, or is gone.
    pub fn forget(&self, path: &Path) {
        self.0.lock().remove(path);
    }

    pub(super) fn put(&self, candidate: Candidate) {
        self.0.lock().insert(candidate.path.clone(), candidate);
    }

    fn keep_only(&self, files: &BTreeMap<PathBuf, Stamp>) {
        self.0.lock().retain(|path, _| files.contains_key(path));
    }
}

/// A file as the watch knows it.
#[derive(Clone, Copy)]
struct Known {
    stamp: Stamp,
    /// It was tried out in this state.
    tried: bool,
    /// It was there when the watch began: nobody has just dropped it in.
    first: bool,
}

/// Watches the folder until it is stopped.
pub async fn watch(life: Arc<Life>, audit: Audit) {
    let mut known: BTreeMap<PathBuf, Known> = BTreeMap::new();
    let mut interval = tokio::time::interval(LOOK);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    for look in 0_u64.. {
        interval.tick().await;
        let folders = life.folders.clone();
        // A folder that cannot be read now is not an empty one.
        let Ok(Ok(files)) = tokio::task::spawn_blocking(move || folders.stamps()).await else { continue };
        // The same ones each time.
        let files: BTreeMap<_, _> = files.into_iter().take(MOST).collect();
        life.candidates.keep_only(&files);
        for path in known.keys().filter(|path| !files.contains_key(*path)) {
            pin(&life, path).await;
        }
        known.retain(|path, _| files.contains_key(path));
        for (path, stamp) in files {
            let first = look == 0;
            match known.get_mut(&path) {
                Some(known) if known.stamp == stamp => {
                    if std::mem::replace(&mut known.tried, true) {
                        continue;
                    }
                    let dropped_in = !known.first;
                    try_out(&life, &audit, &path, dropped_in).await;
                }
                Some(known) => {
                    *known = Known { stamp, tried: false, first: false };
                    pin(&life, &path).await;
                }
                None => {
                    if !first {
                        pin(&life, &path).await;
                    }
                    known.insert(path, Known { stamp, tried: false, first });
                }
            }
        }
    }
}

/// The file of what serves by the policy is gone, or another one: what serves is to serve after a restart, too.
async fn pin(life: &Life, path: &Path) {
    let name = path.file_stem().unwrap_or_default().to_string_lossy();
    if let Err(refused) = life.pin(&name).await {
        warn!(plugin = %name, %refused, "what serves may not after a restart");
    }
}

async fn try_out(life: &Life, audit: &Audit, path: &Path, dropped_in: bool) {
    let Ok(source) = read_component(path).await.inspect_err(|reason| {
        warn!(file = %path.display(), %reason, "plugin folder");
    }) else {
        return;
    };
    let digest = Digest::of(&source);
    let infos = Role::ALL.into_iter().flat_map(|role| life.slots.infos(role));
    if infos.into_iter().any(|info| Digest::new(info.plugin.digest()) == digest) {
        return life.candidates.forget(path);
    }
    let candidate = Candidate { path: path.to_owned(), report: life.examine(path, source).await };
    let (name, wrong) = (candidate.name(), candidate.wrong());
    let has_passed = wrong.is_none();
    life.candidates.put(candidate);
    match wrong {
        Some(wrong) => warn!(wrong, "a plugin file does not pass"),
        None if dropped_in => info!(plugin = name, file = %path.display(), "a plugin can be activated"),
        None => {}
    }
    if dropped_in && has_passed && life.policy.load().activation.auto_activate {
        let act = match audit.begin("server", "plugin.activate", &name, "auto_activate").await {
            Ok(act) => act,
            Err(e) => return tracing::error!(error = %e, "audit log"),
        };
        match life.activate(&name, None).await {
            Ok(_) => act.end("done", "").await,
            Err(refused) => {
                warn!(plugin = name, %refused, "not activated");
                act.end("failed", &refused.to_string()).await;
            }
        }
    }
}
