//! Sign-in: CONNECT → role token → grant → session → CONNACK → what waits for the device.

use postern_broker::wire::{Auth, Connect, Packet, QoS, ReasonCode, Version};
use postern_tests::{Peer, Postern, Session, body, connect, publish, text};

#[tokio::test(flavor = "multi_thread")]
async fn a8_the_client_sends_a_proof_and_never_the_token() {
    let postern = Postern::start(|_| {}).await;
    let mut device = postern.device("alice", "phone").await;
    for listener in ["tcp", "tls", "ws", "wss"] {
        let session = device.sign_in_on(&postern, listener, |_| {}).await;
        session.leave().await;
    }
    // What is derived is not what it is derived from.
    let password = device.connect("tcp").password.unwrap();
    let token = &device.state.login().token;
    for secret in [&token.key, &token.bearer] {
        assert!(!String::from_utf8_lossy(&password).contains(secret.as_str()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a8_a_wrong_proof_is_refused_in_both_versions() {
    let postern = Postern::start(|_| {}).await;
    let mut device = postern.device("alice", "phone").await;
    for version in [Version::V5, Version::V311] {
        let mut connect = device.connect("tcp");
        let mut wrong = connect.password.as_deref().unwrap().to_vec();
        let last = wrong.len() - 3;
        wrong[last] = if wrong[last] == b'A' { b'B' } else { b'A' };
        connect.password = Some(wrong.into());
        connect.version = version;
        connect.session_expiry = None;
        let ack = Peer::to(&postern, "tcp").await.connect(connect).await.expect("CONNACK");
        // 3.1.1 has code 4 for it; the decoder gives its MQTT 5 equivalent.
        assert_eq!(ack.reason, ReasonCode::BadUserNameOrPassword, "{version:?}");
    }
    device.sign_in(&postern).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a9_messaging_opens_only_after_the_proof() {
    let postern = Postern::start(|_| {}).await;
    let mut bob = postern.session("bob", "pc").await;

    // Without CONNECT.
    let mut peer = Peer::to(&postern, "tls").await;
    peer.send(publish("im/u/bob/alice", "too early", QoS::AtMostOnce)).await;
    peer.closed().await;

    // Behind a CONNECT that is refused, in the same bytes.
    for connect in [connect(Version::V5, "x"), bad_password(Version::V5), bad_password(Version::V311)] {
        let mut peer = Peer::to(&postern, "tls").await;
        peer.version = connect.version;
        peer.send(Packet::Connect(Box::new(connect))).await;
        peer.send(publish("im/u/bob/alice", "too early", QoS::AtMostOnce)).await;
        let answers = peer.closed().await;
        assert!(
            matches!(&answers[..], [Packet::ConnAck(ack)] if ack.reason as u8 >= 0x80),
            "only a refusal is answered: {answers:?}"
        );
    }
    assert_eq!(bob.messages_so_far().await, []);

    postern.session("alice", "phone").await.send("bob", "m1", "in time").await;
    assert_eq!(body(&bob.message().await), "in time");
}

fn bad_password(version: Version) -> Connect {
    let (user_name, password) = (Some(text("alice")), Some("nonsense".into()));
    Connect { user_name, password, ..connect(version, "x") }
}

#[tokio::test(flavor = "multi_thread")]
async fn a11_pushed_and_forwarded_after_the_dynamic_login_and_nothing_before() {
    let postern = Postern::start(|_| {}).await;
    let mut device = postern.device("bob", "pc").await;
    let mut alice = postern.session("alice", "phone").await;
    alice.send("bob", "m1", "waiting for bob").await;

    // A refused sign-in of bob's device gets a refusal and no more.
    let mut connect = device.connect("tls");
    connect.password = Some("nonsense".into());
    let mut peer = Peer::to(&postern, "tls").await;
    peer.version = Version::V5;
    peer.send(Packet::Connect(Box::new(connect))).await;
    let answers = peer.closed().await;
    assert!(matches!(&answers[..], [Packet::ConnAck(_)]), "{answers:?}");

    // An accepted one gets CONNACK first (`sign_in_on` insists on it), then what waited and what comes.
    let mut bob = device.sign_in(&postern).await;
    assert_eq!(body(&bob.message().await), "waiting for bob");
    alice.send("bob", "m2", "live").await;
    assert_eq!(body(&bob.message().await), "live");
}

#[tokio::test(flavor = "multi_thread")]
async fn a9_mqtt5_may_sign_in_by_challenge_instead() {
    let postern = Postern::start(|_| {}).await;
    let device = postern.device("alice", "phone").await;
    let connect = device.connect_with_challenge();
    let mut peer = Peer::to(&postern, "tcp").await;
    peer.version = Version::V5;
    peer.send(Packet::Connect(Box::new(connect))).await;
    let Packet::Auth(challenge) = peer.packet().await else { panic!("expected AUTH") };
    assert_eq!(challenge.reason, ReasonCode::ContinueAuthentication);

    // A wrong answer is refused; the right one to this challenge accepted.
    let mut right = device.answer("tcp", &challenge);
    let data = right.data.clone().unwrap();
    let mut wrong = data.to_vec();
    wrong[0] ^= 1;
    right.data = Some(wrong.into());
    peer.send(Packet::Auth(right.clone())).await;
    let answers = peer.closed().await;
    assert!(matches!(&answers[..], [Packet::ConnAck(ack)] if ack.reason as u8 >= 0x80), "{answers:?}");

    let mut peer = Peer::to(&postern, "tcp").await;
    peer.version = Version::V5;
    peer.send(Packet::Connect(Box::new(device.connect_with_challenge()))).await;
    let Packet::Auth(second) = peer.packet().await else { panic!("expected AUTH") };
    assert_ne!(second.data, challenge.data, "every challenge is new");
    let answer = device.answer("tcp", &second);
    peer.send(Packet::Auth(answer)).await;
    let Packet::ConnAck(ack) = peer.packet().await else { panic!("expected CONNACK") };
    assert_eq!(ack.reason, ReasonCode::Success);
}

/// Signs a device in again on its live link, answering the challenge with `answer`.
async fn sign_in_again(session: &mut Session, token: &str, answer: &'static [u8]) {
    let (method, start) = (Some(text(phone::AUTH_METHOD)), token.to_owned().into());
    let again = Auth { reason: ReasonCode::ReAuthenticate, method, data: Some(start), ..Auth::default() };
    session.peer.send(Packet::Auth(again)).await;
    let challenge = session.auth().await;
    assert_eq!(challenge.reason, ReasonCode::ContinueAuthentication);
    session.peer.send(Packet::Auth(Auth { data: Some(answer.into()), ..challenge })).await;
    assert_eq!(session.auth().await.reason, ReasonCode::Success);
}

#[tokio::test(flavor = "multi_thread")]
async fn a11_signing_in_again_starts_and_stops_what_is_pushed() {
    let postern = Postern::start(|c| c.role("token", "rogue-token")).await;
    for user in ["alice", "bob"] {
        // The organisation that this plugin's grants name.
        postern.user_of(user, "rogue", &[]).await;
    }
    let mut bob = postern.session("bob", "pc").await;
    let phone = postern.device("alice", "phone").await;
    let token = phone.state.login().token.id.clone();
    let mut alice = phone.sign_in_by_challenge(&postern, b"all").await;
    assert_eq!(alice.status_of("bob").await, "online");
    assert_eq!(bob.status_of("alice").await, "online");
    bob.send("alice", "m1", "one").await;
    assert_eq!(body(&alice.message().await), "one");

    sign_in_again(&mut alice, &token, b"quiet").await;
    assert_eq!(bob.status_of("alice").await, "offline");
    let mut pc = postern.session("alice", "pc").await;
    assert_eq!(bob.status_of("alice").await, "online");
    bob.send("alice", "m2", "two").await;
    // A device that is new here gets what its user has.
    assert_eq!(body(&pc.message().await), "one");
    assert_eq!(body(&pc.message().await), "two");
    // Both devices were offered it together.
    assert_eq!(alice.messages_so_far().await, []);

    sign_in_again(&mut alice, &token, b"all").await;
    assert_eq!(body(&alice.message().await), "two");
    assert_eq!(alice.status_of("bob").await, "online");
    bob.send("alice", "m3", "three").await;
    assert_eq!(body(&alice.message().await), "three");
    assert_eq!(alice.messages_so_far().await, [], "nothing twice");
}
