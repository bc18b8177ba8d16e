//! AUTH: signing in by challenge, and again on a live link (section 4.12).

use postern_broker::wire::{Auth, Connect, Packet, ReasonCode, Version};
use postern_tests::{Device, Peer, Postern, connect, text};

use super::*;

/// Sends a CONNECT that begins an exchange; gives the challenge.
async fn challenged(postern: &Postern, device: &mut Device) -> (Peer, Auth) {
    let mut peer = Peer::to(postern, "tcp").await;
    peer.version = Version::V5;
    peer.send(Packet::Connect(Box::new(device.connect_with_challenge()))).await;
    let Packet::Auth(challenge) = peer.packet().await else { panic!("expected AUTH") };
    (peer, challenge)
}

/// A link that has signed in by challenge.
async fn signed_in(postern: &Postern, device: &mut Device) -> Peer {
    let (mut peer, challenge) = challenged(postern, device).await;
    peer.send(Packet::Auth(device.answer("tcp", &challenge))).await;
    let Packet::ConnAck(ack) = peer.packet().await else { panic!("expected CONNACK") };
    assert_eq!(ack.reason, ReasonCode::Success);
    peer
}

/// An AUTH that begins a re-authentication.
fn again(device: &Device) -> Auth {
    let data = device.state.login().token.id.clone();
    Auth {
        reason: ReasonCode::ReAuthenticate,
        method: Some(text(phone::AUTH_METHOD)),
        data: Some(data.into()),
        ..Auth::default()
    }
}

/// 5.0: MQTT-4.12.0-1, MQTT-4.12.0-4.
#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_method_is_refused() {
    let postern = open().await;
    for method in ["", "SCRAM-SHA-1", "\u{1f511}"] {
        let mut peer = Peer::to(&postern, "tcp").await;
        let connect = Connect { auth_method: Some(text(method)), ..connect(Version::V5, "c") };
        let ack = peer.connect(connect).await.expect("CONNACK");
        assert_eq!(ack.reason, ReasonCode::BadAuthenticationMethod);
        assert_eq!(peer.closed().await, []);
    }
}

/// 5.0: MQTT-4.12.0-2, MQTT-4.12.0-3, MQTT-4.12.0-5, MQTT-3.15.2-1. Every AUTH and the CONNACK name the
/// method of the CONNECT.
#[tokio::test(flavor = "multi_thread")]
async fn an_exchange_keeps_to_its_method() {
    let postern = Postern::start(|_| {}).await;
    let mut device = postern.device("alice", "phone").await;
    let (mut peer, challenge) = challenged(&postern, &mut device).await;
    let method = Some(text(phone::AUTH_METHOD));
    assert_eq!((challenge.reason, &challenge.method), (ReasonCode::ContinueAuthentication, &method));
    peer.send(Packet::Auth(device.answer("tcp", &challenge))).await;
    let Packet::ConnAck(ack) = peer.packet().await else { panic!("expected CONNACK") };
    assert_eq!((ack.reason, ack.auth_method), (ReasonCode::Success, method));
}

/// 5.0: MQTT-3.1.2-30, MQTT-4.12.0-3, MQTT-4.12.0-4, MQTT-3.15.2-1. What is no right answer to the challenge
/// is refused, and the link closed.
#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_continue_the_exchange_is_refused() {
    let postern = Postern::start(|_| {}).await;
    let mut device = postern.device("alice", "phone").await;
    for what in ["another method", "another reason", "another packet", "a wrong answer"] {
        let (mut peer, challenge) = challenged(&postern, &mut device).await;
        let right = device.answer("tcp", &challenge);
        let answer = match what {
            "another method" => Packet::Auth(Auth { method: Some(text("x")), ..right }),
            "another reason" => Packet::Auth(Auth { reason: ReasonCode::ReAuthenticate, ..right }),
            "another packet" => Packet::PingReq,
            _ => Packet::Auth(Auth { data: Some("nonsense".into()), ..right }),
        };
        peer.send(answer).await;
        let packets = peer.closed().await;
        let [Packet::ConnAck(ack)] = &packets[..] else { panic!("{what}: {packets:?}") };
        assert!(ack.reason.is_error(), "{what}");
    }
}

