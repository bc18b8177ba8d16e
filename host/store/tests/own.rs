//! The host's own tables behave the same on SQLite and on PostgreSQL: each test runs on both.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod support;

use postern_store::{CommandRow, CursorRow, Inserted, TerminalAccount};
use support::Store;

/// Makes two tests of each function: one gets a store on SQLite, the other one on PostgreSQL.
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
    kv_keeps_and_expires
    kv_keys_are_sorted_and_paged
    kv_advance_is_won_by_one
    cursors_never_move_back
    commands_are_saved_once_and_bounded
    commands_go_forward_and_are_won_by_one
    commands_expire_by_their_state
    accounts_of_terminals_grow
}

async fn kv_keeps_and_expires(store: Store) {
    let kv = store.database.kv("token");
    assert_eq!(kv.get("a", 0).await.unwrap(), None);
    kv.set("a", b"one".to_vec(), None).await.unwrap();
    kv.set("a", b"two\0".to_vec(), Some(100)).await.unwrap();
    assert_eq!(kv.get("a", 99).await.unwrap().as_deref(), Some(&b"two\0"[..]));
    assert_eq!(kv.get("a", 100).await.unwrap(), None);
    assert_eq!(store.database.kv("login").get("a", 0).await.unwrap(), None, "namespaces are apart");
    kv.set("empty", vec![], None).await.unwrap();
    assert_eq!(kv.get("empty", 0).await.unwrap().as_deref(), Some(&[][..]));
    kv.delete("empty").await.unwrap();
    assert_eq!(kv.get("empty", 0).await.unwrap(), None);
    kv.set("kept", vec![1], Some(101)).await.unwrap();
    assert_eq!(store.database.purge(100).await.unwrap(), 1);
    assert!(kv.get("kept", 100).await.unwrap().is_some());
    store.database.ping().await.unwrap();
}

async fn kv_keys_are_sorted_and_paged(store: Store) {
    let kv = store.database.kv("token");
    for key in ["u/b", "u/a", "u/é", "u/Z", "v/a", "u", "u/\u{10ffff}x"] {
        kv.set(key, vec![], (key == "u/b").then_some(50)).await.unwrap();
    }
    assert_eq!(kv.keys("u/", None, 10, 0).await.unwrap(), ["u/Z", "u/a", "u/b", "u/é", "u/\u{10ffff}x"]);
    assert_eq!(kv.keys("u/", None, 2, 50).await.unwrap(), ["u/Z", "u/a"]);
    assert_eq!(kv.keys("u/", Some("u/a"), 2, 50).await.unwrap(), ["u/é", "u/\u{10ffff}x"]);
    assert_eq!(kv.keys("", Some("u/é"), 10, 50).await.unwrap(), ["u/\u{10ffff}x", "v/a"]);
    assert_eq!(kv.keys("w", None, 10, 50).await.unwrap(), [""; 0]);
}

async fn kv_advance_is_won_by_one(store: Store) {
    let kv = store.database.kv("token");
    for to in [1, 2, u64::MAX - 1] {
        let tries: Vec<_> = (0..8)
            .map(|_| {
                let kv = kv.clone();
                tokio::spawn(async move { kv.advance("counter", to, Some(1000), 0).await.unwrap() })
            })
            .collect();
        let mut won = 0;
        for each in tries {
            won += usize::from(each.await.unwrap());
        }
        assert_eq!(won, 1);
        assert_eq!(kv.get("counter", 0).await.unwrap().unwrap(), to.to_be_bytes());
    }
    assert!(!kv.advance("counter", 5, None, 0).await.unwrap(), "lower");
    assert!(kv.advance("counter", 5, None, 1000).await.unwrap(), "the former value has expired");
    kv.set("counter", 7u64.to_be_bytes().to_vec(), None).await.unwrap();
    assert!(!kv.advance("counter", 7, None, 0).await.unwrap(), "8 bytes are a number");
    assert!(kv.advance("counter", 8, None, 0).await.unwrap());
    kv.set("counter", b"text".to_vec(), None).await.unwrap();
    assert!(!kv.advance("counter", 9, None, 0).await.unwrap(), "no number");
    assert_eq!(kv.get("counter", 0).await.unwrap().as_deref(), Some(&b"text"[..]));
}

