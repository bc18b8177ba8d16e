//! MQTT 3.1, 3.1.1 and 5.0 as the standards state them, packet type by packet type, against the real
//! program with policies/open.toml.
//!
//! A test's doc comment names the normative statements that it holds; tests/statements has the table of
//! all of them, and `table` checks that none is missing.

mod alias;
mod auth;
mod connack;
mod connect;
mod crashes;
mod disconnect;
mod flow;
mod frame;
mod keep_alive;
mod older;
mod properties;
mod publish;
mod qos_1;
mod qos_2;
mod retain;
mod session;
mod shared;
mod subscribe;
mod table;
mod takeover;
mod topics;
mod unsubscribe;
mod websocket;
mod will;

use bytes::Bytes;
use postern_broker::wire::{
    Ack, ConnAck, Connect, Disconnect, Packet, PacketId, Publish, QoS, ReasonCode, RetainHandling, Subscribe,
    SubscribeFilter, Unsubscribe, Version, Will,
};
use postern_tests::{Peer, Postern, connect, publish, text};

const QOS: [QoS; 3] = [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce];

/// Policy for trying: anonymous clients, all topics, all messages ordinary MQTT.
async fn open() -> Postern {
    Postern::start(|c| c.policy_file("open")).await
}

/// The same, with client-specific rights: nobody may publish below `denied/`.
async fn open_but_denied() -> Postern {
    Postern::start(|c| {
        c.policy_file("open");
        c.policy("plugins.token-hmac.config.rights.anonymous.deny_publish", vec!["denied/#"]);
    })
    .await
}

/// Connects over TCP; the server must accept.
async fn join(postern: &Postern, connect: Connect) -> (Peer, ConnAck) {
    let mut peer = Peer::to(postern, "tcp").await;
    let ack = peer.connect(connect).await.expect("CONNACK");
    assert_eq!(ack.reason, ReasonCode::Success);
    (peer, ack)
}

/// An MQTT 5 client whose session ends with its link.
async fn client(postern: &Postern, client_id: &str) -> Peer {
    join(postern, connect(Version::V5, client_id)).await.0
}

/// An MQTT 3.1.1 client whose session ends with its link.
async fn older(postern: &Postern, client_id: &str) -> Peer {
    join(postern, connect(Version::V311, client_id)).await.0
}

/// A CONNECT that resumes its session, which lives an hour longer than its link (3.x: for ever).
fn durable(version: Version, client_id: &str) -> Connect {
    let session_expiry = (version == Version::V5).then_some(3600);
    Connect { clean_start: false, session_expiry, ..connect(version, client_id) }
}

/// A client that has subscribed to one filter.
async fn subscriber(postern: &Postern, client_id: &str, filter: &str, qos: QoS) -> Peer {
    let mut peer = client(postern, client_id).await;
    assert!(!peer.subscribe(filter, qos).await.is_error());
    peer
}

/// A will without properties, QoS 0.
fn will(topic: &str, body: &'static str) -> Will {
    let (topic, payload) = (text(topic), Bytes::from(body));
    Will { topic, payload, qos: QoS::AtMostOnce, retain: false, delay_interval: 0, properties: None }
}

/// A CONNECT with a will.
fn with_will(connect: Connect, will: Will) -> Connect {
    Connect { will: Some(Box::new(will)), ..connect }
}

/// Publishes, and waits until the server is done with it; gives the reason of PUBACK or PUBREC.
async fn deliver(peer: &mut Peer, topic: &str, body: impl Into<Bytes>, qos: QoS) -> ReasonCode {
    hand_in(peer, publish(topic, body, qos)).await
}

/// [`deliver`] for any PUBLISH; it gets a packet identifier if it needs one.
async fn hand_in(peer: &mut Peer, mut message: Publish) -> ReasonCode {
    let qos = message.qos;
    if qos != QoS::AtMostOnce && message.packet_id.is_none() {
        message.packet_id = Some(peer.next_id());
    }
    let id = message.packet_id;
    peer.send(message).await;
    match qos {
        QoS::AtMostOnce => {
            assert_eq!(peer.so_far().await, [], "QoS 0 is not answered");
            ReasonCode::Success
        }
        QoS::AtLeastOnce => {
            let Packet::PubAck(ack) = peer.packet().await else { panic!("expected PUBACK") };
            assert_eq!(Some(ack.packet_id), id);
            ack.reason
        }
        QoS::ExactlyOnce => {
            let Packet::PubRec(ack) = peer.packet().await else { panic!("expected PUBREC") };
            assert_eq!(Some(ack.packet_id), id);
            if !ack.reason.is_error() {
                release(peer, ack.packet_id).await;
            }
            ack.reason
        }
    }
}

/// PUBREL, and its PUBCOMP.
async fn release(peer: &mut Peer, id: PacketId) {
    peer.send(Packet::PubRel(success(id))).await;
    assert_eq!(peer.packet().await, Packet::PubComp(success(id)));
}

/// The retained message of a topic is replaced.
async fn retain(peer: &mut Peer, topic: &str, body: &'static str, qos: QoS) {
    let message = Publish { retain: true, ..publish(topic, body, qos) };
    assert!(!hand_in(peer, message).await.is_error());
}

/// The next packet, which must be a PUBLISH. It is not acknowledged.
async fn next(peer: &mut Peer) -> Publish {
    match peer.packet().await {
        Packet::Publish(publish) => publish,
        other => panic!("expected PUBLISH, got {other:?}"),
    }
}

