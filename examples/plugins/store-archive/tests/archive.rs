//! The archive on SQLite and on PostgreSQL.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "../../../../plugins/store-tables/tests/db/mod.rs"]
mod db;
#[path = "../../../../host/store/tests/support/mod.rs"]
#[allow(unused_macros, unused_imports)] // uses a part of it
mod support;

use db::call;
use postern_store::Access::{Read, Write};
use store_archive::archive::{self, Bounds};
use store_tables::bindings::exports::postern::store::messages::{Address, Class, Message, Saved};
use store_tables::read;
use store_tables::sql::{Sql as _, Value};
use support::Store;

fn message(id: &str, body: &str) -> Message {
    Message {
        id: id.into(),
        class: Class::Instant,
        sender: "alice".into(),
        sender_device: "phone".into(),
        to: Address::User("bob".into()),
        topic: "im/u/bob/alice".into(),
        body: body.into(),
        properties: Vec::new(),
        sent_at: 5,
        expires_at: None,
        recipients: vec!["alice".into(), "bob".into()],
    }
}

async fn archived_once(store: Store) {
    let sql = store.plugin().await;
    for _ in 0..2 {
        let both = |db: &db::Db| store_tables::schema::migrate(db).and_then(|()| archive::migrate(db));
        call(&sql, Write, both).await.unwrap();
    }
    let bounds = Bounds { max_body_bytes: 30, archived_chars: 20 };
    let batch =
        vec![message("1", "my number: 0711 123456"), message("1", "again"), message("2", &"x".repeat(31))];
    let saved = call(&sql, Write, |db| archive::save(db, bounds, batch)).await.unwrap();
    assert!(matches!(saved[..], [Saved::Stored(_), Saved::Duplicate, Saved::Refused(_)]), "{saved:?}");
    call(&sql, Write, |db| archive::save(db, bounds, vec![message("1", "again")])).await.unwrap();

    let statement = "SELECT mid, sender, target, bytes, text FROM archive ORDER BY id";
    let rows = call(&sql, Read, |db| db.query(statement, Vec::new())).await.unwrap();
    let [row] = &rows[..] else { panic!("{rows:?}") };
    let texts = ["1", "alice", "bob"];
    assert!(texts.iter().zip(row).all(|(told, v)| matches!(v, Value::Text(text) if text == told)), "{row:?}");
    assert!(
        matches!((&row[3], &row[4]), (Value::Integer(22), Value::Text(t)) if t == "my number: #### ####")
    );
    let inbox = call(&sql, Read, |db| read::inbox(db, "bob", 0, 9, 0)).await.unwrap();
    assert_eq!(inbox[0].body, b"my number: 0711 123456", "the inbox has it whole");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_stored_is_archived_once_on_sqlite() {
    archived_once(Store::sqlite().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_stored_is_archived_once_on_postgres() {
    archived_once(Store::postgres().await).await;
}
