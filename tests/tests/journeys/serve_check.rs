//! `postern serve --check`: everything that would keep a server from starting is told at once, and nothing is
//! touched on the way.

use std::fs;
use std::path::Path;
use std::process::Output;
use std::time::Duration;

use postern_tests::{Postern, patiently, program, root};
use serde_json::Value;
use tokio::process::Command;

/// Looks at a config file from the workspace's folder.
async fn check(config: &Path, words: &[&str]) -> Output {
    let mut command = Command::new(program());
    command.args(["serve", "--check", "--config"]).arg(config).args(words).current_dir(root());
    finished(command).await
}

/// Each check compiles what it loads, and keeps nothing of it: on a busy machine that takes longer than an event.
async fn finished(mut command: Command) -> Output {
    let output = tokio::time::timeout(Duration::from_secs(300), command.output()).await;
    output.expect("the end of the check").unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_fault_is_told_at_once_and_no_data_is_touched() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("postern.toml");
    let policy = fs::read_to_string(root().join("policies/default.toml")).unwrap();
    let policy =
        policy.replace("store = \"store-sql\"", "store = \"nowhere\"").replace("[classes]", "[clases]");
    fs::write(folder.path().join("policy.toml"), policy).unwrap();
    let path = folder.path().display();
    let config = format!(
        "policy = \"{path}/policy.toml\"\ndata = \"{path}/data\"\ncolour = 1\n[listen]\ntcp = \"1883\"\n\
         tls = \"127.0.0.1:8883\"\nhttp = \"127.0.0.1:8883\"\n[limits]\ninflight = 70000\nconnections = 0\n\
         [store]\nurl = \"postgres://postern:hidden@db.example/x\"\n[bus]\nurl = \"nats://bus.example:4222\"\n\
         [tls]\ncertificate = \"{path}/none.pem\"\nkey = \"{path}/none.pem\"\n[log]\nfilter = \"a=b=c\"\n"
    );
    fs::write(&file, config).unwrap();
    let checked = check(&file, &[]).await;
    let told = String::from_utf8(checked.stderr).unwrap();
    assert_eq!(checked.status.code(), Some(1), "{told}");
    for key in [
        "colour: unknown key",
        "listen.tcp: ",
        "listen.http: 127.0.0.1:8883",
        "limits.inflight: ",
        "limits.connections: ",
        "store.url: ",
        "bus.url: ",
        "none.pem",
        "log.filter: ",
        "clases",
        "nowhere.wasm: no such plugin file",
    ] {
        assert_eq!(told.lines().filter(|line| line.contains(key)).count(), 1, "{key}: {told}");
    }
    assert!(!told.contains("hidden"), "{told}");
    assert!(!folder.path().join("data").exists());
    // As JSON, for those who deploy by program.
    let checked = check(&file, &["--json"]).await;
    let found: Value = serde_json::from_slice(&checked.stdout).unwrap();
    assert_eq!(found["faults"].as_array().unwrap().len(), told.lines().count() - 1, "{found:#}\n{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn plugins_are_loaded_as_far_as_that_goes_without_data() {
    let mut postern = Postern::start(|_| {}).await;
    let data = postern.data();
    let file = postern.folder().join("postern.toml");
    let before = names(&data);
    let checked = check(&file, &[]).await;
    assert!(
        checked.status.success(),
        "a running server's config: {}",
        String::from_utf8_lossy(&checked.stderr)
    );
    assert_eq!(names(&data), before);
    // What the policy does not grant, and a file that is cut short.
    let settings = postern.settings();
    settings.policy("plugins.classify-topic.grants", toml::Value::Array(Vec::new()));
    settings.policy("roles.store", "cut");
    let cut = settings.folder.join("cut-off.wasm");
    let whole = fs::read(root().join("target/plugins/store-sql.wasm")).unwrap();
    fs::write(&cut, &whole[..whole.len() / 2]).unwrap();
    settings.plugin("cut", &cut);
    // Strangers without a name are for loopback only; the plugin's file is named, not the policy.
    settings.set("listen.tcp", "0.0.0.0:0");
    settings.policy("plugins.token-hmac.config.anonymous", true);
    postern.rewrite();
    let checked = check(&file, &[]).await;
    let told = String::from_utf8(checked.stderr).unwrap();
    for part in ["classify-topic.wasm: ", "cut.wasm: is cut short", "token-hmac.wasm: listen.tcp: 0.0.0.0:0"]
    {
        assert!(told.contains(part), "{part}: {told}");
    }
    assert_eq!(names(&data), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_example_is_one_that_a_server_can_start_with() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(program());
    command
        .args(["serve", "--check", "--config"])
        .arg(root().join("examples/postern.toml"))
        .current_dir(root());
    // Where an installation has its own.
    command.env("POSTERN_POLICY", root().join("policies/default.toml"));
    command.env("POSTERN_PLUGINS__DIR", root().join("target/plugins"));
    command.env("POSTERN_DATA", folder.path());
    let checked = finished(command).await;
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
    assert!(checked.stderr.is_empty(), "{}", String::from_utf8_lossy(&checked.stderr));
}

#[tokio::test(flavor = "multi_thread")]
async fn config_show_is_a_config_without_secrets() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("postern.toml");
    let text = "data = \"d\"\n[listen]\nadmin = \"127.0.0.1:9\"\n[admin]\ntoken = \"hidden-hidden-hidden-hidden\"\n\
                [bus]\nurl = \"tls://a:hidden@bus.example:4222\"\n";
    fs::write(&file, text).unwrap();
    let mut command = Command::new(program());
    command
        .args(["config", "show", "--config"])
        .arg(&file)
        .env("POSTERN_LIMITS__INFLIGHT", "7")
        .current_dir(root());
    let shown = patiently("the config", command.output()).await.unwrap();
    assert!(shown.status.success(), "{}", String::from_utf8_lossy(&shown.stderr));
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(!shown.contains("hidden"), "{shown}");
    let table: toml::Table = shown.parse().unwrap_or_else(|e| panic!("{e}: {shown}"));
    assert_eq!(table["limits"]["inflight"].as_integer(), Some(7));
    let origin = |key: &str| {
        let line = shown.lines().find(|line| line.starts_with(key)).unwrap();
        line.rsplit_once("# ").unwrap().1.to_owned()
    };
    assert_eq!(origin("inflight = "), "POSTERN_LIMITS__INFLIGHT");
    assert_eq!(origin("data = "), file.display().to_string());
    assert_eq!(origin("connections = "), "default");
}

/// Files below a folder, without those of a database at work.
fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.retain(|name| !name.ends_with("-wal") && !name.ends_with("-shm"));
    names.sort();
    names
}
