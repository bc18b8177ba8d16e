//! A peer that says exactly what the test wants, packet by packet or byte by byte.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures_util::{SinkExt, StreamExt};
use postern_broker::wire::{
    Ack, ConnAck, Connect, Decoded, Decoder, Packet, PacketId, Publish, QoS, ReasonCode, RetainHandling,
    SubAck, Subscribe, SubscribeFilter, Text, Version, encode,
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

use crate::{Postern, patiently};

/// The largest packet that a peer takes, bytes.
const MAX_PACKET: u32 = 16 * 1024 * 1024;

/// Both directions of a connection.
trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// One end of a connection.
pub struct Peer {
    stream: Box<dyn Stream>,
    /// The version in which packets are read and written.
    pub version: Version,
    input: BytesMut,
    ids: u16,
}

impl std::fmt::Debug for Peer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Peer").field("version", &self.version).finish_non_exhaustive()
    }
}

/// A text of the wire.
pub fn text(text: &str) -> Text {
    Text::from(text)
}

/// A CONNECT of MQTT 5 or 3.1.1 with nothing but a client id: clean start, keep alive of a minute.
pub fn connect(version: Version, client_id: &str) -> Connect {
    Connect {
        version,
        clean_start: true,
        keep_alive: 60,
        client_id: text(client_id),
        will: None,
        user_name: None,
        password: None,
        session_expiry: None,
        receive_maximum: None,
        maximum_packet_size: None,
        topic_alias_maximum: 0,
        request_response_information: false,
        request_problem_information: true,
        user_properties: Vec::new(),
        auth_method: None,
        auth_data: None,
    }
}

/// A PUBLISH without properties and without packet id.
pub fn publish(topic: &str, body: impl Into<Bytes>, qos: QoS) -> Publish {
    Publish {
        dup: false,
        qos,
        retain: false,
        topic: text(topic),
        packet_id: None,
        payload: body.into(),
        topic_alias: None,
        subscription_ids: smallvec::SmallVec::new(),
        properties: None,
    }
}

impl Peer {
    fn new(stream: impl Stream + 'static) -> Self {
        Peer { stream: Box::new(stream), version: Version::V5, input: BytesMut::new(), ids: 0 }
    }

    /// Over TCP, to `host:port`.
    pub async fn tcp(address: &str) -> Self {
        Peer::new(patiently("a TCP connection", TcpStream::connect(address)).await.unwrap())
    }

    /// Over TLS, trusting `ca`.
    pub async fn tls(address: &str, ca: &[u8]) -> Self {
        Peer::new(tls(address, ca).await)
    }

    /// Over WebSocket.
    pub async fn ws(address: &str) -> Self {
        let stream = patiently("a TCP connection", TcpStream::connect(address)).await.unwrap();
        Peer::new(websocket(stream, &format!("ws://{address}/mqtt")).await)
    }

    /// Over secure WebSocket, trusting `ca`.
    pub async fn wss(address: &str, ca: &[u8]) -> Self {
        Peer::new(websocket(tls(address, ca).await, &format!("wss://{address}/mqtt")).await)
    }

    /// To a listener of `postern` by its name.
    pub async fn to(postern: &Postern, listener: &str) -> Self {
        let address = postern.address(listener);
        match listener {
            "tcp" => Peer::tcp(address).await,
            "tls" => Peer::tls(address, &postern.ca()).await,
            "ws" => Peer::ws(address).await,
            "wss" => Peer::wss(address, &postern.ca()).await,
            other => panic!("{other} is no MQTT listener"),
        }
    }

    /// Writes one packet.
    pub async fn send(&mut self, packet: impl Into<Sent>) {
        let mut bytes = BytesMut::new();
        encode(&packet.into().0, self.version, &mut bytes).expect("the packet can be written");
        self.send_bytes(&bytes).await;
    }

    /// Writes bytes as they are. A peer that is gone is no failure here: what it said before it went is
    /// still to be read.
    pub async fn send_bytes(&mut self, bytes: &[u8]) {
        let written = async {
            self.stream.write_all(bytes).await?;
            self.stream.flush().await
        };
        patiently("bytes to be taken", written).await.ok();
    }

    /// The next packet; None when the other side has closed.
    pub async fn next(&mut self) -> Option<Packet> {
        patiently("a packet", self.read()).await
    }

    async fn read(&mut self) -> Option<Packet> {
        let decoder = Decoder::client(self.version, MAX_PACKET);
        loop {
            match decoder.decode(&self.input).expect("the server's packets are right") {
                Decoded::Packet { packet, consumed } => {
                    drop(self.input.split_to(consumed));
                    return Some(packet);
                }
                Decoded::Incomplete { .. } => {
                    // An abrupt end (TLS without close_notify, a reset) is an end.
                    let read = self.stream.read_buf(&mut self.input).await.unwrap_or(0);
                    if read == 0 {
                        return None;
                    }
                }
            }
        }
    }

    /// The next packet; there must be one.
    pub async fn packet(&mut self) -> Packet {
        self.next().await.expect("the server has closed the connection instead of sending a packet")
    }

    /// Sends a CONNECT and gives what comes back: None when the server closes without a word.
    pub async fn connect(&mut self, connect: Connect) -> Option<ConnAck> {
        self.version = connect.version;
        self.send(Packet::Connect(Box::new(connect))).await;
        match self.next().await {
            Some(Packet::ConnAck(ack)) => Some(*ack),
            None => None,
            Some(other) => panic!("expected CONNACK, got {other:?}"),
        }
    }

