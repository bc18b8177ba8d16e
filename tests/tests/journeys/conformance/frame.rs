//! Fixed headers, lengths, packet identifiers and texts, in any packet.

use postern_broker::wire::{Packet, Publish, QoS, ReasonCode, Version};
use postern_tests::{body, publish};

use super::*;

/// 5.0: MQTT-2.1.3-1, MQTT-3.6.1-1, MQTT-3.8.1-1, MQTT-3.10.1-1, MQTT-3.15.1-1. 3.1.1: MQTT-2.2.2-1,
/// MQTT-2.2.2-2, MQTT-3.6.1-1, MQTT-3.8.1-1, MQTT-3.10.1-1.
#[tokio::test(flavor = "multi_thread")]
async fn reserved_flags_end_the_link() {
    let postern = open().await;
    let subscribe = packet(0, &[&[0, 1, 0], &field("a"), &[0]]);
    let unsubscribe = packet(0, &[&[0, 1, 0], &field("a")]);
    let cases: [(&str, u8, &[u8]); 8] = [
        ("PUBACK", 0x41, &[0, 2, 0, 1]),
        ("PUBREC", 0x52, &[0, 2, 0, 1]),
        ("PUBREL", 0x60, &[0, 2, 0, 1]),
        ("PUBCOMP", 0x78, &[0, 2, 0, 1]),
        ("SUBSCRIBE", 0x80, &subscribe),
        ("UNSUBSCRIBE", 0xA0, &unsubscribe),
        ("PINGREQ", 0xC2, &[0, 0]),
        ("AUTH", 0xF1, &[0, 0]),
    ];
    for (what, first, rest) in cases {
        let bytes = [&[first][..], &rest[1..]].concat();
        assert_eq!(told_for(&postern, &bytes).await, Some(ReasonCode::MalformedPacket), "{what}");
        ends_older(&postern, &bytes).await;
    }
}

/// 5.0: MQTT-1.5.5-1. Lengths of any size are read, and written as short as they can be.
#[tokio::test(flavor = "multi_thread")]
async fn lengths_take_as_few_bytes_as_they_can() {
    let postern = open().await;
    let mut sender = client(&postern, "sender").await;
    for version in [Version::V311, Version::V5] {
        let (mut peer, _) = join(&postern, connect(version, "reader")).await;
        peer.subscribe("t", QoS::AtMostOnce).await;
        let properties = usize::from(version == Version::V5);
        for (payload, length) in [(100, 1), (200, 2), (20_000, 3)] {
            deliver(&mut sender, "t", vec![b'x'; payload], QoS::AtMostOnce).await;
            let bytes = peer.bytes(1 + length + 3 + properties + payload).await;
            assert_eq!(bytes[..1], [0x30]);
            assert!(bytes[1..length].iter().all(|byte| byte & 0x80 != 0), "{length} bytes of length");
            assert!(bytes[length] & 0x80 == 0 && bytes[length] != 0);
            assert_eq!(bytes[1 + length..][..3], *b"\0\x01t");
        }
    }
}

/// 5.0: MQTT-4.2-1. 3.1.1: MQTT-4.2.0-1, MQTT-7.1.1-1. A stream of bytes, however it is cut: packets come
/// in pieces and in heaps.
#[tokio::test(flavor = "multi_thread")]
async fn packets_come_in_pieces_and_in_heaps() {
    let postern = open().await;
    let mut peer = subscriber(&postern, "c", "t", QoS::AtMostOnce).await;
    let message = packet(0x30, &[&field("t"), &[0], b"in pieces"]);
    for byte in &message {
        peer.send_bytes(&[*byte]).await;
    }
    assert_eq!(body(&next(&mut peer).await), "in pieces");
    peer.send_bytes(&message.repeat(1000)).await;
    for _ in 0..1000 {
        assert_eq!(body(&next(&mut peer).await), "in pieces");
    }
}

/// 5.0: MQTT-2.2.1-3. 3.1.1: MQTT-2.3.1-1. No packet that needs an identifier may have 0.
#[tokio::test(flavor = "multi_thread")]
async fn packet_identifier_zero_ends_the_link() {
    let postern = open().await;
    let cases: [(u8, &[&[u8]]); 6] = [
        (0x32, &[&field("t"), &[0, 0], &[0]]),
        (0x34, &[&field("t"), &[0, 0], &[0]]),
        (0x82, &[&[0, 0, 0], &field("t"), &[0]]),
        (0xA2, &[&[0, 0, 0], &field("t")]),
        (0x40, &[&[0, 0]]),
        (0x62, &[&[0, 0]]),
    ];
    for (first, parts) in cases {
        let bytes = packet(first, parts);
        assert_eq!(told_for(&postern, &bytes).await, Some(ReasonCode::ProtocolError), "{first:#x}");
        ends_older(&postern, &bytes).await;
    }
}