/// 5.0: MQTT-3.2.2-8, MQTT-4.12.0-4. Who leaves a challenge without an answer is refused in time, with a
/// reason that CONNACK has (the reader accepts no other).
#[tokio::test(flavor = "multi_thread")]
async fn a_challenge_without_an_answer_is_refused_in_time() {
    let postern = Postern::start(|c| c.set("limits.handshake_timeout_secs", 1)).await;
    let mut device = postern.device("alice", "phone").await;
    let (mut peer, _challenge) = challenged(&postern, &mut device).await;
    let packets = peer.closed().await;
    assert!(matches!(&packets[..], [Packet::ConnAck(ack)] if ack.reason.is_error()), "{packets:?}");
}

/// 5.0: MQTT-4.12.0-6, MQTT-4.12.0-7. Without a method in the CONNECT there is no AUTH, from neither side.
#[tokio::test(flavor = "multi_thread")]
async fn without_a_method_there_is_no_auth() {
    let postern = open().await;
    let (mut peer, ack) = join(&postern, connect(Version::V5, "c")).await;
    assert_eq!((ack.auth_method, ack.auth_data), (None, None));
    for reason in [ReasonCode::ReAuthenticate, ReasonCode::ContinueAuthentication] {
        let auth = Auth { reason, method: Some(text(phone::AUTH_METHOD)), ..Auth::default() };
        peer.send(Packet::Auth(auth)).await;
        assert_eq!(ended(&mut peer).await, Some(ReasonCode::ProtocolError));
        peer = client(&postern, "c").await;
    }
    // MQTT 3.1.1 has no such packet at all.
    ends_older(&postern, &[0xF0, 0]).await;
}

/// Section 4.12.1: a link signs in again while it goes on.
#[tokio::test(flavor = "multi_thread")]
async fn a_link_may_sign_in_again() {
    let postern = Postern::start(|_| {}).await;
    let mut device = postern.device("alice", "phone").await;
    let mut peer = signed_in(&postern, &mut device).await;
    for _ in 0..2 {
        peer.send(Packet::Auth(again(&device))).await;
        // Other packets pass meanwhile.
        peer.send(Packet::PingReq).await;
        let mut packets = [next_but_publish(&mut peer).await, next_but_publish(&mut peer).await];
        packets.sort_by_key(|packet| *packet == Packet::PingResp);
        let [Packet::Auth(challenge), Packet::PingResp] = packets else { panic!("{packets:?}") };
        peer.send(Packet::Auth(device.answer("tcp", &challenge))).await;
        let Packet::Auth(done) = next_but_publish(&mut peer).await else { panic!("expected AUTH") };
        assert_eq!((done.reason, done.method), (ReasonCode::Success, Some(text(phone::AUTH_METHOD))));
    }
}

/// 5.0: MQTT-4.12.1-1, MQTT-4.12.1-2. The method is that of the CONNECT; a link that fails to sign in again
/// is told and closed.
#[tokio::test(flavor = "multi_thread")]
async fn a_link_that_fails_to_sign_in_again_is_closed() {
    let postern = Postern::start(|_| {}).await;
    let mut device = postern.device("alice", "phone").await;
    let mut peer = signed_in(&postern, &mut device).await;
    peer.send(Packet::Auth(Auth { method: Some(text("another")), ..again(&device) })).await;
    assert_eq!(ended(&mut peer).await, Some(ReasonCode::ProtocolError));

    let mut peer = signed_in(&postern, &mut device).await;
    peer.send(Packet::Auth(again(&device))).await;
    let Packet::Auth(challenge) = next_but_publish(&mut peer).await else { panic!("expected AUTH") };
    let wrong = Auth { data: Some("nonsense".into()), ..device.answer("tcp", &challenge) };
    peer.send(Packet::Auth(wrong)).await;
    assert_eq!(ended(&mut peer).await, Some(ReasonCode::NotAuthorized), "DISCONNECT has no 0x86");

    let mut peer = signed_in(&postern, &mut device).await;
    let early = Auth { reason: ReasonCode::ContinueAuthentication, ..again(&device) };
    peer.send(Packet::Auth(early)).await;
    assert_eq!(ended(&mut peer).await, Some(ReasonCode::ProtocolError), "nothing was asked");
}

/// The next packet that is not presence.
async fn next_but_publish(peer: &mut Peer) -> Packet {
    loop {
        match peer.packet().await {
            Packet::Publish(_) => {}
            other => return other,
        }
    }
}
