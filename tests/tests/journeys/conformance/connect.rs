//! CONNECT: what is taken, what is refused, and whose session it names.

use bytes::Bytes;
use postern_broker::wire::{Connect, Packet, QoS, ReasonCode, Version, Will};
use postern_tests::{Peer, Postern, body, connect, publish, text};

use super::*;

const NAME_311: &[u8] = b"\0\x04MQTT\x04";
const NAME_5: &[u8] = b"\0\x04MQTT\x05";

/// What comes back, undecoded, for a CONNECT of these parts behind protocol name and level.
async fn answer(postern: &Postern, name: &[u8], parts: &[&[u8]]) -> Vec<u8> {
    let mut peer = Peer::to(postern, "tcp").await;
    peer.send_bytes(&packet(0x10, &[name, &parts.concat()])).await;
    peer.closed_after().await
}

/// Whether bytes are a CONNACK of MQTT 5 with this reason, and nothing else.
fn is_refusal(bytes: &[u8], reason: ReasonCode) -> bool {
    bytes.first() == Some(&0x20) && bytes.get(2..4) == Some(&[0, reason as u8])
}

/// 5.0: MQTT-3.1.0-1. 3.1.1: MQTT-3.1.0-1.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_but_connect_comes_first() {
    let postern = open().await;
    let first: [&[u8]; 5] = [
        &[0xC0, 0],
        &[0x30, 4, 0, 1, b'a', 0],
        &[0x82, 6, 0, 1, 0, 1, b'a', 0],
        &[0xE0, 0],
        b"\xF0\x06\x18\x04\x15\0\x01m",
    ];
    for bytes in first {
        let mut peer = Peer::to(&postern, "tcp").await;
        peer.send_bytes(bytes).await;
        assert_eq!(peer.closed_after().await, [0; 0], "{bytes:x?} has nobody to be answered");
    }
}

/// 5.0: MQTT-3.1.0-2, MQTT-4.13.1-1. 3.1.1: MQTT-3.1.0-2, MQTT-4.8.0-1.
#[tokio::test(flavor = "multi_thread")]
async fn a_second_connect_ends_the_link() {
    let postern = open().await;
    let again = packet(0x10, &[NAME_5, &[2, 0, 60, 0], &field("again")]);
    assert_eq!(told_for(&postern, &again).await, Some(ReasonCode::ProtocolError));
    ends_older(&postern, &packet(0x10, &[NAME_311, &[2, 0, 60], &field("again")])).await;
}

/// 5.0: MQTT-3.1.2-1, MQTT-3.1.2-2. 3.1.1: MQTT-3.1.2-1, MQTT-3.1.2-2.
#[tokio::test(flavor = "multi_thread")]
async fn protocol_names_and_levels_that_are_not_mqtts_are_refused() {
    let postern = open().await;
    let rest: &[&[u8]] = &[&[2, 0, 60, 0], &field("id")];
    for name in [b"\0\x04mqtt\x05", b"\0\x04MQTU\x04", b"\0\x04HTTP\x05"] {
        assert_eq!(answer(&postern, name, rest).await, [0; 0], "nothing is said to what is not MQTT");
    }
    for level in [6, 9, 127] {
        let told = answer(&postern, &[&NAME_5[..6], &[level]].concat(), rest).await;
        assert!(is_refusal(&told, ReasonCode::UnsupportedProtocolVersion), "{told:x?}");
    }
    for level in [0, 1, 3, 0x84] {
        let told = answer(&postern, &[&NAME_311[..6], &[level]].concat(), rest).await;
        assert_eq!(told, [0x20, 2, 0, 1], "level {level}: unacceptable protocol level");
    }
}

