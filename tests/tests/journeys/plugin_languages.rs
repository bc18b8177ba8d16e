//! C7: plugins in Rust, C, JavaScript and Python load and work (examples/plugins).

use std::time::Duration;

use postern_tests::{Postern, body, not_run, root};
use toml::Value;

/// An engine for scripts takes ten seconds to compile, on a machine that has nothing else to do.
const COMPILED: Duration = Duration::from_secs(600);

/// Puts the example in the place of the default plugin while people are connected: from then on whoever is
/// signed in may raise an alarm, and no link ends.
async fn a_rule_changes_under_way(name: &str) {
    let file = root().join(format!("target/plugins-examples/{name}.wasm"));
    if !file.exists() {
        return not_run(&format!("{name}.wasm is not built: `cargo xtask plugins --examples` tells why"));
    }
    let postern = Postern::start(|c| {
        c.plugin(name, &file);
        c.policy(&format!("plugins.{name}.grants"), vec!["log", "config"]);
        c.policy(&format!("plugins.{name}.config.words"), vec!["FIRE", "Überfall"]);
        let rights = &mut c.policy["plugins"]["token-hmac"]["config"]["rights"]["tls"]["publish"];
        rights.as_array_mut().unwrap().push(Value::from("note/all"));
    })
    .await;
    // Compiled once before anybody is there: on a busy machine that takes longer than a keep alive.
    postern.done_within(COMPILED, &["plugin", "activate", name]).await;
    postern.done(&["plugin", "activate", "classify-topic"]).await;

    let (mut alice, mut bob) = (postern.session("alice", "phone").await, postern.session("bob", "pc").await);
    let refused = alice.publish("note/all", "m1", "FIRE in hall 3").await;
    assert!(refused.reason as u8 >= 0x80, "before, nobody may: {refused:?}");

    postern.done(&["plugin", "activate", name]).await;
    for (id, text) in [("m2", "FIRE in hall 3"), ("m3", "Überfall!")] {
        let ack = alice.publish("note/all", id, text).await;
        assert!((ack.reason as u8) < 0x80, "{ack:?}");
        assert_eq!(body(&bob.message().await), text);
    }
    let refused = alice.publish("note/all", "m4", "lunch is ready").await;
    assert!(refused.reason as u8 >= 0x80, "{refused:?}");
    alice.send("bob", "m5", "and chat goes on").await;
    assert_eq!(body(&bob.message().await), "and chat goes on");

    // Many calls on one instance: what a call is given is given back.
    for n in 0..300 {
        let ack = alice.publish("note/all", &format!("n{n}"), "FIRE").await;
        assert!((ack.reason as u8) < 0x80, "call {n}: {ack:?}");
        assert_eq!(body(&bob.message().await), "FIRE");
    }
    let traps = postern.metric("postern_plugin_calls_total", "outcome=\"trapped").await;
    assert_eq!(traps, 0.0, "{name} trapped");
}

#[tokio::test(flavor = "multi_thread")]
async fn c7_a_plugin_in_rust_works() {
    a_rule_changes_under_way("alarm-rust").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn c7_a_plugin_in_c_works() {
    a_rule_changes_under_way("alarm-c").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn c7_a_plugin_in_javascript_works() {
    a_rule_changes_under_way("alarm-js").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn c7_a_plugin_in_python_works() {
    a_rule_changes_under_way("alarm-python").await;
}
