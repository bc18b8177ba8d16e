//! C2 and C3: a candidate is checked before it serves; one that fails leaves the old one serving.

use std::path::PathBuf;

use postern_tests::{Postern, body};

/// A server with a plugin folder of its own.
async fn start() -> Postern {
    let same = default_plugin("classify-topic");
    Postern::start(|c| c.plugin("classify-topic", &same)).await
}

fn default_plugin(name: &str) -> PathBuf {
    postern_tests::root().join(format!("target/plugins/{name}.wasm"))
}

/// Generation of a plugin, from `plugin list --json`.
async fn generation(postern: &Postern, name: &str) -> u64 {
    let list = postern.json(&["plugin", "list"]).await;
    let plugin = list.as_array().unwrap().iter().find(|p| p["name"] == name).expect("it is listed");
    assert_eq!(plugin["state"], "active");
    plugin["generation"].as_u64().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn c1_every_role_is_served_by_a_component() {
    let postern = Postern::start(|_| {}).await;
    let list = postern.json(&["plugin", "list"]).await;
    for role in ["login", "token", "classify", "store", "encrypt"] {
        let serving = list.as_array().unwrap().iter().filter(|p| p["roles"].to_string().contains(role));
        assert_eq!(serving.count(), 1, "{role}: {list}");
    }
    for key in ["name", "roles", "version", "generation", "state"] {
        assert!(!list[0][key].is_null(), "{key}: {list}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn c2_activating_swaps_without_disconnecting_losing_or_doubling() {
    let postern = start().await;
    let (mut alice, mut bob) = (postern.session("alice", "phone").await, postern.session("bob", "pc").await);
    let before = generation(&postern, "classify-topic").await;
    for n in 0..20 {
        let sent = alice.start("im/u/bob/alice", &format!("m{n}"), &format!("message {n}")).await;
        if n % 5 == 0 {
            postern.done(&["plugin", "activate", "classify-topic"]).await;
        }
        let ack = alice.acknowledged(sent).await;
        assert!((ack.reason as u8) < 0x80, "{ack:?}");
    }
    for n in 0..20 {
        assert_eq!(body(&bob.message().await), format!("message {n}"));
    }
    assert_eq!(bob.messages_so_far().await, []);
    assert!(generation(&postern, "classify-topic").await > before, "each activation is a new generation");
}

#[tokio::test(flavor = "multi_thread")]
async fn c3_a_candidate_that_fails_a_check_leaves_the_old_one_serving() {
    let postern = start().await;
    let (mut alice, mut bob) = (postern.session("alice", "phone").await, postern.session("bob", "pc").await);
    let file = postern.folder().join("plugins/classify-topic.wasm");
    let good = std::fs::read(&file).unwrap();
    let before = generation(&postern, "classify-topic").await;

    let token = std::fs::read(default_plugin("token-hmac")).unwrap();
    let candidates: [(&str, &[u8]); 4] = [
        ("cut short", &good[..good.len() / 2]),
        ("a core module", b"\0asm\x01\0\0\0"),
        ("another world", &token),
        ("empty", b""),
    ];
    for (n, (what, bytes)) in candidates.into_iter().enumerate() {
        std::fs::write(&file, bytes).unwrap();
        let output = postern.cli(&["plugin", "activate", "classify-topic"]).await;
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{what}: {told}");
        assert_eq!(told.trim_end().lines().count(), 1, "{what}: {told}");
        alice.send("bob", &format!("m{n}"), what).await;
        assert_eq!(body(&bob.message().await), what);
    }
    assert_eq!(generation(&postern, "classify-topic").await, before);
    let output = postern.cli(&["plugin", "activate", "no-such-plugin"]).await;
    assert_eq!(output.status.code(), Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn c2_what_was_activated_last_serves_after_a_restart() {
    // The policy begins with the default; the operator activates another for the same role.
    let other = postern_tests::guest_file("rogue-classify");
    let mut postern = Postern::start(|c| {
        c.plugin("rogue-classify", &other);
        c.policy("plugins.rogue-classify.grants", vec!["log", "config"]);
    })
    .await;
    postern.done(&["plugin", "activate", "rogue-classify"]).await;
    for _ in 0..2 {
        let list = postern.json(&["plugin", "list"]).await;
        let classify =
            list.as_array().unwrap().iter().find(|p| p["roles"].to_string().contains("classify")).unwrap();
        assert_eq!(classify["name"], "rogue-classify", "{list}");
        postern.stop().await;
        postern.restart().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn c3_a_file_is_called_as_its_plugin_is() {
    let postern = start().await;
    let renamed = postern.folder().join("plugins/renamed.wasm");
    std::fs::copy(default_plugin("classify-topic"), &renamed).unwrap();
    let output = postern.cli(&["plugin", "activate", "renamed"]).await;
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains("renamed.wasm") && told.contains("classify-topic"), "{told}");
}
