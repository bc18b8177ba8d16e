//! CONNACK: what the server tells about the session and its limits.

use postern_broker::wire::{Connect, Packet, QoS, ReasonCode, Version};
use postern_tests::{Peer, Postern, connect, text};

use super::*;

/// 5.0: MQTT-3.2.0-1, MQTT-3.2.0-2, MQTT-3.2.2-8. 3.1.1: MQTT-3.2.0-1.
#[tokio::test(flavor = "multi_thread")]
async fn connack_comes_first_and_once() {
    let postern = open().await;
    let mut sender = client(&postern, "sender").await;
    for version in [Version::V311, Version::V5] {
        let (mut peer, _) = join(&postern, durable(version, "sleeper")).await;
        peer.subscribe("t", QoS::AtLeastOnce).await;
        leave(&mut peer).await;
        for _ in 0..10 {
            deliver(&mut sender, "t", "waits", QoS::AtLeastOnce).await;
        }
        // `join` insists that CONNACK is the first packet.
        let (mut peer, _) = join(&postern, durable(version, "sleeper")).await;
        let packets = everything(&mut peer).await;
        assert!(packets.iter().all(|packet| matches!(packet, Packet::Publish(_))), "{packets:?}");
        assert_eq!(packets.len(), 10);
        join(&postern, connect(version, "sleeper")).await; // the session is over
    }
}

/// 5.0: MQTT-3.2.2-2, MQTT-3.2.2-3, MQTT-3.1.2-6, MQTT-3.1.4-4. 3.1.1: MQTT-3.2.2-1, MQTT-3.2.2-2,
/// MQTT-3.2.2-3, MQTT-3.1.4-3.
#[tokio::test(flavor = "multi_thread")]
async fn session_present_is_said_of_a_session_that_is_resumed() {
    let postern = open().await;
    for version in [Version::V311, Version::V5] {
        let id = format!("{version:?}");
        for (clean_start, present) in [(false, false), (false, true), (true, false), (false, false)] {
            let (mut peer, ack) = join(&postern, Connect { clean_start, ..durable(version, &id) }).await;
            assert_eq!(ack.session_present, present, "{version:?}, clean start {clean_start}");
            leave(&mut peer).await;
            if clean_start {
                // MQTT 3.1.1 ends a clean session with its link, MQTT 5 by its expiry interval.
                join(&postern, connect(version, &id)).await;
            }
        }
    }
}

/// 5.0: MQTT-3.2.2-6, MQTT-3.2.2-7, MQTT-4.13.2-1.
#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_has_no_session_and_closes() {
    let postern = open().await;
    let (mut peer, _) = join(&postern, durable(Version::V5, "sleeper")).await;
    leave(&mut peer).await;
    let mut peer = Peer::to(&postern, "tcp").await;
    let method = Some(text("nobody's"));
    let connect = Connect { auth_method: method, ..durable(Version::V5, "sleeper") };
    let ack = peer.connect(connect).await.expect("CONNACK");
    assert_eq!((ack.reason, ack.session_present), (ReasonCode::BadAuthenticationMethod, false));
    assert!(ack.reason_string.is_some(), "it is told why");
    assert_eq!(peer.closed().await, []);
    assert!(join(&postern, durable(Version::V5, "sleeper")).await.1.session_present, "it is untouched");
}

/// 5.0: MQTT-3.2.2-19, MQTT-3.2.2-20, MQTT-3.1.2-24.
#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_keeps_to_the_maximum_packet_size() {
    let postern = open().await;
    let mut peer = Peer::to(&postern, "tcp").await;
    let method = Some(text("nobody's"));
    let connect =
        Connect { auth_method: method, maximum_packet_size: Some(8), ..connect(Version::V5, "small") };
    peer.version = Version::V5;
    peer.send(Packet::Connect(Box::new(connect))).await;
    let told = peer.closed_after().await;
    assert_eq!(told, [0x20, 3, 0, ReasonCode::BadAuthenticationMethod as u8, 0], "without reason string");
}

/// 5.0: MQTT-3.1.2-21, MQTT-3.2.2-21, MQTT-3.2.2-22.
#[tokio::test(flavor = "multi_thread")]
async fn a_keep_alive_over_the_servers_is_replaced() {
    let postern = open().await;
    for (asked, told) in [(600, Some(60)), (61, Some(60)), (60, None), (5, None), (0, Some(60))] {
        let (_, ack) = join(&postern, Connect { keep_alive: asked, ..connect(Version::V5, "c") }).await;
        assert_eq!(ack.server_keep_alive, told, "{asked} s");
    }
}

/// 5.0: MQTT-3.1.2-28.
#[tokio::test(flavor = "multi_thread")]
async fn response_information_is_for_those_who_ask() {
    let postern = open().await;
    for request_response_information in [false, true] {
        let connect = Connect { request_response_information, ..connect(Version::V5, "c") };
        let (mut peer, ack) = join(&postern, connect).await;
        // Who asks may be told none (section 3.1.2.11.6), and is served all the same.
        assert_eq!(ack.response_information, None);
        assert_eq!(everything(&mut peer).await, []);
    }
}

/// 5.0: MQTT-3.2.2-9. Receive Maximum, Maximum Packet Size and Topic Alias Maximum are told, and that
/// nothing is missing: QoS 2, retained messages, wildcards, shared subscriptions and subscription
/// identifiers are there (section 3.2.2.3).
#[tokio::test(flavor = "multi_thread")]
async fn the_servers_limits_are_told() {
    let postern = Postern::start(|c| {
        c.policy_file("open");
        c.set("limits.inflight", 7);
        c.set("limits.packet_bytes", 4096);
        c.set("limits.topic_aliases", 3);
        c.set("limits.session_expiry_secs", 100);
    })
    .await;
    let endless = Connect { session_expiry: Some(u32::MAX), ..connect(Version::V5, "c") };
    let (_, ack) = join(&postern, endless).await;
    assert_eq!((ack.receive_maximum, ack.maximum_packet_size), (Some(7), Some(4096)));
    assert_eq!((ack.topic_alias_maximum, ack.session_expiry), (Some(3), Some(100)));
    assert_eq!((ack.maximum_qos, ack.retain_available), (None, None));
    let short = Connect { session_expiry: Some(50), ..connect(Version::V5, "c") };
    assert_eq!(join(&postern, short).await.1.session_expiry, None, "as it was asked for");
}
