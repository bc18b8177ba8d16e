//! Stopping: nothing new, the links are told, what is under way is finished, stragglers are named.

use std::{sync::Arc, time::Duration};

use postern_broker::{Broker, SessionKey, wire::ReasonCode};
use postern_bus::Bus;
use postern_store::Database;
use postern_trace::Exporting;
use ring::digest::{SHA256, digest};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{info, warn};

use crate::{datadir::DataDir, node::Node, tasks::Background};

/// A server that serves, and all that is needed to end it.
pub struct Running {
    /// None where the broker role is not held.
    pub node: Option<Arc<Node>>,
    /// Links, wills and admin acts.
    pub tasks: TaskTracker,
    /// Ends accepting.
    pub stop: CancellationToken,
    /// What runs until the links are gone.
    pub background: Background,
    /// Announcements that are still to be sent.
    pub bus: Bus,
    /// Closed last.
    pub database: Database,
    /// Traces that are still to be sent.
    pub exporting: Option<Exporting>,
    /// The data folder's lock: until the end nobody else is to serve on it.
    pub data: DataDir,
    /// What MQTT 5 clients are told.
    pub reason: ReasonCode,
    /// How long the links have.
    pub grace: Duration,
}

impl Running {
    /// Ends it: links, background work, what is to be written, database.
    pub async fn stop(self) {
        let broker = self.node.as_ref().map(|node| &*node.broker);
        links(broker, &self.tasks, &self.stop, self.reason, self.grace).await;
        let written = async {
            self.background.finish().await;
            if let Some(node) = &self.node {
                node.commands.write_accounts().await;
            }
            self.bus.flush().await;
            self.database.close().await;
            if let Some(exporting) = self.exporting {
                exporting.stop().await;
            }
        };
        if timeout(WRITING, written).await.is_err() {
            warn!("the database or the bus does not answer: what was not acknowledged may not be written");
        }
        drop(self.data);
        info!("stopped");
    }
}

/// How long what is left may take to be written: a database that does not answer keeps no process.
const WRITING: Duration = Duration::from_secs(8);

/// Stragglers that the log names.
const NAMED: usize = 20;

/// Ends all links within `grace`: no new ones; those that are begin no message, finish what is in flight, and are
/// told `reason`. After half of it they are told whatever is in flight; after all of it they are left.
async fn links(
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
