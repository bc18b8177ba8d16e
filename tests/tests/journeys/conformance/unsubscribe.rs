//! UNSUBSCRIBE and UNSUBACK.

use postern_broker::wire::{Packet, QoS, ReasonCode, Version};
use postern_tests::{body, connect};

use super::*;

/// 5.0: MQTT-3.10.3-2. 3.1.1: MQTT-3.10.3-2.
#[tokio::test(flavor = "multi_thread")]
async fn an_unsubscribe_without_a_filter_ends_the_link() {
    let postern = open().await;
    assert_eq!(told_for(&postern, &packet(0xA2, &[&[0, 1, 0]])).await, Some(ReasonCode::ProtocolError));
    ends_older(&postern, &packet(0xA2, &[&[0, 1]])).await;
}

/// 5.0: MQTT-3.10.4-1, MQTT-3.10.4-2. 3.1.1: MQTT-3.10.4-1, MQTT-3.10.4-2. Filters are compared character
/// by character; the one that is the same is gone, others stay.
#[tokio::test(flavor = "multi_thread")]
async fn the_filter_that_is_the_same_is_gone() {
    let postern = open().await;
    let mut sender = client(&postern, "sender").await;
    for version in [Version::V31, Version::V311, Version::V5] {
        let (mut reader, _) = join(&postern, connect(version, "reader")).await;
        for filter in ["a/b", "a/+", "a/#", "A/b"] {
            reader.subscribe(filter, QoS::AtMostOnce).await;
        }
        unsubscribe(&mut reader, &["a/b/", "a/b/c", "+/b", "a", "A/B"]).await;
        for gone in ["a/b", "a/+"] {
            unsubscribe(&mut reader, &[gone]).await;
            deliver(&mut sender, "a/b", "still", QoS::AtMostOnce).await;
            assert_eq!(bodies(&mut reader).await, ["still"], "{gone}");
        }
        unsubscribe(&mut reader, &["a/#"]).await;
        deliver(&mut sender, "a/b", "no more", QoS::AtMostOnce).await;
        assert_eq!(everything(&mut reader).await, []);
    }
}

/// 5.0: MQTT-3.10.4-4, MQTT-3.10.4-5, MQTT-3.10.4-6, MQTT-3.11.3-1, MQTT-3.11.3-2. 3.1.1: MQTT-3.10.4-4,
/// MQTT-3.10.4-5, MQTT-3.10.4-6.
#[tokio::test(flavor = "multi_thread")]
async fn each_filter_is_answered_in_order() {
    let postern = open().await;
    let (gone, none) = (ReasonCode::Success, ReasonCode::NoSubscriptionExisted);
    for version in [Version::V31, Version::V311, Version::V5] {
        let (mut peer, _) = join(&postern, connect(version, "c")).await;
        peer.subscribe_all(&[("a", QOS[0]), ("b", QOS[1]), ("c", QOS[2])]).await;
        let reasons = unsubscribe(&mut peer, &["b", "x", "a", "b", "a/#/b"]).await;
        let expected = [gone, none, gone, none, ReasonCode::TopicFilterInvalid];
        assert_eq!(reasons, expected[..if version == Version::V5 { 5 } else { 0 }]);
        // Nothing was there to be deleted: it is answered all the same.
        let reasons = unsubscribe(&mut peer, &["b"]).await;
        assert_eq!(reasons, [none][..usize::from(version == Version::V5)]);
    }
}

/// 5.0: MQTT-3.10.4-3. 3.1.1: MQTT-3.10.4-3. What is under way is delivered to its end.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_under_way_is_delivered_to_its_end() {
    let postern = open().await;
    let mut sender = client(&postern, "sender").await;
    for version in [Version::V31, Version::V311, Version::V5] {
        let (mut reader, _) = join(&postern, durable(version, "reader")).await;
        reader.subscribe("t", QoS::ExactlyOnce).await;
        for (text, qos) in [("one", QOS[1]), ("two", QOS[2])] {
            deliver(&mut sender, "t", text, qos).await;
        }
        let (one, two) = (next(&mut reader).await, next(&mut reader).await);
        unsubscribe(&mut reader, &["t"]).await;
        deliver(&mut sender, "t", "too late", QoS::ExactlyOnce).await;
        leave(&mut reader).await;
        let (mut reader, _) = join(&postern, durable(version, "reader")).await;
        for former in [one, two] {
            let again = take(&mut reader).await;
            assert_eq!((body(&again), again.packet_id, again.dup), (body(&former), former.packet_id, true));
        }
        assert_eq!(everything(&mut reader).await, []);
        join(&postern, connect(version, "reader")).await; // the session is over
    }
}

/// 5.0: MQTT-3.11.2-1, MQTT-3.11.2-2. An UNSUBACK says no more than the client has room for.
#[tokio::test(flavor = "multi_thread")]
async fn an_unsuback_keeps_to_the_maximum_packet_size() {
    let postern = open().await;
    let small =
        postern_broker::wire::Connect { maximum_packet_size: Some(20), ..connect(Version::V5, "small") };
    let (mut peer, _) = join(&postern, small).await;
    assert_eq!(unsubscribe(&mut peer, &["none"; 15]).await.len(), 15);
    // One more filter, and the answer has no room: it is left out, and the link goes on [MQTT-3.1.2-25].
    let filters = vec![postern_tests::text("none"); 16];
    let packet_id = peer.next_id();
    let many = postern_broker::wire::Unsubscribe { packet_id, user_properties: vec![], filters };
    peer.send(Packet::Unsubscribe(many)).await;
    assert_eq!(everything(&mut peer).await, []);
}
