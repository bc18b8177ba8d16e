//! A candidate tried out: every check that it must pass to serve, and nothing of it stays.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::cache::source_digest;
use crate::engine::Runtime;
use crate::load::Reason;
use crate::plugin::Plugin;
use crate::policy::{PluginPolicy, Role};
use crate::probe;
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
    /// Tries a component out that was read from `path`: all checks of [`Runtime::load`], and its migrations in
    /// a transaction that is undone.
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
        match self.fit(path, source, policies).await {
            Err(reasons) => report.reasons = reasons,
            Ok(plugin) => {
                report.name = Some(plugin.name().to_owned());
                report.version = Some(plugin.version().to_owned());
                report.roles.clone_from(&plugin.roles);
                report.imports.clone_from(&plugin.imports);
                report.reasons.extend(self.rehearse(&plugin).await.err());
                report.memory = plugin.peak_memory_bytes();
                if report.reasons.is_empty() {
                    report.calls = sample(Arc::new(plugin));
                }
            }
        }
        report.took = began.elapsed();
        report
    }

    async fn rehearse(&self, plugin: &Plugin) -> Result<(), Reason> {
        if plugin.granted.sql.is_none() {
            return probe::rehearse(plugin).await;
        }
        let alone = self.host.database.alone().await.map_err(|error| Reason::Host(error.to_string()))?;
        let rehearsed = probe::rehearse(plugin).await;
        alone.end().await;
        rehearsed
    }
}

/// What calls of the pure roles take. An instance's first call is not among them.
fn sample(plugin: Arc<Plugin>) -> Vec<(Role, Duration)> {
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
