//! QoS 0 and 1: acknowledged, and delivered again until it is.

use postern_broker::wire::{Packet, Publish, QoS, ReasonCode, Version};
use postern_tests::{body, connect, publish};

use super::*;

/// 5.0: MQTT-4.3.1-1. 3.1.1: MQTT-4.3.1-1.
#[tokio::test(flavor = "multi_thread")]
async fn qos_0_is_sent_once_and_not_answered() {
    let postern = open().await;
    let mut reader = subscriber(&postern, "reader", "t", QoS::ExactlyOnce).await;
    for version in [Version::V311, Version::V5] {
        let (mut sender, _) = join(&postern, connect(version, "sender")).await;
        deliver(&mut sender, "t", "m", QoS::AtMostOnce).await;
        let got = next(&mut reader).await;
        assert_eq!((got.qos, got.dup, got.packet_id), (QoS::AtMostOnce, false, None));
        assert_eq!(everything(&mut reader).await, []);
    }
}

/// 5.0: MQTT-4.3.2-4, MQTT-4.3.2-5, MQTT-2.2.1-5, MQTT-3.3.4-1. 3.1.1: MQTT-4.3.2-2, MQTT-3.3.4-1,
/// MQTT-2.3.1-6. After its PUBACK a packet identifier means a new message, whatever DUP says.
#[tokio::test(flavor = "multi_thread")]
async fn a_qos_1_message_is_acknowledged_and_each_is_new() {
    let postern = open().await;
    let mut reader = subscriber(&postern, "reader", "t", QoS::AtLeastOnce).await;
    for version in [Version::V31, Version::V311, Version::V5] {
        let (mut sender, _) = join(&postern, connect(version, "sender")).await;
        for (text, dup) in [("first", false), ("second", true), ("third", false)] {
            let message =
                Publish { dup, packet_id: PacketId::new(7), ..publish("t", text, QoS::AtLeastOnce) };
            assert_eq!(hand_in(&mut sender, message).await, ReasonCode::Success);
            assert_eq!(body(&take(&mut reader).await), text);
        }
    }
}

/// 5.0: MQTT-3.3.1-1, MQTT-4.3.2-2, MQTT-4.3.2-3, MQTT-4.4.0-1, MQTT-4.6.0-1. 3.1.1: MQTT-2.3.1-3,
/// MQTT-3.3.1-1, MQTT-4.3.2-1, MQTT-4.4.0-1, MQTT-4.6.0-1.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_not_acknowledged_comes_again_in_order_with_dup_and_its_id() {
    let postern = open().await;
    let mut sender = client(&postern, "sender").await;
    for version in [Version::V31, Version::V311, Version::V5] {
        let (mut reader, _) = join(&postern, durable(version, "reader")).await;
        reader.subscribe("t", QoS::ExactlyOnce).await;
        let mut sent = Vec::new();
        for n in 0..6 {
            deliver(&mut sender, "t", n.to_string(), QOS[1 + n % 2]).await;
            let got = next(&mut reader).await;
            assert!(!got.dup, "the first time it is no repeat");
            sent.push(got);
        }
        // One in their midst is acknowledged; nothing comes twice on one link.
        let acknowledged = sent.remove(2);
        reader.acknowledge(&acknowledged).await;
        assert_eq!(everything(&mut reader).await, []);
        for ending in [true, false] {
            if ending {
                leave(&mut reader).await
            } else {
                reader.cut().await
            }
            deliver(&mut sender, "t", "later", QoS::AtMostOnce).await;
            reader = join(&postern, durable(version, "reader")).await.0;
            for former in &sent {
                assert_eq!(next(&mut reader).await, Publish { dup: true, ..former.clone() });
            }
            assert_eq!(everything(&mut reader).await, []);
        }
        join(&postern, connect(version, "reader")).await; // the session is over
    }
}

