//! How tokens end, and what ends with them: links, renewals, wills.

use phone::{ApiError, Token};
use postern_broker::wire::{Connect, Publish, QoS, ReasonCode, Version, Will};
use postern_tests::{Device, Peer, Postern, Session, body, connect, publish, text};
use serde_json::Value;

/// What the HTTP side answers to a token's holder, on a thread of its own.
async fn api<T: Send + 'static>(
    postern: &Postern,
    token: &Token,
    ask: impl FnOnce(phone::Api, Token) -> T + Send + 'static,
) -> T {
    let (api, token) = (postern.api(), token.clone());
    tokio::task::spawn_blocking(move || ask(api, token)).await.unwrap()
}

async fn renew(postern: &Postern, token: &Token) -> Result<Token, ApiError> {
    let renewed: Result<Value, ApiError> =
        api(postern, token, |api, token| api.post(&token, "/v1/token", &serde_json::json!({}))).await;
    renewed.map(|answer| serde_json::from_value(answer["token"].clone()).unwrap())
}

async fn log_out(postern: &Postern, token: &Token) {
    api(postern, token, |api, token| api.delete(&token, "/v1/token")).await.expect("logged out");
}

/// The status of a request with this token.
async fn status(postern: &Postern, token: &Token) -> u16 {
    match api(postern, token, |api, token| api.get::<Value>(&token, "/v1/me")).await {
        Ok(_) => 200,
        Err(ApiError::Refused { status, .. }) => status,
        Err(other) => panic!("no answer: {other}"),
    }
}

