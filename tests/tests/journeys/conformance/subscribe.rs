//! SUBSCRIBE and SUBACK: what is granted, and what a subscription brings.

use postern_broker::wire::{Packet, QoS, ReasonCode, Subscribe, Version};
use postern_tests::{body, connect, text};

use super::*;

/// 5.0: MQTT-3.8.3-2, MQTT-3.8.3-4, MQTT-3.8.3-5. 3.1.1: MQTT-3.8.3-3, MQTT-3.8.3-4, MQTT-4.8.0-1.
#[tokio::test(flavor = "multi_thread")]
async fn a_subscribe_that_cannot_be_ends_the_link() {
    let postern = open().await;
    let (protocol, malformed) = (ReasonCode::ProtocolError, ReasonCode::MalformedPacket);
    let (a, shared) = (field("a"), field("$share/g/a"));
    let cases: [(&str, &[&[u8]], ReasonCode); 9] = [
        ("no filter", &[&[0, 1, 0]], protocol),
        ("no options", &[&[0, 1, 0], &a], malformed),
        ("QoS 3", &[&[0, 1, 0], &a, &[3]], protocol),
        ("retain handling 3", &[&[0, 1, 0], &a, &[0x30]], protocol),
        ("a reserved option", &[&[0, 1, 0], &a, &[0x40]], malformed),
        ("the other reserved option", &[&[0, 1, 0], &a, &[0x80]], malformed),
        ("No Local, shared", &[&[0, 1, 0], &shared, &[4]], protocol),
        ("subscription identifier 0", &[&[0, 1, 2, 0x0B, 0], &a, &[0]], protocol),
        ("two subscription identifiers", &[&[0, 1, 4, 0x0B, 1, 0x0B, 2], &a, &[0]], protocol),
    ];
    for (what, parts, reason) in cases {
        assert_eq!(told_for(&postern, &packet(0x82, parts)).await, Some(reason), "{what}");
    }
    ends_older(&postern, &packet(0x82, &[&[0, 1]])).await;
    for options in [3, 4, 8, 0x10, 0x80] {
        ends_older(&postern, &packet(0x82, &[&[0, 1], &a, &[options]])).await;
    }
}

/// 5.0: MQTT-3.8.4-1, MQTT-3.8.4-5, MQTT-3.8.4-6, MQTT-3.8.4-7, MQTT-3.9.3-1, MQTT-3.9.3-2. 3.1.1:
/// MQTT-3.8.4-1, MQTT-3.8.4-4, MQTT-3.8.4-5, MQTT-3.9.3-1, MQTT-3.9.3-2.
#[tokio::test(flavor = "multi_thread")]
async fn each_filter_is_answered_in_order() {
    let postern = open().await;
    let filters = [
        ("a", QOS[2]),
        ("test/nosubscribe", QOS[1]),
        ("b/#", QOS[0]),
        ("b/#/c", QOS[1]),
        ("+/c", QOS[1]),
        ("d+", QOS[2]),
        ("", QOS[0]),
        ("$share/g", QOS[0]),
    ];
    let [zero, one, two] = [ReasonCode::Success, ReasonCode::GrantedQoS1, ReasonCode::GrantedQoS2];
    let (denied, invalid) = (ReasonCode::NotAuthorized, ReasonCode::TopicFilterInvalid);
    let expected = [two, denied, zero, invalid, one, invalid, invalid, invalid];
    let mut peer = client(&postern, "c").await;
    assert_eq!(peer.subscribe_all(&filters).await.reasons, expected);
    for version in [Version::V31, Version::V311] {
        let (mut old, _) = join(&postern, connect(version, "old")).await;
        let failed =
            |reason: ReasonCode| if reason.is_error() { ReasonCode::UnspecifiedError } else { reason };
        assert_eq!(old.subscribe_all(&filters).await.reasons, expected.map(failed), "0x80 for a failure");
    }
    // What was granted holds, what was not does not.
    let mut sender = client(&postern, "sender").await;
    for (topic, subscribed) in [("a", true), ("test/nosubscribe", false), ("b/x", true), ("x/c", true)] {
        let told = deliver(&mut sender, topic, "m", QoS::AtLeastOnce).await;
        assert_eq!(told == ReasonCode::Success, subscribed, "{topic}");
    }
}

