//! QoS 2: exactly once, over as many links as it takes.

use postern_broker::wire::{MessageProperties, Packet, Publish, QoS, ReasonCode, Version};
use postern_tests::{Peer, body, connect, publish};

use super::*;

/// Sends a QoS 2 message with this identifier, and waits for the PUBREC.
async fn begin(peer: &mut Peer, id: u16, body: &'static str, dup: bool) {
    let packet_id = PacketId::new(id);
    peer.send(Publish { packet_id, dup, ..publish("t", body, QoS::ExactlyOnce) }).await;
    assert_eq!(peer.packet().await, Packet::PubRec(success(packet_id.unwrap())));
}

/// 5.0: MQTT-4.3.3-8, MQTT-4.3.3-10, MQTT-4.3.3-11, MQTT-4.3.3-12, MQTT-2.2.1-5, MQTT-3.3.4-1. 3.1.1:
/// MQTT-4.3.3-2, MQTT-3.3.4-1, MQTT-2.3.1-6.
#[tokio::test(flavor = "multi_thread")]
async fn a_repeat_is_known_until_it_is_released() {
    let postern = open().await;
    let mut reader = subscriber(&postern, "reader", "t", QoS::AtMostOnce).await;
    for version in [Version::V31, Version::V311, Version::V5] {
        let (mut sender, _) = join(&postern, connect(version, "sender")).await;
        begin(&mut sender, 5, "once", false).await;
        assert_eq!(body(&next(&mut reader).await), "once");
        for dup in [true, false, true] {
            begin(&mut sender, 5, "once", dup).await;
        }
        release(&mut sender, PacketId::new(5).unwrap()).await;
        assert_eq!(everything(&mut reader).await, [], "delivered once");
        begin(&mut sender, 5, "new", true).await;
        assert_eq!(body(&next(&mut reader).await), "new", "the identifier is free after PUBCOMP");
        release(&mut sender, PacketId::new(5).unwrap()).await;
    }
}

/// 5.0: MQTT-4.3.3-10, MQTT-4.4.0-1. 3.1.1: MQTT-4.3.3-2, MQTT-4.4.0-1. A sender that loses its link at any
/// point of the exchange, again and again, delivers once.
#[tokio::test(flavor = "multi_thread")]
async fn a_sender_that_loses_its_link_delivers_once() {
    let postern = open().await;
    let mut reader = subscriber(&postern, "reader", "t", QoS::ExactlyOnce).await;
    let id = PacketId::new(9).unwrap();
    for version in [Version::V31, Version::V311, Version::V5] {
        let (mut sender, _) = join(&postern, durable(version, "sender")).await;
        begin(&mut sender, 9, "once", false).await;
        assert_eq!(body(&take(&mut reader).await), "once");
        for _ in 0..3 {
            sender.cut().await;
            sender = join(&postern, durable(version, "sender")).await.0;
            begin(&mut sender, 9, "once", true).await;
        }
        // The PUBREL may get lost, or its PUBCOMP.
        for known in [true, false] {
            sender.cut().await;
            sender = join(&postern, durable(version, "sender")).await.0;
            sender.send(Packet::PubRel(success(id))).await;
            let Packet::PubComp(ack) = sender.packet().await else { panic!("expected PUBCOMP") };
            let not_found = !known && version == Version::V5;
            assert_eq!(ack.reason == ReasonCode::PacketIdentifierNotFound, not_found);
        }
        assert_eq!(everything(&mut reader).await, [], "delivered once");
        join(&postern, connect(version, "sender")).await; // the session is over
    }
}

