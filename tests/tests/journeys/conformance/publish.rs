//! PUBLISH from a client: what is taken, what is refused, and how the sender learns of it.

use postern_broker::wire::{Connect, MessageProperties, Packet, Publish, QoS, ReasonCode, Version};
use postern_tests::{body, connect, publish};

use super::*;

/// 5.0: MQTT-3.3.1-2, MQTT-3.3.1-4. 3.1.1: MQTT-3.3.1-2, MQTT-3.3.1-4.
#[tokio::test(flavor = "multi_thread")]
async fn flags_that_cannot_be_end_the_link() {
    let postern = open().await;
    for (what, first) in [("QoS 3", 0x36), ("QoS 3 and DUP", 0x3E), ("DUP with QoS 0", 0x38)] {
        let id: &[u8] = if first & 0b110 == 0 { &[] } else { &[0, 1] };
        let bytes = packet(first, &[&field("t"), id, &[0]]);
        assert_eq!(told_for(&postern, &bytes).await, Some(ReasonCode::MalformedPacket), "{what}");
        ends_older(&postern, &bytes).await;
    }
}

/// 5.0: MQTT-3.3.1-3. 3.1.1: MQTT-3.3.1-3.
#[tokio::test(flavor = "multi_thread")]
async fn dup_is_not_passed_on() {
    let postern = open().await;
    let mut reader = subscriber(&postern, "reader", "t", QoS::ExactlyOnce).await;
    for version in [Version::V311, Version::V5] {
        let (mut sender, _) = join(&postern, connect(version, "sender")).await;
        for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
            hand_in(&mut sender, Publish { dup: true, ..publish("t", "m", qos) }).await;
            assert!(!take(&mut reader).await.dup);
        }
    }
}

/// 5.0: MQTT-3.3.2-2, MQTT-4.7.0-1, MQTT-4.7.3-1. 3.1.1: MQTT-3.3.2-2, MQTT-4.7.1-1, MQTT-4.7.3-1.
#[tokio::test(flavor = "multi_thread")]
async fn a_topic_name_without_wildcards_is_needed() {
    let postern = open().await;
    for topic in ["#", "+", "a/+/b", "a/#", "a+"] {
        let told = told_for(&postern, &packet(0x30, &[&field(topic), &[0]])).await;
        assert_eq!(told, Some(ReasonCode::TopicNameInvalid), "{topic}");
        ends_older(&postern, &packet(0x30, &[&field(topic), b"m"])).await;
    }
    let told = told_for(&postern, &packet(0x30, &[&field(""), &[0]])).await;
    assert_eq!(told, Some(ReasonCode::ProtocolError), "no topic and no alias");
    ends_older(&postern, &packet(0x30, &[&field(""), b"m"])).await;
}

/// 5.0: MQTT-4.7.3-3. 3.1.1: MQTT-4.7.3-3. Names and filters of 65,535 bytes are carried.
#[tokio::test(flavor = "multi_thread")]
async fn the_longest_topic_is_carried() {
    let postern = open().await;
    let longest = "x".repeat(65_535);
    let mut reader = subscriber(&postern, "reader", &longest, QoS::AtLeastOnce).await;
    let mut sender = client(&postern, "sender").await;
    deliver(&mut sender, &longest, "m", QoS::AtLeastOnce).await;
    assert_eq!(*take(&mut reader).await.topic, *longest);
}

/// 5.0: MQTT-3.3.4-1, MQTT-3.4.2-1, MQTT-3.5.2-1, MQTT-3.6.2-1, MQTT-3.7.2-1.
#[tokio::test(flavor = "multi_thread")]
async fn who_sends_for_nobody_is_told() {
    let postern = open().await;
    let mut sender = client(&postern, "sender").await;
    for (qos, told) in QOS.into_iter().zip([
        ReasonCode::Success,
        ReasonCode::NoMatchingSubscribers,
        ReasonCode::NoMatchingSubscribers,
    ]) {
        assert_eq!(deliver(&mut sender, "t", "m", qos).await, told);
    }
    let _reader = subscriber(&postern, "reader", "t", QoS::AtMostOnce).await;
    for qos in QOS {
        assert_eq!(deliver(&mut sender, "t", "m", qos).await, ReasonCode::Success);
    }
}

/// 5.0: MQTT-4.3.3-9, MQTT-3.4.2-1, MQTT-3.5.2-1. A refusal frees the packet identifier: what comes next
/// with it is new.
#[tokio::test(flavor = "multi_thread")]
async fn a_refused_message_is_told_with_its_reason() {
    let postern = open_but_denied().await;
    let mut reader = subscriber(&postern, "reader", "#", QoS::ExactlyOnce).await;
    let mut sender = client(&postern, "sender").await;
    for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
        let id = sender.next_id();
        sender.send(Publish { packet_id: Some(id), ..publish("denied/a", "m", qos) }).await;
        let (Packet::PubAck(ack) | Packet::PubRec(ack)) = sender.packet().await else { panic!("no answer") };
        assert_eq!((ack.packet_id, ack.reason), (id, ReasonCode::NotAuthorized));
        assert!(ack.reason_string.is_some(), "it is told why");
        hand_in(&mut sender, Publish { packet_id: Some(id), ..publish("allowed", "m", qos) }).await;
        assert_eq!(&*take(&mut reader).await.topic, "allowed");
    }
    // QoS 0 has no answer: it is dropped, and the link goes on.
    deliver(&mut sender, "denied/a", "m", QoS::AtMostOnce).await;
    assert_eq!(everything(&mut reader).await, []);
}

