//! Issue C2, C3: what an operator does with plugins while clients are connected.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use postern_tests::{Postern, Session, Settings, body, guest_file, patiently};
use serde_json::Value;

pub(crate) const CLASSIFY: &str = "classify-topic";

pub(crate) fn default_plugin(name: &str) -> PathBuf {
    postern_tests::root().join(format!("target/plugins/{name}.wasm"))
}

/// The same plugin in other bytes: a custom section at its end.
pub(crate) fn another_build(file: &Path, mark: u8) -> Vec<u8> {
    let mut bytes = fs::read(file).unwrap();
    bytes.extend([0, 3, 1, b'v', mark]);
    bytes
}

/// A server with a plugin folder of its own, and the test guest that says who sends granted what it imports.
pub(crate) async fn start(change: impl FnOnce(&mut Settings)) -> Postern {
    Postern::start(|settings| {
        settings.plugin(CLASSIFY, &default_plugin(CLASSIFY));
        settings.policy("plugins.rogue-classify.grants", vec!["log", "config"]);
        settings.policy("plugins.rogue-classify.config.misbehave", "name-sender");
        settings.policy("plugins.rogue-classify.config.when", "always");
        change(settings);
    })
    .await
}

fn folder(postern: &Postern) -> PathBuf {
    postern.folder().join("plugins")
}

pub(crate) fn drop_in(postern: &Postern, name: &str, bytes: &[u8]) {
    fs::write(folder(postern).join(format!("{name}.wasm")), bytes).unwrap();
}

/// All that `plugin list` shows of a name, as (state, version) pairs with more.
async fn listed(postern: &Postern, name: &str) -> Vec<Value> {
    let list = postern.json(&["plugin", "list"]).await;
    list.as_array().unwrap().iter().filter(|view| view["name"] == name).cloned().collect()
}

async fn states(postern: &Postern, name: &str) -> Vec<String> {
    let views = listed(postern, name).await;
    views.iter().map(|view| view["state"].as_str().unwrap().to_owned()).collect()
}

/// Waits until a plugin is listed so.
async fn comes_to(postern: &Postern, name: &str, state: &str) -> Value {
    let seen = async {
        loop {
            let views = listed(postern, name).await;
            if let Some(view) = views.into_iter().find(|view| view["state"] == state) {
                return view;
            }
        }
    };
    patiently(&format!("{name} {state}"), seen).await
}

/// What `plugin …` says when it is refused: one line.
pub(crate) async fn refused(postern: &Postern, words: &[&str]) -> String {
    let output = postern.cli(words).await;
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{words:?}: {told}");
    assert_eq!(told.trim_end().lines().count(), 1, "{words:?}: {told}");
    told
}

