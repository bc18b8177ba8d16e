//! The rows of the security table that concern sign-in and rights.

use bytes::Bytes;
use futures_util::future::Either;
use postern_broker::wire::{Connect, Packet, QoS, ReasonCode, Version};
use postern_tests::{Peer, Postern, Wire, body, connect, password, publish, text};

/// Whether a CONNECT is accepted on a listener.
async fn accepted(postern: &Postern, listener: &str, connect: Connect) -> bool {
    let ack = Peer::to(postern, listener).await.connect(connect).await;
    ack.is_some_and(|ack| ack.reason == ReasonCode::Success)
}

#[tokio::test(flavor = "multi_thread")]
async fn s_captured_connect_bytes_are_refused_on_the_same_and_on_another_listener() {
    let postern = Postern::start(|_| {}).await;
    let mut device = postern.device("alice", "phone").await;
    let wire = Wire::to(postern.address("tcp")).await;
    let mut peer = Peer::tcp(wire.address()).await;
    let ack = peer.connect(device.connect("tcp")).await.expect("CONNACK");
    assert_eq!(ack.reason, ReasonCode::Success);
    let captured = wire.up();
    drop(peer);

    for listener in ["tcp", "ws", "tls", "wss"] {
        let mut thief = Peer::to(&postern, listener).await;
        thief.send_bytes(&captured).await;
        let answers = thief.closed().await;
        let refused = matches!(&answers[..], [Packet::ConnAck(ack)] if ack.reason as u8 >= 0x80);
        assert!(refused, "{listener}: {answers:?}");
    }
    // The device itself goes on with its next counter.
    device.sign_in_on(&postern, "tcp", |_| {}).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn s_a_proof_is_good_for_its_transport_listener_and_client_id_only() {
    let postern = Postern::start(|_| {}).await;
    let mut device = postern.device("alice", "phone").await;
    for (made_for, used_on) in [("tcp", "tls"), ("tls", "tcp"), ("tcp", "ws"), ("tls", "wss")] {
        assert!(!accepted(&postern, used_on, device.connect(made_for)).await, "{made_for} on {used_on}");
    }
    let other = Connect { client_id: text("another-phone"), ..device.connect("tcp") };
    assert!(!accepted(&postern, "tcp", other).await, "another client id");
    assert!(accepted(&postern, "tcp", device.connect("tcp")).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn s_a_counter_is_good_once_and_never_goes_back() {
    let postern = Postern::start(|_| {}).await;
    let mut device = postern.device("alice", "phone").await;
    let (older, newer) = (device.connect("tls"), device.connect("tls"));
    assert!(accepted(&postern, "tls", newer.clone()).await);
    assert!(!accepted(&postern, "tls", newer).await, "the same again");
    assert!(!accepted(&postern, "tls", older).await, "one before it, never used");

    // A lost CONNACK breaks nothing: the next counter is greater.
    let mut lost = Peer::to(&postern, "tls").await;
    lost.version = Version::V5;
    lost.send(Packet::Connect(Box::new(device.connect("tls")))).await;
    drop(lost);
    assert!(accepted(&postern, "tls", device.connect("tls")).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn s_the_same_proof_at_once_is_accepted_exactly_once() {
    let postern = Postern::start(|_| {}).await;
    let mut device = postern.device("alice", "phone").await;
    for _ in 0..5 {
        let connect = device.connect("tls");
        let attempts = (0..8).map(|_| accepted(&postern, "tls", connect.clone()));
        let accepted = futures_util::future::join_all(attempts).await;
        assert_eq!(accepted.iter().filter(|a| **a).count(), 1, "{accepted:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn s_an_old_proof_is_refused() {
    let postern = Postern::start(|_| {}).await;
    let device = postern.device("alice", "phone").await;
    let token = &device.state.login().token;
    let at = |time_ms: u64, counter: u64| {
        let (token_id, client_id) = (token.id.as_str(), "phone");
        let signing =
            phone::Signing { token_id, client_id, transport: "tls", listener: "tls", counter, time_ms };
        let proof = phone::proof(&token.key, signing).unwrap();
        let (user_name, password) = (Some(text(token_id)), Some(Bytes::from(proof)));
        Connect { user_name, password, ..connect(Version::V5, client_id) }
    };
    let now = device.state.server_now();
    assert!(!accepted(&postern, "tls", at(now - 3_600_000, token.counter + 1)).await, "an hour old");
    assert!(!accepted(&postern, "tls", at(now + 3_600_000, token.counter + 2)).await, "from the future");
    assert!(accepted(&postern, "tls", at(now, token.counter + 3)).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn s_a_bearer_is_accepted_on_tls_only() {
    let postern = Postern::start(|_| {}).await;
    let mut device = postern.device("alice", "phone").await;
    for (listener, good) in [("tcp", false), ("ws", false), ("tls", true), ("wss", true)] {
        assert_eq!(accepted(&postern, listener, device.connect_with_bearer()).await, good, "{listener}");
    }
    let mut forged = device.connect_with_bearer();
    forged.password = Some(Bytes::from(device.state.login().token.key.clone()));
    assert!(!accepted(&postern, "tls", forged).await, "the proof key is no password");
}

#[tokio::test(flavor = "multi_thread")]
async fn s_a_sniffed_plain_session_shows_neither_key_nor_token_nor_message() {
    let postern = Postern::start(|_| {}).await;
    let mut device = postern.device("alice", "phone").await;
    postern.session("bob", "pc").await.send("alice", "m1", "the sensitive body").await;

    let wire = Wire::to(postern.address("tcp")).await;
    let mut peer = Peer::tcp(wire.address()).await;
    peer.connect(device.connect("tcp")).await.expect("CONNACK");
    // It asks for its messages, and for somebody else's; what the server has to say, it says.
    for filter in ["im/u/alice/+", "im/#", "#"] {
        peer.subscribe(filter, QoS::AtLeastOnce).await;
    }
    peer.so_far().await;

    let token = &device.state.login().token;
    let sniffed = [wire.up(), wire.down()].concat();
    for secret in [token.key.as_str(), token.bearer.as_str(), &password("alice"), "the sensitive body"] {
        for (form, bytes) in forms(secret) {
            assert!(!contains(&sniffed, &bytes), "{form} of a secret is in the capture");
        }
    }
    assert!(contains(&sniffed, token.id.as_bytes()), "the capture is of this session");
}

/// A secret as somebody in the middle could meet it.
fn forms(secret: &str) -> Vec<(&'static str, Vec<u8>)> {
    use base64::Engine;
    use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
    let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
    let mut forms = vec![
        ("the text", secret.as_bytes().to_vec()),
        ("the base64", STANDARD_NO_PAD.encode(secret).into_bytes()),
        ("the hex", hex(secret.as_bytes()).into_bytes()),
    ];
    if let Ok(raw) = URL_SAFE_NO_PAD.decode(secret) {
        forms.push(("the decoded hex", hex(&raw).into_bytes()));
        forms.push(("the decoded bytes", raw));
    }
    forms
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle)
}

#[tokio::test(flavor = "multi_thread")]
async fn s_plain_links_may_not_chat_and_get_nothing_stored() {
    let postern = Postern::start(|_| {}).await;
    let (mut alice_plain, mut bob_plain) =
        (postern.device("alice", "a").await, postern.device("bob", "b").await);
    let mut bob = postern.session("bob", "pc").await;
    let mut on_plain = bob_plain.sign_in_on(&postern, "tcp", |_| {}).await;
    let mut alice = alice_plain.sign_in_on(&postern, "tcp", |_| {}).await;

    let ack = alice.send("bob", "m1", "over the open road").await;
    assert_eq!(ack.reason, ReasonCode::NotAuthorized);
    postern.session("carol", "phone").await.send("bob", "m2", "for tls only").await;
    assert_eq!(body(&bob.message().await), "for tls only");
    assert_eq!(on_plain.messages_so_far().await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn s_an_unauthenticated_connect_with_a_victims_client_id_disturbs_nobody() {
    let postern = Postern::start(|_| {}).await;
    let mut victim = postern.session("alice", "phone").await;
    let (user_name, password) = (Some(text("alice")), Some(Bytes::from("guess")));
    for listener in ["tcp", "tls"] {
        assert!(!accepted(&postern, listener, connect(Version::V5, "phone")).await);
        let guess = Connect {
            user_name: user_name.clone(),
            password: password.clone(),
            ..connect(Version::V5, "phone")
        };
        assert!(!accepted(&postern, listener, guess).await);
    }
    // Another user may have a device of that name: it is another session.
    let mut mallory = postern.session("mallory", "phone").await;
    assert_eq!(mallory.messages_so_far().await, []);
    victim.send("alice", "m1", "still here").await;
    // Only the device itself, with a proof, takes its session over.
    let mut device = postern.device("alice", "phone").await;
    device.sign_in(&postern).await;
    assert_eq!(victim.ended().await, Some(ReasonCode::SessionTakenOver));
}

#[tokio::test(flavor = "multi_thread")]
async fn s_revocation_ends_live_links_and_the_token() {
    let postern = Postern::start(|_| {}).await;
    let mut device = postern.device("alice", "phone").await;
    let session = device.sign_in(&postern).await;
    let mut bob = postern.session("bob", "pc").await;
    postern.done(&["token", "revoke", "--user", "alice"]).await;
    let reason = session.ended().await.expect("DISCONNECT tells why");
    assert!(reason as u8 >= 0x80, "{reason:?}");
    assert!(!accepted(&postern, "tls", device.connect("tls")).await);
    assert!(!accepted(&postern, "tls", device.connect_with_bearer()).await);
    // Others are not disturbed.
    bob.send("bob", "m1", "still here").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn s_locking_a_user_ends_the_users_links() {
    let postern = Postern::start(|_| {}).await;
    let session = postern.session("alice", "phone").await;
    postern.done(&["user", "lock", "alice"]).await;
    session.ended().await;
    postern.login("alice", &password("alice"), "phone").await.expect_err("locked");
}

#[tokio::test(flavor = "multi_thread")]
async fn s_a_token_ends_by_itself_and_renewal_needs_no_reconnect() {
    let postern = Postern::start(|c| c.policy("plugins.token-hmac.config.lifetime_secs", 8)).await;
    postern.user("alice").await;
    // In this order: without its renewal the first would end first.
    let mut kept = postern.device("alice", "kept").await;
    let with_renewal = kept.sign_in(&postern).await;
    let without = postern.session("alice", "left").await;

    let (api, token) = (postern.api(), kept.state.login().token.clone());
    let renew = move || api.post::<serde_json::Value>(&token, "/v1/token", &serde_json::json!({}));
    let renewed = tokio::task::spawn_blocking(renew).await.unwrap().unwrap();
    assert!(renewed["token"]["id"].is_string(), "{renewed}");

    let (renewed, ended) = (Box::pin(with_renewal.ended()), Box::pin(without.ended()));
    match futures_util::future::select(renewed, ended).await {
        Either::Left((reason, _)) => panic!("the renewed token's link ended first: {reason:?}"),
        Either::Right((reason, _)) => {
            assert_eq!(reason, Some(ReasonCode::MaximumConnectTime), "the token's end is the link's");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn s_anonymous_clients_are_refused_by_default_and_off_loopback() {
    let postern = Postern::start(|_| {}).await;
    for listener in ["tcp", "tls"] {
        assert!(!accepted(&postern, listener, connect(Version::V5, "anyone")).await);
    }
    let refused = Postern::try_start(|c| {
        c.policy_file("open");
        c.set("listen.tcp", "0.0.0.0:0");
    })
    .await;
    let refused = refused.expect_err("anonymous clients off loopback");
    assert_eq!(refused.status.code(), Some(1));
    assert!(refused.stderr.contains("listen.tcp"), "{}", refused.stderr);
}

/// A server whose operator has another token plugin at hand, one that lets anybody in.
async fn with_an_open_candidate(tcp: &'static str) -> Postern {
    let candidate = postern_tests::guest_file("rogue-token");
    Postern::start(|c| {
        c.set("listen.tcp", tcp);
        c.plugin("rogue-token", &candidate);
        c.policy("plugins.rogue-token.grants", vec!["log", "config", "keys"]);
        c.policy("plugins.rogue-token.keys", vec!["token"]);
        c.policy("plugins.rogue-token.config.misbehave", "anonymous");
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn s_a_token_plugin_that_admits_anonymous_clients_is_activated_on_loopback_only() {
    let mut postern = with_an_open_candidate("0.0.0.0:0").await;
    let output = postern.cli(&["plugin", "activate", "rogue-token"]).await;
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains("rogue-token.wasm") && told.contains("listen.tcp"), "{told}");
    // The old one serves, now and after a restart.
    for _ in 0..2 {
        let list = postern.json(&["plugin", "list"]).await;
        let token = list.as_array().unwrap().iter().find(|p| p["roles"].to_string().contains("token"));
        assert_eq!(token.unwrap()["name"], "token-hmac", "{list}");
        postern.stop().await;
        postern.restart().await;
    }
    let postern = with_an_open_candidate("127.0.0.1:0").await;
    postern.done(&["plugin", "activate", "rogue-token"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn s_the_open_policy_stores_nothing_and_refuses_what_it_says() {
    let postern = Postern::start(|c| c.policy_file("open")).await;
    let mut peer = Peer::to(&postern, "tcp").await;
    let ack = peer
        .connect(Connect { keep_alive: 600, ..connect(Version::V5, "any/client id") })
        .await
        .expect("CONNACK");
    assert_eq!(ack.server_keep_alive, Some(60));
    assert!(peer.subscribe("test/nosubscribe", QoS::AtMostOnce).await as u8 >= 0x80);
    assert_eq!(peer.subscribe("#", QoS::AtMostOnce).await, ReasonCode::Success);
    peer.send(publish("im/u/bob/alice", "of class other", QoS::AtMostOnce)).await;
    let Packet::Publish(got) = peer.packet().await else { panic!("expected PUBLISH") };
    assert_eq!(body(&got), "of class other");
}
