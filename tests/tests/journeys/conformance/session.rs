//! Session state: what is kept, for how long, and what ends it.

use postern_broker::wire::{Connect, Disconnect, Packet, Publish, QoS, ReasonCode, Version, Will};
use postern_tests::{Postern, body, connect, publish};

use super::*;

/// A session of this client that has subscribed to `t` and whose link has ended.
async fn sleeper(postern: &Postern, version: Version, id: &str) {
    let (mut peer, _) = join(postern, durable(version, id)).await;
    peer.subscribe("t", QoS::ExactlyOnce).await;
    leave(&mut peer).await;
}

/// 5.0: MQTT-3.1.2-5, MQTT-3.1.2-23, MQTT-4.5.0-1. 3.1.1: MQTT-3.1.2-4, MQTT-3.1.2-5, MQTT-4.1.0-1,
/// MQTT-4.5.0-1.
#[tokio::test(flavor = "multi_thread")]
async fn a_sleeping_sessions_subscriptions_gather_its_messages() {
    let postern = open().await;
    let mut sender = client(&postern, "sender").await;
    for version in [Version::V31, Version::V311, Version::V5] {
        sleeper(&postern, version, "sleeper").await;
        for (qos, text) in [(QOS[1], "one"), (QOS[0], "lost, or not"), (QOS[2], "two")] {
            deliver(&mut sender, "t", text, qos).await;
        }
        let (mut peer, ack) = join(&postern, durable(version, "sleeper")).await;
        assert!(ack.session_present || version == Version::V31, "MQTT 3.1 cannot say it");
        let (one, two) = (take(&mut peer).await, take(&mut peer).await);
        assert_eq!((body(&one), one.qos, one.dup), ("one", QOS[1], false));
        assert_eq!((body(&two), two.qos, two.dup), ("two", QOS[2], false));
        deliver(&mut sender, "t", "live", QOS[0]).await;
        assert_eq!(body(&next(&mut peer).await), "live", "the subscription is still there");
        join(&postern, connect(version, "sleeper")).await; // the session is over
    }
}

/// 5.0: MQTT-3.1.2-4, MQTT-3.1.4-4. 3.1.1: MQTT-3.1.2-6, MQTT-3.1.4-3.
#[tokio::test(flavor = "multi_thread")]
async fn a_clean_start_forgets_subscriptions_messages_and_packet_ids() {
    let postern = open().await;
    let mut sender = client(&postern, "sender").await;
    for version in [Version::V311, Version::V5] {
        let (mut peer, _) = join(&postern, durable(version, "c")).await;
        peer.subscribe("t", QoS::AtLeastOnce).await;
        deliver(&mut sender, "t", "in flight", QoS::AtLeastOnce).await;
        next(&mut peer).await;
        // A QoS 2 message of its own is half way.
        let id = peer.next_id();
        let half = Publish { packet_id: Some(id), ..publish("elsewhere", "half", QoS::ExactlyOnce) };
        peer.send(half.clone()).await;
        let Packet::PubRec(_) = peer.packet().await else { panic!("expected PUBREC") };
        leave(&mut peer).await;
        deliver(&mut sender, "t", "waits", QoS::AtLeastOnce).await;

        let (mut peer, ack) = join(&postern, connect(version, "c")).await;
        assert!(!ack.session_present);
        deliver(&mut sender, "t", "not subscribed", QoS::AtLeastOnce).await;
        assert_eq!(everything(&mut peer).await, []);
        let mut watcher = subscriber(&postern, "watcher", "elsewhere", QoS::AtMostOnce).await;
        hand_in(&mut peer, half).await;
        assert_eq!(body(&next(&mut watcher).await), "half", "the identifier is new again");
        leave(&mut peer).await;
    }
}

/// 3.1.1: MQTT-3.1.2-6. A clean session's state is used by no later session.
#[tokio::test(flavor = "multi_thread")]
async fn a_clean_session_ends_with_its_link() {
    let postern = open().await;
    let mut sender = client(&postern, "sender").await;
    for version in [Version::V31, Version::V311, Version::V5] {
        let (mut peer, _) = join(&postern, connect(version, "c")).await;
        peer.subscribe("t", QoS::AtLeastOnce).await;
        leave(&mut peer).await;
        let none = deliver(&mut sender, "t", "for nobody", QoS::AtLeastOnce).await;
        assert_eq!(none, ReasonCode::NoMatchingSubscribers);
        let (mut peer, ack) = join(&postern, durable(version, "c")).await;
        assert!(!ack.session_present);
        assert_eq!(everything(&mut peer).await, []);
        join(&postern, connect(version, "c")).await; // the session is over
    }
}