/// 5.0: MQTT-3.1.2-3, MQTT-3.1.2-11, MQTT-3.1.2-12, MQTT-3.1.2-13, MQTT-3.1.4-1, MQTT-3.1.4-2.
/// 3.1.1: MQTT-3.1.2-3, MQTT-3.1.2-11, MQTT-3.1.2-13, MQTT-3.1.2-14, MQTT-3.1.2-15, MQTT-3.1.4-1,
/// MQTT-3.2.2-6.
#[tokio::test(flavor = "multi_thread")]
async fn connect_flags_are_checked() {
    let postern = open().await;
    for (what, flags) in [
        ("the reserved flag", 0b0000_0011),
        ("will QoS without a will", 0b0000_1010),
        ("will retain without a will", 0b0010_0010),
        ("will QoS 3", 0b0001_1110),
    ] {
        let will: &[u8] = if flags & 0b100 == 0 { b"" } else { b"\0\x01w\0\x01w" };
        let told = answer(&postern, NAME_5, &[&[flags, 0, 60, 0], &field("id"), will]).await;
        assert!(is_refusal(&told, ReasonCode::MalformedPacket), "{what}: {told:x?}");
        let told = answer(&postern, NAME_311, &[&[flags, 0, 60], &field("id"), will]).await;
        assert_eq!(told, [0; 0], "{what}: MQTT 3.1.1 closes without a CONNACK");
    }
}

/// 5.0: MQTT-3.1.2-9, MQTT-3.1.2-16, MQTT-3.1.2-17, MQTT-3.1.2-18, MQTT-3.1.2-19, MQTT-3.1.3-1,
/// MQTT-3.1.3-3. 3.1.1: MQTT-3.1.2-9, MQTT-3.1.2-18, MQTT-3.1.2-19, MQTT-3.1.2-20, MQTT-3.1.2-21,
/// MQTT-3.1.2-22, MQTT-3.1.3-1, MQTT-3.1.3-3.
#[tokio::test(flavor = "multi_thread")]
async fn the_payload_has_what_the_flags_say_in_its_order() {
    let postern = open().await;
    let id = field("id");
    let cases: &[(&str, u8, &[&[u8]])] = &[
        ("no client id", 0b0000_0010, &[]),
        ("a will without its message", 0b0000_0110, &[&id, b"\0\x01w"]),
        ("a user name that is not there", 0b1000_0010, &[&id]),
        ("a user name that was not announced", 0b0000_0010, &[&id, &field("anna")]),
        ("a password that is not there", 0b1100_0010, &[&id, &field("anna")]),
        ("a password that was not announced", 0b1000_0010, &[&id, &field("anna"), &field("secret")]),
    ];
    for (what, flags, parts) in cases {
        let parts = parts.concat();
        let told = answer(&postern, NAME_311, &[&[*flags, 0, 60], &parts]).await;
        assert_eq!(told, [0; 0], "{what}");
        // A will of MQTT 5 has properties.
        if flags & 0b100 == 0 {
            let told = answer(&postern, NAME_5, &[&[*flags, 0, 60, 0], &parts]).await;
            assert!(is_refusal(&told, ReasonCode::MalformedPacket), "{what}: {told:x?}");
        }
    }
    // MQTT 3.1.1 has no password without a user name, MQTT 5 has.
    let alone = [id, field("secret")].concat();
    assert_eq!(answer(&postern, NAME_311, &[&[0b0100_0010, 0, 60], &alone]).await, [0; 0]);
    let secret = Connect { password: Some("secret".into()), ..connect(Version::V5, "id") };
    join(&postern, secret).await;
    // All fields at once, each where it belongs: the will is what it should be.
    for version in [Version::V31, Version::V311, Version::V5] {
        let mut watcher = subscriber(&postern, "watcher", "gone/#", QoS::AtMostOnce).await;
        let whole = Connect {
            user_name: Some(text("anna")),
            password: Some("secret".into()),
            ..with_will(connect(version, "whole"), will("gone/whole", "farewell"))
        };
        join(&postern, whole).await.0.cut().await;
        let got = next(&mut watcher).await;
        assert_eq!((&*got.topic, body(&got)), ("gone/whole", "farewell"));
    }
}

