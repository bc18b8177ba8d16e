//! What a grant denies, and what pages of a foreign origin may do.

use std::time::Duration;

use postern_broker::wire::{Packet, Publish, QoS, ReasonCode, Version};
use postern_tests::{Peer, Postern, body, connect, publish};
use toml::Value;

fn list(texts: &[&str]) -> Value {
    texts.iter().map(|text| Value::from(*text)).collect::<Vec<_>>().into()
}

#[tokio::test(flavor = "multi_thread")]
async fn s_what_is_denied_comes_by_no_subscription() {
    let postern = Postern::start(|c| {
        let rights = "plugins.token-hmac.config.rights.tls";
        c.policy(&format!("{rights}.publish"), list(&["plant/#"]));
        c.policy(&format!("{rights}.subscribe"), list(&["plant/#"]));
        c.policy(&format!("{rights}.deny_subscribe"), list(&["plant/secret/#"]));
    })
    .await;
    let mut bob = postern.session("bob", "pc").await;
    let retained = Publish { retain: true, ..publish("plant/secret/x", "retained", QoS::AtMostOnce) };
    bob.peer.send(retained).await;
    bob.peer.so_far().await;

    for (at, wider) in ["plant/#", "plant/+/x", "$share/g/plant/#"].into_iter().enumerate() {
        let mut alice = postern.session("alice", "phone").await;
        for denied in ["plant/secret/x", "plant/secret/#", "#"] {
            let reason = alice.peer.subscribe(denied, QoS::AtLeastOnce).await;
            assert_eq!(reason, ReasonCode::NotAuthorized, "{denied}");
        }
        assert_eq!(alice.peer.subscribe(wider, QoS::AtLeastOnce).await, ReasonCode::GrantedQoS1, "{wider}");
        bob.publish("plant/secret/x", "", "secret").await;
        bob.publish("plant/7/x", "", &format!("open {at}")).await;
        assert_eq!(body(&alice.message().await), format!("open {at}"), "{wider}");
        alice.leave().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn s_the_open_policy_keeps_back_what_it_denies_from_those_who_ask_for_all() {
    let postern = Postern::start(|c| c.policy_file("open")).await;
    let mut peer = Peer::to(&postern, "tcp").await;
    peer.connect(connect(Version::V5, "all")).await.expect("CONNACK");
    assert_eq!(peer.subscribe("#", QoS::AtMostOnce).await, ReasonCode::Success);
    for topic in ["test/nosubscribe", "test/anything"] {
        peer.send(publish(topic, topic, QoS::AtMostOnce)).await;
    }
    let Packet::Publish(got) = peer.packet().await else { panic!("expected PUBLISH") };
    assert_eq!(body(&got), "test/anything", "the other would have come before it");
}

/// The status line of an answer to a WebSocket's upgrade.
async fn upgrade(postern: &Postern, origin: Option<&str>) -> String {
    let mut peer = Peer::tcp(postern.address("ws")).await;
    let origin = origin.map(|origin| format!("Origin: {origin}\r\n")).unwrap_or_default();
    let request = format!(
        "GET /mqtt HTTP/1.1\r\nHost: push.example.com:8083\r\n{origin}Upgrade: websocket\r\n\
         Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n"
    );
    peer.send_bytes(request.as_bytes()).await;
    String::from_utf8(peer.until(b"\r\n").await).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn s_a_page_of_a_foreign_origin_opens_no_websocket() {
    let postern = Postern::start(|c| c.set("websocket.origins", list(&["https://app.example.com"]))).await;
    for (origin, status) in [
        (None, "101"),
        (Some("https://push.example.com"), "101"),
        (Some("https://app.example.com"), "101"),
        (Some("https://evil.example"), "403"),
        (Some("null"), "403"),
        (Some("https://push.example.com\r\nOrigin: https://evil.example"), "403"),
    ] {
        let answer = upgrade(&postern, origin).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{origin:?}: {answer}");
    }
    assert_eq!(postern.metric("postern_refused_total", "foreign-origin").await, 3.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn s_partners_who_are_none_any_more_are_strangers_on_live_links() {
    let postern = Postern::start(|_| {}).await;
    for (user, org) in [("alice", "acme"), ("carol", "globex")] {
        postern.user_of(user, org, &[]).await;
    }
    postern.done(&["partner", "add", "acme", "globex", "--relation", "upstream"]).await;
    let mut alice = postern.session("alice", "phone").await;
    let mut carol = postern.session("carol", "pc").await;
    alice.send("carol", "m1", "as a partner").await;
    assert_eq!(body(&carol.message().await), "as a partner");

    postern.done(&["partner", "remove", "acme", "globex"]).await;
    // The brokers hear it on the bus; well before an old answer would be forgotten.
    let refused = async {
        for n in 0.. {
            let ack = alice.send("carol", &format!("again-{n}"), "and now?").await;
            if ack.reason == ReasonCode::NotAuthorized {
                break;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(15), refused).await.expect("the change is heard");
}
