//! Wills: when they are published, when not, and as what.

use bytes::Bytes;
use postern_broker::wire::{Connect, Disconnect, MessageProperties, Packet, QoS, ReasonCode, Version, Will};
use postern_tests::{body, connect, text};

use super::*;

/// 5.0: MQTT-3.1.2-7, MQTT-3.1.2-8, MQTT-3.1.2-9, MQTT-3.1.2-10. 3.1.1: MQTT-3.1.2-8, MQTT-3.1.2-9,
/// MQTT-3.1.2-10, MQTT-3.1.2-12.
#[tokio::test(flavor = "multi_thread")]
async fn a_lost_link_publishes_its_will_once() {
    let postern = open().await;
    let mut watcher = subscriber(&postern, "watcher", "gone", QoS::ExactlyOnce).await;
    for version in [Version::V31, Version::V311, Version::V5] {
        for qos in QOS {
            let will = Will { qos, ..will("gone", "farewell") };
            let (mut peer, _) = join(&postern, with_will(durable(version, "c"), will)).await;
            peer.cut().await;
            let got = take(&mut watcher).await;
            assert_eq!((body(&got), got.qos, got.retain), ("farewell", qos, false));
            // The same client without a will: nothing is left to be published.
            let (mut peer, _) = join(&postern, durable(version, "c")).await;
            peer.cut().await;
            assert_eq!(everything(&mut watcher).await, []);
        }
    }
}

/// 5.0: MQTT-3.1.2-10, MQTT-3.14.4-3. 3.1.1: MQTT-3.1.2-10, MQTT-3.14.4-3.
#[tokio::test(flavor = "multi_thread")]
async fn a_normal_disconnect_drops_the_will() {
    let postern = open().await;
    let mut watcher = subscriber(&postern, "watcher", "gone", QoS::AtMostOnce).await;
    for version in [Version::V31, Version::V311, Version::V5] {
        let (mut peer, _) = join(&postern, with_will(durable(version, "c"), will("gone", "no"))).await;
        leave(&mut peer).await;
        let (mut peer, _) = join(&postern, durable(version, "c")).await;
        peer.cut().await;
    }
    assert_eq!(everything(&mut watcher).await, []);
}

/// Section 3.1.2.5: any end but a normal DISCONNECT publishes it.
#[tokio::test(flavor = "multi_thread")]
async fn any_other_end_publishes_it() {
    let postern = open().await;
    let mut watcher = subscriber(&postern, "watcher", "gone", QoS::AtMostOnce).await;
    let with_will = || with_will(connect(Version::V5, "c"), will("gone", "farewell"));
    for reason in [ReasonCode::DisconnectWithWill, ReasonCode::UnspecifiedError, ReasonCode::QuotaExceeded] {
        let (mut peer, _) = join(&postern, with_will()).await;
        leave_with(&mut peer, Disconnect { reason, ..Disconnect::default() }).await;
        assert_eq!(body(&next(&mut watcher).await), "farewell", "{reason:?}");
    }
    let (mut peer, _) = join(&postern, with_will()).await;
    peer.send_bytes(&[0x00, 0x00]).await;
    assert_eq!(ended(&mut peer).await, Some(ReasonCode::MalformedPacket));
    assert_eq!(body(&next(&mut watcher).await), "farewell");
}

/// 5.0: MQTT-3.1.2-14, MQTT-3.1.2-15. 3.1.1: MQTT-3.1.2-16, MQTT-3.1.2-17.
#[tokio::test(flavor = "multi_thread")]
async fn a_will_is_retained_if_it_says_so() {
    let postern = open().await;
    for (version, all) in [(Version::V311, "311/#"), (Version::V5, "5/#")] {
        let mut watcher = subscriber(&postern, "watcher", all, QoS::AtMostOnce).await;
        let (kept, passing) = (all.replace('#', "kept"), all.replace('#', "passing"));
        for (topic, retain) in [(&kept, true), (&passing, false)] {
            let will = Will { retain, ..will(topic, "farewell") };
            join(&postern, with_will(connect(version, "c"), will)).await.0.cut().await;
            assert_eq!(&*next(&mut watcher).await.topic, topic, "it has been published");
        }
        let mut late = subscriber(&postern, "late", all, QoS::AtMostOnce).await;
        let packets = everything(&mut late).await;
        assert!(matches!(&packets[..], [Packet::Publish(p)] if p.retain && *p.topic == *kept), "{packets:?}");
    }
}