async fn cursors_never_move_back(store: Store) {
    let cursors = store.database.cursors();
    let row = |device: &str, watermark, above: &[u64]| CursorRow {
        user: "ann".into(),
        device: device.into(),
        watermark,
        above: above.to_vec(),
    };
    assert_eq!(cursors.load("ann", "phone").await.unwrap(), None);
    cursors.save(vec![]).await.unwrap();
    cursors.save(vec![row("phone", 5, &[7, 9]), row("pc", 3, &[])]).await.unwrap();
    cursors
        .save(vec![row("phone", 4, &[5]), row("pc", 4, &[]), row("pc", 6, &[8]), row("pc", 5, &[])])
        .await
        .unwrap();
    assert_eq!(cursors.load("ann", "phone").await.unwrap(), Some((5, vec![7, 9])));
    assert_eq!(cursors.load("ann", "pc").await.unwrap(), Some((6, vec![8])));
    cursors.save(vec![row("phone", 5, &[7, 8, 9])]).await.unwrap();
    assert_eq!(cursors.load("ann", "phone").await.unwrap(), Some((5, vec![7, 8, 9])));
    let many = (0..700).map(|n| row(&format!("d{n}"), n, &[])).collect();
    cursors.save(many).await.unwrap();
    assert_eq!(cursors.load("ann", "d699").await.unwrap(), Some((699, vec![])));
}

fn command(id: &str, terminal: &str, key: &str) -> CommandRow {
    CommandRow {
        id: id.into(),
        terminal: terminal.into(),
        requester: "alice".into(),
        request_key: key.into(),
        class: "remote-control".into(),
        follow_ups: "info\ndiagnosis".into(),
        body: b"unlock\0".to_vec(),
        state: "accepted".into(),
        needs_tls: true,
        sequence: 0,
        outcome: Vec::new(),
        created_at: 10,
        expires_at: 100,
        updated_at: 10,
    }
}

fn new(inserted: Inserted) -> CommandRow {
    let Inserted::New(row) = inserted else { panic!("{inserted:?}") };
    row
}

async fn commands_are_saved_once_and_bounded(store: Store) {
    let commands = store.database.commands();
    let first = new(commands.insert(command("1", "car", "a"), 2).await.unwrap());
    assert_eq!(commands.get("1").await.unwrap().as_ref(), Some(&first));
    assert_eq!(commands.insert(command("2", "car", "a"), 2).await.unwrap(), Inserted::Known(first.clone()));
    let second = new(commands.insert(command("3", "car", "b"), 2).await.unwrap());
    assert!(second.sequence > first.sequence);
    assert!(second.sequence > first.instruction_sequence(), "one is kept for an instruction");
    let third = commands.sequence("car", 10).await.unwrap();
    assert!(third > second.instruction_sequence(), "shared with instructions");
    // What was given after a backup is not known to it, but by the clock.
    assert!(commands.sequence("car", 5_000).await.unwrap() >= 5_000);
    assert!(
        commands.sequence("car", 4_000).await.unwrap() > 5_000,
        "a clock that went back gives none again"
    );
    assert_eq!(commands.insert(command("4", "car", "c"), 2).await.unwrap(), Inserted::Full);
    new(commands.insert(command("5", "truck", "d"), 2).await.unwrap());
    assert_eq!(commands.open_of("car").await.unwrap(), [first, second]);
    assert_eq!(commands.secure_times("car").await.unwrap(), [10, 10]);
    assert_eq!(commands.newest(None, 2).await.unwrap().len(), 2);
    // Two at once with one key are one command.
    let insert = |id: &str| {
        let (commands, command) = (commands.clone(), command(id, "bus", "e"));
        tokio::spawn(async move { commands.insert(command, 9).await.unwrap() })
    };
    let (one, two) = tokio::join!(insert("6"), insert("7"));
    let is_new = |inserted: &Inserted| matches!(inserted, Inserted::New(_));
    assert!(is_new(&one.unwrap()) != is_new(&two.unwrap()));
    assert_eq!(commands.open_of("bus").await.unwrap().len(), 1);
}