/// 5.0: MQTT-3.1.3-2, MQTT-3.1.3-4, MQTT-3.1.3-5. 3.1.1: MQTT-3.1.3-2, MQTT-3.1.3-4, MQTT-3.1.3-5.
#[tokio::test(flavor = "multi_thread")]
async fn client_ids_are_any_utf8_and_each_is_a_session_of_its_own() {
    let postern = open().await;
    let long = "x".repeat(65_535);
    let ids = [
        "0123456789abcdefghijklm",
        "nopqrstuvwxyzABCDEFGHIJ",
        "KLMNOPQRSTUVWXYZ",
        "k",
        "K",
        "a/b +#$ \"'%",
        "\u{e9}",
        "e\u{301}",
        "\u{feff}k",
        "\u{1f680} 駅 \u{202e}x",
        &long,
    ];
    for version in [Version::V311, Version::V5] {
        for id in ids {
            let (mut peer, ack) = join(&postern, durable(version, id)).await;
            assert!(!ack.session_present || version == Version::V5, "{id} is nobody else's");
            peer.subscribe(&format!("to/{}", id.len()), QoS::AtLeastOnce).await;
            leave(&mut peer).await;
        }
    }
    for id in ids {
        assert!(join(&postern, durable(Version::V5, id)).await.1.session_present, "{id} names its session");
    }
}

/// 5.0: MQTT-1.5.4-1, MQTT-1.5.4-2, MQTT-3.1.3-4, MQTT-3.1.3-11, MQTT-3.1.3-12, MQTT-1.5.7-1.
/// 3.1.1: MQTT-1.5.3-1, MQTT-1.5.3-2, MQTT-3.1.3-4, MQTT-3.1.3-10, MQTT-3.1.3-11.
#[tokio::test(flavor = "multi_thread")]
async fn texts_of_a_connect_must_be_utf8() {
    let postern = open().await;
    for bad in [&b"\xED\xA0\x80"[..], b"\xC3\x28", b"a\0b", b"\xFF"] {
        let (bad, good) = (field(bad), field("good"));
        let client_id: &[&[u8]] = &[&[2, 0, 60], &bad];
        let will_topic: &[&[u8]] = &[&[0b110, 0, 60], &good, &bad, &good];
        let user_name: &[&[u8]] = &[&[0b1000_0010, 0, 60], &good, &bad];
        for parts in [client_id, will_topic, user_name] {
            assert_eq!(answer(&postern, NAME_311, parts).await, [0; 0]);
        }
        let user_property = [&[0x26][..], &good, &bad].concat();
        let length = [user_property.len() as u8];
        let cases: [&[&[u8]]; 4] = [
            &[&[2, 0, 60, 0], &bad],
            &[&[0b110, 0, 60, 0], &good, &[0], &bad, &good],
            &[&[0b1000_0010, 0, 60, 0], &good, &bad],
            &[&[2, 0, 60], &length, &user_property, &good],
        ];
        for parts in cases {
            let told = answer(&postern, NAME_5, parts).await;
            assert!(is_refusal(&told, ReasonCode::MalformedPacket), "{told:x?}");
        }
    }
}

/// 5.0: MQTT-3.1.2-19. 3.1.1: MQTT-3.1.2-21. A password is binary data, and so is a will's message.
#[tokio::test(flavor = "multi_thread")]
async fn passwords_and_wills_hold_any_bytes() {
    let postern = open().await;
    let bytes: Bytes = (0..=255).collect::<Vec<u8>>().into();
    for version in [Version::V31, Version::V311, Version::V5] {
        let mut watcher = subscriber(&postern, "watcher", "bytes", QoS::AtMostOnce).await;
        let will = Will { payload: bytes.clone(), ..will("bytes", "") };
        let connect = Connect {
            user_name: Some(text("anna")),
            password: Some(bytes.clone()),
            ..with_will(connect(version, "binary"), will)
        };
        join(&postern, connect).await.0.cut().await;
        assert_eq!(next(&mut watcher).await.payload, bytes);
    }
}

