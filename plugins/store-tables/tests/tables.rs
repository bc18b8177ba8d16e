//! Saving and reading on SQLite and on PostgreSQL.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod db;
#[path = "../../../host/store/tests/support/mod.rs"]
#[allow(unused_macros, unused_imports)] // uses a part of it
mod support;

use db::call;
use postern_store::{Access::Read, Access::Write, PluginSql};
use store_tables::{
    bindings::exports::postern::store::messages::{
        Address, Class, Conversation, Delivery, Marker, Message, Saved,
    },
    read,
    save::save,
    schema,
    sql::Sql,
};
use support::Store;

macro_rules! on_both {
    ($($test:ident)*) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() { super::$test(super::Store::sqlite().await).await; })*
        }
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() { super::$test(super::Store::postgres().await).await; })*
        }
    };
}

on_both! {
    a10_a_message_is_stored_once
    seqs_have_no_gaps_whoever_writes
    history_is_by_conversation_and_page
    history_passes_over_the_rows_of_other_conversations
    history_finds_what_an_older_generation_stored
    pages_of_large_messages_are_short
    markers_never_move_back
    markers_are_bounded
}

async fn opened(store: &Store) -> PluginSql {
    let sql = store.plugin().await;
    call(&sql, Write, schema::migrate).await.unwrap();
    call(&sql, Write, schema::migrate).await.unwrap(); // the next generation finds all done
    sql
}

fn message(id: &str, sender: &str, to: Address, recipients: &[&str]) -> Message {
    Message {
        id: id.into(),
        class: Class::Instant,
        sender: sender.into(),
        sender_device: "phone".into(),
        to,
        topic: format!("im/u/x/{sender}"),
        body: id.as_bytes().to_vec(),
        properties: vec![0, 255],
        sent_at: 1_790_000_000_000,
        expires_at: None,
        recipients: recipients.iter().map(|&recipient| recipient.to_owned()).collect(),
    }
}

fn chat(id: &str, from: &str, to: &str) -> Message {
    let mut both = [from, to];
    both.sort_unstable();
    let recipients = if from == to { &both[..1] } else { &both[..] };
    message(id, from, Address::User(to.into()), recipients)
}

async fn saved(sql: &PluginSql, batch: Vec<Message>) -> Vec<String> {
    let answers = call(sql, Write, |db| save(db, 100, batch)).await.unwrap();
    let told = |answer| match answer {
        Saved::Stored(places) => places
            .iter()
            .map(|place| format!("{}:{}", place.recipient, place.seq))
            .collect::<Vec<_>>()
            .join(" "),
        Saved::Duplicate => "duplicate".into(),
        Saved::Refused(_) => "refused".into(),
    };
    answers.into_iter().map(told).collect()
}

fn ids(page: &[Delivery]) -> Vec<(u64, &str)> {
    page.iter().map(|delivery| (delivery.seq, delivery.id.as_str())).collect()
}

async fn a10_a_message_is_stored_once(store: Store) {
    let sql = opened(&store).await;
    let large = Message { body: vec![0; 101], ..chat("large", "alice", "bob") };
    let batch = vec![
        chat("1", "alice", "bob"),
        chat("1", "alice", "bob"),
        large,
        chat("", "alice", "bob"),
        chat("1", "bob", "alice"),
        message("2", "alice", Address::Group("ops".into()), &["alice", "bob", "zoe"]),
        message("3", "alice", Address::User("gone".into()), &[]),
    ];
    let told = saved(&sql, batch).await;
    let expected =
        ["alice:1 bob:1", "duplicate", "refused", "refused", "alice:2 bob:2", "alice:3 bob:3 zoe:1", ""];
    assert_eq!(told, expected);
    assert_eq!(
        saved(&sql, vec![chat("1", "alice", "bob"), chat("4", "alice", "bob")]).await,
        ["duplicate", "alice:4 bob:4"]
    );
    assert!(saved(&sql, Vec::new()).await.is_empty());
    assert_eq!(saved(&sql, vec![chat("1", "alice", "bob")]).await, ["duplicate"]);

    let inbox = call(&sql, Read, |db| read::inbox(db, "bob", 1, 2, 0)).await.unwrap();
    assert_eq!(ids(&inbox), [(2, "1"), (3, "2")]);
    let first = &call(&sql, Read, |db| read::inbox(db, "bob", 0, 1, 0)).await.unwrap()[0];
    assert_eq!((first.sender.as_str(), first.sender_device.as_str()), ("alice", "phone"));
    assert_eq!((first.body.as_slice(), first.properties.as_slice()), (&b"1"[..], &[0, 255][..]));
    assert_eq!((first.sent_at, first.expires_at), (1_790_000_000_000, None));
    assert_eq!(call(&sql, Read, |db| read::head(db, "bob")).await.unwrap(), 4);
    assert_eq!(call(&sql, Read, |db| read::head(db, "nobody")).await.unwrap(), 0);
}

