//! Terminals enrol (rule 12): a key pair of their own, logins by it, and a new one when they come back
//! late.

use std::os::unix::fs::PermissionsExt;

use postern_broker::wire::ReasonCode;
use postern_tests::{KeyPair, Kind, Postern, password};
use serde_json::Value;

async fn enrols_and_logs_in(kind: Kind) {
    let postern = Postern::start(|_| {}).await;
    let Some(key) = postern.enrol(kind, "car-1").await else {
        return postern_tests::not_run("the packages of examples/terminal-python are not installed");
    };
    let file = postern.terminal_state("car-1").join("key");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(postern.json(&["user", "list"]).await[0]["key"], key.as_str());
    let private = std::fs::read_to_string(&file).unwrap();
    assert!(!key.contains(private.trim()));

    let before = postern.metric("postern_argon2_total", "").await;
    let mut car = postern.start_terminal(kind, "car-1", &[], &[]).await.unwrap();
    car.event("logged-in").await;
    car.is_on("plain").await;
    assert_eq!(postern.metric("postern_logins_total", "by=\"key\"").await, 1.0);
    assert_eq!(postern.metric("postern_argon2_total", "").await, before, "no password was tried");
    // It keeps its key whatever is enrolled again.
    assert_eq!(postern.enrol(kind, "car-1").await.unwrap(), key);
}

#[tokio::test]
async fn rule_12_the_rust_terminal_enrols_and_logs_in_by_its_key() {
    enrols_and_logs_in(Kind::Rust).await;
}

#[tokio::test]
async fn rule_12_the_python_terminal_enrols_and_logs_in_by_its_key() {
    enrols_and_logs_in(Kind::Python).await;
}

async fn comes_back(kind: Kind) {
    let postern = Postern::start(|c| c.policy("plugins.token-hmac.config.lifetime_secs", 2)).await;
    if postern.enrol(kind, "car-1").await.is_none() {
        return postern_tests::not_run("the packages of examples/terminal-python are not installed");
    }
    // While it is on: the link ends with the token.
    let mut car = postern.start_terminal(kind, "car-1", &[], &[]).await.unwrap();
    car.event("logged-in").await;
    car.is_on("plain").await;
    car.event("logged-in").await;
    car.is_on("plain").await;
    car.kill().await;

    // After weeks in a garage, of which only the token's end matters.
    let file = postern.terminal_state("car-1").join("state.json");
    let mut state: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    state["token"]["expires_at"] = 1_700_000_000_000_u64.into();
    std::fs::write(&file, state.to_string()).unwrap();
    let mut car = postern.start_terminal(kind, "car-1", &[], &[]).await.unwrap();
    car.event("logged-in").await;
    assert_eq!(car.events.len(), 1, "the expired token was not tried: {:?}", car.events);
    car.is_on("plain").await;
}

#[tokio::test]
async fn rule_12_a_rust_terminal_with_an_expired_token_logs_in_again_by_itself() {
    comes_back(Kind::Rust).await;
}

#[tokio::test]
async fn rule_12_a_python_terminal_with_an_expired_token_logs_in_again_by_itself() {
    comes_back(Kind::Python).await;
}

#[tokio::test]
async fn rule_12_a_terminal_without_a_credential_says_so() {
    let postern = Postern::start(|_| {}).await;
    for kind in [Kind::Rust, Kind::Python] {
        let state = postern.terminal_state("car-1");
        let Some(told) = postern.terminal_fails(kind, "car-1", &[]).await else {
            return postern_tests::not_run("the packages of examples/terminal-python are not installed");
        };
        assert!(told.contains("--enrol") && told.trim().lines().count() == 1, "{kind:?}: {told}");
        std::fs::create_dir_all(&state).unwrap();
        std::fs::write(state.join("key"), "no key").unwrap();
        std::fs::set_permissions(state.join("key"), std::fs::Permissions::from_mode(0o644)).unwrap();
        let told = postern.terminal_fails(kind, "car-1", &[]).await.unwrap();
        assert!(told.contains("chmod 600"), "{kind:?}: {told}");
        std::fs::remove_dir_all(&state).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_12_another_key_ends_tokens_and_links_and_the_same_does_not() {
    let postern = Postern::start(|_| {}).await;
    let (old, new) = (KeyPair::of(1), KeyPair::of(2));
    postern.user_with_key("car-1", &old).await;
    let change = async |words: &[&str]| {
        let words = [&["user", "add", "car-1"], words].concat();
        postern.json(&words).await["revoked"].as_u64().unwrap()
    };
    let link = async |pair: &KeyPair| {
        let login = postern.login_by_key("car-1", pair).await.expect("the key is registered");
        postern.device_of("car-1", "unit", login).sign_in(&postern).await
    };
    let session = link(&old).await;
    assert_eq!(change(&["--key", &old.public()]).await, 0);
    assert_eq!(change(&["--key", &new.public()]).await, 1);
    assert_eq!(session.ended().await, Some(ReasonCode::NotAuthorized));
    assert!(postern.login_by_key("car-1", &old).await.is_err(), "the key of before");

    let session = link(&new).await;
    assert_eq!(change(&["--no-key"]).await, 1);
    assert_eq!(session.ended().await, Some(ReasonCode::NotAuthorized));
    assert!(postern.login_by_key("car-1", &new).await.is_err(), "no key any more");
    assert_eq!(postern.json(&["user", "list"]).await[0].get("key"), None);

    // A first key beside a password is a new credential, too.
    postern.login("alice", "x", "phone").await.expect_err("she is not there yet");
    postern.user("alice").await;
    postern.login("alice", &password("alice"), "phone").await.unwrap();
    let added = postern.json(&["user", "add", "alice", "--key", &new.public()]).await;
    assert_eq!(added["revoked"], 1);
    postern.login_by_key("alice", &new).await.unwrap();
    postern.login("alice", &password("alice"), "phone").await.expect("the password stays");
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_12_a_key_that_is_none_is_refused_by_name() {
    let postern = Postern::start(|_| {}).await;
    let good = KeyPair::of(1).public();
    let zeros = "A".repeat(43);
    let folder = postern.folder().display().to_string();
    let add = ["user", "add", "car-1", "--org", "acme"];
    for (more, named) in [
        (&["--key", &good[..42]][..], "--key"),
        (&["--key", "/nowhere/key.pub"], "no such file"),
        (&["--key", &folder], "--key"),
        (&["--key", &zeros], "weak"),
        (&["--key", &good, "--no-key"], "--no-key"),
        (&["--no-key"], "needs a password or a key"),
        (&[], "needs a password or a key"),
    ] {
        let output = postern.cli(&[&add, more].concat()).await;
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && told.contains(named), "{more:?}: {told}");
    }
    assert_eq!(postern.json(&["user", "list"]).await.as_array().unwrap().len(), 0);
    let file = postern.folder().join("car.pub");
    std::fs::write(&file, format!("{good}\n")).unwrap();
    postern.done(&[&add[..], &["--key", file.to_str().unwrap()]].concat()).await;
    postern.login_by_key("car-1", &KeyPair::of(1)).await.unwrap();
    let table = postern.done(&["user", "list"]).await;
    assert!(table.contains(&good), "{table}");
}
