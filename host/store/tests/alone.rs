//! One node at a time brings plugins' tables up to date.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use postern_store::{Access, Database};
use support::{LIMITS, Store};

#[tokio::test]
async fn a_node_waits_while_another_makes_tables() {
    let store = Store::postgres().await;
    let other = Database::open(&store.url(), store.folder.path()).await.unwrap();
    let made = Arc::new(AtomicBool::new(false));

    let alone = store.database.alone().await.unwrap();
    let waiting = tokio::spawn({
        let made = made.clone();
        async move {
            let alone = other.alone().await.unwrap();
            assert!(made.load(Ordering::SeqCst), "the other node is done");
            alone.end().await;
            // One that is dropped half-way holds nobody off either.
            drop(other.alone().await.unwrap());
            other.alone().await.unwrap().end().await;
        }
    });
    let plugin = store.database.plugin("store-sql", LIMITS).await.unwrap();
    let mut transaction = plugin.begin(Access::Write).await.unwrap();
    transaction.execute("CREATE TABLE t (n BIGINT)", Vec::new()).await.unwrap();
    transaction.commit().await.unwrap();
    made.store(true, Ordering::SeqCst);
    alone.end().await;
    waiting.await.unwrap();
}

#[tokio::test]
async fn an_embedded_database_has_no_other_node() {
    let store = Store::sqlite().await;
    let one = store.database.alone().await.unwrap();
    store.database.alone().await.unwrap().end().await;
    one.end().await;
}