/// 5.0: MQTT-4.1.0-1. 3.1.1: MQTT-4.1.0-2. However short its expiry interval, a session lasts as long
/// as its link.
#[tokio::test(flavor = "multi_thread")]
async fn a_session_lasts_as_long_as_its_link() {
    let postern = open().await;
    let short = Connect { session_expiry: Some(1), ..durable(Version::V5, "short") };
    let (mut short, _) = join(&postern, short).await;
    let mut none = client(&postern, "none").await;
    for peer in [&mut short, &mut none] {
        peer.subscribe("t", QoS::AtLeastOnce).await;
    }
    seconds_pass(&postern, 2).await;
    let mut sender = client(&postern, "sender").await;
    deliver(&mut sender, "t", "still here", QoS::AtLeastOnce).await;
    for peer in [&mut short, &mut none] {
        assert_eq!(body(&take(peer).await), "still here");
    }
}

/// 5.0: MQTT-4.1.0-2, MQTT-3.1.2-23.
#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_gone_when_its_expiry_interval_is_over() {
    let postern = open().await;
    let mut watcher = subscriber(&postern, "watcher", "ended", QoS::AtMostOnce).await;
    // The will comes when the session ends, however long its delay [MQTT-3.1.3-9].
    let late = Will { delay_interval: 1000, ..will("ended", "the session has ended") };
    let one_second = Connect { session_expiry: Some(1), ..durable(Version::V5, "c") };
    let (mut peer, _) = join(&postern, with_will(one_second.clone(), late)).await;
    peer.subscribe("t", QoS::AtLeastOnce).await;
    peer.cut().await;
    assert_eq!(body(&next(&mut watcher).await), "the session has ended");
    let none = deliver(&mut watcher, "t", "for nobody", QoS::AtLeastOnce).await;
    assert_eq!(none, ReasonCode::NoMatchingSubscribers);
    assert!(!join(&postern, one_second).await.1.session_present);
}

/// Section 3.14.2.2.2: DISCONNECT may name another expiry interval, shorter or longer.
#[tokio::test(flavor = "multi_thread")]
async fn disconnect_changes_the_expiry_interval() {
    let postern = open().await;
    for (id, asked, changed, stays) in [
        ("shorter", 3600, Some(0), false),
        ("longer", 1, Some(3600), true),
        ("as it was", 3600, None, true),
        ("none", 0, Some(0), false),
        ("over", 3600, Some(1), false),
    ] {
        let connect = Connect { session_expiry: Some(asked), ..durable(Version::V5, id) };
        let (mut peer, _) = join(&postern, connect).await;
        leave_with(&mut peer, Disconnect { session_expiry: changed, ..Disconnect::default() }).await;
        if changed != Some(0) {
            seconds_pass(&postern, 2).await;
        }
        assert_eq!(join(&postern, durable(Version::V5, id)).await.1.session_present, stays, "{id}");
    }
}

/// Section 3.14.2.2.2: a session that was to end with its link cannot be prolonged by DISCONNECT; that
/// is a protocol error, and no DISCONNECT that would spare the will.
#[tokio::test(flavor = "multi_thread")]
async fn disconnect_does_not_raise_an_expiry_interval_of_zero() {
    let postern = open().await;
    let mut watcher = subscriber(&postern, "watcher", "gone", QoS::AtMostOnce).await;
    for session_expiry in [None, Some(0)] {
        let ends = Connect { session_expiry, ..connect(Version::V5, "c") };
        let (mut peer, _) = join(&postern, with_will(ends, will("gone", "gone"))).await;
        let longer = Disconnect { session_expiry: Some(60), ..Disconnect::default() };
        peer.send(Packet::Disconnect(longer)).await;
        assert_eq!(ended(&mut peer).await, Some(ReasonCode::ProtocolError));
        assert_eq!(body(&next(&mut watcher).await), "gone");
        assert!(!join(&postern, durable(Version::V5, "c")).await.1.session_present);
        join(&postern, connect(Version::V5, "c")).await;
    }
}

/// 3.1.1: MQTT-3.1.2-7. 5.0: section 4.1.
#[tokio::test(flavor = "multi_thread")]
async fn retained_messages_outlive_the_session_that_left_them() {
    let postern = open().await;
    for (version, topic) in [(Version::V311, "kept/311"), (Version::V5, "kept/5")] {
        let (mut peer, _) = join(&postern, connect(version, "c")).await;
        retain(&mut peer, topic, "kept", QoS::AtLeastOnce).await;
        leave(&mut peer).await;
        let mut reader = client(&postern, "reader").await;
        reader.subscribe(topic, QoS::AtLeastOnce).await;
        assert_eq!(body(&take(&mut reader).await), "kept");
    }
}

/// Section 4.1: a session belongs to its client whichever version it speaks now.
#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_resumed_in_another_version() {
    let postern = open().await;
    let mut sender = client(&postern, "sender").await;
    sleeper(&postern, Version::V5, "c").await;
    for version in [Version::V311, Version::V31, Version::V5] {
        deliver(&mut sender, "t", "waits", QoS::ExactlyOnce).await;
        let (mut peer, _) = join(&postern, durable(version, "c")).await;
        assert_eq!(body(&take(&mut peer).await), "waits");
        leave(&mut peer).await;
    }
}
