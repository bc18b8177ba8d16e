//! Rules of sign-in and rights that the host or a plugin holds behind another: each must hold alone.

use std::num::NonZeroU16;

use postern_broker::wire::{Connect, Packet, Publish, QoS, ReasonCode, Version, Will};
use postern_tests::{Device, Peer, Postern, connect, publish, text};

/// What a CONNECT on TLS is told.
async fn told(postern: &Postern, connect: Connect) -> ReasonCode {
    Peer::to(postern, "tls").await.connect(connect).await.expect("CONNACK").reason
}

#[tokio::test(flavor = "multi_thread")]
async fn s_a_bearer_is_good_for_its_client_id_only() {
    let postern = Postern::start(|_| {}).await;
    let mut device = postern.device("alice", "phone").await;
    let other = Connect { client_id: text("another-phone"), ..device.connect_with_bearer() };
    assert!(told(&postern, other).await as u8 >= 0x80);
    assert_eq!(told(&postern, device.connect_with_bearer()).await, ReasonCode::Success);
}

#[tokio::test(flavor = "multi_thread")]
async fn s_what_a_token_plugin_allows_is_still_bound_to_its_client_id() {
    // It takes every password and grants `phone`, whoever asks.
    let postern = Postern::start(|c| c.rogue("token", "well", "always")).await;
    let (user_name, password) = (Some(text("alice.phone")), Some("x".into()));
    let other = Connect { user_name, password, ..connect(Version::V5, "another-phone") };
    assert_eq!(told(&postern, other.clone()).await, ReasonCode::ClientIdentifierNotValid);
    assert_eq!(told(&postern, Connect { client_id: text("phone"), ..other }).await, ReasonCode::Success);
}

#[tokio::test(flavor = "multi_thread")]
async fn s_every_challenge_is_random() {
    let postern = Postern::start(|_| {}).await;
    let mut device = postern.device("alice", "phone").await;
    let (one, other) = (challenge(&postern, &mut device).await, challenge(&postern, &mut device).await);
    // Its end is the time, which anybody knows.
    assert_ne!(one[..32], other[..32]);
}

async fn challenge(postern: &Postern, device: &mut Device) -> Vec<u8> {
    let mut peer = Peer::to(postern, "tcp").await;
    peer.version = Version::V5;
    peer.send(Packet::Connect(Box::new(device.connect_with_challenge()))).await;
    let Packet::Auth(challenge) = peer.packet().await else { panic!("expected AUTH") };
    challenge.data.expect("a challenge").to_vec()
}

#[tokio::test(flavor = "multi_thread")]
async fn s_a_will_needs_the_right_to_publish_it() {
    let postern = Postern::start(|_| {}).await;
    let mut device = postern.device("alice", "phone").await;
    for (topic, allowed) in [("im/u/bob/carol", false), ("status/alice", false), ("im/u/bob/alice", true)] {
        let will = Will {
            topic: text(topic),
            payload: "gone".into(),
            qos: QoS::AtLeastOnce,
            retain: false,
            delay_interval: 0,
            properties: None,
        };
        let reason = told(&postern, Connect { will: Some(will.into()), ..device.connect("tls") }).await;
        let expected = if allowed { ReasonCode::Success } else { ReasonCode::NotAuthorized };
        assert_eq!(reason, expected, "{topic}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn s_nobody_sends_for_another_user_whatever_the_plugins_allow() {
    // A grant of `#`, and no question about the sender.
    let postern = Postern::start(|c| {
        c.rogue("token", "well", "always");
        c.rogue("classify", "well", "always");
    })
    .await;
    postern.user("carol").await;
    let mut alice = postern.session("alice", "phone").await;
    let mut bob = postern.session("bob", "pc").await;
    for topic in ["im/u/bob/carol", "im/u/bob/carol/m1"] {
        let ack = alice.publish(topic, "", "forged").await;
        assert_eq!(ack.reason, ReasonCode::NotAuthorized, "{topic}");
    }
    let packet_id = NonZeroU16::new(1);
    alice.peer.send(Publish { packet_id, ..publish("im/u/bob/carol", "forged", QoS::ExactlyOnce) }).await;
    alice.send("bob", "m2", "honest").await;
    assert_eq!(postern_tests::body(&bob.message().await), "honest");
    assert_eq!(bob.messages_so_far().await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn s_a_revoked_token_stays_revoked_after_a_restart() {
    let mut postern = Postern::start(|_| {}).await;
    let mut device = postern.device("alice", "phone").await;
    postern.done(&["token", "revoke", "--user", "alice"]).await;
    // What the node itself remembers of revocations is gone then; the token's record is not.
    postern.stop().await;
    postern.restart().await;
    for connect in [device.connect("tls"), device.connect_with_bearer()] {
        assert_eq!(told(&postern, connect).await, ReasonCode::BadUserNameOrPassword);
    }
    let (api, token) = (postern.api(), device.state.login().token.clone());
    let me = move || api.get::<serde_json::Value>(&token, "/v1/me");
    let refused = tokio::task::spawn_blocking(me).await.unwrap();
    assert!(matches!(refused, Err(phone::ApiError::Refused { status: 401, .. })), "{refused:?}");
}
