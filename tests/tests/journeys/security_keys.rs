//! Logins by key that must be refused (rule 12): signatures, challenges, and what is both or neither.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use phone::ApiError;
use postern_tests::{KeyPair, Postern, password};
use ring::{hkdf, hmac};
use serde_json::{Value, json};

/// By which name the tests call the server.
const HOST: &str = "127.0.0.1";

/// Status, and all that is said.
fn refused<T: std::fmt::Debug>(answer: Result<T, ApiError>) -> (u16, String) {
    match answer.expect_err("refused") {
        ApiError::Refused { status, title, detail, .. } => {
            (status, title + " / " + &detail.unwrap_or_default())
        }
        other => panic!("no answer: {other}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_12_wrong_signatures_unknown_and_locked_users_look_the_same() {
    let postern = Postern::start(|_| {}).await;
    let (ours, other) = (KeyPair::of(1), KeyPair::of(2));
    postern.user_with_key("car-1", &ours).await;
    postern.user_with_key("car-2", &other).await;
    postern.user_with_key("car-3", &ours).await;
    postern.done(&["user", "lock", "car-3"]).await;
    postern.user("no-key").await;
    let hashed = postern.metric("postern_argon2_total", "").await;

    // The signature, and what it is shown for.
    let altered = [
        (&other, "car-1", "car-1", HOST, "a wrong key"),
        (&other, "car-2", "car-1", HOST, "another user's key and name"),
        (&ours, "car-1", "car-2", HOST, "another user's name"),
        (&ours, "car-1", "car-1", "localhost", "another name of the server"),
        (&ours, "nobody", "nobody", HOST, "an unknown user"),
        (&ours, "car-3", "car-3", HOST, "a locked user"),
        (&ours, "no-key", "no-key", HOST, "a user without a key"),
    ];
    let mut told = Vec::new();
    for (pair, signed_for, user, host, what) in altered {
        let mut answer = pair.answer(&postern.challenge().await, signed_for, host);
        answer["user"] = user.into();
        told.push((refused(postern.post_login(answer).await), what));
    }
    // Another device, and one bit of the signature.
    let mut answer = ours.answer(&postern.challenge().await, "car-1", HOST);
    answer["client_id"] = "another".into();
    told.push((refused(postern.post_login(answer).await), "another device"));
    let mut answer = ours.answer(&postern.challenge().await, "car-1", HOST);
    let mut signature = URL_SAFE_NO_PAD.decode(answer["signature"].as_str().unwrap()).unwrap();
    signature[40] ^= 1;
    answer["signature"] = URL_SAFE_NO_PAD.encode(signature).into();
    told.push((refused(postern.post_login(answer).await), "an altered signature"));

    for (answer, what) in &told {
        assert_eq!(answer, &(401, "Login refused / ".to_owned()), "{what}");
    }
    let count = async |label| postern.metric("postern_logins_total", label).await;
    assert_eq!(count("outcome=\"denied\"").await, f64::from(u32::try_from(told.len()).unwrap()));
    assert_eq!(postern.metric("postern_argon2_total", "").await, hashed);
    postern.login_by_key("car-1", &ours).await.expect("the right one");
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_12_failures_by_key_and_by_password_are_counted_together() {
    let postern = Postern::start(|c| c.policy("plugins.login-table.config.max_failures", 3)).await;
    postern.user("car-1").await;
    let (ours, other) = (KeyPair::of(1), KeyPair::of(2));
    postern.done(&["user", "add", "car-1", "--key", &ours.public()]).await;
    for _ in 0..2 {
        assert_eq!(refused(postern.login_by_key("car-1", &other).await).0, 401);
    }
    assert_eq!(refused(postern.login("car-1", "a wrong one", "unit").await).0, 401);
    assert_eq!(refused(postern.login_by_key("car-1", &ours).await).0, 429);
    assert_eq!(refused(postern.login("car-1", &password("car-1"), "unit").await).0, 429);
}

/// A challenge as the server makes it, for the master key that the tests' servers share.
fn forged(expires_at: u64, master: u8) -> String {
    let derived = hkdf::Salt::new(hkdf::HKDF_SHA256, &[]).extract(&[master; 32]);
    let mut key = [0; 32];
    derived.expand(&[b"postern key login-challenge"], hkdf::HKDF_SHA256).unwrap().fill(&mut key).unwrap();
    let mut challenge = [&[1][..], &expires_at.to_be_bytes(), &[9; 16]].concat();
    let mac = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &key), &challenge);
    challenge.extend(mac.as_ref());
    URL_SAFE_NO_PAD.encode(challenge)
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_12_a_challenge_is_good_once_in_time_and_at_its_own_server() {
    let postern = Postern::start(|_| {}).await;
    let other = Postern::start(|c| c.shares_key = false).await;
    let pair = KeyPair::of(1);
    postern.user_with_key("car-1", &pair).await;
    let told =
        async |challenge: &str| refused(postern.post_login(pair.answer(challenge, "car-1", HOST)).await);

    let used = postern.challenge().await;
    postern.post_login(pair.answer(&used, "car-1", HOST)).await.expect("a fresh one");
    let (status, why) = told(&used).await;
    assert!(status == 401 && why.contains("used already"), "{status} {why}");
    // Used up by a failure, too.
    let failed = postern.challenge().await;
    refused(postern.post_login(KeyPair::of(2).answer(&failed, "car-1", HOST)).await);
    assert!(told(&failed).await.1.contains("used already"));

    let now = phone::now_ms();
    let (status, why) = told(&forged(now - 1, 7)).await;
    assert!(status == 401 && why.contains("expired"), "{status} {why}");
    for foreign in [forged(now + 30_000, 8), other.challenge().await] {
        let (status, why) = told(&foreign).await;
        assert!(status == 401 && why.contains("not one of this server's"), "{status} {why}");
    }
    let mut altered = URL_SAFE_NO_PAD.decode(postern.challenge().await).unwrap();
    altered[8] ^= 0x80; // some more milliseconds
    assert!(told(&URL_SAFE_NO_PAD.encode(altered)).await.1.contains("not one of this server's"));

    let counted = postern.metric("postern_refused_total", "reason=\"login-challenge\"").await;
    assert_eq!(counted, 6.0);
    // That the forging is right: in time it is taken.
    postern.post_login(pair.answer(&forged(now + 30_000, 7), "car-1", HOST)).await.expect("in time");
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_12_the_same_answer_at_once_is_accepted_exactly_once() {
    let postern = Postern::start(|_| {}).await;
    let pair = KeyPair::of(1);
    postern.user_with_key("car-1", &pair).await;
    let answer = pair.answer(&postern.challenge().await, "car-1", HOST);
    let attempts = (0..8).map(|_| postern.post_login(answer.clone()));
    let answers = futures_util::future::join_all(attempts).await;
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1, "{answers:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_12_what_was_signed_for_another_servers_name_is_worth_nothing_here() {
    let postern = Postern::start(|_| {}).await;
    let pair = KeyPair::of(1);
    postern.user_with_key("car-1", &pair).await;
    // An impostor who got our challenge has it signed for himself, and passes it on.
    let answer = pair.answer(&postern.challenge().await, "car-1", "evil.example");
    let (url, ca) = (format!("https://{}/v1/login", postern.address("http")), postern.ca());
    let posted = tokio::task::spawn_blocking(move || {
        let certificate = ureq::tls::Certificate::from_pem(&ca).unwrap();
        let roots = ureq::tls::RootCerts::new_with_certs(&[certificate]);
        let tls = ureq::tls::TlsConfig::builder().root_certs(roots).build();
        let agent: ureq::Agent =
            ureq::Agent::config_builder().tls_config(tls).http_status_as_error(false).build().into();
        let mut answer = agent.post(url).header("Host", "evil.example").send_json(answer).unwrap();
        (answer.status().as_u16(), answer.body_mut().read_json::<Value>().unwrap())
    });
    let (status, problem) = posted.await.unwrap();
    assert_eq!(status, 401, "{problem}");
    assert!(
        problem["detail"].as_str().unwrap().contains("no name of this server's certificate"),
        "{problem}"
    );
    assert_eq!(postern.metric("postern_refused_total", "reason=\"login-host\"").await, 1.0);
    let local = pair.answer(&postern.challenge().await, "car-1", HOST);
    postern.post_login(local).await.expect("by our own name");
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_12_a_login_is_by_password_or_by_key_and_bad_input_is_named() {
    let postern = Postern::start(|_| {}).await;
    let pair = KeyPair::of(1);
    postern.user("car-1").await;
    postern.done(&["user", "add", "car-1", "--key", &pair.public()]).await;
    let answer = pair.answer(&postern.challenge().await, "car-1", HOST);
    let with = |changes: Value| {
        let mut body = answer.clone();
        for (key, value) in changes.as_object().unwrap() {
            body[key] = value.clone();
        }
        body
    };
    let cases = [
        (with(json!({ "password": password("car-1") })), "either password, or challenge and signature"),
        (with(json!({ "signature": null })), "either password, or challenge and signature"),
        (with(json!({ "challenge": null })), "either password, or challenge and signature"),
        (
            with(json!({ "challenge": null, "signature": null })),
            "either password, or challenge and signature",
        ),
        (with(json!({ "signature": "" })), "signature must"),
        (with(json!({ "signature": "A".repeat(30_000) })), "signature must"),
        (with(json!({ "signature": "not base64url!".repeat(7) })), "signature must"),
        (with(json!({ "challenge": "" })), "challenge must"),
        (with(json!({ "challenge": "A".repeat(77) })), "challenge must"),
        (with(json!({ "challenge": 7 })), "not the JSON"),
        (with(json!({ "user": "x".repeat(65) })), "user must"),
        (with(json!({ "client_id": "" })), "client_id must"),
    ];
    for (body, named) in cases {
        let (status, why) = refused(postern.post_login(body).await);
        assert!(status == 400 && why.contains(named), "{named}: {status} {why}");
    }
    postern.post_login(answer).await.expect("none of them used the challenge up");
    postern.login("car-1", &password("car-1"), "unit").await.expect("nor counted against the user");
}
