//! PINGREQ, and links that say nothing.

use postern_broker::wire::{Connect, Packet, QoS, ReasonCode, Version};
use postern_tests::{Postern, body, connect};

use super::*;

/// 5.0: MQTT-3.12.4-1. 3.1.1: MQTT-3.12.4-1.
#[tokio::test(flavor = "multi_thread")]
async fn a_ping_is_answered() {
    let postern = open().await;
    for version in [Version::V31, Version::V311, Version::V5] {
        let (mut peer, _) = join(&postern, connect(version, "c")).await;
        for _ in 0..3 {
            peer.send(Packet::PingReq).await;
            assert_eq!(peer.packet().await, Packet::PingResp);
        }
    }
}

/// 5.0: MQTT-3.1.2-22, MQTT-3.2.2-22. 3.1.1: MQTT-3.1.2-24. The will shows that it counts as a loss.
#[tokio::test(flavor = "multi_thread")]
async fn silence_over_the_keep_alive_ends_the_link() {
    let postern = open().await;
    let mut watcher = subscriber(&postern, "watcher", "gone", QoS::AtMostOnce).await;
    for version in [Version::V31, Version::V311, Version::V5] {
        let silent = Connect { keep_alive: 1, ..connect(version, "silent") };
        let (mut peer, _) = join(&postern, with_will(silent, will("gone", "silent"))).await;
        let told = (version == Version::V5).then_some(ReasonCode::KeepAliveTimeout);
        assert_eq!(ended(&mut peer).await, told);
        assert_eq!(body(&next(&mut watcher).await), "silent");
    }
}

/// 5.0: MQTT-3.1.2-21, MQTT-3.2.2-21. The keep alive that holds is the server's, where it tells one.
#[tokio::test(flavor = "multi_thread")]
async fn the_servers_keep_alive_holds() {
    let postern = Postern::start(|c| {
        c.policy_file("open");
        c.policy("plugins.token-hmac.config.limits.keep_alive_secs", 1);
    })
    .await;
    for asked in [0, 600] {
        let connect = Connect { keep_alive: asked, ..connect(Version::V5, "silent") };
        let (mut peer, ack) = join(&postern, connect).await;
        assert_eq!(ack.server_keep_alive, Some(1));
        assert_eq!(ended(&mut peer).await, Some(ReasonCode::KeepAliveTimeout));
    }
}

/// Section 3.1.2.10: a keep alive of 0 switches the mechanism off. Another client's silence ends its
/// link meanwhile, though that client came later.
#[tokio::test(flavor = "multi_thread")]
async fn a_keep_alive_of_zero_never_ends_a_link() {
    let postern = open().await;
    let mut quiet = Vec::new();
    for (id, version) in [("31", Version::V31), ("311", Version::V311)] {
        quiet.push(join(&postern, Connect { keep_alive: 0, ..connect(version, id) }).await.0);
    }
    let timed = Connect { keep_alive: 1, ..connect(Version::V5, "timed") };
    let (mut timed, _) = join(&postern, timed).await;
    assert_eq!(ended(&mut timed).await, Some(ReasonCode::KeepAliveTimeout));
    for peer in &mut quiet {
        assert_eq!(everything(peer).await, []);
    }
}

/// 3.1.1: MQTT-3.1.2-24. 5.0: MQTT-3.1.2-22. Any packet counts, not PINGREQ alone: a link that goes on
/// publishing outlives one that fell silent later.
#[tokio::test(flavor = "multi_thread")]
async fn any_packet_keeps_a_link_alive() {
    let postern = open().await;
    let mut busy = join(&postern, Connect { keep_alive: 4, ..connect(Version::V311, "busy") }).await.0;
    for n in 0..5 {
        // Each of these links is there for one and a half seconds.
        let silent = Connect { keep_alive: 1, ..connect(Version::V5, "silent") };
        let (mut silent, _) = join(&postern, silent).await;
        assert_eq!(ended(&mut silent).await, Some(ReasonCode::KeepAliveTimeout));
        deliver(&mut busy, "t", n.to_string(), QoS::AtLeastOnce).await;
    }
}