fn token(device: &Device) -> Token {
    device.state.login().token.clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn s_revocation_ends_links_whatever_the_plugin_answers() {
    for how in ["trap", "spin"] {
        let postern = Postern::start(|c| c.rogue("token", how, "revoke")).await;
        for user in ["alice", "bob"] {
            postern.user_of(user, "rogue", &[]).await;
        }
        let mut bob = postern.session("bob", "pc").await;
        let mut device = postern.device("alice", "phone").await;
        for words in [
            &["token", "revoke", "--user", "alice"][..],
            &["token", "revoke", "--user", "alice", "--device", "phone"],
            &["token", "revoke", "--token", "alice.phone"],
            &["user", "lock", "alice"],
        ] {
            let alice = device.sign_in(&postern).await;
            let output = postern.cli(words).await;
            assert!(!output.status.success(), "{how} {words:?}: the tokens are still good, and that is said");
            assert_eq!(alice.ended().await, Some(ReasonCode::NotAuthorized), "{how} {words:?}");
        }
        bob.peer.so_far().await;
        // The plugin would renew it; the directory says that nobody is there to have it.
        let refused = renew(&postern, &token(&device)).await;
        assert!(matches!(refused, Err(ApiError::Refused { status: 403, .. })), "{how}: {refused:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn s_many_tokens_of_a_user_end_all() {
    let postern = Postern::start(|c| {
        c.set("limits.renewals_per_token_per_minute", 1_000);
        c.set("limits.renewals_per_user_per_minute", 1_000);
        c.policy("plugins.token-hmac.config.tokens_per_device", 1_000);
    })
    .await;
    let mut device = postern.device("alice", "phone").await;
    let session = device.sign_in(&postern).await;
    let mut tokens = vec![token(&device)];
    for _ in 0..60 {
        tokens.push(renew(&postern, &tokens[0]).await.unwrap());
    }
    let revoked = postern.json(&["token", "revoke", "--user", "alice"]).await;
    assert_eq!(revoked["tokens"].as_array().unwrap().len(), 61, "{revoked}");
    assert_eq!(session.ended().await, Some(ReasonCode::NotAuthorized));
    for token in [&tokens[0], &tokens[30], &tokens[60]] {
        assert_eq!(status(&postern, token).await, 401);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn s_logging_out_ends_what_was_renewed_and_its_links() {
    let postern = Postern::start(|_| {}).await;
    // By the first token, and by the one that it was renewed to.
    for by_first in [true, false] {
        let mut device = postern.device("alice", "phone").await;
        let session = device.sign_in(&postern).await;
        let first = token(&device);
        let second = renew(&postern, &first).await.unwrap();
        let third = renew(&postern, &second).await.unwrap();
        log_out(&postern, if by_first { &first } else { &third }).await;
        assert_eq!(session.ended().await, Some(ReasonCode::NotAuthorized), "{by_first}");
        for token in [&first, &second, &third] {
            assert_eq!(status(&postern, token).await, 401, "{by_first}");
        }
    }
    // Another login of the same device has a life of its own.
    let former = token(&postern.device("alice", "phone").await);
    let mut session = postern.session("alice", "phone").await;
    log_out(&postern, &former).await;
    session.send("alice", "m1", "still here").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn s_renewals_are_limited_and_a_device_has_so_many_tokens() {
    let postern = Postern::start(|c| {
        c.set("limits.renewals_per_token_per_minute", 3);
        c.policy("plugins.token-hmac.config.tokens_per_device", 3);
    })
    .await;
    let first = token(&postern.device("alice", "phone").await);
    let mut renewed = Vec::new();
    for _ in 0..3 {
        renewed.push(renew(&postern, &first).await.unwrap());
    }
    let refused = renew(&postern, &first).await;
    let limited = matches!(refused, Err(ApiError::Refused { status: 429, retry_after: Some(1..), .. }));
    assert!(limited, "{refused:?}");
    assert_eq!(postern.metric("postern_refused_total", "renewal-rate").await, 1.0);
    // Three of the four are good: the one in use and the last two.
    assert_eq!(status(&postern, &first).await, 200);
    assert_eq!(status(&postern, &renewed[0]).await, 401);
    assert_eq!(status(&postern, &renewed[2]).await, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn s_a_renewed_token_says_what_is_true_now() {
    let postern = Postern::start(|_| {}).await;
    postern.user_of("bob", "acme", &["ops"]).await;
    let mut bob = postern.session("bob", "pc").await;
    let mut device = postern.device("alice", "phone").await;
    let first = token(&device);
    let mut alice = device.sign_in(&postern).await;
    assert_eq!(alice.publish("im/g/ops/alice", "m1", "not a member").await.reason, ReasonCode::NotAuthorized);

    // What is given ends nothing, and holds from the next token on.
    postern.done(&["user", "add", "alice", "--group", "ops"]).await;
    let second = renew(&postern, &first).await.unwrap();
    let (user_name, password) = (Some(text(&second.id)), Some(second.bearer.clone().into()));
    let mut peer = Peer::to(&postern, "tls").await;
    let ack = peer.connect(Connect { user_name, password, ..connect(Version::V5, "phone") }).await.unwrap();
    assert_eq!(ack.reason, ReasonCode::Success);
    assert_eq!(alice.ended().await, Some(ReasonCode::SessionTakenOver));
    let packet_id = Some(peer.next_id());
    peer.send(Publish { packet_id, ..publish("im/g/ops/alice", "a member", QoS::AtLeastOnce) }).await;
    assert_eq!(body(&bob.message().await), "a member");

    // What is taken away is taken at once: what the tokens say is not true any more.
    postern.done(&["user", "add", "alice", "--org", "globex"]).await;
    peer.closed().await;
    assert_eq!((status(&postern, &first).await, status(&postern, &second).await), (401, 401));
}

/// Alice with a will to bob, so many seconds after her link is gone.
async fn with_last_words(postern: &Postern, words: &'static str, delay_interval: u32) -> Session {
    let will = Will {
        topic: text("im/u/bob/alice"),
        payload: words.into(),
        qos: QoS::AtLeastOnce,
        retain: false,
        delay_interval,
        properties: None,
    };
    let mut device = postern.device("alice", "phone").await;
    device.sign_in_on(postern, "tls", |connect| connect.will = Some(will.into())).await
}

#[tokio::test(flavor = "multi_thread")]
async fn s_whoever_is_locked_or_revoked_leaves_no_last_words() {
    let postern = Postern::start(|_| {}).await;
    let mut bob = postern.session("bob", "pc").await;

    // The link goes first, and the will is due when the user is locked already.
    drop(with_last_words(&postern, "of a locked user", 10).await);
    assert_eq!(bob.status_of("alice").await, "online");
    assert_eq!(bob.status_of("alice").await, "offline");
    postern.done(&["user", "lock", "alice"]).await;
    let said = postern.logged("a will was not published").await;
    assert!(said.contains("sign-in is over"), "{said}");

    // Locked with a link: the will is dropped with it.
    postern.done(&["user", "unlock", "alice"]).await;
    let session = with_last_words(&postern, "of a revoked link", 0).await;
    postern.done(&["user", "lock", "alice"]).await;
    assert_eq!(session.ended().await, Some(ReasonCode::NotAuthorized));

    // One who may speak is heard, and is the first.
    postern.done(&["user", "unlock", "alice"]).await;
    drop(with_last_words(&postern, "of one who may", 0).await);
    assert_eq!(body(&bob.message().await), "of one who may");
}
