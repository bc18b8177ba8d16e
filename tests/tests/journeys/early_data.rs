//! Early data (rule 6): a client that resumes a session may send it before the handshake is done, and
//! anybody may send it again. The server takes none.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use bytes::BytesMut;
use postern_broker::wire::{Packet, ReasonCode, Version, encode};
use postern_tests::{Peer, Postern, Requester, Wire};
use rustls::client::{ClientSessionMemoryCache, ClientSessionStore, Resumption};
use rustls::client::{Tls12ClientSessionValue, Tls13ClientSessionValue};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, HandshakeKind, NamedGroup, StreamOwned};

/// Remembers sessions, and believes of each that it may carry early data, whatever the server said.
#[derive(Debug)]
struct Pushy(ClientSessionMemoryCache);

impl ClientSessionStore for Pushy {
    fn set_kx_hint(&self, server: ServerName<'static>, group: NamedGroup) {
        self.0.set_kx_hint(server, group);
    }
    fn kx_hint(&self, server: &ServerName<'_>) -> Option<NamedGroup> {
        self.0.kx_hint(server)
    }
    fn set_tls12_session(&self, server: ServerName<'static>, value: Tls12ClientSessionValue) {
        self.0.set_tls12_session(server, value);
    }
    fn tls12_session(&self, server: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        self.0.tls12_session(server)
    }
    fn remove_tls12_session(&self, server: &ServerName<'static>) {
        self.0.remove_tls12_session(server);
    }
    fn insert_tls13_ticket(&self, server: ServerName<'static>, value: Tls13ClientSessionValue) {
        self.0.insert_tls13_ticket(server, value);
    }
    fn take_tls13_ticket(&self, server: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        let mut value = self.0.take_tls13_ticket(server)?;
        value._private_set_max_early_data_size(16 * 1024);
        Some(value)
    }
}

/// One client config for all connections of a test.
fn pushy(postern: &Postern) -> Arc<ClientConfig> {
    let mut config = ClientConfig::clone(&phone::sign_in::trust(&postern.ca()).unwrap());
    config.enable_early_data = true;
    config.resumption = Resumption::store(Arc::new(Pushy(ClientSessionMemoryCache::new(8))));
    Arc::new(config)
}

type Stream = StreamOwned<ClientConnection, TcpStream>;

/// A connection whose early data, if it may send some, is `early`. Its handshake is done.
fn connect(config: &Arc<ClientConfig>, address: &str, early: &[u8]) -> Stream {
    let name = ServerName::try_from("localhost").unwrap();
    let mut connection = ClientConnection::new(config.clone(), name).unwrap();
    if !early.is_empty() {
        let written = connection.early_data().expect("early data is offered").write(early).unwrap();
        assert_eq!(written, early.len());
    }
    let mut tcp = TcpStream::connect(address).unwrap();
    tcp.set_read_timeout(Some(postern_tests::PATIENCE)).unwrap();
    while connection.is_handshaking() {
        connection.complete_io(&mut tcp).expect("a handshake");
    }
    StreamOwned::new(connection, tcp)
}

/// Reads until what came contains `end`.
fn read_until(stream: &mut Stream, end: &[u8]) -> Vec<u8> {
    let (mut read, mut bytes) = (Vec::new(), [0; 4096]);
    while !read.windows(end.len()).any(|window| window == end) {
        let count = stream.read(&mut bytes).expect("an answer");
        assert!(count > 0, "closed after {:?}", String::from_utf8_lossy(&read));
        read.extend_from_slice(&bytes[..count]);
    }
    read
}

/// The same bytes once more, from somebody who has no key: whatever the server makes of them, until the
/// end.
fn replay(address: &str, captured: &[u8]) {
    let mut tcp = TcpStream::connect(address).unwrap();
    tcp.set_read_timeout(Some(postern_tests::PATIENCE)).unwrap();
    tcp.write_all(captured).unwrap();
    tcp.shutdown(std::net::Shutdown::Write).unwrap();
    // A reset is an end, too.
    tcp.read_to_end(&mut Vec::new()).ok();
}

/// A request with a token, as HTTP/1.1 writes it.
fn request(phone: &mut Requester, line: &str, body: &str) -> Vec<u8> {
    let token = phone.device().state.login().token.clone();
    format!(
        "{line} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}:{}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        token.id,
        token.bearer,
        body.len()
    )
    .into_bytes()
}

