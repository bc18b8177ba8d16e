//! The host's own tables behave the same on SQLite and on PostgreSQL: each test runs on both.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod support;

use postern_store::CursorRow;
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
