//! A candidate tried out: every check that it must pass to serve, and nothing of it stays.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use postern_store::Database;

use crate::cache::source_digest;
use crate::engine::{Host, Runtime};
use crate::keyring::Keyring;
use crate::plugin::Plugin;
use crate::policy::{PluginPolicy, Role};
use crate::probe;
use crate::reason::Reason;
use crate::roles::{classify, encrypt, types};
use crate::slot::Slots;

/// Calls of a pure role whose time is told.
const CALLS: u32 = 1_000;

/// What was found out about a candidate.
#[derive(Clone, Debug)]
pub struct Report {
    /// SHA-256 of its file.
    pub digest: [u8; 32],
    /// Bytes of its file.
    pub size: usize,
    /// Time of all checks; when it was not compiled before, mostly the compiler's.
    pub took: Duration,
    /// Who it says it is; known when its world fits and the policy grants what it imports.
    pub name: Option<String>,
    /// Its own version.
    pub version: Option<String>,
    /// The roles that it can fill.
    pub roles: BTreeSet<Role>,
    /// The interfaces of `postern:host` that it imports.
    pub imports: BTreeSet<String>,
    /// Linear memory of one instance, in bytes.
    pub memory: usize,
    /// What a call takes on this machine, by role: for pure roles a sample message or command.
    pub calls: Vec<(Role, Duration)>,
    /// Why it cannot serve: all that was found; empty when it can.
    pub reasons: Vec<Reason>,
}

impl Runtime {
    /// Tries a component out that was read from `path`: all checks of [`Runtime::load`], on an empty database that
    /// is thrown away. Nothing that serves is touched or waits for it.
    pub async fn examine(
        &self,
        path: &Path,
        source: Arc<[u8]>,
        policies: &(dyn Fn(&str) -> PluginPolicy + Send + Sync),
    ) -> Report {
        let began = Instant::now();
        let mut report = Report {
            digest: source_digest(&source),
            size: source.len(),
            took: Duration::ZERO,
            name: None,
            version: None,
            roles: BTreeSet::new(),
            imports: BTreeSet::new(),
            memory: 0,
            calls: Vec::new(),
            reasons: Vec::new(),
        };
        let tried = async {
            let scratch = Scratch::make(&self.scratch).await.map_err(|reason| vec![reason])?;
            let plugin = self.fit(path, source, policies, &scratch.host).await?;
            report.name = Some(plugin.name().to_owned());
            report.version = Some(plugin.version().to_owned());
            report.roles.clone_from(&plugin.roles);
            report.imports.clone_from(&plugin.imports);
            probe::prepare(&plugin).await.map_err(|reason| vec![reason])?;
            probe::self_check(&plugin).await.map_err(|reason| vec![reason])?;
            report.memory = plugin.peak_memory_bytes();
            report.calls =
                tokio::task::spawn_blocking(move || sample(&Arc::new(plugin))).await.unwrap_or_default();
            scratch.host.database.close().await;
            Ok(())
        };
        report.reasons = tried.await.err().unwrap_or_default();
        report.took = began.elapsed();
        report
    }
}

/// What is lent to a component on trial in place of what is the host's own: an empty database, keys that open
/// nothing. What it may ask by HTTP it may ask here too: its own check may depend on it.
struct Scratch {
    host: Host,
    folder: PathBuf,
}

impl Scratch {
    /// Below this folder, of which it gets a part of its own.
    async fn make(folder: &Path) -> Result<Scratch, Reason> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let failed = |error: &dyn std::fmt::Display| Reason::Host(format!("no room for a trial: {error}"));
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let folder = folder.join(format!("trial-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&folder).map_err(|e| failed(&e))?;
        let url = format!("sqlite:{}", folder.join("trial.db").display());
        let opened = Database::open(&url, &folder).await;
        let keyring = Keyring::open_or_create(&folder.join("key"));
        match (opened, keyring) {
            (Ok(database), Ok(keyring)) => Ok(Scratch { host: Host { database, keyring }, folder }),
            (opened, keyring) => {
                let _ = std::fs::remove_dir_all(&folder);
                let told = opened.err().map(|e| e.to_string()).or(keyring.err().map(|e| e.to_string()));
                Err(failed(&told.unwrap_or_default()))
            }
        }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// What calls of the pure roles take. An instance's first call is not among them.
fn sample(plugin: &Arc<Plugin>) -> Vec<(Role, Duration)> {
    let slots = Slots::aside();
    let mut calls = Vec::new();
    for role in plugin.roles.clone().into_iter().filter(|role| role.is_pure()) {
        if slots.activate(role, plugin.clone()).is_err() || !sample_call(&slots, role) {
            continue;
        }
        let began = Instant::now();
        let most = Duration::from_millis(100);
        let done = (1..=CALLS).find(|_| !sample_call(&slots, role) || began.elapsed() > most);
        calls.push((role, began.elapsed() / done.unwrap_or(CALLS)));
    }
    calls
}

/// A call with made-up facts; whatever the answer is, it counts. False when there was none.
fn sample_call(slots: &Slots, role: Role) -> bool {
    use crate::call::CallError::Down;
    match role {
        Role::Classify => {
            let sender = Arc::new(classify::SenderFacts { client_id: "sample".to_owned(), profile: None });
            let facts = classify::Facts {
                topic: "im/u/nobody/sample",
                payload: &[b'x'; 256],
                qos: 1,
                retain: false,
                origin: classify::Origin::Client,
                transport: types::Transport::Tls,
                sender: Some(&sender),
                relation: types::Relation::Internal,
                now: 0,
            };
            !matches!(slots.classify().classify(&facts), Err(Down(_)))
        }
        Role::Encrypt => {
            let facts = encrypt::Facts {
                terminal: "nobody".to_owned(),
                requester: "sample".to_owned(),
                command_class: "info".to_owned(),
                follow_ups: Vec::new(),
                link: None,
                recent_secure_commands: 0,
                now: 0,
            };
            !matches!(slots.encrypt().decide(facts), Err(Down(_)))
        }
        Role::Login | Role::Token | Role::Store => false,
    }
}