async fn seqs_have_no_gaps_whoever_writes(store: Store) {
    let sql = opened(&store).await;
    // A call that fails gives its seqs back.
    let failed = call(&sql, Write, |db| {
        save(db, 100, vec![chat("x", "alice", "bob")]).unwrap();
        Err::<(), _>("the call fails")
    });
    failed.await.unwrap_err();
    let writer = |name: &'static str| {
        let sql = sql.clone();
        tokio::spawn(async move {
            for n in 0..20 {
                let batch = (0..5).map(|m| chat(&format!("{n}-{m}"), name, "bob")).collect();
                saved(&sql, batch).await;
            }
        })
    };
    let writers = [writer("alice"), writer("carol"), writer("bob")];
    for writer in writers {
        writer.await.unwrap();
    }
    let inbox = call(&sql, Read, |db| read::inbox(db, "bob", 0, 1000, 0)).await.unwrap();
    let seqs: Vec<u64> = inbox.iter().map(|delivery| delivery.seq).collect();
    assert_eq!(seqs, (1..=300).collect::<Vec<_>>());
}

async fn history_is_by_conversation_and_page(store: Store) {
    let sql = opened(&store).await;
    let note =
        Message { class: Class::Notification, ..message("n", "desk", Address::Everyone, &["alice", "bob"]) };
    let brief = Message { expires_at: Some(50), ..chat("brief", "alice", "bob") };
    let batch = vec![
        chat("1", "alice", "bob"),
        chat("2", "bob", "alice"),
        chat("3", "carol", "alice"),
        message("g", "carol", Address::Group("bob".into()), &["alice", "bob"]),
        note,
        brief,
        chat("4", "alice", "bob"),
    ];
    saved(&sql, batch).await;
    let page = async |conversation: Option<Conversation>, before, limit, now| {
        let page =
            call(&sql, Read, |db| read::history(db, "alice", conversation.as_ref(), before, limit, now));
        page.await.unwrap().into_iter().map(|delivery| delivery.id).collect::<Vec<_>>()
    };
    let with_bob = || Some(Conversation::With("bob".into()));
    assert_eq!(page(with_bob(), None, 10, 50).await, ["4", "2", "1"]);
    assert_eq!(page(with_bob(), None, 2, 49).await, ["4", "brief"]);
    assert_eq!(page(with_bob(), Some(6), 10, 49).await, ["2", "1"]);
    assert_eq!(page(Some(Conversation::Group("bob".into())), None, 10, 0).await, ["g"]);
    assert_eq!(page(Some(Conversation::Notifications), None, 10, 0).await, ["n"]);
    assert_eq!(page(None, None, 3, 50).await, ["4", "n", "g"]);
    assert!(page(None, Some(1), 10, 0).await.is_empty());
    let inbox = call(&sql, Read, |db| read::inbox(db, "alice", 4, 10, 50)).await.unwrap();
    assert_eq!(ids(&inbox), [(5, "n"), (7, "4")]);
}

async fn pages_of_large_messages_are_short(store: Store) {
    let sql = opened(&store).await;
    let large = |n: u32| Message { body: vec![7; 100 << 10], ..chat(&n.to_string(), "alice", "bob") };
    let batch = (1..=8).map(large).chain([chat("small", "alice", "bob")]).collect();
    call(&sql, Write, |db| save(db, 1 << 20, batch)).await.unwrap();
    // The third brings it over 256 KiB, and is the last of its page.
    for (after, expected) in [(0, 1..=3), (3, 4..=6), (6, 7..=9)] {
        let page = call(&sql, Read, |db| read::inbox(db, "bob", after, 64, 0)).await.unwrap();
        assert!(page.iter().map(|delivery| delivery.seq).eq(expected), "after {after}: {}", page.len());
    }
    let page = call(&sql, Read, |db| read::history(db, "bob", None, None, 64, 0)).await.unwrap();
    assert!(page.iter().map(|delivery| delivery.seq).eq((6..=9).rev()));
    // One that is larger by itself comes alone.
    let huge = Message { body: vec![7; 600 << 10], ..chat("huge", "alice", "bob") };
    call(&sql, Write, |db| save(db, 1 << 20, vec![huge])).await.unwrap();
    let page = call(&sql, Read, |db| read::history(db, "bob", None, None, 64, 0)).await.unwrap();
    assert_eq!(ids(&page), [(10, "huge")]);
}