/// 5.0: MQTT-3.1.2-29, MQTT-3.4.2-2, MQTT-3.4.2-3, MQTT-3.5.2-2, MQTT-3.5.2-3, MQTT-3.1.2-24. A reason
/// string is for who wants it and has room for it; the reason itself for all.
#[tokio::test(flavor = "multi_thread")]
async fn reason_strings_keep_to_what_the_client_asked_for() {
    let postern = open_but_denied().await;
    let plain = || connect(Version::V5, "c");
    for (what, connect, told) in [
        ("by default", plain(), true),
        ("with room", Connect { maximum_packet_size: Some(200), ..plain() }, true),
        ("without room", Connect { maximum_packet_size: Some(20), ..plain() }, false),
        ("not wanted", Connect { request_problem_information: false, ..plain() }, false),
    ] {
        let mut peer = Peer::to(&postern, "tcp").await;
        peer.version = Version::V5;
        peer.send(Packet::Connect(Box::new(connect))).await;
        let Packet::ConnAck(_) = peer.packet().await else { panic!("expected CONNACK") };
        for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
            let message = Publish { packet_id: Some(peer.next_id()), ..publish("denied/a", "m", qos) };
            peer.send(message).await;
            let (Packet::PubAck(ack) | Packet::PubRec(ack)) = peer.packet().await else {
                panic!("no answer")
            };
            assert_eq!(
                (ack.reason, ack.reason_string.is_some()),
                (ReasonCode::NotAuthorized, told),
                "{what}"
            );
        }
    }
}

/// 3.1.1: MQTT-3.3.5-2, MQTT-4.8.0-2. There is no reason code: a message that was not taken is not
/// acknowledged, the link is closed, and its sender may send it again; QoS 0 is dropped.
#[tokio::test(flavor = "multi_thread")]
async fn a_refused_message_of_an_older_client_is_not_acknowledged() {
    let postern = open_but_denied().await;
    for version in [Version::V31, Version::V311] {
        let (mut peer, _) = join(&postern, connect(version, "c")).await;
        deliver(&mut peer, "denied/a", "m", QoS::AtMostOnce).await;
        for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
            let (mut peer, _) = join(&postern, connect(version, "c")).await;
            peer.send(Publish { packet_id: PacketId::new(1), ..publish("denied/a", "m", qos) }).await;
            assert_eq!(peer.closed().await, []);
        }
    }
}

/// Section 3.3.2.3.2: a payload that is declared as UTF-8 and is not is refused with 0x99; nobody gets it.
#[tokio::test(flavor = "multi_thread")]
async fn a_payload_that_is_not_what_it_is_declared_as_is_refused() {
    let postern = open().await;
    let mut reader = subscriber(&postern, "reader", "#", QoS::ExactlyOnce).await;
    let mut sender = client(&postern, "sender").await;
    for (declared, payload, good) in [
        (Some(true), &b"gr\xC3\xBC\xC3\x9Fe"[..], true),
        (Some(true), b"", true),
        (Some(true), b"\xC3\x28", false),
        (Some(true), b"\xED\xA0\x80", false),
        (Some(false), b"\xC3\x28", true),
        (None, b"\xC3\x28", true),
    ] {
        let properties = MessageProperties { payload_format_utf8: declared, ..MessageProperties::default() };
        let properties = declared.map(|_| Box::new(properties));
        for qos in QOS {
            let told = hand_in(
                &mut sender,
                Publish { properties: properties.clone(), ..publish("t", payload, qos) },
            );
            let expected = if good || qos == QoS::AtMostOnce {
                ReasonCode::Success
            } else {
                ReasonCode::PayloadFormatInvalid
            };
            assert_eq!(told.await, expected, "{payload:x?} in {qos:?}");
            if good {
                assert_eq!(take(&mut reader).await.payload, payload);
            }
        }
    }
    assert_eq!(everything(&mut reader).await, []);
    // Of a will too, in the CONNACK.
    let properties = MessageProperties { payload_format_utf8: Some(true), ..MessageProperties::default() };
    let bad = postern_broker::wire::Will {
        payload: bytes::Bytes::from_static(b"\xFF"),
        properties: Some(Box::new(properties)),
        ..will("gone", "")
    };
    let mut peer = Peer::to(&postern, "tcp").await;
    let ack = peer.connect(with_will(connect(Version::V5, "c"), bad)).await.expect("CONNACK");
    assert_eq!(ack.reason, ReasonCode::PayloadFormatInvalid);
}

/// 5.0: MQTT-3.3.2-3, MQTT-4.5.0-1. 3.1.1: MQTT-3.3.2-3, MQTT-4.5.0-1. The topic that subscribers see is
/// the one that was published, and it matches what they subscribed to.
#[tokio::test(flavor = "multi_thread")]
async fn subscribers_see_the_topic_that_was_published() {
    let postern = open().await;
    let mut sender = client(&postern, "sender").await;
    let mut readers = Vec::new();
    for filter in ["a/#", "a/+", "a/b", "+/b", "#"] {
        readers.push(subscriber(&postern, filter, filter, QoS::AtLeastOnce).await);
    }
    deliver(&mut sender, "a/b", "m", QoS::AtLeastOnce).await;
    for reader in &mut readers {
        let got = take(reader).await;
        assert_eq!((&*got.topic, body(&got)), ("a/b", "m"));
        assert_eq!(everything(reader).await, []);
    }
}