    /// Subscribes to one filter; gives the reason code, and the publishes that came before it.
    pub async fn subscribe(&mut self, filter: &str, qos: QoS) -> ReasonCode {
        let ack = self.subscribe_all(&[(filter, qos)]).await;
        ack.reasons[0]
    }

    /// Subscribes to several filters.
    pub async fn subscribe_all(&mut self, filters: &[(&str, QoS)]) -> SubAck {
        let filters = filters.iter().map(|(filter, qos)| SubscribeFilter {
            filter: text(filter),
            qos: *qos,
            no_local: false,
            retain_as_published: false,
            retain_handling: RetainHandling::Send,
        });
        let packet_id = self.next_id();
        let filters = filters.collect();
        self.send(Packet::Subscribe(Subscribe {
            packet_id,
            subscription_id: None,
            user_properties: vec![],
            filters,
        }))
        .await;
        loop {
            match self.packet().await {
                Packet::SubAck(ack) => return ack,
                Packet::Publish(_) => {}
                other => panic!("expected SUBACK, got {other:?}"),
            }
        }
    }

    /// A packet id not used lately.
    pub fn next_id(&mut self) -> PacketId {
        self.ids = self.ids.checked_add(1).unwrap_or(1);
        PacketId::new(self.ids).expect("never zero")
    }

    /// Acknowledges a QoS 1 publish.
    pub async fn acknowledge(&mut self, publish: &Publish) {
        if publish.qos == QoS::AtLeastOnce {
            let id = publish.packet_id.expect("QoS 1 has an id");
            self.send(Packet::PubAck(Ack::new(id, ReasonCode::Success))).await;
        }
    }

    /// Waits until the server has closed; gives the packets that came before.
    pub async fn closed(&mut self) -> Vec<Packet> {
        let mut packets = Vec::new();
        while let Some(packet) = self.next().await {
            packets.push(packet);
        }
        packets
    }

    /// Ends the link without a DISCONNECT, as a network does that fails, and waits until the server has
    /// noticed: what it has to do for the loss is done, or begun.
    pub async fn cut(&mut self) {
        self.stream.shutdown().await.ok();
        self.closed().await;
    }

    /// Waits until the server has closed; gives the bytes that came before, undecoded.
    pub async fn closed_after(&mut self) -> Vec<u8> {
        let read = async { while self.stream.read_buf(&mut self.input).await.unwrap_or(0) > 0 {} };
        patiently("the end of the connection", read).await;
        self.input.split().to_vec()
    }

    /// Reads until `part` has come; gives everything up to its end, undecoded. Without it by the end of
    /// the connection, everything.
    pub async fn until(&mut self, part: &[u8]) -> Vec<u8> {
        let read = async {
            loop {
                if let Some(at) = self.input.windows(part.len()).position(|window| window == part) {
                    return self.input.split_to(at + part.len()).to_vec();
                }
                if self.stream.read_buf(&mut self.input).await.unwrap_or(0) == 0 {
                    return self.input.split().to_vec();
                }
            }
        };
        patiently("bytes", read).await
    }

    /// The next so many bytes, undecoded.
    pub async fn bytes(&mut self, count: usize) -> Vec<u8> {
        let read = async {
            while self.input.len() < count && self.stream.read_buf(&mut self.input).await.unwrap_or(0) > 0 {}
        };
        patiently("bytes", read).await;
        self.input.split_to(count).to_vec()
    }

    /// Everything that the server sends up to the answer to a PINGREQ: what it had to say so far.
    pub async fn so_far(&mut self) -> Vec<Packet> {
        self.send(Packet::PingReq).await;
        let mut packets = Vec::new();
        loop {
            match self.packet().await {
                Packet::PingResp => return packets,
                packet => packets.push(packet),
            }
        }
    }
}

/// A packet to send; so that a `Publish` can be given as it is.
#[derive(Debug)]
pub struct Sent(Packet);

impl From<Packet> for Sent {
    fn from(packet: Packet) -> Self {
        Sent(packet)
    }
}

impl From<Publish> for Sent {
    fn from(publish: Publish) -> Self {
        Sent(Packet::Publish(publish))
    }
}

async fn tls(address: &str, ca: &[u8]) -> tokio_rustls::client::TlsStream<TcpStream> {
    let trust = phone::sign_in::trust(ca).expect("a CA in PEM");
    let stream = patiently("a TCP connection", TcpStream::connect(address)).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let name = rustls::pki_types::ServerName::try_from("localhost").unwrap();
    patiently("a TLS handshake", TlsConnector::from(Arc::clone(&trust)).connect(name, stream)).await.unwrap()
}

/// A WebSocket as a stream of bytes: a task copies between the two until either ends.
async fn websocket(stream: impl Stream + 'static, url: &str) -> DuplexStream {
    let mut request = url.into_client_request().unwrap();
    request.headers_mut().insert("Sec-WebSocket-Protocol", "mqtt".parse().unwrap());
    let upgrade = tokio_tungstenite::client_async(request, stream);
    let (mut socket, _) = patiently("a WebSocket", upgrade).await.unwrap();
    let (ours, mut theirs) = tokio::io::duplex(64 * 1024);
    tokio::spawn(async move {
        let mut bytes = BytesMut::new();
        loop {
            tokio::select! {
                read = theirs.read_buf(&mut bytes) => match read {
                    Ok(1..) if socket.send(Message::Binary(bytes.split().freeze())).await.is_ok() => {}
                    _ => break,
                },
                message = socket.next() => match message {
                    Some(Ok(Message::Binary(body))) if theirs.write_all(&body).await.is_ok() => {}
                    Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                    _ => break,
                },
            }
        }
    });
    ours
}