/// 5.0: MQTT-3.8.4-8. 3.1.1: MQTT-3.8.4-6, MQTT-3.3.5-1.
#[tokio::test(flavor = "multi_thread")]
async fn a_message_comes_in_the_lower_of_both_qos() {
    let postern = open().await;
    for version in [Version::V31, Version::V311, Version::V5] {
        let mut sender = client(&postern, "sender").await;
        for granted in QOS {
            let (mut reader, _) = join(&postern, connect(version, "reader")).await;
            reader.subscribe("t", granted).await;
            for published in QOS {
                deliver(&mut sender, "t", "m", published).await;
                assert_eq!(take(&mut reader).await.qos, granted.min(published));
            }
        }
    }
}

/// 5.0: MQTT-3.8.4-3. 3.1.1: MQTT-3.8.4-3. The same filter again replaces the subscription, options and
/// identifier with it, and no message is lost or doubled meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn the_same_filter_again_replaces_the_subscription() {
    let postern = open().await;
    let mut reader = client(&postern, "reader").await;
    let mut sender = client(&postern, "sender").await;
    for (qos, id) in [(QOS[2], Some(1)), (QOS[0], None), (QOS[1], Some(2)), (QOS[1], None)] {
        ask(&mut reader, "t", Asked { qos, id, ..Asked::default() }).await;
        deliver(&mut sender, "t", "m", QoS::ExactlyOnce).await;
        let got = take(&mut reader).await;
        assert_eq!((got.qos, got.subscription_ids.first().copied()), (qos, id));
        assert_eq!(everything(&mut reader).await, [], "one copy");
    }
    assert_eq!(unsubscribe(&mut reader, &["t"]).await, [ReasonCode::Success]);
    deliver(&mut sender, "t", "m", QoS::ExactlyOnce).await;
    assert_eq!(everything(&mut reader).await, [], "there was but one subscription");
}

/// 5.0: MQTT-3.3.4-2, MQTT-3.3.4-3, MQTT-3.3.4-4, MQTT-3.3.4-5. 3.1.1: MQTT-3.3.5-1. Subscriptions that
/// overlap bring one copy, in the highest QoS and with the identifiers of all that have one.
#[tokio::test(flavor = "multi_thread")]
async fn overlapping_subscriptions_bring_one_copy_with_all_identifiers() {
    let postern = open().await;
    let mut reader = client(&postern, "reader").await;
    let largest = 268_435_455;
    for (filter, qos, id) in [
        ("a/#", QOS[1], Some(10)),
        ("a/+", QOS[2], Some(largest)),
        ("a/b", QOS[0], Some(10)),
        ("+/b", QOS[0], None),
        ("c", QOS[2], Some(30)),
    ] {
        ask(&mut reader, filter, Asked { qos, id, ..Asked::default() }).await;
    }
    let mut sender = client(&postern, "sender").await;
    for (topic, qos, expected) in [
        ("a/b", QOS[2], &[10, 10, largest][..]),
        ("a/b/c", QOS[1], &[10]),
        ("x/b", QOS[0], &[]),
        ("c", QOS[2], &[30]),
    ] {
        deliver(&mut sender, topic, "m", QoS::ExactlyOnce).await;
        let got = take(&mut reader).await;
        let mut ids = got.subscription_ids.to_vec();
        ids.sort_unstable();
        assert_eq!((&*got.topic, got.qos, &ids[..]), (topic, qos, expected));
        assert_eq!(everything(&mut reader).await, []);
    }
    // Identifiers stay with the session.
    let (mut sleeper, _) = join(&postern, durable(Version::V5, "sleeper")).await;
    ask(&mut sleeper, "c", Asked { id: Some(7), ..Asked::default() }).await;
    leave(&mut sleeper).await;
    deliver(&mut sender, "c", "waits", QoS::AtLeastOnce).await;
    let (mut sleeper, _) = join(&postern, durable(Version::V5, "sleeper")).await;
    deliver(&mut sender, "c", "live", QoS::AtLeastOnce).await;
    for text in ["waits", "live"] {
        let got = take(&mut sleeper).await;
        assert_eq!((body(&got), &got.subscription_ids[..]), (text, &[7][..]));
    }
}

