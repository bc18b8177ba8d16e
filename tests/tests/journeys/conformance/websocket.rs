//! MQTT over WebSocket (section 6).

use futures_util::{SinkExt, StreamExt};
use postern_broker::wire::{QoS, Version};
use postern_tests::{Peer, Postern, body, connect, patiently};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::handshake::client::Response;
use tokio_tungstenite::tungstenite::{Error, Message};

use super::*;

const CONNECT: &[u8] = b"\x10\x0d\0\x04MQTT\x04\x02\0\x3c\0\x01w";
const CONNACK: &[u8] = &[0x20, 2, 0, 0];

/// A WebSocket whose client offers these sub-protocols.
#[allow(clippy::result_large_err, reason = "the library's own type")]
async fn upgrade(postern: &Postern, offered: &str) -> Result<(WebSocketStream<TcpStream>, Response), Error> {
    let address = postern.address("ws");
    let stream = patiently("a TCP connection", TcpStream::connect(address)).await.unwrap();
    let mut request = format!("ws://{address}/mqtt").into_client_request().unwrap();
    if !offered.is_empty() {
        request.headers_mut().insert("Sec-WebSocket-Protocol", offered.parse().unwrap());
    }
    patiently("a WebSocket", tokio_tungstenite::client_async(request, stream)).await
}

/// The next bytes; None when the server has closed.
async fn bytes(socket: &mut WebSocketStream<TcpStream>) -> Option<Vec<u8>> {
    loop {
        match patiently("a frame", socket.next()).await {
            Some(Ok(Message::Binary(bytes))) => return Some(bytes.to_vec()),
            Some(Ok(Message::Close(_)) | Err(_)) | None => return None,
            Some(Ok(other)) => assert!(!other.is_text(), "the server speaks in binary frames"),
        }
    }
}

async fn send(socket: &mut WebSocketStream<TcpStream>, bytes: &[u8]) {
    socket.send(Message::Binary(bytes.to_vec().into())).await.unwrap();
}

/// 5.0: MQTT-6.0.0-3, MQTT-6.0.0-4. 3.1.1: MQTT-6.0.0-3, MQTT-6.0.0-4.
#[tokio::test(flavor = "multi_thread")]
async fn the_sub_protocol_is_mqtt() {
    let postern = open().await;
    for offered in ["mqtt", "chat, mqtt", "mqtt, chat"] {
        let (mut socket, response) = upgrade(&postern, offered).await.unwrap();
        assert_eq!(response.headers()["Sec-WebSocket-Protocol"], "mqtt", "of {offered}");
        send(&mut socket, CONNECT).await;
        assert_eq!(bytes(&mut socket).await.as_deref(), Some(CONNACK));
    }
    for offered in ["", "chat", "MQTT5"] {
        assert!(upgrade(&postern, offered).await.is_err(), "{offered:?}");
    }
}

/// 5.0: MQTT-6.0.0-1. 3.1.1: MQTT-6.0.0-1. Any frame of data that is not binary closes the connection.
#[tokio::test(flavor = "multi_thread")]
async fn a_text_frame_closes_the_connection() {
    let postern = open().await;
    for before in [false, true] {
        let (mut socket, _) = upgrade(&postern, "mqtt").await.unwrap();
        if before {
            send(&mut socket, CONNECT).await;
            assert_eq!(bytes(&mut socket).await.as_deref(), Some(CONNACK));
        }
        socket.send(Message::text("\u{0}")).await.unwrap();
        assert_eq!(bytes(&mut socket).await, None);
    }
}

/// 5.0: MQTT-6.0.0-2. 3.1.1: MQTT-6.0.0-2. Packets and frames need not begin and end together.
#[tokio::test(flavor = "multi_thread")]
async fn packets_are_not_bound_to_frames() {
    let postern = open().await;
    let (mut socket, _) = upgrade(&postern, "mqtt").await.unwrap();
    let ping: &[u8] = &[0xC0, 0];
    for byte in CONNECT {
        send(&mut socket, &[*byte]).await;
    }
    // A frame with the end of one packet, whole ones, and the beginning of another.
    send(&mut socket, &ping[..1]).await;
    send(&mut socket, &[&ping[1..], ping, ping, &ping[..1]].concat()).await;
    send(&mut socket, b"").await;
    send(&mut socket, &ping[1..]).await;
    let expected = [CONNACK, &[0xD0, 0].repeat(4)].concat();
    let mut got = Vec::new();
    while got.len() < expected.len() {
        got.extend(bytes(&mut socket).await.expect("all answers"));
    }
    assert_eq!(got, expected);
}

/// 5.0: MQTT-4.2-1. 3.1.1: MQTT-4.2.0-1, MQTT-7.1.1-1. All transports carry the same protocol, and clients
/// on any of them talk to each other.
#[tokio::test(flavor = "multi_thread")]
async fn every_transport_carries_the_same() {
    let postern = open().await;
    let mut readers = Vec::new();
    for listener in ["tcp", "tls", "ws", "wss"] {
        let mut reader = Peer::to(&postern, listener).await;
        reader.connect(connect(Version::V5, listener)).await.expect("CONNACK");
        reader.subscribe("t", QoS::AtLeastOnce).await;
        readers.push(reader);
    }
    let large = "x".repeat(200_000);
    for listener in ["tcp", "tls", "ws", "wss"] {
        let mut sender = Peer::to(&postern, listener).await;
        sender.connect(connect(Version::V311, "sender")).await.expect("CONNACK");
        deliver(&mut sender, "t", large.clone(), QoS::AtLeastOnce).await;
        for reader in &mut readers {
            assert_eq!(body(&take(reader).await), large);
        }
    }
}