async fn commands(postern: &Postern) -> usize {
    postern.json(&["command", "list"]).await.as_array().unwrap().len()
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_6_a_request_in_early_data_is_not_executed_nor_when_it_is_replayed() {
    let postern = Postern::start(|_| {}).await;
    let mut phone = postern.requester("alice", &["car-1"]).await;
    postern.user("car-1").await;
    let wire = Wire::to(postern.address("http")).await;
    let body = r#"{"terminal":"car-1","class":"remote-control","body":"unlock"}"#;
    let ask = request(&mut phone, "POST /v1/commands", body);
    let who = request(&mut phone, "GET /v1/me", "");
    let (config, address) = (pushy(&postern), wire.address().to_owned());

    let (first, pushed) = (who.clone(), ask.clone());
    let sent_before = wire.up().len();
    let rejected = tokio::task::spawn_blocking(move || {
        let mut stream = connect(&config, &address, &[]);
        stream.write_all(&first).unwrap();
        read_until(&mut stream, b"\"server_time\"");
        drop(stream);
        let mut stream = connect(&config, &address, &pushed);
        assert_eq!(stream.conn.handshake_kind(), Some(HandshakeKind::Resumed));
        assert!(!stream.conn.is_early_data_accepted());
        // The first answer is that to the first request after the handshake.
        stream.write_all(&first).unwrap();
        String::from_utf8(read_until(&mut stream, b"\"server_time\"")).unwrap()
    });
    let answer = rejected.await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains("\"alice\""), "{answer}");
    assert_eq!(commands(&postern).await, 0, "the early request was executed");

    // All that both connections sent, from the second's beginning on: a ClientHello begins so.
    let captured = wire.up()[sent_before..].to_vec();
    let hello = |at: &usize| captured[*at..].starts_with(&[22, 3, 1]) && captured.get(at + 5) == Some(&1);
    let second = (1..captured.len()).rfind(hello).expect("a second ClientHello");
    let (address, again) = (postern.address("http").to_owned(), captured[second..].to_vec());
    tokio::task::spawn_blocking(move || replay(&address, &again)).await.unwrap();
    assert_eq!(commands(&postern).await, 0, "the replayed request was executed");

    // In a finished handshake the same request is good, once.
    let (config, address) = (pushy(&postern), postern.address("http").to_owned());
    let asked = tokio::task::spawn_blocking(move || {
        let mut stream = connect(&config, &address, &[]);
        stream.write_all(&ask).unwrap();
        read_until(&mut stream, b"\"state\"")
    });
    assert!(asked.await.unwrap().starts_with(b"HTTP/1.1 202 "));
    assert_eq!(commands(&postern).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_6_a_sign_in_in_early_data_is_not_taken_nor_when_it_is_replayed() {
    let postern = Postern::start(|_| {}).await;
    let mut device = postern.device("alice", "phone").await;
    let packet = Packet::Connect(Box::new(device.connect("tls")));
    let mut sign_in = BytesMut::new();
    encode(&packet, Version::V5, &mut sign_in).unwrap();
    let wire = Wire::to(postern.address("tls")).await;
    let (config, address) = (pushy(&postern), wire.address().to_owned());

    let pushed = sign_in.to_vec();
    tokio::task::spawn_blocking(move || {
        let mut stream = connect(&config, &address, &[]);
        stream.write_all(&[0xc0, 0]).unwrap(); // no CONNECT: the link ends
        stream.read_to_end(&mut Vec::new()).ok();
        let stream = connect(&config, &address, &pushed);
        assert_eq!(stream.conn.handshake_kind(), Some(HandshakeKind::Resumed));
        assert!(!stream.conn.is_early_data_accepted());
    })
    .await
    .unwrap();
    let captured = wire.up();
    let hello = |at: &usize| captured[*at..].starts_with(&[22, 3, 1]) && captured.get(at + 5) == Some(&1);
    let second = (1..captured.len()).rfind(hello).expect("a second ClientHello");
    let (address, again) = (postern.address("tls").to_owned(), captured[second..].to_vec());
    tokio::task::spawn_blocking(move || replay(&address, &again)).await.unwrap();

    // The proof's counter is good once: nobody has used it.
    let mut peer = Peer::to(&postern, "tls").await;
    let Packet::Connect(connect) = packet else { unreachable!() };
    assert_eq!(peer.connect(*connect).await.expect("CONNACK").reason, ReasonCode::Success);
}
