//! DISCONNECT, from either side.

use postern_broker::wire::{Connect, Disconnect, Packet, QoS, ReasonCode, Version};
use postern_tests::{connect, text};

use super::*;

/// 5.0: MQTT-3.14.1-1. 3.1.1: MQTT-3.14.1-1, MQTT-2.2.2-2.
#[tokio::test(flavor = "multi_thread")]
async fn reserved_bits_are_checked() {
    let postern = open().await;
    for bits in 1..16 {
        assert_eq!(told_for(&postern, &[0xE0 | bits, 0]).await, Some(ReasonCode::MalformedPacket));
        ends_older(&postern, &[0xE0 | bits, 0]).await;
    }
}

/// 5.0: MQTT-3.14.2-1, MQTT-3.14.2-2. A reason that a client cannot have is a protocol error; what the
/// server sends carries a reason of its own and no expiry interval (the reader refuses one).
#[tokio::test(flavor = "multi_thread")]
async fn reasons_are_those_of_disconnect() {
    let postern = open().await;
    for (reason, told) in [
        (ReasonCode::SessionTakenOver as u8, ReasonCode::ProtocolError),
        (ReasonCode::GrantedQoS1 as u8, ReasonCode::ProtocolError),
        (0x03, ReasonCode::MalformedPacket),
    ] {
        assert_eq!(told_for(&postern, &[0xE0, 1, reason]).await, Some(told), "{reason:#x}");
    }
}

/// 5.0: MQTT-3.14.4-1, MQTT-3.14.4-2. 3.1.1: MQTT-3.14.4-1, MQTT-3.14.4-2. What comes behind a
/// client's DISCONNECT is not looked at, and the server closes.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_follows_a_disconnect() {
    let postern = open().await;
    let mut watcher = subscriber(&postern, "watcher", "late", QoS::AtMostOnce).await;
    for version in [Version::V31, Version::V311, Version::V5] {
        let (mut peer, _) = join(&postern, connect(version, "c")).await;
        let properties: &[u8] = if version == Version::V5 { &[0] } else { &[] };
        let late = packet(0x30, &[&field("late"), properties, b"m"]);
        peer.send_bytes(&[&[0xE0, 0][..], &late].concat()).await;
        assert_eq!(peer.closed().await, []);
    }
    assert_eq!(everything(&mut watcher).await, []);
}

/// 5.0: MQTT-3.14.2-3, MQTT-3.14.2-4, MQTT-3.1.2-24, MQTT-4.13.1-1, MQTT-4.13.2-1. The server says why it
/// closes, with a reason string as far as the client's Maximum Packet Size has room for it.
#[tokio::test(flavor = "multi_thread")]
async fn a_farewell_says_why_within_the_maximum_packet_size() {
    let postern = open().await;
    for (maximum_packet_size, has_room) in [(None, true), (Some(1024), true), (Some(20), false)] {
        let connect = Connect { maximum_packet_size, ..connect(Version::V5, "c") };
        let (mut peer, _) = join(&postern, connect).await;
        peer.send_bytes(&[0x00, 0x00]).await;
        let packets = peer.closed().await;
        let [Packet::Disconnect(Disconnect { reason, reason_string, .. })] = &packets[..] else {
            panic!("expected DISCONNECT: {packets:?}");
        };
        assert_eq!(*reason, ReasonCode::MalformedPacket);
        assert_eq!(reason_string.is_some(), has_room, "{maximum_packet_size:?}: {reason_string:?}");
    }
}

/// Section 3.14.2.2: a client's DISCONNECT may carry a reason string and user properties.
#[tokio::test(flavor = "multi_thread")]
async fn a_disconnect_may_say_more() {
    let postern = open().await;
    let mut peer = client(&postern, "c").await;
    let wordy = Disconnect {
        reason_string: Some(text("off for lunch")),
        user_properties: vec![(text("a"), text("b"))],
        ..Disconnect::default()
    };
    leave_with(&mut peer, wordy).await;
}
