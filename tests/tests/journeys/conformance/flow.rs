//! Receive Maximum and Maximum Packet Size, both ways.

use postern_broker::wire::{Connect, Packet, Publish, QoS, ReasonCode, Version};
use postern_tests::{Postern, body, connect, publish};

use super::*;

/// 5.0: MQTT-3.3.4-9, MQTT-3.3.4-10, MQTT-4.9.0-1, MQTT-4.9.0-2, MQTT-4.9.0-3. No more messages of QoS 1
/// and 2 are under way to a client than it takes; everything else goes on.
#[tokio::test(flavor = "multi_thread")]
async fn a_clients_receive_maximum_is_kept() {
    let postern = open().await;
    let mut sender = client(&postern, "sender").await;
    let connect = Connect { receive_maximum: Some(2), ..connect(Version::V5, "reader") };
    let (mut reader, _) = join(&postern, connect).await;
    reader.subscribe("t", QoS::ExactlyOnce).await;
    for (n, qos) in [QOS[1], QOS[2], QOS[1], QOS[2], QOS[1]].into_iter().enumerate() {
        deliver(&mut sender, "t", n.to_string(), qos).await;
    }
    let (zero, one) = (next(&mut reader).await, next(&mut reader).await);
    assert_eq!([body(&zero), body(&one)], ["0", "1"]);
    // Nothing more of QoS 1 and 2; other packets are answered.
    assert_eq!(everything(&mut reader).await, []);
    assert!(!reader.subscribe("other", QoS::AtMostOnce).await.is_error());

    reader.acknowledge(&zero).await;
    let two = next(&mut reader).await;
    assert_eq!(body(&two), "2", "PUBACK makes room");
    let id = one.packet_id.unwrap();
    reader.send(Packet::PubRec(success(id))).await;
    assert_eq!(everything(&mut reader).await, [Packet::PubRel(success(id))], "PUBREC does not");
    reader.send(Packet::PubComp(success(id))).await;
    let three = next(&mut reader).await;
    assert_eq!(body(&three), "3", "PUBCOMP does");
    let refused = Ack::new(three.packet_id.unwrap(), ReasonCode::QuotaExceeded);
    reader.send(Packet::PubRec(refused)).await;
    assert_eq!(body(&next(&mut reader).await), "4", "a PUBREC that refuses does");
}

/// 5.0: MQTT-4.9.0-1. The window is that of the link: a session that comes back with a smaller one gets
/// what it had not acknowledged within it, in order.
#[tokio::test(flavor = "multi_thread")]
async fn a_smaller_receive_maximum_holds_for_redelivery_too() {
    let postern = open().await;
    let mut sender = client(&postern, "sender").await;
    let (mut reader, _) = join(&postern, durable(Version::V5, "reader")).await;
    reader.subscribe("t", QoS::ExactlyOnce).await;
    for n in 0..4 {
        deliver(&mut sender, "t", n.to_string(), QOS[1 + n % 2]).await;
        next(&mut reader).await;
    }
    leave(&mut reader).await;
    let narrow = Connect { receive_maximum: Some(1), ..durable(Version::V5, "reader") };
    let (mut reader, _) = join(&postern, narrow).await;
    for n in 0..4 {
        let got = next(&mut reader).await;
        assert_eq!((body(&got), got.dup), (&*n.to_string(), true));
        assert_eq!(everything(&mut reader).await, []);
        let id = got.packet_id.unwrap();
        if got.qos == QoS::AtLeastOnce {
            reader.send(Packet::PubAck(success(id))).await;
        } else {
            reader.send(Packet::PubRec(success(id))).await;
            assert_eq!(reader.packet().await, Packet::PubRel(success(id)));
            reader.send(Packet::PubComp(success(id))).await;
        }
    }
    assert_eq!(everything(&mut reader).await, []);
}

