//! A client that connects again while its link is live; kicks; shutdown.

use postern_broker::wire::{Connect, Packet, Publish, QoS, ReasonCode, Version, Will};
use postern_tests::{body, connect, publish};

use super::*;

/// 5.0: MQTT-3.1.4-3. 3.1.1: MQTT-3.1.4-2.
#[tokio::test(flavor = "multi_thread")]
async fn a_new_link_displaces_the_old_one_which_is_told() {
    let postern = open().await;
    let (mut old, _) = join(&postern, durable(Version::V5, "c")).await;
    let (mut older, ack) = join(&postern, durable(Version::V311, "c")).await;
    assert!(ack.session_present);
    assert_eq!(ended(&mut old).await, Some(ReasonCode::SessionTakenOver));
    let (mut new, ack) = join(&postern, durable(Version::V5, "c")).await;
    assert!(ack.session_present);
    assert_eq!(older.closed().await, [], "MQTT 3.1.1 has no word for it");
    assert_eq!(everything(&mut new).await, []);
}

/// 5.0: MQTT-4.4.0-1, MQTT-4.1.0-1. What the old link had not acknowledged comes on the new one; what it
/// had does not.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_displaced_link_had_not_acknowledged_comes_again() {
    let postern = open().await;
    let mut sender = client(&postern, "sender").await;
    let (mut old, _) = join(&postern, durable(Version::V5, "c")).await;
    old.subscribe("t", QoS::ExactlyOnce).await;
    for (n, qos) in [QOS[1], QOS[1], QOS[2]].into_iter().enumerate() {
        deliver(&mut sender, "t", n.to_string(), qos).await;
    }
    let first = take(&mut old).await;
    assert_eq!(body(&first), "0");
    let unacknowledged = [next(&mut old).await, next(&mut old).await];
    assert_eq!(everything(&mut old).await, [], "the PUBACK has been read");
    let (mut new, _) = join(&postern, durable(Version::V5, "c")).await;
    for former in unacknowledged {
        assert_eq!(take(&mut new).await, Publish { dup: true, ..former });
    }
    assert_eq!(everything(&mut new).await, []);
}

/// 5.0: MQTT-3.1.2-8, MQTT-3.1.3-9. 3.1.1: MQTT-3.1.2-8. A displaced link's will is published, unless a
/// delay lets the session that goes on spare it.
#[tokio::test(flavor = "multi_thread")]
async fn a_displaced_links_will_is_published_unless_it_is_delayed() {
    let postern = open().await;
    let mut watcher = subscriber(&postern, "watcher", "gone/#", QoS::AtMostOnce).await;
    let delayed = |topic| Will { delay_interval: 1, ..will(topic, "delayed") };
    let spared = with_will(durable(Version::V5, "delayed"), delayed("gone/delayed"));
    let (_first, _) = join(&postern, spared).await;
    let (_second, _) = join(&postern, durable(Version::V5, "delayed")).await;
    for version in [Version::V311, Version::V5] {
        let (_first, _) = join(&postern, with_will(durable(version, "c"), will("gone/now", "gone"))).await;
        let (_second, _) = join(&postern, durable(version, "c")).await;
        assert_eq!(&*next(&mut watcher).await.topic, "gone/now");
    }
    // A clean start ends the session, and with it the delay.
    let ended = with_will(durable(Version::V5, "clean"), delayed("gone/clean"));
    let (_first, _) = join(&postern, ended).await;
    let (_second, _) = join(&postern, connect(Version::V5, "clean")).await;
    assert_eq!(&*next(&mut watcher).await.topic, "gone/clean");
    seconds_pass(&postern, 2).await;
    assert_eq!(everything(&mut watcher).await, [], "the delayed one was spared");
}

/// Section 4.13: an operator's kick is DISCONNECT 0x98; the session stays.
#[tokio::test(flavor = "multi_thread")]
async fn a_kicked_client_is_told_so_and_keeps_its_session() {
    let postern = open().await;
    let mut watcher = subscriber(&postern, "watcher", "gone", QoS::AtMostOnce).await;
    let with_will = with_will(durable(Version::V5, "c"), will("gone", "kicked"));
    let (mut peer, _) = join(&postern, with_will).await;
    postern.done(&["client", "kick", "c"]).await;
    assert_eq!(ended(&mut peer).await, Some(ReasonCode::AdministrativeAction));
    assert_eq!(body(&next(&mut watcher).await), "kicked");
    assert!(join(&postern, durable(Version::V5, "c")).await.1.session_present);
}

/// Section 4.13: a server that stops says DISCONNECT 0x8B.
#[tokio::test(flavor = "multi_thread")]
async fn clients_are_told_of_a_shutdown() {
    let mut postern = open().await;
    let mut peer = client(&postern, "c").await;
    let mut older = older(&postern, "older").await;
    let stopped = postern.stop();
    let (told, told_older, ()) = tokio::join!(ended(&mut peer), older.closed(), stopped);
    assert_eq!(told, Some(ReasonCode::ServerShuttingDown));
    assert_eq!(told_older, []);
}

/// 5.0: MQTT-3.14.4-1, MQTT-3.14.4-2. After its DISCONNECT the server sends nothing more and closes,
/// whatever still comes.
#[tokio::test(flavor = "multi_thread")]
async fn a_displaced_link_does_nothing_any_more() {
    let postern = open().await;
    let mut watcher = subscriber(&postern, "watcher", "late", QoS::AtMostOnce).await;
    let (mut old, _) = join(&postern, durable(Version::V5, "c")).await;
    let (mut new, _) = join(&postern, durable(Version::V5, "c")).await;
    for n in 1..=100 {
        let late = Publish { packet_id: PacketId::new(n), ..publish("late", "m", QoS::AtLeastOnce) };
        old.send(late).await;
    }
    let packets = old.closed().await;
    assert!(matches!(packets[..], [Packet::Disconnect(_)]), "DISCONNECT is the last: {packets:?}");
    assert_eq!(everything(&mut new).await, []);
    assert_eq!(everything(&mut watcher).await, []);
    let again = Connect { clean_start: true, ..durable(Version::V5, "c") };
    assert!(!join(&postern, again).await.1.session_present);
}