async fn commands_go_forward_and_are_won_by_one(store: Store) {
    let commands = store.database.commands();
    new(commands.insert(command("1", "car", "a"), 9).await.unwrap());
    let sent =
        commands.advance("1", &["accepted", "waiting"], "sent", false, b"", 20).await.unwrap().unwrap();
    assert_eq!((&*sent.state, sent.updated_at), ("sent", 20));
    assert_eq!(commands.advance("1", &["accepted"], "waiting", false, b"", 21).await.unwrap(), None);
    let finish = |body: &'static [u8]| {
        let commands = commands.clone();
        tokio::spawn(async move { commands.advance("1", &["sent"], "done", true, body, 30).await.unwrap() })
    };
    let (one, two) = tokio::join!(finish(b"open"), finish(b"open"));
    assert!(one.unwrap().is_some() != two.unwrap().is_some());
    assert_eq!(commands.get("1").await.unwrap().unwrap().outcome, b"open");
    assert!(commands.open_of("car").await.unwrap().is_empty());
    assert_eq!(commands.purge(30).await.unwrap(), 0);
    assert_eq!(commands.purge(31).await.unwrap(), 1);
}

async fn commands_expire_by_their_state(store: Store) {
    let commands = store.database.commands();
    let plain = CommandRow { needs_tls: false, ..command("1", "car", "a") };
    new(commands.insert(plain, 9).await.unwrap());
    commands.needs_tls("1").await.unwrap();
    assert!(commands.get("1").await.unwrap().unwrap().needs_tls);
    new(commands.insert(command("2", "car", "b"), 9).await.unwrap());
    commands.advance("2", &["accepted"], "sent", false, b"", 20).await.unwrap();
    assert!(commands.expire(&["accepted", "waiting"], "expired", 99, 99).await.unwrap().is_empty());
    let expired = commands.expire(&["accepted", "waiting"], "expired", 100, 150).await.unwrap();
    let told: Vec<_> = expired.iter().map(|row| (&*row.id, &*row.state, row.updated_at)).collect();
    assert_eq!(told, [("1", "expired", 150)]);
    let open = commands.open_of("car").await.unwrap();
    assert_eq!(open.iter().map(|row| &*row.id).collect::<Vec<_>>(), ["2"]);
}

async fn accounts_of_terminals_grow(store: Store) {
    let commands = store.database.commands();
    assert_eq!(commands.account("car").await.unwrap(), None);
    assert_eq!(commands.accounts_total().await.unwrap(), TerminalAccount::default());
    let account = |plain_ms, tls_start_bytes| TerminalAccount {
        plain_ms,
        switches: 1,
        tls_start_bytes,
        plain_start_bytes: 410,
        ..Default::default()
    };
    let first = [("car".to_owned(), account(10, 1_700)), ("van".to_owned(), account(1, 0))];
    commands.add_to_accounts(&first).await.unwrap();
    commands.add_to_accounts(&[("car".to_owned(), account(5, 0))]).await.unwrap();
    commands.add_to_accounts(&[]).await.unwrap();
    let car = commands.account("car").await.unwrap().unwrap();
    assert_eq!((car.plain_ms, car.switches), (15, 2));
    assert_eq!((car.plain_start_bytes, car.tls_start_bytes), (410, 1_700), "the last that is known");
    let mut sum = first[0].1;
    sum.add(&account(5, 0));
    assert_eq!(sum, car, "added in memory as in the table");
    assert_eq!(commands.accounts_total().await.unwrap().plain_ms, 16);
}