/// 5.0: MQTT-3.3.4-7, MQTT-3.3.4-8. A client that sends more than the server's Receive Maximum is told
/// 0x93; QoS 0 does not count, and PUBCOMP makes room.
#[tokio::test(flavor = "multi_thread")]
async fn the_servers_receive_maximum_is_kept_too() {
    let postern = Postern::start(|c| {
        c.policy_file("open");
        c.set("limits.inflight", 2);
    })
    .await;
    let (mut sender, ack) = join(&postern, connect(Version::V5, "sender")).await;
    assert_eq!(ack.receive_maximum, Some(2));
    let half = |id| Publish { packet_id: PacketId::new(id), ..publish("t", "m", QoS::ExactlyOnce) };
    for id in [1, 2] {
        sender.send(half(id)).await;
        let Packet::PubRec(_) = sender.packet().await else { panic!("expected PUBREC") };
    }
    deliver(&mut sender, "t", "does not count", QoS::AtMostOnce).await;
    sender.send(half(2)).await;
    let Packet::PubRec(_) = sender.packet().await else { panic!("a repeat does not count again") };
    release(&mut sender, PacketId::new(1).unwrap()).await;
    sender.send(half(3)).await;
    let Packet::PubRec(_) = sender.packet().await else { panic!("PUBCOMP has made room") };
    sender.send(half(4)).await;
    assert_eq!(ended(&mut sender).await, Some(ReasonCode::ReceiveMaximumExceeded));

    // An older client cannot know the limit: it is read no further, and loses nothing.
    let mut old = older(&postern, "old").await;
    let mut reader = subscriber(&postern, "reader", "t", QoS::AtLeastOnce).await;
    for id in 1..=20 {
        old.send(Publish { packet_id: PacketId::new(id), ..publish("t", "m", QoS::AtLeastOnce) }).await;
    }
    for id in 1..=20 {
        assert_eq!(old.packet().await, Packet::PubAck(success(PacketId::new(id).unwrap())));
        take(&mut reader).await;
    }
}

/// 5.0: MQTT-3.1.2-24, MQTT-3.1.2-25. A message over a subscriber's Maximum Packet Size is dropped for
/// that subscriber only, as if it had been sent.
#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_is_too_large_is_dropped_for_that_client_only() {
    let postern = open().await;
    let mut sender = client(&postern, "sender").await;
    let limited = Connect {
        maximum_packet_size: Some(64),
        receive_maximum: Some(1),
        ..durable(Version::V5, "limited")
    };
    let (mut limited, _) = join(&postern, limited).await;
    limited.subscribe("t", QoS::ExactlyOnce).await;
    let mut open_to_all = subscriber(&postern, "open", "t", QoS::ExactlyOnce).await;
    // Header 2, topic 3, identifier 2, properties 1: 8 bytes beside the payload.
    for (length, fits) in [(1, true), (55, true), (56, true), (57, false), (5_000, false), (2, true)] {
        for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
            let payload = "x".repeat(length);
            deliver(&mut sender, "t", payload.clone(), qos).await;
            assert_eq!(take(&mut open_to_all).await.payload, payload);
            if fits {
                assert_eq!(take(&mut limited).await.payload, payload, "{length} bytes");
            }
        }
    }
    // Those that were dropped hold no place in the window, and the session goes on.
    assert_eq!(everything(&mut limited).await, []);
    deliver(&mut sender, "t", "after", QoS::AtLeastOnce).await;
    assert_eq!(body(&take(&mut limited).await), "after");
}

/// 5.0: MQTT-3.2.2-15. A packet over the server's Maximum Packet Size ends the link with 0x95.
#[tokio::test(flavor = "multi_thread")]
async fn a_packet_over_the_servers_maximum_is_refused() {
    let postern = Postern::start(|c| {
        c.policy_file("open");
        c.set("limits.packet_bytes", 1024);
    })
    .await;
    let (mut sender, ack) = join(&postern, connect(Version::V5, "sender")).await;
    assert_eq!(ack.maximum_packet_size, Some(1024));
    let mut reader = subscriber(&postern, "reader", "t", QoS::AtMostOnce).await;
    // Fixed header 3, topic 3, properties 1.
    deliver(&mut sender, "t", vec![b'x'; 1017], QoS::AtMostOnce).await;
    assert_eq!(next(&mut reader).await.payload.len(), 1017);
    sender.send(publish("t", vec![b'x'; 1018], QoS::AtMostOnce)).await;
    assert_eq!(ended(&mut sender).await, Some(ReasonCode::PacketTooLarge));
    let mut old = older(&postern, "old").await;
    old.send(publish("t", vec![b'x'; 1030], QoS::AtMostOnce)).await;
    assert_eq!(old.closed().await, []);
    assert_eq!(everything(&mut reader).await, []);
}
