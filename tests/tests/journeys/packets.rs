//! Malformed packets: the link ends with the right reason, is counted, and nothing else happens.

use postern_broker::wire::{Packet, QoS, ReasonCode, Version};
use postern_tests::{Peer, Postern, connect, publish};

/// Policy for trying: anonymous clients, all topics.
async fn open() -> Postern {
    Postern::start(|c| c.policy_file("open")).await
}

/// What an MQTT 5 link is told at its end.
async fn told(mut peer: Peer) -> Option<ReasonCode> {
    peer.closed().await.into_iter().find_map(|packet| match packet {
        Packet::Disconnect(disconnect) => Some(disconnect.reason),
        Packet::ConnAck(ack) => Some(ack.reason),
        _ => None,
    })
}

/// Bytes sent after CONNACK, and the reason that MQTT 5 has for them.
const MALFORMED: &[(&str, &[u8], ReasonCode)] = &[
    ("reserved packet type 0", &[0x00, 0x00], ReasonCode::MalformedPacket),
    ("SUBSCRIBE with wrong flags", &[0x80, 0x07, 0, 1, 0, 0, 1, b'a', 0], ReasonCode::MalformedPacket),
    ("PUBLISH of QoS 3", &[0x36, 0x06, 0, 1, b'a', 0, 1, 0], ReasonCode::MalformedPacket),
    ("remaining length of five bytes", &[0x30, 0x80, 0x80, 0x80, 0x80, 0x01], ReasonCode::MalformedPacket),
    ("PUBLISH with packet id 0", &[0x32, 0x06, 0, 1, b'a', 0, 0, 0], ReasonCode::ProtocolError),
    (
        "a second CONNECT",
        &[0x10, 0x0d, 0, 4, b'M', b'Q', b'T', b'T', 5, 2, 0, 60, 0, 0, 0],
        ReasonCode::ProtocolError,
    ),
    ("topic that is not UTF-8", &[0x30, 0x05, 0, 2, 0xC3, 0x28, 0], ReasonCode::MalformedPacket),
    ("CONNACK from a client", &[0x20, 0x03, 0, 0, 0], ReasonCode::ProtocolError),
];

#[tokio::test(flavor = "multi_thread")]
async fn s_malformed_packets_end_their_link_with_the_right_reason_and_nothing_else() {
    let postern = open().await;
    let mut neighbour = Peer::to(&postern, "tcp").await;
    neighbour.connect(connect(Version::V5, "neighbour")).await.expect("CONNACK");

    for (what, bytes, reason) in MALFORMED {
        let before = postern.metric("postern_refused_total", "").await;
        let mut peer = Peer::to(&postern, "tcp").await;
        let ack = peer.connect(connect(Version::V5, "clumsy")).await.expect("CONNACK");
        assert_eq!(ack.reason, ReasonCode::Success);
        peer.send_bytes(bytes).await;
        assert_eq!(told(peer).await, Some(*reason), "{what}");
        assert!(postern.metric("postern_refused_total", "").await > before, "{what}: counted");
    }
    assert_eq!(neighbour.so_far().await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn s_malformed_connects_are_refused() {
    let postern = open().await;
    let cases: &[(&str, &[u8])] = &[
        ("HTTP", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
        ("unknown protocol name", &[0x10, 0x0c, 0, 4, b'X', b'Q', b'T', b'T', 4, 2, 0, 60, 0, 0]),
        ("reserved connect flag", &[0x10, 0x0c, 0, 4, b'M', b'Q', b'T', b'T', 4, 3, 0, 60, 0, 0]),
        ("CONNECT cut short", &[0x10, 0x02, 0, 4]),
        ("PINGREQ first", &[0xC0, 0x00]),
    ];
    for (what, bytes) in cases {
        let mut peer = Peer::to(&postern, "tcp").await;
        peer.version = Version::V311;
        peer.send_bytes(bytes).await;
        let answers = peer.closed().await;
        assert!(
            !answers.iter().any(|p| matches!(p, Packet::ConnAck(a) if a.reason == ReasonCode::Success)),
            "{what}"
        );
    }
    // An unknown level of MQTT is told so, in the words of 3.1.1 or of 5.
    let mut peer = Peer::to(&postern, "tcp").await;
    peer.send_bytes(&[0x10, 0x0c, 0, 4, b'M', b'Q', b'T', b'T', 9, 2, 0, 60, 0, 0]).await;
    let told = peer.closed_after().await;
    assert!(
        told == [0x20, 2, 0, 1] || told.starts_with(&[0x20, 3, 0, 0x84]) || told.get(3) == Some(&0x84),
        "{told:x?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn s_a_packet_over_the_limit_ends_its_link() {
    let postern = Postern::start(|c| {
        c.policy_file("open");
        c.set("limits.packet_bytes", 2048);
    })
    .await;
    let mut peer = Peer::to(&postern, "tcp").await;
    let ack = peer.connect(connect(Version::V5, "big")).await.expect("CONNACK");
    assert_eq!(ack.maximum_packet_size, Some(2048), "the limit is told");
    peer.send(publish("a", vec![0; 4096], QoS::AtMostOnce)).await;
    assert_eq!(told(peer).await, Some(ReasonCode::PacketTooLarge));
}

#[tokio::test(flavor = "multi_thread")]
async fn s_who_says_nothing_is_let_go() {
    let postern = Postern::start(|c| {
        c.policy_file("open");
        c.set("limits.handshake_timeout_secs", 1);
    })
    .await;
    for listener in ["tcp", "tls"] {
        // A TCP connection that never speaks, on either listener.
        let mut silent = Peer::tcp(postern.address(listener)).await;
        assert_eq!(silent.closed().await, []);
    }
    // Half a CONNECT.
    let mut slow = Peer::to(&postern, "tcp").await;
    slow.version = Version::V311;
    slow.send_bytes(&[0x10, 0x0c, 0, 4]).await;
    slow.closed().await;
}