/// 5.0: MQTT-4.4.0-2, MQTT-4.3.2-3. A PUBACK that refuses is an acknowledgement: it does not come again.
#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_its_reader_refuses_does_not_come_again() {
    let postern = open().await;
    let mut sender = client(&postern, "sender").await;
    let (mut reader, _) = join(&postern, durable(Version::V5, "reader")).await;
    reader.subscribe("t", QoS::ExactlyOnce).await;
    deliver(&mut sender, "t", "one", QoS::AtLeastOnce).await;
    deliver(&mut sender, "t", "two", QoS::ExactlyOnce).await;
    let (one, two) = (next(&mut reader).await, next(&mut reader).await);
    let refusal = |message: &Publish| Ack::new(message.packet_id.unwrap(), ReasonCode::NotAuthorized);
    reader.send(Packet::PubAck(refusal(&one))).await;
    reader.send(Packet::PubRec(refusal(&two))).await;
    assert_eq!(everything(&mut reader).await, []);
    leave(&mut reader).await;
    let (mut reader, ack) = join(&postern, durable(Version::V5, "reader")).await;
    assert!(ack.session_present);
    assert_eq!(everything(&mut reader).await, []);
}

/// 5.0: MQTT-4.5.0-1, MQTT-4.6.0-5, MQTT-4.6.0-6. 3.1.1: MQTT-4.5.0-1, MQTT-4.6.0-5, MQTT-4.6.0-6. Messages
/// of one publisher come in the order they were sent, through sleep and redelivery.
#[tokio::test(flavor = "multi_thread")]
async fn order_is_kept_through_sleep_and_redelivery() {
    let postern = open().await;
    let mut sender = client(&postern, "sender").await;
    for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
        let (mut reader, _) = join(&postern, durable(Version::V5, "reader")).await;
        reader.subscribe("t", qos).await;
        for n in 0..20 {
            deliver(&mut sender, "t", n.to_string(), qos).await;
        }
        for _ in 0..10 {
            next(&mut reader).await;
        }
        reader.cut().await;
        for n in 20..40 {
            deliver(&mut sender, "t", n.to_string(), qos).await;
        }
        let (mut reader, _) = join(&postern, durable(Version::V5, "reader")).await;
        for n in 0..40 {
            assert_eq!(body(&next(&mut reader).await), n.to_string());
        }
        join(&postern, connect(Version::V5, "reader")).await; // the session is over
    }
}

/// 5.0: MQTT-4.6.0-2, MQTT-4.6.0-3. 3.1.1: MQTT-4.6.0-2, MQTT-4.6.0-3. The server acknowledges in the order
/// in which messages came, those that it refuses among them.
#[tokio::test(flavor = "multi_thread")]
async fn acknowledgements_keep_the_order_of_what_they_acknowledge() {
    let postern = open_but_denied().await;
    let mut sender = client(&postern, "sender").await;
    for id in 1..=60 {
        let topic = if id % 7 == 0 { "denied/a" } else { "t" };
        let qos = QOS[1 + usize::from(id) % 2];
        sender.send(Publish { packet_id: PacketId::new(id), ..publish(topic, "m", qos) }).await;
    }
    for id in 1..=60 {
        match sender.packet().await {
            Packet::PubAck(ack) if id % 2 == 0 => assert_eq!(ack.packet_id.get(), id),
            Packet::PubRec(ack) if id % 2 == 1 => assert_eq!(ack.packet_id.get(), id),
            other => panic!("{other:?} for {id}"),
        }
    }
}

/// Section 4.3: an acknowledgement for an identifier that is not in use is let pass (0x92 where there is
/// an answer); one of the wrong kind is a protocol error.
#[tokio::test(flavor = "multi_thread")]
async fn acknowledgements_of_nothing_are_let_pass_and_wrong_ones_are_not() {
    let postern = open().await;
    let mut peer = subscriber(&postern, "c", "t", QoS::ExactlyOnce).await;
    let id = PacketId::new(99).unwrap();
    let unknown = Ack::new(id, ReasonCode::PacketIdentifierNotFound);
    peer.send(Packet::PubAck(success(id))).await;
    peer.send(Packet::PubComp(success(id))).await;
    peer.send(Packet::PubRel(success(id))).await;
    assert_eq!(peer.packet().await, Packet::PubComp(unknown.clone()));
    peer.send(Packet::PubRec(success(id))).await;
    assert_eq!(peer.packet().await, Packet::PubRel(unknown));
    assert_eq!(everything(&mut peer).await, []);
    let mut sender = client(&postern, "sender").await;
    deliver(&mut sender, "t", "m", QoS::ExactlyOnce).await;
    let got = next(&mut peer).await;
    peer.send(Packet::PubAck(success(got.packet_id.unwrap()))).await;
    assert_eq!(ended(&mut peer).await, Some(ReasonCode::ProtocolError));
}
