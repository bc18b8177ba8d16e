//! What has expired in the plugins' maps is removed: spent counters, old tokens, counts of failures.
//! A plugin is not given it any more anyway; this gives the room back.

use std::time::Duration;

use postern_store::Database;
use tracing::{debug, warn};

use crate::clock;

/// Expired entries stay so long at most.
const STEP: Duration = Duration::from_secs(60);

/// Purges until it is stopped, beginning now.
pub async fn run(database: Database) {
    let mut step = tokio::time::interval(STEP);
    step.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        step.tick().await;
        purge(&database).await;
    }
}

async fn purge(database: &Database) {
    match database.purge(clock::now().0).await {
        Ok(0) => {}
        Ok(entries) => {
            debug!(entries, "expired entries removed");
            metrics::counter!("postern_store_purged_total").increment(entries);
        }
        // They are tried again, and harm nobody meanwhile.
        Err(e) => warn!(error = %e, "expired entries not removed"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_has_expired_is_removed_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", dir.path().join("postern.db").display());
        let database = Database::open(&url, dir.path()).await.unwrap();
        let (kv, now) = (database.kv("plugin/token"), clock::now().0);
        kv.set("spent", vec![1], Some(now - 1)).await.unwrap();
        kv.set("good", vec![2], Some(now + 3_600_000)).await.unwrap();
        purge(&database).await;
        assert_eq!(database.purge(now).await, Ok(0), "nothing is left to remove");
        assert_eq!(kv.get("good", now).await, Ok(Some(vec![2])));
    }
}