/// 5.0: MQTT-3.1.3-10, MQTT-3.1.3-11, MQTT-3.3.2-17, MQTT-3.3.2-18. A will's properties reach subscribers
/// as they were given, user properties in order; its expiry begins when it is published.
#[tokio::test(flavor = "multi_thread")]
async fn a_wills_properties_are_published_with_it() {
    let postern = open().await;
    let mut watcher = subscriber(&postern, "watcher", "gone", QoS::ExactlyOnce).await;
    let pairs = [("z", "1"), ("a", "2"), ("z", "1"), ("", "")];
    let mut properties = MessageProperties {
        payload_format_utf8: Some(true),
        message_expiry: Some(1_000_000),
        response_topic: Some(text("answers")),
        correlation_data: Some(Bytes::from_static(b"\x00\xFF")),
        content_type: Some(text("text/plain")),
        user_properties: pairs.iter().map(|(k, v)| (text(k), text(v))).collect(),
    };
    let given = Some(Box::new(properties.clone()));
    let will = Will { delay_interval: 1, properties: given, ..will("gone", "farewell") };
    join(&postern, with_will(durable(Version::V5, "c"), will)).await.0.cut().await;
    properties.message_expiry = None;
    let mut got = next(&mut watcher).await.properties.expect("properties");
    assert!(got.message_expiry.take().is_some_and(|left| left > 999_000));
    assert_eq!(*got, properties);
}

/// 5.0: MQTT-3.1.3-9. A delayed will waits for its delay or the session's end, whichever is first.
#[tokio::test(flavor = "multi_thread")]
async fn a_delayed_will_waits_and_is_spared_by_who_comes_back() {
    let postern = open().await;
    let mut watcher = subscriber(&postern, "watcher", "gone/#", QoS::AtMostOnce).await;
    let delayed = |topic, delay_interval| Will { delay_interval, ..will(topic, "farewell") };
    // The session ends with the link: there is nothing to wait for.
    let ends = with_will(connect(Version::V5, "ends"), delayed("gone/ends", 1000));
    join(&postern, ends).await.0.cut().await;
    assert_eq!(&*next(&mut watcher).await.topic, "gone/ends");
    // Back in time: spared, though its delay would be over.
    join(&postern, with_will(durable(Version::V5, "back"), delayed("gone/back", 1))).await.0.cut().await;
    let (_back, ack) = join(&postern, durable(Version::V5, "back")).await;
    assert!(ack.session_present);
    // The delay is over.
    join(&postern, with_will(durable(Version::V5, "away"), delayed("gone/away", 2))).await.0.cut().await;
    assert_eq!(&*next(&mut watcher).await.topic, "gone/away");
    // The session's end comes before the delay's.
    let brief = Connect { session_expiry: Some(1), ..durable(Version::V5, "brief") };
    join(&postern, with_will(brief, delayed("gone/brief", 1000))).await.0.cut().await;
    assert_eq!(&*next(&mut watcher).await.topic, "gone/brief");
    assert_eq!(everything(&mut watcher).await, []);
}

/// Section 3.1.3.2.2: a normal DISCONNECT drops a delayed will too; one at the end of a clean start's
/// former session does not come twice.
#[tokio::test(flavor = "multi_thread")]
async fn a_delayed_will_is_dropped_by_a_normal_disconnect() {
    let postern = open().await;
    let mut watcher = subscriber(&postern, "watcher", "gone", QoS::AtMostOnce).await;
    let delayed = Will { delay_interval: 1, ..will("gone", "no") };
    let (mut peer, _) = join(&postern, with_will(durable(Version::V5, "c"), delayed)).await;
    leave(&mut peer).await;
    seconds_pass(&postern, 2).await;
    assert_eq!(everything(&mut watcher).await, []);
}

/// 5.0: MQTT-4.7.0-1. 3.1.1: MQTT-4.7.1-1. A will goes to a topic name.
#[tokio::test(flavor = "multi_thread")]
async fn a_will_topic_without_a_name_is_refused() {
    let postern = open().await;
    for topic in ["gone/#", "+", ""] {
        let mut peer = Peer::to(&postern, "tcp").await;
        let ack = peer.connect(with_will(connect(Version::V5, "c"), will(topic, "no"))).await;
        assert!(ack.is_some_and(|ack| ack.reason.is_error()), "{topic:?}");
        let mut peer = Peer::to(&postern, "tcp").await;
        let ack = peer.connect(with_will(connect(Version::V311, "c"), will(topic, "no"))).await;
        assert_eq!(ack, None, "{topic:?}");
    }
}