/// 5.0: MQTT-4.3.3-2, MQTT-4.3.3-3, MQTT-4.3.3-4, MQTT-4.3.3-5, MQTT-4.3.3-6, MQTT-3.6.1-1. 3.1.1:
/// MQTT-4.3.3-1, MQTT-3.6.1-1, MQTT-4.4.0-1.
#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_loses_its_link_is_taken_up_where_it_was() {
    let postern = open().await;
    let mut sender = client(&postern, "sender").await;
    for version in [Version::V31, Version::V311, Version::V5] {
        let (mut reader, _) = join(&postern, durable(version, "reader")).await;
        reader.subscribe("t", QoS::ExactlyOnce).await;
        deliver(&mut sender, "t", "once", QoS::ExactlyOnce).await;
        let first = next(&mut reader).await;
        assert_eq!((first.qos, first.dup), (QoS::ExactlyOnce, false));
        // Before PUBREC: the message again.
        reader.cut().await;
        reader = join(&postern, durable(version, "reader")).await.0;
        assert_eq!(next(&mut reader).await, Publish { dup: true, ..first.clone() });
        let id = first.packet_id.unwrap();
        reader.send(Packet::PubRec(success(id))).await;
        assert_eq!(reader.packet().await, Packet::PubRel(success(id)));
        // Before PUBCOMP: never the message, always the PUBREL.
        for _ in 0..2 {
            reader.cut().await;
            reader = join(&postern, durable(version, "reader")).await.0;
            assert_eq!(reader.packet().await, Packet::PubRel(success(id)));
        }
        reader.send(Packet::PubComp(success(id))).await;
        assert_eq!(everything(&mut reader).await, []);
        reader.cut().await;
        let (mut reader, _) = join(&postern, durable(version, "reader")).await;
        assert_eq!(everything(&mut reader).await, [], "it is over");
        join(&postern, connect(version, "reader")).await; // the session is over
    }
}

/// 5.0: MQTT-4.6.0-4, MQTT-4.6.0-1. 3.1.1: MQTT-4.6.0-4, MQTT-4.6.0-1. PUBRELs go out in the order of the
/// PUBRECs, and again in the order of the messages.
#[tokio::test(flavor = "multi_thread")]
async fn releases_keep_the_order_of_what_was_received() {
    let postern = open().await;
    let mut sender = client(&postern, "sender").await;
    let (mut reader, _) = join(&postern, durable(Version::V5, "reader")).await;
    reader.subscribe("t", QoS::ExactlyOnce).await;
    let mut ids = Vec::new();
    for n in 0..10 {
        deliver(&mut sender, "t", n.to_string(), QoS::ExactlyOnce).await;
        ids.push(next(&mut reader).await.packet_id.unwrap());
    }
    for id in &ids {
        reader.send(Packet::PubRec(success(*id))).await;
    }
    for id in &ids {
        assert_eq!(reader.packet().await, Packet::PubRel(success(*id)));
    }
    leave(&mut reader).await;
    let (mut reader, _) = join(&postern, durable(Version::V5, "reader")).await;
    for id in &ids {
        assert_eq!(reader.packet().await, Packet::PubRel(success(*id)));
    }
}

/// 5.0: MQTT-4.3.3-7, MQTT-4.3.3-13. A message whose time is up while it is under way is delivered to its
/// end, on both sides.
#[tokio::test(flavor = "multi_thread")]
async fn expiry_does_not_cut_an_exchange_short() {
    let postern = open().await;
    let mut sender = client(&postern, "sender").await;
    let (mut reader, _) = join(&postern, durable(Version::V5, "reader")).await;
    reader.subscribe("t", QoS::ExactlyOnce).await;
    let properties = MessageProperties { message_expiry: Some(1), ..MessageProperties::default() };
    let id = sender.next_id();
    let brief = Publish {
        packet_id: Some(id),
        properties: Some(Box::new(properties)),
        ..publish("t", "brief", QoS::ExactlyOnce)
    };
    sender.send(brief.clone()).await;
    assert_eq!(sender.packet().await, Packet::PubRec(success(id)));
    let first = next(&mut reader).await;
    seconds_pass(&postern, 2).await;
    // The sender repeats, releases, and is answered.
    sender.send(Publish { dup: true, ..brief }).await;
    assert_eq!(sender.packet().await, Packet::PubRec(success(id)));
    release(&mut sender, id).await;
    // The reader gets it again on a new link, and can finish.
    leave(&mut reader).await;
    let (mut reader, _) = join(&postern, durable(Version::V5, "reader")).await;
    let again = take(&mut reader).await;
    assert_eq!((again.packet_id, again.dup, body(&again)), (first.packet_id, true, "brief"));
    assert_eq!(everything(&mut reader).await, []);
}