/// The next packet, which must be a PUBLISH; it is acknowledged, QoS 2 to its end.
async fn take(peer: &mut Peer) -> Publish {
    let publish = next(peer).await;
    peer.acknowledge(&publish).await;
    if let (QoS::ExactlyOnce, Some(id)) = (publish.qos, publish.packet_id) {
        peer.send(Packet::PubRec(success(id))).await;
        assert_eq!(peer.packet().await, Packet::PubRel(success(id)));
        peer.send(Packet::PubComp(success(id))).await;
    }
    publish
}

/// Everything that the server had to say so far. Twice, because answers go out before messages that
/// wait: a PINGRESP may pass them.
async fn everything(peer: &mut Peer) -> Vec<Packet> {
    let mut packets = peer.so_far().await;
    packets.extend(peer.so_far().await);
    packets
}

/// The bodies of all publishes that have come so far.
async fn bodies(peer: &mut Peer) -> Vec<String> {
    let packets = everything(peer).await;
    let publishes = packets.iter().filter_map(|p| if let Packet::Publish(p) = p { Some(p) } else { None });
    publishes.map(|publish| postern_tests::body(publish).to_owned()).collect()
}

/// DISCONNECT, and waits until the server has closed.
async fn leave(peer: &mut Peer) {
    leave_with(peer, Disconnect::default()).await;
}

/// A DISCONNECT that says more.
async fn leave_with(peer: &mut Peer, disconnect: Disconnect) {
    peer.send(Packet::Disconnect(disconnect)).await;
    assert_eq!(peer.closed().await, []);
}

/// Waits for the end of a link; gives the reason of the DISCONNECT, if one came.
async fn ended(peer: &mut Peer) -> Option<ReasonCode> {
    peer.closed().await.into_iter().find_map(|packet| match packet {
        Packet::Disconnect(disconnect) => Some(disconnect.reason),
        _ => None,
    })
}

/// What an MQTT 5 client is told that sends these bytes after its CONNACK.
async fn told_for(postern: &Postern, bytes: &[u8]) -> Option<ReasonCode> {
    let mut peer = client(postern, "clumsy").await;
    peer.send_bytes(bytes).await;
    ended(&mut peer).await
}

/// Sends these bytes after the CONNACK of an MQTT 3.1.1 client; the link must end without a word.
async fn ends_older(postern: &Postern, bytes: &[u8]) {
    let mut peer = older(postern, "clumsy").await;
    peer.send_bytes(bytes).await;
    assert_eq!(peer.closed().await, [], "{bytes:x?}");
}

/// Waits until so many seconds have passed on the server's clock: a delayed will comes.
async fn seconds_pass(postern: &Postern, secs: u32) {
    let mut watcher = subscriber(postern, "clock watcher", "clock", QoS::AtMostOnce).await;
    let clock = Will { delay_interval: secs, ..will("clock", "") };
    let connect = Connect { session_expiry: Some(secs + 60), ..connect(Version::V5, "clock") };
    let (mut clock, _) = join(postern, with_will(connect, clock)).await;
    clock.cut().await;
    next(&mut watcher).await;
}

/// A SUBSCRIBE for one filter with options.
fn asking(peer: &mut Peer, filter: &str, options: Asked) -> Packet {
    let Asked { qos, no_local, retain_as_published, retain_handling, id } = options;
    let filter =
        SubscribeFilter { filter: text(filter), qos, no_local, retain_as_published, retain_handling };
    Packet::Subscribe(Subscribe {
        packet_id: peer.next_id(),
        subscription_id: id,
        user_properties: vec![],
        filters: vec![filter],
    })
}

/// The options of a subscription; the default is none, QoS 2.
#[derive(Clone, Copy)]
struct Asked {
    qos: QoS,
    no_local: bool,
    retain_as_published: bool,
    retain_handling: RetainHandling,
    id: Option<u32>,
}

impl Default for Asked {
    fn default() -> Self {
        let retain_handling = RetainHandling::Send;
        Asked {
            qos: QoS::ExactlyOnce,
            no_local: false,
            retain_as_published: false,
            retain_handling,
            id: None,
        }
    }
}

/// Subscribes with options, and waits for the SUBACK, which must come next.
async fn ask(peer: &mut Peer, filter: &str, options: Asked) -> ReasonCode {
    let subscribe = asking(peer, filter, options);
    peer.send(subscribe).await;
    let Packet::SubAck(ack) = peer.packet().await else { panic!("expected SUBACK") };
    ack.reasons[0]
}

/// Unsubscribes, and waits for the UNSUBACK, which must come next; gives its reasons.
async fn unsubscribe(peer: &mut Peer, filters: &[&str]) -> Vec<ReasonCode> {
    let filters = filters.iter().map(|filter| text(filter)).collect();
    let packet_id = peer.next_id();
    peer.send(Packet::Unsubscribe(Unsubscribe { packet_id, user_properties: vec![], filters })).await;
    let Packet::UnsubAck(ack) = peer.packet().await else { panic!("expected UNSUBACK") };
    assert_eq!(ack.packet_id, packet_id);
    ack.reasons
}

/// An acknowledgement with nothing but its packet identifier.
fn success(id: PacketId) -> Ack {
    Ack::new(id, ReasonCode::Success)
}

/// A packet of these parts; its length must fit one byte.
fn packet(first: u8, parts: &[&[u8]]) -> Vec<u8> {
    let body = parts.concat();
    let length = u8::try_from(body.len()).ok().filter(|length| *length < 0x80).expect("a short packet");
    [&[first, length][..], &body].concat()
}

/// Bytes behind their two-byte length.
fn field(bytes: impl AsRef<[u8]>) -> Vec<u8> {
    let bytes = bytes.as_ref();
    let length = u16::try_from(bytes.len()).expect("a short field");
    [&length.to_be_bytes()[..], bytes].concat()
}
