//! Sessions, their messages and retained messages over a restart: the broker's journal in the host's
//! own tables.
//!
//! ```text
//! broker.poll_changes → pending (what the tables are to hold) → one transaction → broker.settle
//! at the start: tables → restore → broker.restore
//! ```
//!
//! One task writes. While a transaction runs the next changes gather, so that a busy broker writes
//! large transactions and a quiet one small. A message that comes and goes in between is never written.

mod pending;
mod record;
mod restore;

use std::{future::poll_fn, sync::Arc, time::Duration};

use postern_broker::Broker;
use postern_store::Kept;
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use pending::Pending;
pub use restore::restore;

/// How long to wait before a transaction that failed is tried again. Until it succeeds nothing that
/// depends on it is acknowledged.
const AGAIN: Duration = Duration::from_secs(1);

/// Writes the broker's changes until `stop`, and then what is left.
pub async fn write(broker: Arc<Broker>, kept: Kept, stop: CancellationToken) {
    let mut pending = Pending::default();
    loop {
        let next = poll_fn(|cx| broker.poll_changes(cx));
        let Some(batch) = stop.run_until_cancelled(next).await else { break };
        pending.take(batch);
        while let Err(problem) = save(&broker, &kept, &mut pending).await {
            error!(%problem, "sessions cannot be kept: nothing that depends on it is acknowledged");
            metrics::counter!("postern_sessions_kept_errors_total").increment(1);
            if stop.run_until_cancelled(tokio::time::sleep(AGAIN)).await.is_none() {
                return;
            }
        }
    }
    let last = poll_fn(|cx| match broker.poll_changes(cx) {
        std::task::Poll::Ready(batch) => std::task::Poll::Ready(Some(batch)),
        std::task::Poll::Pending => std::task::Poll::Ready(None),
    });
    if let Some(batch) = last.await {
        pending.take(batch);
        match save(&broker, &kept, &mut pending).await {
            Ok(()) => info!("sessions kept"),
            Err(problem) => error!(%problem, "the last changes of sessions are not kept"),
        }
    }
}

/// One transaction. After an error everything is still pending.
async fn save(broker: &Broker, kept: &Kept, pending: &mut Pending) -> Result<(), postern_store::SqlError> {
    if !pending.is_empty() {
        let (ended, gone, put) = pending.rows();
        metrics::counter!("postern_sessions_kept_rows_total").increment((gone.len() + put.len()) as u64);
        kept.save(&ended, &gone, &put).await?;
    }
    broker.settle(pending.written());
    Ok(())
}