/// 5.0: MQTT-3.1.3-6, MQTT-3.1.3-7, MQTT-3.2.2-16. 3.1.1: MQTT-3.1.3-6.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_without_an_id_is_given_one_of_its_own() {
    let postern = open().await;
    let nameless = durable(Version::V5, "");
    let (mut first, ack) = join(&postern, nameless.clone()).await;
    let assigned = ack.assigned_client_id.expect("an id");
    let (_second, ack) = join(&postern, nameless).await;
    assert_ne!(ack.assigned_client_id.expect("an id"), assigned);
    assert_eq!(everything(&mut first).await, [], "it is not taken over");
    leave(&mut first).await;
    let (_, ack) = join(&postern, durable(Version::V5, &assigned)).await;
    assert!(ack.session_present, "the id names the session");
    assert_eq!(ack.assigned_client_id, None, "only who has none is told of one");

    let (mut one, _) = join(&postern, connect(Version::V311, "")).await;
    let (mut other, _) = join(&postern, connect(Version::V311, "")).await;
    for peer in [&mut one, &mut other] {
        assert_eq!(everything(peer).await, []);
    }
}

/// 5.0: MQTT-3.1.3-8, MQTT-3.2.2-7. 3.1.1: MQTT-3.1.3-7, MQTT-3.1.3-8, MQTT-3.1.3-9, MQTT-3.2.2-4,
/// MQTT-3.2.2-5.
#[tokio::test(flavor = "multi_thread")]
async fn an_id_that_is_refused_is_told_and_the_link_closed() {
    let postern = open().await;
    for (name, flags) in [(NAME_311, 0), (b"\0\x06MQIsdp\x03", 2), (b"\0\x06MQIsdp\x03", 0)] {
        let told = answer(&postern, name, &[&[flags, 0, 60], &field("")]).await;
        assert_eq!(told, [0x20, 2, 0, 2], "identifier rejected, and no session");
    }
}

/// 5.0: MQTT-3.1.4-6, MQTT-3.14.0-1. 3.1.1: MQTT-3.1.4-5.
#[tokio::test(flavor = "multi_thread")]
async fn what_follows_a_refused_connect_is_not_looked_at() {
    let postern = open().await;
    let mut watcher = subscriber(&postern, "watcher", "#", QoS::AtMostOnce).await;
    let method = Connect { auth_method: Some(text("nobody's")), ..connect(Version::V5, "refused") };
    for connect in [method, Connect { clean_start: false, ..connect(Version::V311, "") }] {
        let mut peer = Peer::to(&postern, "tcp").await;
        peer.version = connect.version;
        peer.send(Packet::Connect(Box::new(connect))).await;
        peer.send(publish("too/early", "m", QoS::AtMostOnce)).await;
        let answers = peer.closed().await;
        let [Packet::ConnAck(ack)] = &answers[..] else { panic!("only CONNACK is said: {answers:?}") };
        assert!(ack.reason.is_error() && !ack.session_present);
    }
    assert_eq!(everything(&mut watcher).await, []);
}

/// 5.0: MQTT-3.1.4-5. 3.1.1: MQTT-3.1.4-4. Section 3.1.4: a client may go on before the CONNACK comes.
#[tokio::test(flavor = "multi_thread")]
async fn what_follows_an_accepted_connect_at_once_is_done() {
    let postern = open().await;
    for version in [Version::V31, Version::V311, Version::V5] {
        let mut peer = Peer::to(&postern, "tcp").await;
        peer.version = version;
        peer.send(Packet::Connect(Box::new(connect(version, "hasty")))).await;
        let subscribe = asking(&mut peer, "echo", Asked::default());
        peer.send(subscribe).await;
        peer.send(publish("echo", "at once", QoS::AtMostOnce)).await;
        let Packet::ConnAck(ack) = peer.packet().await else { panic!("expected CONNACK") };
        assert_eq!(ack.reason, ReasonCode::Success);
        let Packet::SubAck(_) = peer.packet().await else { panic!("expected SUBACK") };
        assert_eq!(body(&next(&mut peer).await), "at once");
    }
}
