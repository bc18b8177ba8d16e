//! Stopping: nothing new, the links are told, what is under way is finished, stragglers are named.

use std::time::Duration;

use postern_broker::{Broker, SessionKey, wire::ReasonCode};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{info, warn};

/// A file that may grow no further is an error of its write (C6), not the end of the process: SIGXFSZ,
/// caught for as long as the answer is kept.
///
/// # Errors
/// When the system gives no signals.
pub fn survive_full_files() -> std::io::Result<Signal> {
    signal(SignalKind::from_raw(SIGXFSZ))
}

/// `man 7 signal`; the same on all Linux architectures but MIPS and PA-RISC.
const SIGXFSZ: i32 = 25;

/// Waits for SIGTERM or SIGINT.
///
/// # Errors
/// When the system gives no signals.
pub async fn stop_signal() -> std::io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

/// Stragglers that the log names.
const NAMED: usize = 20;

/// Ends all links: no new ones, 0x8B to those that are, and `grace` to finish.
pub async fn links(broker: Option<&Broker>, tasks: &TaskTracker, stop: &CancellationToken, grace: Duration) {
    stop.cancel();
    let links = broker.map_or(0, |broker| broker.disconnect_all(ReasonCode::ServerShuttingDown));
    tasks.close();
    info!(links, tasks = tasks.len(), "stopping");
    if tokio::time::timeout(grace, tasks.wait()).await.is_err() {
        let (links, named) = broker.map(stragglers).unwrap_or_default();
        warn!(tasks = tasks.len(), links, ?named, "grace is over, closing what is left");
    }
}

/// How many links are left, and the first of them by user and client id.
fn stragglers(broker: &Broker) -> (usize, Vec<String>) {
    let mut left = broker.sessions();
    left.retain(|session| session.connected);
    let name = |key: &SessionKey| match &key.owner {
        Some(owner) => format!("{owner}/{}", key.client_id),
        None => key.client_id.to_string(),
    };
    (left.len(), left.iter().take(NAMED).map(|session| name(&session.key)).collect())
}