/// 5.0: MQTT-2.2.1-2, MQTT-2.2.1-4, MQTT-2.2.1-5, MQTT-4.3.2-1, MQTT-4.3.3-1. 3.1.1: MQTT-2.3.1-4,
/// MQTT-2.3.1-5, MQTT-2.3.1-6.
#[tokio::test(flavor = "multi_thread")]
async fn the_server_gives_identifiers_that_are_not_in_use() {
    let postern = open().await;
    let mut sender = client(&postern, "sender").await;
    let mut peer = subscriber(&postern, "reader", "t", QoS::ExactlyOnce).await;
    let mut used = Vec::new();
    for n in 0..30 {
        let qos = QOS[n % 3];
        deliver(&mut sender, "t", n.to_string(), qos).await;
        let got = next(&mut peer).await;
        assert_eq!(got.packet_id.is_some(), qos != QoS::AtMostOnce, "QoS 0 has none");
        if let Some(id) = got.packet_id {
            assert!(!used.contains(&id), "{id} is in use");
            used.push(id);
        }
    }
}

/// 5.0: MQTT-2.2.1-6, MQTT-3.8.4-2. 3.1.1: MQTT-2.3.1-7, MQTT-3.8.4-2, MQTT-3.10.4-4.
#[tokio::test(flavor = "multi_thread")]
async fn answers_have_the_identifier_of_what_they_answer() {
    let postern = open().await;
    for version in [Version::V31, Version::V311, Version::V5] {
        let (mut peer, _) = join(&postern, connect(version, "c")).await;
        let properties: &[u8] = if version == Version::V5 { &[0] } else { &[] };
        for id in [[0, 1], [0xFF, 0xFF], [0x12, 0x34]] {
            let number = PacketId::new(u16::from_be_bytes(id)).unwrap();
            peer.send_bytes(&packet(0x82, &[&id, properties, &field("t"), &[0]])).await;
            let Packet::SubAck(ack) = peer.packet().await else { panic!("expected SUBACK") };
            assert_eq!(ack.packet_id, number);
            peer.send_bytes(&packet(0xA2, &[&id, properties, &field("t")])).await;
            let Packet::UnsubAck(ack) = peer.packet().await else { panic!("expected UNSUBACK") };
            assert_eq!(ack.packet_id, number);
            for qos in QOS {
                hand_in(&mut peer, Publish { packet_id: Some(number), ..publish("t", "m", qos) }).await;
            }
        }
    }
}

/// 5.0: MQTT-1.5.4-1, MQTT-1.5.4-2, MQTT-1.5.7-1, MQTT-3.3.2-1, MQTT-3.3.2-13, MQTT-3.3.2-19,
/// MQTT-3.8.3-1, MQTT-3.10.3-1, MQTT-4.7.3-2. 3.1.1: MQTT-1.5.3-1, MQTT-1.5.3-2, MQTT-3.3.2-1,
/// MQTT-3.8.3-1, MQTT-3.10.3-1, MQTT-4.7.3-2.
#[tokio::test(flavor = "multi_thread")]
async fn texts_that_are_not_utf8_end_the_link() {
    let postern = open().await;
    for bad in [&b"\xED\xA0\x80"[..], b"\xC0\x80", b"a\0b", b"\xF4\x90\x80\x80"] {
        let bad = field(bad);
        for (first, parts) in
            [(0x30, &[&bad[..], b"m"] as &[&[u8]]), (0x82, &[&[0, 1], &bad, &[0]]), (0xA2, &[&[0, 1], &bad])]
        {
            ends_older(&postern, &packet(first, parts)).await;
        }
        // Response topic, content type, a user property's key and its value.
        let properties = [
            [&[0x08][..], &bad].concat(),
            [&[0x03][..], &bad].concat(),
            [&b"\x26"[..], &bad, b"\0\x01v"].concat(),
            [&b"\x26\0\x01k"[..], &bad].concat(),
        ];
        for property in properties {
            let bytes = packet(0x30, &[b"\0\x01t", &[property.len() as u8], &property]);
            assert_eq!(told_for(&postern, &bytes).await, Some(ReasonCode::MalformedPacket), "{bytes:x?}");
        }
        for bytes in [
            packet(0x30, &[&bad, &[0], b"m"]),
            packet(0x82, &[&[0, 1, 0], &bad, &[0]]),
            packet(0xA2, &[&[0, 1, 0], &bad]),
        ] {
            assert_eq!(told_for(&postern, &bytes).await, Some(ReasonCode::MalformedPacket), "{bytes:x?}");
        }
    }
}

/// 5.0: MQTT-1.5.4-3, MQTT-4.7.3-4. 3.1.1: MQTT-1.5.3-3, MQTT-4.7.3-4. Texts are compared and passed on
/// byte by byte: no byte order mark is stripped, nothing is normalized.
#[tokio::test(flavor = "multi_thread")]
async fn texts_are_left_as_they_are() {
    let postern = open().await;
    let texts = ["\u{feff}t", "t", "T", "\u{e9}", "e\u{301}", "a//b", "a/b", " t", "t/"];
    for version in [Version::V311, Version::V5] {
        for text in texts {
            let (mut peer, _) = join(&postern, connect(version, "reader")).await;
            peer.subscribe(text, QoS::AtMostOnce).await;
            let mut sender = client(&postern, "sender").await;
            for topic in texts {
                deliver(&mut sender, topic, "m", QoS::AtMostOnce).await;
            }
            let packets = everything(&mut peer).await;
            assert!(
                matches!(&packets[..], [Packet::Publish(p)] if &*p.topic == text),
                "{text:?}: {packets:?}"
            );
        }
    }
}
