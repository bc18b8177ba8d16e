//! Another policy while everything runs: what can change does, what cannot is said, and what is wrong changes nothing.

use postern_broker::wire::ReasonCode;
use postern_tests::{Postern, TLS};
use toml::Value;

use crate::reload::hang_up;

fn list(items: &[&str]) -> Value {
    Value::Array(items.iter().map(|item| Value::from(*item)).collect())
}

async fn refused(postern: &Postern) -> String {
    let output = postern.cli(&["reload"]).await;
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[tokio::test]
async fn c2_policy_is_reloaded_without_dropping_a_link() {
    let mut postern = Postern::start(|_| {}).await;
    let mut alice = postern.session("alice", "phone").await;
    let long = "a text of more than ten bytes";
    assert_eq!(alice.send("alice", "1", long).await.reason, ReasonCode::Success);
    let generation = async |postern: &Postern| {
        let plugins = postern.json(&["plugin", "list"]).await;
        let all = plugins.as_array().unwrap().iter();
        let mut store = all.filter(|it| it["name"] == "store-sql");
        store.next().unwrap()["generation"].as_u64().unwrap()
    };
    let before = generation(&postern).await;

    // A plugin's table: it serves again under it, and nothing else does.
    postern.settings().policy("plugins.store-sql.config.max_body_bytes", 10);
    postern.settings().policy("activation.probation_secs", 61);
    postern.rewrite();
    let told = postern.done(&["reload"]).await;
    assert!(told.contains("loaded again under it: store-sql\n") || told.contains("unchanged"), "{told}");
    assert!(generation(&postern).await > before);
    assert!(alice.send("alice", "2", long).await.reason.is_error(), "the new bound holds");
    assert_eq!(alice.send("alice", "3", "short").await.reason, ReasonCode::Success);

    // What would not pass leaves the old one in force, all of it.
    let serving = generation(&postern).await;
    postern.settings().policy("plugins.store-sql.config.max_body_bytes", 1_000);
    postern.settings().policy("plugins.token-hmac.grants", list(&["log"]));
    postern.rewrite();
    let told = refused(&postern).await;
    assert!(told.contains("token-hmac") && told.contains("what served serves on"), "{told}");
    assert!(alice.send("alice", "4", long).await.reason.is_error(), "nothing of it is applied");
    assert_eq!(generation(&postern).await, serving);
    let status = postern.done(&["status"]).await;
    assert!(status.contains("new policy refused: "), "{status}");
    assert_eq!(postern.metric("postern_reload_refused", "policy").await, 1.0);
    for (text, why) in [("[roles", "line 1"), ("", "roles.login: not set"), ("[role]\n", "unknown field")] {
        std::fs::write(postern.folder().join("policy.toml"), text).unwrap();
        assert!(refused(&postern).await.contains(why), "{why}");
    }
    assert_eq!(alice.send("alice", "5", "short").await.reason, ReasonCode::Success);

    // By itself, when the file is good again; and what only a start reads is said, and waits.
    let granted = list(&["log", "random", "config", "keys", "kv"]);
    postern.settings().policy("plugins.token-hmac.grants", granted);
    postern.settings().policy("classes.all_other", true);
    postern.rewrite();
    postern.logged("read at a start only: restart").await;
    assert_eq!(alice.send("alice", "6", long).await.reason, ReasonCode::Success);
    let status = postern.done(&["status"]).await;
    assert!(
        status.contains("waits for a restart: classes.all_other") && !status.contains("refused"),
        "{status}"
    );
    let audit = std::fs::read_to_string(postern.data().join("audit.log")).unwrap();
    assert!(audit.contains(r#""by":"file","act":"reload","target":"policy""#), "{audit}");
}

#[tokio::test]
async fn s_a_changed_file_alone_does_not_lower_the_must_encrypt_floor() {
    let mut postern = Postern::start(|s| {
        // It says of every command that it may go on plain.
        s.role("encrypt", "rogue-encrypt");
        s.policy("plugins.rogue-encrypt.config.misbehave", "nonsense");
    })
    .await;
    let phone = postern.requester("alice", &["car-1"]).await;
    let mut car = postern.terminal("car-1").await;
    let mut link = car.drive(&postern, "tcp").await;
    link.query().await;

    // As of a file that has lost some lines.
    postern.settings().policy("must_encrypt.command_classes", list(&[]));
    postern.rewrite();
    postern.logged("the floor is not lowered because a file has changed").await;
    // A renewal of a certificate sends SIGHUP, and means no more by it.
    hang_up(&postern).await;
    postern.logged_times("the floor is not lowered because a file has changed", 2).await;
    phone.ask_for("car-1", "unlock").await;
    assert_eq!(link.instruction().await.to, TLS);
    assert!(link.came_already(|publish| publish.topic.starts_with("cmd/")).is_none());

    // Somebody means it.
    postern.done(&["reload"]).await;
    let mut truck = postern.terminal("truck-1").await;
    let bob = postern.requester("bob", &["truck-1"]).await;
    let mut link = truck.drive(&postern, "tcp").await;
    link.query().await;
    bob.ask_for("truck-1", "unlock").await;
    assert!(!link.command().await.must_encrypt);
}
