//! Stopping: nothing new, the links are told, what is under way is finished, stragglers are named.

use std::time::Duration;

use postern_broker::{Broker, SessionKey, wire::ReasonCode};
use ring::digest::{SHA256, digest};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    time::{Instant, timeout_at},
};
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

/// Ends all links within `grace`: no new ones; those that are begin no message, finish what is in flight, and are
/// told `reason`. After half of it they are told whatever is in flight; after all of it they are left.
pub async fn links(
    broker: Option<&Broker>,
    tasks: &TaskTracker,
    stop: &CancellationToken,
    reason: ReasonCode,
    grace: Duration,
) {
    // Before the doors close: whoever is in the middle of its sign-in is to be refused.
    let links = broker.map_or(0, |broker| broker.drain_all(reason));
    stop.cancel();
    tasks.close();
    let begun = Instant::now();
    info!(links, tasks = tasks.len(), grace_secs = grace.as_secs(), "stopping");
    if timeout_at(begun + grace / 2, tasks.wait()).await.is_ok() {
        return;
    }
    let unfinished = broker.map_or(0, |broker| broker.disconnect_all(reason));
    if unfinished > 0 {
        info!(
            links = unfinished,
            "not waiting longer for acknowledgements; sessions that last keep what is in flight"
        );
    }
    if timeout_at(begun + grace, tasks.wait()).await.is_err() {
        let (links, named) = broker.map(stragglers).unwrap_or_default();
        warn!(tasks = tasks.len(), links, ?named, "grace is over, closing what is left");
    }
}

/// How many links are left, and the first of them.
fn stragglers(broker: &Broker) -> (usize, Vec<String>) {
    let mut left = broker.sessions();
    left.retain(|session| session.connected);
    (left.len(), left.iter().take(NAMED).map(|session| known_as(&session.key)).collect())
}

/// A session in the log, where no client id is to stand: the first 16 digits of
/// `printf %s USER/CLIENT | sha256sum`. An anonymous one has no user.
fn known_as(key: &SessionKey) -> String {
    let whole = format!("{}/{}", key.owner.as_deref().unwrap_or_default(), key.client_id);
    digest(&SHA256, whole.as_bytes()).as_ref().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_straggler_is_known_by_a_hash() {
        // printf %s alice/phone | sha256sum
        assert_eq!(known_as(&SessionKey::new(Some("alice"), "phone")), "0e874dd395119c8d");
        assert_eq!(known_as(&SessionKey::new(None, "probe")), "87d0b7f87c920efa");
    }
}
