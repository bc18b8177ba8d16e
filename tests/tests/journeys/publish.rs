//! PUBLISH: rights → role classify → role store → commit → PUBACK and forwarding.

use postern_broker::wire::{Packet, QoS, ReasonCode, Version};
use postern_tests::{Postern, body, publish};

#[tokio::test(flavor = "multi_thread")]
async fn a10_stored_before_acknowledged() {
    let mut postern = Postern::start(|_| {}).await;
    postern.user("bob").await;
    let mut alice = postern.session("alice", "phone").await;
    for n in 0..20 {
        let ack = alice.send("bob", &format!("m{n}"), &format!("message {n}")).await;
        assert!((ack.reason as u8) < 0x80, "{ack:?}");
    }
    // Nothing that is still only in memory survives this.
    postern.kill().await;
    postern.restart().await;

    let mut bob = postern.session("bob", "pc").await;
    for n in 0..20 {
        assert_eq!(body(&bob.message().await), format!("message {n}"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a10_forwarded_in_real_time_with_qos_0_1_and_2() {
    let postern = Postern::start(|_| {}).await;
    let (mut alice, mut bob) = (postern.session("alice", "phone").await, postern.session("bob", "pc").await);
    for qos in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce] {
        let mut message = publish("im/u/bob/alice", format!("{qos:?}"), qos);
        if qos != QoS::AtMostOnce {
            message.packet_id = Some(alice.peer.next_id());
        }
        alice.peer.send(message).await;
        assert_eq!(body(&bob.message().await), format!("{qos:?}"));
    }
    // QoS 2: PUBREC stands for the commit, and the handshake ends.
    let answers = alice.peer.so_far().await;
    let received = answers.iter().find_map(|p| if let Packet::PubRec(ack) = p { Some(ack) } else { None });
    assert_eq!(received.expect("PUBREC").reason as u8 & 0x80, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a10_a_repeated_message_id_is_stored_once() {
    let postern = Postern::start(|_| {}).await;
    let (mut alice, mut bob) = (postern.session("alice", "phone").await, postern.session("bob", "pc").await);
    for text in ["first", "again", "and again"] {
        let ack = alice.send("bob", "the-same-id", text).await;
        assert!((ack.reason as u8) < 0x80, "a repeat is acknowledged: it is stored");
    }
    alice.send("bob", "another-id", "the end").await;
    assert_eq!(body(&bob.message().await), "first");
    assert_eq!(body(&bob.message().await), "the end");
}

#[tokio::test(flavor = "multi_thread")]
async fn a12_the_rules_are_told_profile_and_relation() {
    let postern = Postern::start(|_| {}).await;
    for (user, org) in [("alice", "acme"), ("bob", "acme"), ("carol", "globex"), ("dave", "initech")] {
        postern.user_of(user, org, &[]).await;
    }
    postern.done(&["partner", "add", "acme", "globex", "--relation", "upstream"]).await;
    let mut alice = postern.session("alice", "phone").await;
    for (to, allowed) in [("bob", true), ("carol", true), ("dave", false), ("nobody", false), ("alice", true)]
    {
        let ack = alice.send(to, &format!("to-{to}"), "hello").await;
        assert_eq!((ack.reason as u8) < 0x80, allowed, "to {to}: {ack:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a16_the_delivered_prefix_is_the_class() {
    let postern = Postern::start(|_| {}).await;
    let (mut alice, mut bob) = (postern.session("alice", "phone").await, postern.session("bob", "pc").await);
    alice.publish("im/u/bob/alice/id-in-the-topic", "", "hello").await;
    let got = bob.message().await;
    assert_eq!(&*got.topic, "im/u/bob/alice");
    let id = got
        .properties
        .unwrap()
        .user_properties
        .iter()
        .find(|(k, _)| &**k == "id")
        .map(|(_, v)| v.to_string());
    assert_eq!(id.as_deref(), Some("id-in-the-topic"));

    for topic in ["im/bob", "im/u/bob/alice/id/more", "note/u", "status/a/b"] {
        let ack = alice.publish(topic, "x", "hello").await;
        assert!((ack.reason as u8) >= 0x80, "{topic}: {ack:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a16_a_class_that_is_not_the_prefixs_is_refused() {
    // A classify plugin that never gives the prefix's class.
    let postern = Postern::start(|c| c.rogue("classify", "nonsense", "always")).await;
    let (mut alice, mut bob) = (postern.session("alice", "phone").await, postern.session("bob", "pc").await);
    let ack = alice.send("bob", "m1", "hello").await;
    assert_eq!(ack.reason, ReasonCode::TopicNameInvalid);
    assert_eq!(bob.messages_so_far().await, []);

    // 3.1.1 has no way to be told: the link is closed unacknowledged.
    let mut device = postern.device("carol", "old-phone").await;
    let mut carol = device
        .sign_in_on(&postern, "tls", |c| {
            c.version = Version::V311;
            c.session_expiry = None;
        })
        .await;
    carol.start("im/u/bob/carol", "", "hello").await;
    assert!(!carol.peer.closed().await.iter().any(|p| matches!(p, Packet::PubAck(_))));
}

#[tokio::test(flavor = "multi_thread")]
async fn s_rights_of_the_grant_hold_for_publish_and_subscribe() {
    let postern = Postern::start(|_| {}).await;
    let (mut alice, mut bob) = (postern.session("alice", "phone").await, postern.session("bob", "pc").await);
    // In somebody else's name, and where only the host speaks.
    for topic in ["im/u/bob/carol", "status/bob", "$SYS/broker/uptime", "link/terminal", "cmd/terminal/do"] {
        let ack = alice.publish(topic, "x", "forged").await;
        assert_eq!(ack.reason, ReasonCode::NotAuthorized, "publish to {topic}");
    }
    // Somebody else's messages.
    for filter in ["im/u/bob/+", "im/u/bob/#", "im/#", "#", "+/+/bob/+", "$share/g/im/u/bob/+"] {
        let reason = alice.peer.subscribe(filter, QoS::AtLeastOnce).await;
        assert!(reason as u8 >= 0x80, "subscribe to {filter}: {reason:?}");
    }
    assert_eq!(bob.messages_so_far().await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn s_a_refused_publish_on_mqtt_3_closes_or_drops_but_is_never_acknowledged() {
    let postern = Postern::start(|_| {}).await;
    let mut bob = postern.session("bob", "pc").await;
    let mut device = postern.device("alice", "old-phone").await;
    let old = |c: &mut postern_broker::wire::Connect| {
        c.version = Version::V311;
        c.session_expiry = None;
    };
    // QoS 0: dropped, the link lives.
    let mut alice = device.sign_in_on(&postern, "tls", old).await;
    alice.peer.send(publish("im/u/bob/carol", "forged", QoS::AtMostOnce)).await;
    alice.send("bob", "", "honest").await;
    // QoS 1: closed unacknowledged.
    alice.start("im/u/bob/carol", "", "forged").await;
    assert!(!alice.peer.closed().await.iter().any(|p| matches!(p, Packet::PubAck(_))));
    assert_eq!(body(&bob.message().await), "honest");
    assert_eq!(bob.messages_so_far().await, []);
    assert!(postern.metric("postern_refused_total", "not-allowed").await >= 2.0);
}
