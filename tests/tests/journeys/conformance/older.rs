//! MQTT 3.1 ("MQIsdp"), and clients of different versions among themselves.

use postern_broker::wire::{Connect, MessageProperties, Packet, Publish, QoS, ReasonCode, Version};
use postern_tests::{Peer, body, connect, publish, text};

use super::*;

const VERSIONS: [Version; 3] = [Version::V31, Version::V311, Version::V5];

/// MQTT 3.1, section 3.1: protocol name MQIsdp, level 3; the CONNACK's first byte is not used.
#[tokio::test(flavor = "multi_thread")]
async fn mqtt_3_1_clients_are_served() {
    let postern = open().await;
    let mut peer = Peer::to(&postern, "tcp").await;
    peer.send_bytes(b"\x10\x0f\0\x06MQIsdp\x03\x02\0\x3c\0\x01c").await;
    assert_eq!(peer.bytes(4).await, [0x20, 2, 0, 0]);
    peer.version = Version::V31;
    let granted = peer.subscribe_all(&[("t", QOS[0]), ("u", QOS[1]), ("v", QOS[2])]).await;
    let [zero, one, two] = [ReasonCode::Success, ReasonCode::GrantedQoS1, ReasonCode::GrantedQoS2];
    assert_eq!(granted.reasons, [zero, one, two]);
    for (topic, qos) in [("t", QOS[0]), ("u", QOS[1]), ("v", QOS[2])] {
        let mut sender = join(&postern, connect(Version::V31, "sender")).await.0;
        deliver(&mut sender, topic, "m", qos).await;
        let got = take(&mut peer).await;
        assert_eq!((&*got.topic, got.qos), (topic, qos));
    }
    leave(&mut peer).await;
}

/// MQTT 3.1, section 2.1: packets of QoS 1 may be marked as repeated.
#[tokio::test(flavor = "multi_thread")]
async fn mqtt_3_1_packets_may_be_marked_as_repeated() {
    let postern = open().await;
    let (mut peer, _) = join(&postern, connect(Version::V31, "c")).await;
    peer.send_bytes(&packet(0x8A, &[&[0, 1], &field("t"), &[2]])).await;
    let Packet::SubAck(_) = peer.packet().await else { panic!("expected SUBACK") };
    peer.send_bytes(&packet(0x34, &[&field("t"), &[0, 2], b"m"])).await;
    let Packet::PubRec(_) = peer.packet().await else { panic!("expected PUBREC") };
    assert_eq!(body(&next(&mut peer).await), "m");
    peer.send_bytes(&[0x6A, 2, 0, 2]).await;
    let Packet::PubComp(_) = peer.packet().await else { panic!("expected PUBCOMP") };
    peer.send_bytes(&packet(0xAA, &[&[0, 3], &field("t")])).await;
    let Packet::UnsubAck(_) = peer.packet().await else { panic!("expected UNSUBACK") };
}

/// MQTT 3.1, section 3.1: a user name or password that the flags announce may be missing.
#[tokio::test(flavor = "multi_thread")]
async fn mqtt_3_1_may_leave_out_what_its_flags_announce() {
    let postern = open().await;
    for (flags, rest) in [(0b1100_0010, &b""[..]), (0b1100_0010, b"\0\x04anna"), (0b1000_0010, b"")] {
        let mut peer = Peer::to(&postern, "tcp").await;
        peer.version = Version::V31;
        let name = [&b"\0\x06MQIsdp\x03"[..], &[flags, 0, 60]].concat();
        peer.send_bytes(&packet(0x10, &[&name, &field("c"), rest])).await;
        let Packet::ConnAck(ack) = peer.packet().await else { panic!("expected CONNACK") };
        assert_eq!(ack.reason, ReasonCode::Success);
    }
}

/// 5.0: MQTT-3.8.4-8. 3.1.1: MQTT-3.8.4-6. Any version talks to any, in all QoS; properties reach those
/// who have them and disturb nobody.
#[tokio::test(flavor = "multi_thread")]
async fn all_versions_talk_to_each_other() {
    let postern = open().await;
    let properties = MessageProperties {
        payload_format_utf8: Some(true),
        content_type: Some(text("text/plain")),
        user_properties: vec![(text("k"), text("v"))],
        ..MessageProperties::default()
    };
    for from in VERSIONS {
        let mut readers = Vec::new();
        for (id, version) in ["31", "311", "5"].into_iter().zip(VERSIONS) {
            let mut reader = join(&postern, connect(version, id)).await.0;
            reader.subscribe("t", QoS::ExactlyOnce).await;
            readers.push(reader);
        }
        let (mut sender, _) = join(&postern, connect(from, "sender")).await;
        let given = (from == Version::V5).then(|| Box::new(properties.clone()));
        for qos in QOS {
            let message = Publish { properties: given.clone(), ..publish("t", "to all", qos) };
            hand_in(&mut sender, message).await;
            for reader in &mut readers {
                let got = take(reader).await;
                assert_eq!((&*got.topic, body(&got), got.qos), ("t", "to all", qos));
                let expected = given.clone().filter(|_| reader.version == Version::V5);
                assert_eq!(got.properties, expected);
            }
        }
    }
}

/// Section 4.1: what is kept for a client of one version is kept for a client of any.
#[tokio::test(flavor = "multi_thread")]
async fn messages_with_properties_wait_for_older_clients() {
    let postern = open().await;
    for version in [Version::V31, Version::V311] {
        let (mut peer, _) = join(&postern, durable(version, "old")).await;
        peer.subscribe("t", QoS::AtLeastOnce).await;
        leave(&mut peer).await;
        let mut sender = client(&postern, "sender").await;
        let properties =
            MessageProperties { response_topic: Some(text("r")), ..MessageProperties::default() };
        let message = Publish {
            properties: Some(Box::new(properties)),
            topic_alias: Some(1),
            ..publish("t", "waits", QoS::AtLeastOnce)
        };
        hand_in(&mut sender, message).await;
        let (mut peer, _) = join(&postern, durable(version, "old")).await;
        assert_eq!(body(&take(&mut peer).await), "waits");
        join(&postern, Connect { clean_start: true, ..durable(version, "old") }).await;
    }
}