pub(crate) async fn told_to_bob(from: &mut Session, bob: &mut Session, id: &str) -> String {
    from.send("bob", id, "hello").await;
    body(&bob.message().await).to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn c2_a_canary_serves_its_part_until_it_is_promoted_and_rolled_back() {
    let mut postern = start(|_| {}).await;
    let mut alice = postern.session("alice", "phone").await;
    let mut carol = postern.session("carol", "phone").await;
    let mut bob = postern.session("bob", "pc").await;
    let rogue = fs::read(guest_file("rogue-classify")).unwrap();
    drop_in(&postern, "rogue-classify", &rogue);
    let told = postern.done(&["plugin", "activate", "rogue-classify", "--canary", "user:al*"]).await;
    assert!(told.contains("for user:al*"), "{told}");
    assert_eq!(states(&postern, "rogue-classify").await, ["canary"]);
    let generation = "postern_plugin_generation";
    assert!(postern.metric(generation, "canary").await > 0.0);
    assert_eq!(told_to_bob(&mut alice, &mut bob, "1").await, "phone alice");
    assert_eq!(told_to_bob(&mut carol, &mut bob, "2").await, "hello", "not her part");

    postern.done(&["plugin", "promote", "rogue-classify"]).await;
    assert_eq!(told_to_bob(&mut carol, &mut bob, "3").await, "phone carol");
    assert_eq!(states(&postern, CLASSIFY).await, ["previous"]);
    postern.done(&["plugin", "rollback", "rogue-classify"]).await;
    // What has gone holds nothing.
    assert_eq!(postern.metric(generation, "canary").await, 0.0);
    assert_eq!(postern.metric(generation, "rogue-classify").await, 0.0);
    assert_eq!(told_to_bob(&mut alice, &mut bob, "4").await, "hello");
    assert_eq!(bob.messages_so_far().await, []);
    let told = refused(&postern, &["plugin", "rollback", CLASSIFY]).await;
    assert!(told.contains("nothing is ready that served the role classify before it"), "{told}");

    // A canary survives a restart, for the same clients, and ends by a word.
    postern.done(&["plugin", "activate", "rogue-classify", "--canary", "user:al*"]).await;
    postern.stop().await;
    postern.restart().await;
    assert_eq!(comes_to(&postern, "rogue-classify", "canary").await["part"], "user:al*");
    postern.done(&["plugin", "rollback", "rogue-classify"]).await;
    assert_eq!(states(&postern, CLASSIFY).await, ["active"]);
    for (words, why) in [
        (["plugin", "promote", "rogue-classify"].as_slice(), "serves no part"),
        (&["plugin", "rollback", "rogue-classify"], "no plugin"),
        (&["plugin", "activate", CLASSIFY, "--canary", "half"], "no part of the clients"),
        (&["plugin", "activate", "store-sql", "--canary", "10%"], "the role store is swapped whole"),
    ] {
        let told = refused(&postern, words).await;
        assert!(told.contains(why), "{words:?}: {told}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn c2_the_bytes_that_serve_survive_what_happens_to_the_folder() {
    let mut postern = start(|_| {}).await;
    let good = default_plugin(CLASSIFY);
    let digest = |views: &[Value], state: &str| {
        views.iter().find(|view| view["state"] == state).map(|view| view["digest"].clone())
    };
    let first = digest(&listed(&postern, CLASSIFY).await, "active");
    // The plugin that the policy chose is overwritten by a newer build, which nobody activates.
    drop_in(&postern, CLASSIFY, &another_build(&good, 1));
    comes_to(&postern, CLASSIFY, "candidate").await;
    postern.stop().await;
    postern.restart().await;
    assert_eq!(digest(&listed(&postern, CLASSIFY).await, "active"), first);
    // It is activated, and then the whole folder goes.
    postern.done(&["plugin", "activate", CLASSIFY]).await;
    let second = digest(&listed(&postern, CLASSIFY).await, "active");
    assert_ne!(second, first);
    fs::remove_dir_all(folder(&postern)).unwrap();
    let (mut alice, mut bob) = (postern.session("alice", "phone").await, postern.session("bob", "pc").await);
    assert_eq!(told_to_bob(&mut alice, &mut bob, "1").await, "hello");
    let told = refused(&postern, &["plugin", "activate", CLASSIFY]).await;
    assert!(told.contains("classify-topic.wasm: there is no such file"), "{told}");
    // The plugins that the policy chose were pinned when their files went.
    let record = postern.data().join("activations.json");
    let pinned = async {
        while !fs::read_to_string(&record).unwrap().contains("token-hmac") {
            tokio::task::yield_now().await;
        }
    };
    patiently("the record of all roles", pinned).await;
    postern.kill().await;
    postern.restart().await;
    let views = listed(&postern, CLASSIFY).await;
    assert_eq!((digest(&views, "active"), digest(&views, "previous")), (second, first.clone()));
    postern.done(&["plugin", "rollback", CLASSIFY]).await;
    postern.kill().await;
    postern.restart().await;
    assert_eq!(digest(&listed(&postern, CLASSIFY).await, "active"), first);
}

#[tokio::test(flavor = "multi_thread")]
async fn c3_a_file_that_appears_is_tried_out_and_listed() {
    let postern = start(|_| {}).await;
    let rogue = fs::read(guest_file("rogue-classify")).unwrap();
    // Still being copied: half of it, then the rest.
    let (half, rest) = rogue.split_at(rogue.len() / 2);
    drop_in(&postern, "rogue-classify", half);
    let view = comes_to(&postern, "rogue-classify", "failed").await;
    assert!(view["why"].as_str().unwrap().contains("cut short"), "{view}");
    let mut file =
        fs::OpenOptions::new().append(true).open(folder(&postern).join("rogue-classify.wasm")).unwrap();
    std::io::Write::write_all(&mut file, rest).unwrap();
    let view = comes_to(&postern, "rogue-classify", "candidate").await;
    assert_eq!((&view["roles"][0], &view["generation"]), (&"classify".into(), &0.into()));
    // A stranger, one under another's name, and what is no plugin at all.
    drop_in(&postern, "import-not-granted", &fs::read(guest_file("import-not-granted")).unwrap());
    drop_in(&postern, "renamed", &rogue);
    drop_in(&postern, "text", b"#!/bin/sh");
    for (name, why) in [
        ("import-not-granted", "which the policy does not grant it"),
        ("renamed", "holds the plugin `rogue-classify`"),
        ("text", "is not WebAssembly"),
    ] {
        let view = comes_to(&postern, name, "failed").await;
        assert!(view["why"].as_str().unwrap().contains(why), "{view}");
    }
    assert_eq!(states(&postern, CLASSIFY).await, ["active"], "what serves is no candidate");
    fs::remove_file(folder(&postern).join("text.wasm")).unwrap();
    let gone = async { while !listed(&postern, "text").await.is_empty() {} };
    patiently("the end of the file", gone).await;
    postern.done(&["plugin", "remove", "renamed"]).await;
    assert!(!folder(&postern).join("renamed.wasm").exists());
    let told = refused(&postern, &["plugin", "remove", "renamed"]).await;
    assert!(told.contains("there is no such file"), "{told}");
    let told = refused(&postern, &["plugin", "remove", CLASSIFY]).await;
    assert!(told.contains("serves the role classify"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn c2_with_auto_activate_a_good_file_serves_by_itself() {
    let postern = start(|settings| settings.policy("activation.auto_activate", true)).await;
    drop_in(&postern, "import-not-granted", &fs::read(guest_file("import-not-granted")).unwrap());
    comes_to(&postern, "import-not-granted", "failed").await;
    drop_in(&postern, "rogue-classify", &fs::read(guest_file("rogue-classify")).unwrap());
    comes_to(&postern, "rogue-classify", "active").await;
    assert_eq!(states(&postern, CLASSIFY).await, ["previous"]);
    let log = fs::read_to_string(postern.data().join("audit.log")).unwrap();
    assert!(log.contains("auto_activate") && log.contains("plugin.activate"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn c2_a_generation_that_fails_on_probation_is_rolled_back_by_itself() {
    let postern = start(|settings| settings.policy("plugins.rogue-classify.config.misbehave", "trap")).await;
    let (mut alice, mut bob) = (postern.session("alice", "phone").await, postern.session("bob", "pc").await);
    drop_in(&postern, "rogue-classify", &fs::read(guest_file("rogue-classify")).unwrap());
    postern.done(&["plugin", "activate", "rogue-classify"]).await;
    let back = async {
        for n in 0.. {
            // While it fails, the class is that of the prefix: the message goes through all the same.
            assert_eq!(told_to_bob(&mut alice, &mut bob, &format!("m{n}")).await, "hello");
            if states(&postern, CLASSIFY).await == ["active"] {
                return;
            }
        }
    };
    patiently("the way back", back).await;
    let log = fs::read_to_string(postern.data().join("audit.log")).unwrap();
    assert!(log.contains("plugin.rollback") && log.contains("failed again and again"), "{log}");
    assert_eq!(postern.metric("postern_plugin_rollbacks_total", "").await, 1.0);
    let logged = postern.done(&["plugin", "logs", "rogue-classify", "--level", "error"]).await;
    assert!(logged.contains("the plugin trapped"), "{logged}");
}

#[tokio::test(flavor = "multi_thread")]
async fn c3_install_and_validate_say_everything_that_is_wrong() {
    let postern = start(|_| {}).await;
    let file = |name: &str, bytes: &[u8]| {
        let path = postern.folder().join(name);
        fs::write(&path, bytes).unwrap();
        path.display().to_string()
    };
    let good = file("good.wasm", &another_build(&default_plugin(CLASSIFY), 7));
    let found = postern.json(&["plugin", "validate", &good]).await;
    assert_eq!((&found["name"], &found["reasons"]), (&CLASSIFY.into(), &serde_json::json!([])));
    assert!(found["call_ns"]["classify"].as_u64().unwrap() > 0, "{found}");
    assert_eq!(listed(&postern, CLASSIFY).await.len(), 1, "nothing of it stays");
    let told = postern.done(&["plugin", "install", &good]).await;
    assert!(told.contains("postern plugin activate classify-topic"), "{told}");
    comes_to(&postern, CLASSIFY, "candidate").await;
    assert_eq!(postern.json(&["plugin", "validate", CLASSIFY]).await["digest"], found["digest"]);

    let strange = guest_file("import-foreign").display().to_string();
    let output = postern.cli(&["plugin", "validate", &strange]).await;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(1));
    assert!(said.contains("wrong    it imports"), "{said}");
    for (what, bytes, why) in [
        ("core.wasm", b"\0asm\x01\0\0\0".as_slice(), "core module"),
        ("cut.wasm", &fs::read(default_plugin(CLASSIFY)).unwrap()[..4_000], "cut short"),
        ("empty.wasm", b"", "is empty"),
        ("text.wasm", b"hello", "not WebAssembly"),
    ] {
        let told = refused(&postern, &["plugin", "install", &file(what, bytes)]).await;
        assert!(told.contains(why), "{what}: {told}");
    }
    let version = guest_file("world-version").display().to_string();
    let told = refused(&postern, &["plugin", "install", &version]).await;
    assert!(told.contains("of another version"), "{told}");
    // As large as no plugin is: a file with a hole costs no disk.
    let large = fs::File::create(postern.folder().join("large.wasm")).unwrap();
    large.set_len(2 << 30).unwrap();
    let large = postern.folder().join("large.wasm").display().to_string();
    let told = refused(&postern, &["plugin", "install", &large]).await;
    assert!(told.contains("larger than 64 MiB"), "{told}");
    fs::copy(&large, folder(&postern).join("large.wasm")).ok();
    fs::File::create(folder(&postern).join("large.wasm")).unwrap().set_len(2 << 30).unwrap();
    let told = refused(&postern, &["plugin", "activate", "large"]).await;
    assert!(told.contains("has 2048 MiB, the limit is 64 MiB"), "{told}");
    assert_eq!(states(&postern, CLASSIFY).await, ["active", "candidate"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn c3_validation_leaves_no_trace_in_the_tables() {
    let postern = start(|_| {}).await;
    let databases = postern.data().join("plugins");
    let before = fs::read_dir(&databases).unwrap().count();
    let copy = postern.folder().join("other.wasm");
    fs::write(&copy, another_build(&default_plugin("login-table"), 3)).unwrap();
    let found = postern.json(&["plugin", "validate", copy.to_str().unwrap()]).await;
    assert_eq!(found["reasons"], serde_json::json!([]), "{found}");
    assert_eq!(fs::read_dir(&databases).unwrap().count(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn c2_two_at_once_come_one_after_the_other() {
    let postern = start(|_| {}).await;
    drop_in(&postern, "rogue-classify", &fs::read(guest_file("rogue-classify")).unwrap());
    let (one, two) = tokio::join!(
        postern.cli(&["plugin", "activate", "rogue-classify"]),
        postern.cli(&["plugin", "activate", CLASSIFY]),
    );
    assert!(one.status.success() && two.status.success());
    let active: Vec<Value> = postern.json(&["plugin", "list"]).await.as_array().unwrap().clone();
    let active = active.iter().filter(|view| view["state"] == "active");
    assert_eq!(active.filter(|view| view["roles"].to_string().contains("classify")).count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn c2_what_cannot_be_written_down_is_not_done() {
    let postern = start(|_| {}).await;
    drop_in(&postern, "rogue-classify", &fs::read(guest_file("rogue-classify")).unwrap());
    // A folder that takes no file, for root too: a file stands in its place.
    let components = postern.data().join("components");
    fs::remove_dir_all(&components).unwrap();
    fs::write(&components, "").unwrap();
    let told = refused(&postern, &["plugin", "activate", "rogue-classify"]).await;
    assert!(told.contains("was not activated"), "{told}");
    assert_eq!(states(&postern, CLASSIFY).await, ["active"]);
    fs::remove_file(&components).unwrap();
    postern.done(&["plugin", "activate", "rogue-classify"]).await;
    let mode = fs::metadata(&components).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
}

#[tokio::test(flavor = "multi_thread")]
async fn c6_a_paused_plugin_gets_no_calls() {
    let postern = start(|settings| settings.policy("failure.classify", "closed")).await;
    let (mut alice, mut bob) = (postern.session("alice", "phone").await, postern.session("bob", "pc").await);
    postern.done(&["plugin", "pause", CLASSIFY]).await;
    assert_eq!(states(&postern, CLASSIFY).await, ["paused"]);
    let sent = alice.start("im/u/bob/alice", "1", "hello").await;
    assert!((alice.acknowledged(sent).await.reason as u8) >= 0x80);
    postern.done(&["plugin", "resume", CLASSIFY]).await;
    assert_eq!(told_to_bob(&mut alice, &mut bob, "2").await, "hello");
    let detail = postern.json(&["plugin", "describe", CLASSIFY]).await;
    let generation = &detail["generations"][0];
    assert_eq!((&generation["calls"]["recovering"], &generation["state"]), (&1.into(), &"active".into()));
    assert!(generation["calls"]["ok"].as_u64().unwrap() >= 1 && generation["cpu_us"].is_u64(), "{detail}");
    assert!(generation["peak_memory_bytes"].as_u64().unwrap() > 0, "{detail}");
    assert!(postern.metric("postern_plugin_call_seconds_bucket", "+Inf").await > 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn c3_only_signed_plugins_are_taken_when_the_policy_requires_it() {
    // Keys are made without a server; the default plugins are signed for the test.
    let home = tempfile::tempdir().unwrap();
    let signed = |key: &Path, name: &str| {
        let file = home.path().join(format!("{name}.wasm"));
        fs::copy(default_plugin(name), &file).unwrap();
        run(&["plugin", "sign", file.to_str().unwrap(), "--key", key.to_str().unwrap()]);
        file
    };
    let [ours, other] = ["ours.pem", "other.pem"].map(|name| home.path().join(name));
    let public = run(&["plugin", "keygen", ours.to_str().unwrap()]);
    run(&["plugin", "keygen", other.to_str().unwrap()]);
    assert_eq!(fs::metadata(&ours).unwrap().permissions().mode() & 0o777, 0o600);
    let names = ["login-table", "token-hmac", CLASSIFY, "store-sql", "encrypt-on-demand"];
    let postern = Postern::start(|settings| {
        for name in names {
            settings.plugin(name, &signed(&ours, name));
        }
        settings.policy("signatures.require_signature", true);
        settings.policy("signatures.keys", vec![public.trim()]);
    })
    .await;
    postern.done(&["plugin", "activate", CLASSIFY]).await;
    let good = fs::read(folder(&postern).join("classify-topic.wasm")).unwrap();
    let mut altered = good.clone();
    altered[100] ^= 1;
    for (bytes, why) in [
        (fs::read(default_plugin(CLASSIFY)).unwrap(), "is not signed"),
        (fs::read(signed(&other, CLASSIFY)).unwrap(), "which is not among signatures.keys"),
        (altered, "was altered after it was signed"),
    ] {
        drop_in(&postern, CLASSIFY, &bytes);
        let told = refused(&postern, &["plugin", "activate", CLASSIFY]).await;
        assert!(told.contains(why), "{told}");
    }
    drop_in(&postern, CLASSIFY, &good);
    postern.done(&["plugin", "activate", CLASSIFY]).await;
}

/// A verb that needs no server.
pub(crate) fn run(words: &[&str]) -> String {
    let output = std::process::Command::new(postern_tests::program()).args(words).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}
