//! Login: HTTPS → role login → bus → role token → answer.

use phone::ApiError;
use postern_broker::wire::ReasonCode;
use postern_tests::{Postern, password};

/// Status and title of a refusal.
fn refused(error: ApiError) -> (u16, String, Option<u64>) {
    match error {
        ApiError::Refused { status, title, retry_after, .. } => (status, title, retry_after),
        other => panic!("no answer: {other}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a1_phone_and_pc_log_in_and_chat_by_the_same_flow() {
    let postern = Postern::start(|_| {}).await;
    let mut phone = postern.session("alice", "alice-phone").await;
    let mut pc = postern.session("bob", "bob-pc").await;

    let ack = phone.send("bob", "m1", "from the phone").await;
    assert!((ack.reason as u8) < 0x80, "{ack:?}");
    let got = pc.message().await;
    assert_eq!((&*got.topic, &got.payload[..]), ("im/u/bob/alice", &b"from the phone"[..]));

    pc.send("alice", "m2", "from the pc").await;
    let got = phone.message().await;
    assert_eq!((&*got.topic, &got.payload[..]), ("im/u/alice/bob", &b"from the pc"[..]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a5_a_login_is_answered_by_the_static_group_with_all_that_a_device_needs() {
    let postern = Postern::start(|_| {}).await;
    postern.user_of("alice", "acme", &["ops"]).await;
    let login = postern.login("alice", &password("alice"), "phone").await.unwrap();

    assert_eq!(login.user, "alice");
    assert_eq!(
        (login.profile.org.as_str(), login.profile.groups.as_slice()),
        ("acme", &["ops".to_owned()][..])
    );
    assert!(login.server_time > 1_700_000_000_000 && login.token.expires_at > login.server_time);
    let brokers: Vec<_> = login.brokers.iter().map(|b| (b.listener.as_str(), b.transport.as_str())).collect();
    assert_eq!(brokers, [("tcp", "plain"), ("tls", "tls"), ("ws", "plain"), ("wss", "tls")]);
    for broker in &login.brokers {
        assert!(postern.address(&broker.listener).ends_with(&format!(":{}", broker.port)));
    }
    assert!(postern.metric("postern_plugin_calls_total", "role=\"login\"").await >= 1.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a6_the_profile_is_sent_after_a_successful_login_and_never_before() {
    let postern = Postern::start(|_| {}).await;
    postern.user_of("alice", "secret-organisation", &["secret-group"]).await;

    // Wrong password, then the right one, on a connection whose whole answers are read.
    for (typed, shown) in [("wrong".to_owned(), false), (password("alice"), true)] {
        let (api, postern_ca) = (format!("https://{}/v1/login", postern.address("http")), postern.ca());
        let answer =
            tokio::task::spawn_blocking(move || raw_login(&api, &postern_ca, "alice", &typed)).await.unwrap();
        assert_eq!(answer.contains("secret-organisation"), shown, "{answer}");
        assert_eq!(answer.contains("secret-group"), shown, "{answer}");
    }
}

/// The body of a login's answer, whatever its status.
fn raw_login(url: &str, ca: &[u8], user: &str, password: &str) -> String {
    use ureq::tls::{Certificate, RootCerts, TlsConfig};
    let roots = RootCerts::new_with_certs(&[Certificate::from_pem(ca).unwrap()]);
    let tls = TlsConfig::builder().root_certs(roots).build();
    let config = ureq::Agent::config_builder().tls_config(tls).http_status_as_error(false).build();
    let body = serde_json::json!({ "user": user, "password": password, "client_id": "phone" });
    let agent: ureq::Agent = config.into();
    agent.post(url).send_json(body).unwrap().body_mut().read_to_string().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a13_the_directory_shows_ones_own_people_and_partners_and_nobody_else() {
    let postern = Postern::start(|_| {}).await;
    for (user, org) in [("alice", "acme"), ("bob", "acme"), ("carol", "globex"), ("dave", "initech")] {
        postern.user_of(user, org, &[]).await;
    }
    postern.done(&["partner", "add", "acme", "globex", "--relation", "upstream"]).await;

    let seen = |login: phone::Login| -> Vec<(String, String)> {
        login.people().into_iter().map(|p| (p.user, p.relation)).collect()
    };
    let pairs = |list: &[(&str, &str)]| -> Vec<(String, String)> {
        list.iter().map(|(user, relation)| ((*user).to_owned(), (*relation).to_owned())).collect()
    };
    let alice = postern.login("alice", &password("alice"), "phone").await.unwrap();
    assert_eq!(seen(alice), pairs(&[("alice", "same"), ("bob", "internal"), ("carol", "upstream")]));
    let carol = postern.login("carol", &password("carol"), "phone").await.unwrap();
    assert_eq!(seen(carol), pairs(&[("alice", "downstream"), ("bob", "downstream"), ("carol", "same")]));
    let dave = postern.login("dave", &password("dave"), "phone").await.unwrap();
    assert_eq!(seen(dave), pairs(&[("dave", "same")]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a13_a_change_of_the_directory_holds_on_live_sessions() {
    let postern = Postern::start(|c| c.set("log.filter", "info,postern::control::heard=debug")).await;
    postern.user_of("carol", "globex", &[]).await;
    let mut alice = postern.session("alice", "phone").await;
    assert_eq!(alice.send("carol", "m1", "are you there?").await.reason, ReasonCode::NotAuthorized);
    // She joins; the brokers hear it on the bus, as they did of carol and alice at first.
    postern.user_of("carol", "acme", &[]).await;
    postern.logged_times("the directory changed", 3).await;
    let ack = alice.send("carol", "m2", "and now?").await;
    assert!((ack.reason as u8) < 0x80, "{ack:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn s_wrong_password_unknown_and_locked_users_look_the_same_and_cost_one_argon2() {
    let postern = Postern::start(|_| {}).await;
    postern.user("alice").await;
    postern.user("locked").await;
    postern.done(&["user", "lock", "locked"]).await;

    let mut answers = Vec::new();
    for (user, typed) in [
        ("alice", "wrong".to_owned()),
        ("nobody", password("nobody")),
        ("locked", password("locked")),
        ("locked", "wrong".to_owned()),
    ] {
        let before = postern.metric("postern_argon2_total", "").await;
        let error = postern.login(user, &typed, "phone").await.expect_err("refused");
        answers.push(error.to_string());
        let spent = postern.metric("postern_argon2_total", "").await - before;
        assert_eq!(spent, 1.0, "argon2 computations for {user}");
        assert_eq!(refused(error).0, 401);
    }
    answers.dedup();
    assert_eq!(answers.len(), 1, "the answers differ: {answers:?}");

    let before = postern.metric("postern_argon2_total", "").await;
    postern.login("alice", &password("alice"), "phone").await.unwrap();
    assert_eq!(
        postern.metric("postern_argon2_total", "").await - before,
        1.0,
        "a right password costs the same"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn s_login_attempts_are_limited_per_user() {
    let postern = Postern::start(|c| c.set("limits.login_per_user_per_minute", 3)).await;
    postern.user("alice").await;
    for _ in 0..3 {
        let error = postern.login("alice", "wrong", "phone").await.expect_err("refused");
        assert_eq!(refused(error).0, 401);
    }
    let before = postern.metric("postern_argon2_total", "").await;
    // Even the right password, and a name that does not exist counts the same.
    let error = postern.login("alice", &password("alice"), "phone").await.expect_err("too many");
    let (status, _, retry_after) = refused(error);
    assert_eq!(status, 429);
    assert!(retry_after.is_some_and(|secs| (1..=60).contains(&secs)), "Retry-After: {retry_after:?}");
    assert_eq!(
        postern.metric("postern_argon2_total", "").await,
        before,
        "a refused attempt computes nothing"
    );
    // Another user is not kept out by it.
    postern.user("bob").await;
    postern.login("bob", &password("bob"), "phone").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn s_login_attempts_are_limited_per_address() {
    let postern = Postern::start(|c| c.set("limits.login_per_address_per_minute", 3)).await;
    postern.user("alice").await;
    for user in ["u1", "u2", "u3"] {
        assert_eq!(refused(postern.login(user, "wrong", "phone").await.expect_err("refused")).0, 401);
    }
    let error = postern.login("alice", &password("alice"), "phone").await.expect_err("too many");
    assert_eq!(refused(error).0, 429);
}
