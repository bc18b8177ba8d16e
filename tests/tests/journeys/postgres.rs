//! The message journeys once more, on PostgreSQL: what is promised does not depend on the database.

use postern_tests::{Postern, Postgres, body};

/// A server on a PostgreSQL of its own; None (and listed as not run) where there is none.
async fn start() -> Option<(Postern, Postgres)> {
    let postgres = Postgres::start().await?;
    let url = postgres.url().to_owned();
    Some((Postern::start(|c| c.set("store.url", url)).await, postgres))
}

#[tokio::test(flavor = "multi_thread")]
async fn a10_stored_before_acknowledged_on_postgresql() {
    let Some((mut postern, _postgres)) = start().await else { return };
    postern.user("bob").await;
    let mut alice = postern.session("alice", "phone").await;
    for n in 0..20 {
        let ack = alice.send("bob", &format!("m{n}"), &format!("message {n}")).await;
        assert!((ack.reason as u8) < 0x80, "{ack:?}");
    }
    let again = alice.send("bob", "m0", "a repeat of the first").await;
    assert!((again.reason as u8) < 0x80, "{again:?}");
    postern.kill().await;
    postern.restart().await;

    let mut bob = postern.session("bob", "pc").await;
    for n in 0..20 {
        assert_eq!(body(&bob.message().await), format!("message {n}"));
    }
    assert_eq!(bob.messages_so_far().await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a3_nodes_that_start_at_once_make_the_tables_once() {
    let Some(postgres) = Postgres::start().await else { return };
    let node = || Postern::start(|c| c.set("store.url", postgres.url()));
    let nodes = futures_util::future::join_all((0..4).map(|_| node())).await;
    nodes[0].user("bob").await;
    let mut alice = nodes[1].session("alice", "phone").await;
    let ack = alice.send("bob", "m1", "through another node's tables").await;
    assert!((ack.reason as u8) < 0x80, "{ack:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a14_devices_and_cursors_on_postgresql() {
    let Some((mut postern, _postgres)) = start().await else { return };
    let (mut phone, mut pc) = (postern.device("bob", "phone").await, postern.device("bob", "pc").await);
    phone.sign_in(&postern).await.leave().await;
    let mut on_pc = pc.sign_in(&postern).await;
    let mut alice = postern.session("alice", "phone").await;
    alice.send("bob", "m1", "one").await;
    assert_eq!(body(&on_pc.message().await), "one");
    on_pc.leave().await;
    postern.stop().await;
    postern.restart().await;

    // Proofs, tokens and cursors are in the database too.
    let mut on_phone = phone.sign_in(&postern).await;
    assert_eq!(body(&on_phone.message().await), "one");
    let mut on_pc = pc.sign_in(&postern).await;
    assert_eq!(on_pc.messages_so_far().await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a10_groups_history_and_directory_on_postgresql() {
    let Some((postern, _postgres)) = start().await else { return };
    for (user, org) in [("alice", "acme"), ("bob", "acme"), ("carol", "globex")] {
        postern.user_of(user, org, &["ops"]).await;
    }
    postern.done(&["partner", "add", "acme", "globex", "--relation", "upstream"]).await;
    let device = postern.device("alice", "phone").await;
    let relations: Vec<_> = device.state.login().people().into_iter().map(|p| (p.user, p.relation)).collect();
    let expected = [("alice", "same"), ("bob", "internal"), ("carol", "upstream")];
    assert_eq!(relations, expected.map(|(user, relation)| (user.to_owned(), relation.to_owned())));

    let mut bob = postern.session("bob", "pc").await;
    postern.session("alice", "pc").await.publish("im/g/ops/alice", "g1", "to all of ops").await;
    assert_eq!(body(&bob.message().await), "to all of ops");
    assert_eq!(body(&postern.session("carol", "phone").await.message().await), "to all of ops");
    let (api, token) = (postern.api(), device.state.login().token.clone());
    let read = move || api.get::<serde_json::Value>(&token, "/v1/messages?group=ops");
    let page = tokio::task::spawn_blocking(read).await.unwrap().unwrap();
    assert_eq!(page["messages"][0]["body"], "to all of ops");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_hangs_keeps_no_server_from_stopping() {
    let Some(postgres) = Postgres::start().await else { return };
    let mut postern = Postern::start(|c| {
        c.set("store.url", postgres.url());
        c.set("limits.drain_secs", 1);
    })
    .await;
    postern.user("bob").await;
    let mut alice = postern.session("alice", "phone").await;
    let ack = alice.send("bob", "m1", "while it answers").await;
    assert!((ack.reason as u8) < 0x80, "{ack:?}");
    let frozen = postgres.freeze();
    alice.start("im/u/bob/alice", "m2", "while it hangs").await;
    // What was sent before a ping has been read when it is answered: it waits for the database.
    assert_eq!(alice.messages_so_far().await, []);
    postern.stop().await;
    assert!(postern.log().contains("the database or the bus does not answer"), "{}", postern.log());
    drop(frozen);
    postern.restart().await;
    assert_eq!(body(&postern.session("bob", "pc").await.message().await), "while it answers");
}
