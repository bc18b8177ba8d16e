//! Delivery: every device gets every message, also the one that was away, by its own cursor.

use postern_broker::wire::{Connect, Disconnect, Packet, QoS, Version, Will};
use postern_tests::{Postern, body, text};

#[tokio::test(flavor = "multi_thread")]
async fn a14_every_device_gets_every_message_the_users_own_included() {
    let postern = Postern::start(|_| {}).await;
    let mut alice_phone = postern.session("alice", "alice-phone").await;
    let mut alice_pc = postern.session("alice", "alice-pc").await;
    let mut bob_phone = postern.session("bob", "bob-phone").await;
    let mut bob_pc = postern.session("bob", "bob-pc").await;

    alice_phone.send("bob", "m1", "hello").await;
    for device in [&mut bob_phone, &mut bob_pc, &mut alice_pc] {
        let got = device.message().await;
        assert_eq!((&*got.topic, body(&got)), ("im/u/bob/alice", "hello"));
    }
    bob_pc.send("alice", "m2", "hi").await;
    for device in [&mut alice_phone, &mut alice_pc, &mut bob_phone] {
        assert_eq!(body(&device.message().await), "hi");
    }
    // Not back to where it came from, and nothing twice.
    for device in [&mut alice_phone, &mut alice_pc, &mut bob_phone, &mut bob_pc] {
        assert_eq!(device.messages_so_far().await, []);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a11_a_device_that_was_away_gets_what_it_missed_once_and_in_order() {
    let mut postern = Postern::start(|_| {}).await;
    let mut device = postern.device("bob", "pc").await;
    let mut alice = postern.session("alice", "phone").await;
    let mut bob = device.sign_in(&postern).await;
    alice.send("bob", "m0", "seen").await;
    assert_eq!(body(&bob.message().await), "seen");
    bob.leave().await;

    // More than a page of them.
    for n in 0..150 {
        alice.send("bob", &format!("away-{n}"), &format!("away {n}")).await;
    }
    let mut bob = device.sign_in(&postern).await;
    for n in 0..150 {
        assert_eq!(body(&bob.message().await), format!("away {n}"));
    }
    assert_eq!(bob.messages_so_far().await, []);
    bob.leave().await;

    // The cursor is durable: after a clean stop nothing comes again.
    postern.stop().await;
    postern.restart().await;
    let mut bob = device.sign_in(&postern).await;
    let mut alice = postern.session("alice", "phone").await;
    alice.send("bob", "m-last", "after the restart").await;
    assert_eq!(body(&bob.message().await), "after the restart");
}

#[tokio::test(flavor = "multi_thread")]
async fn a10_wills_of_links_that_a_stop_ends_are_stored() {
    let mut postern = Postern::start(|_| {}).await;
    let mut bob = postern.device("bob", "pc").await;
    bob.sign_in(&postern).await.leave().await;
    let mut devices = Vec::new();
    for n in 0..5 {
        let mut device = postern.device("alice", &format!("phone-{n}")).await;
        let will = |connect: &mut Connect| {
            connect.will = Some(Box::new(Will {
                topic: text("im/u/bob/alice"),
                payload: format!("will {n}").into(),
                qos: QoS::AtLeastOnce,
                retain: false,
                delay_interval: 0,
                properties: None,
            }));
        };
        devices.push(device.sign_in_on(&postern, "tls", will).await);
    }
    postern.stop().await;
    postern.restart().await;
    let mut bob = bob.sign_in(&postern).await;
    let mut wills = Vec::new();
    for _ in 0..5 {
        wills.push(body(&bob.message().await).to_owned());
    }
    wills.sort();
    wills.dedup();
    assert_eq!(wills.len(), 5, "{wills:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a14_each_device_has_a_cursor_of_its_own() {
    let postern = Postern::start(|_| {}).await;
    let (mut phone, mut pc) = (postern.device("bob", "phone").await, postern.device("bob", "pc").await);
    phone.sign_in(&postern).await.leave().await;
    pc.sign_in(&postern).await.leave().await;
    let mut alice = postern.session("alice", "phone").await;
    alice.send("bob", "m1", "one").await;

    let mut on_phone = phone.sign_in(&postern).await;
    assert_eq!(body(&on_phone.message().await), "one");
    on_phone.leave().await;
    alice.send("bob", "m2", "two").await;

    let mut on_pc = pc.sign_in(&postern).await;
    assert_eq!(body(&on_pc.message().await), "one");
    assert_eq!(body(&on_pc.message().await), "two");
    let mut on_phone = phone.sign_in(&postern).await;
    assert_eq!(body(&on_phone.message().await), "two");
}

#[tokio::test(flavor = "multi_thread")]
async fn a14_what_was_not_acknowledged_comes_again() {
    let postern = Postern::start(|_| {}).await;
    let mut device = postern.device("bob", "pc").await;
    let mut bob = device.sign_in(&postern).await;
    bob.acknowledges = false;
    let mut alice = postern.session("alice", "phone").await;
    for n in 0..3 {
        alice.send("bob", &format!("m{n}"), &format!("message {n}")).await;
    }
    let got = [bob.message().await, bob.message().await, bob.message().await];
    // Only the second is acknowledged; then the link is lost without a word.
    bob.peer.acknowledge(&got[1]).await;
    bob.peer.so_far().await;
    drop(bob);

    let mut bob = device.sign_in(&postern).await;
    let mut again = vec![body(&bob.message().await).to_owned(), body(&bob.message().await).to_owned()];
    again.sort();
    assert_eq!(again, ["message 0", "message 2"]);
    assert_eq!(bob.messages_so_far().await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a14_a_message_sent_with_qos_0_is_stored_and_kept_too() {
    let postern = Postern::start(|_| {}).await;
    let mut device = postern.device("bob", "pc").await;
    device.sign_in(&postern).await.leave().await;
    let mut alice = postern.session("alice", "phone").await;
    alice.peer.send(postern_tests::publish("im/u/bob/alice", "quick", QoS::AtMostOnce)).await;
    // One after it, acknowledged: arrival order is kept, so the first is stored when this one is.
    alice.send("bob", "m2", "sure").await;
    let mut bob = device.sign_in(&postern).await;
    assert_eq!(body(&bob.message().await), "quick");
    assert_eq!(body(&bob.message().await), "sure");
}

#[tokio::test(flavor = "multi_thread")]
async fn a1_mqtt_3_and_5_talk_to_each_other() {
    let postern = Postern::start(|_| {}).await;
    let mut old = postern
        .device("bob", "old-phone")
        .await
        .sign_in_on(&postern, "tls", |c| {
            c.version = Version::V311;
            c.session_expiry = None;
        })
        .await;
    let mut new = postern.session("alice", "phone").await;
    new.send("bob", "m1", "with properties").await;
    assert_eq!(body(&old.message().await), "with properties");
    old.publish("im/u/alice/bob/id-1", "", "without").await;
    let got = new.message().await;
    assert_eq!((&*got.topic, body(&got)), ("im/u/alice/bob", "without"));
    old.peer.send(Packet::Disconnect(Disconnect::default())).await;
}

/// Together more than the store hands over in one answer: pages are short where messages are large.
#[tokio::test(flavor = "multi_thread")]
async fn a11_large_messages_that_waited_come_all_of_them() {
    const LARGE: usize = 40;
    let postern = Postern::start(|_| {}).await;
    let mut device = postern.device("bob", "pc").await;
    device.sign_in(&postern).await.leave().await;
    let mut alice = postern.session("alice", "phone").await;
    let filler = "x".repeat(1_000_000);
    for n in 0..LARGE {
        let ack = alice.send("bob", &format!("large-{n}"), &format!("{n} {filler}")).await;
        assert!(!ack.reason.is_error(), "{ack:?}");
    }
    alice.send("bob", "small", "and one more").await;
    let mut bob = device.sign_in(&postern).await;
    for n in 0..LARGE {
        let got = bob.message().await;
        assert_eq!(body(&got).split(' ').next(), Some(n.to_string().as_str()));
    }
    assert_eq!(body(&bob.message().await), "and one more");
    assert!(!postern.log().contains("a page of an inbox was not read"), "{}", postern.log());

    // As history, newest first, page by page to its end.
    let (api, token) = (postern.api(), device.state.login().token.clone());
    let read = move || {
        let (mut ids, mut before) = (Vec::new(), None);
        loop {
            let page = api.history(&token, "alice", before).unwrap();
            ids.extend(page.messages.into_iter().map(|message| message.id));
            before = page.next_before;
            if before.is_none() {
                return ids;
            }
        }
    };
    let ids = tokio::task::spawn_blocking(read).await.unwrap();
    let large = (0..LARGE).rev().map(|n| format!("large-{n}"));
    assert_eq!(ids, ["small".to_owned()].into_iter().chain(large).collect::<Vec<_>>());
}