async fn history_passes_over_the_rows_of_other_conversations(store: Store) {
    let sql = opened(&store).await;
    let group = message("g", "bob", Address::Group("ops".into()), &["bob", "alice", "carol"]);
    let note = Message { class: Class::Notification, ..chat("n", "bob", "alice") };
    saved(&sql, vec![chat("1", "bob", "alice"), group, note, chat("self", "alice", "alice")]).await;
    let found = async |user, conversation| {
        let page = call(&sql, Read, |db| read::history(db, user, Some(&conversation), None, 10, 0)).await;
        page.unwrap().into_iter().map(|delivery| delivery.id).collect::<Vec<_>>()
    };
    let with = |user: &str| Conversation::With(user.into());
    let everywhere = async || {
        [
            found("alice", with("bob")).await,
            found("bob", with("alice")).await,
            found("alice", with("alice")).await,
            found("carol", Conversation::Group("ops".into())).await,
            found("alice", Conversation::Notifications).await,
        ]
        .concat()
    };
    assert_eq!(everywhere().await, ["1", "1", "self", "g", "n"]);
    // The message alone would still say that it belongs there.
    let others = "UPDATE inbox SET conversation = conversation + 1";
    call(&sql, Write, |db| db.execute(others, Vec::new())).await.unwrap();
    assert!(everywhere().await.is_empty());
}

async fn history_finds_what_an_older_generation_stored(store: Store) {
    let sql = opened(&store).await;
    let run =
        async |statement: &str| call(&sql, Write, |db| db.execute(statement, Vec::new())).await.unwrap();
    saved(&sql, vec![chat("before", "bob", "alice"), chat("other", "carol", "alice")]).await;
    run("ALTER TABLE inbox DROP COLUMN conversation").await;
    run("DELETE FROM migration WHERE version > 1").await;
    call(&sql, Write, schema::migrate).await.unwrap();
    saved(&sql, vec![chat("after", "bob", "alice")]).await;
    let with_bob = Conversation::With("bob".into());
    let page = call(&sql, Read, |db| read::history(db, "alice", Some(&with_bob), None, 10, 0)).await.unwrap();
    assert_eq!(ids(&page), [(3, "after"), (1, "before")]);
    // And back: the generation before writes rows without a conversation's key.
    saved(&sql, vec![chat("back", "alice", "bob")]).await;
    run("UPDATE inbox SET conversation = NULL WHERE seq = 4").await;
    let page = call(&sql, Read, |db| read::history(db, "alice", Some(&with_bob), None, 1, 0)).await.unwrap();
    assert_eq!(ids(&page), [(4, "back")]);
}

async fn markers_never_move_back(store: Store) {
    let sql = opened(&store).await;
    saved(&sql, (0..10).map(|n| chat(&n.to_string(), "alice", "bob")).collect()).await;
    let with_alice = || Conversation::With("alice".into());
    for seq in [7, 3] {
        let marker = Marker { conversation: with_alice(), seq };
        call(&sql, Write, |db| read::mark_read(db, "bob", &marker)).await.unwrap();
    }
    for (conversation, seq) in
        [(Conversation::Notifications, u64::MAX), (Conversation::Group("ops".into()), 1)]
    {
        call(&sql, Write, |db| read::mark_read(db, "bob", &Marker { conversation, seq })).await.unwrap();
    }
    let markers = call(&sql, Read, |db| read::markers(db, "bob")).await.unwrap();
    let told: Vec<_> =
        markers.iter().map(|marker| (format!("{:?}", marker.conversation), marker.seq)).collect();
    let named = |conversation: Conversation| format!("{conversation:?}");
    let (group, notes) = (Conversation::Group("ops".into()), Conversation::Notifications);
    assert_eq!(told, [(named(with_alice()), 7), (named(group), 1), (named(notes), 10)]);
    assert!(call(&sql, Read, |db| read::markers(db, "alice")).await.unwrap().is_empty());
}

async fn markers_are_bounded(store: Store) {
    let sql = opened(&store).await;
    saved(&sql, (0..3).map(|n| chat(&n.to_string(), "alice", "bob")).collect()).await;
    let mark = async |name: String, seq| {
        let marker = Marker { conversation: Conversation::Group(name), seq };
        call(&sql, Write, |db| read::mark_read(db, "bob", &marker)).await.unwrap();
    };
    mark("first".to_owned(), 3).await;
    for n in 0..1_001 {
        mark(format!("g{n:04}"), 1).await;
    }
    let markers = call(&sql, Read, |db| read::markers(db, "bob")).await.unwrap();
    assert_eq!(markers.len(), 1_000);
    assert_eq!(
        format!("{:?}", markers[0].conversation),
        format!("{:?}", Conversation::Group("first".into()))
    );
}