/// 5.0: MQTT-3.8.3-3. No Local spares the publisher its own messages, and nobody else.
#[tokio::test(flavor = "multi_thread")]
async fn no_local_spares_the_publisher_alone() {
    let postern = open().await;
    let mut other = subscriber(&postern, "other", "t", QoS::AtMostOnce).await;
    let (mut own, _) = join(&postern, durable(Version::V5, "own")).await;
    let no_local = Asked { no_local: true, qos: QoS::AtLeastOnce, ..Asked::default() };
    ask(&mut own, "t", no_local).await;
    for qos in QOS {
        deliver(&mut own, "t", "own", qos).await;
        assert_eq!(body(&next(&mut other).await), "own");
        deliver(&mut other, "t", "another's", QoS::AtLeastOnce).await;
        assert_eq!(body(&next(&mut other).await), "another's");
        assert_eq!(body(&take(&mut own).await), "another's");
    }
    assert_eq!(everything(&mut own).await, []);
    // It is the client's: a new link of the session is the same client.
    leave(&mut own).await;
    let (mut own, _) = join(&postern, durable(Version::V5, "own")).await;
    deliver(&mut own, "t", "own", QoS::AtLeastOnce).await;
    assert_eq!(everything(&mut own).await, []);
    // A second filter without No Local brings it.
    ask(&mut own, "+", Asked { qos: QoS::AtMostOnce, ..Asked::default() }).await;
    own.send(postern_tests::publish("t", "own", QoS::AtMostOnce)).await;
    assert_eq!(body(&next(&mut own).await), "own");
}

/// Section 3.8.2.1.3: user properties of a SUBSCRIBE, of any number, are taken.
#[tokio::test(flavor = "multi_thread")]
async fn user_properties_of_a_subscribe_are_taken() {
    let postern = open().await;
    let mut peer = client(&postern, "c").await;
    let Packet::Subscribe(plain) = asking(&mut peer, "t", Asked::default()) else { panic!("a SUBSCRIBE") };
    let user_properties = vec![(text("k"), text("v")); 100];
    peer.send(Packet::Subscribe(Subscribe { user_properties, ..plain })).await;
    let Packet::SubAck(ack) = peer.packet().await else { panic!("expected SUBACK") };
    assert_eq!(ack.reasons, [ReasonCode::GrantedQoS2]);
}

/// 5.0: MQTT-3.9.2-1, MQTT-3.9.2-2, MQTT-3.1.2-24. A SUBACK keeps to the Maximum Packet Size too.
#[tokio::test(flavor = "multi_thread")]
async fn a_suback_keeps_to_the_maximum_packet_size() {
    let postern = open().await;
    let small =
        postern_broker::wire::Connect { maximum_packet_size: Some(20), ..connect(Version::V5, "small") };
    let (mut peer, _) = join(&postern, small).await;
    assert_eq!(peer.subscribe("test/nosubscribe", QoS::AtMostOnce).await, ReasonCode::NotAuthorized);
    assert_eq!(unsubscribe(&mut peer, &["nothing"]).await, [ReasonCode::NoSubscriptionExisted]);
    let wordy = vec![("t", QoS::AtMostOnce); 13];
    peer.send(Packet::PingReq).await;
    assert_eq!(peer.packet().await, Packet::PingResp);
    assert_eq!(peer.subscribe_all(&wordy).await.reasons.len(), 13, "5 bytes, and one for each filter");
}
