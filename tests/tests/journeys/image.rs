//! The container image: built, run without rights on a root that cannot be written, given a plugin, stopped.

use std::fs;

use postern_broker::wire::ReasonCode;
use postern_tests::{Container, Device, Peer, Podman, Session, body, not_run, password, root};

#[tokio::test(flavor = "multi_thread")]
async fn image_runs_takes_a_plugin_and_drains() {
    let own = root().join("target/plugins-examples/classify-wordlist.wasm");
    if !own.exists() {
        return not_run(
            "target/plugins-examples/classify-wordlist.wasm is missing: `cargo xtask plugins --examples`",
        );
    }
    let Some(podman) = Podman::start().await else { return };
    podman.build().await;
    assert_eq!(podman.inspect(podman.image(), "{{.Config.User}}").await, "10001:10001");

    // The operator's own config, and a volume for plugins, both on this machine; the data in a volume of podman's.
    let (config, plugins) = (podman.folder().join("config"), podman.folder().join("plugins"));
    fs::create_dir(&config).unwrap();
    fs::create_dir(&plugins).unwrap();
    fs::copy(root().join("examples/deploy/container/postern.toml"), config.join("postern.toml")).unwrap();
    let policy = fs::read_to_string(root().join("policies/default.toml")).unwrap();
    fs::write(config.join("policy.toml"), policy + OWN).unwrap();
    let mounts = [
        format!("--volume={}:/etc/postern:ro", config.display()),
        format!("--volume={}:/var/lib/postern-plugins", plugins.display()),
        "--volume=postern-data:/var/lib/postern".to_owned(),
        "--env=POSTERN_POLICY=/etc/postern/policy.toml".to_owned(),
    ];
    let mut options: Vec<&str> = mounts.iter().map(String::as_str).collect();
    options.extend(["--publish=127.0.0.1::8883", "--publish=127.0.0.1::8443", "--publish=127.0.0.1::8080"]);

    let postern = podman.run("postern", &options).await;
    assert!(postern.is_healthy().await);
    assert_eq!(postern.done(&["health"], "").await, "ok\n");
    assert!(postern.done(&["plugin", "list"], "").await.contains("classify-topic"));

    let (mut alice, mut bob) = (session(&postern, "alice").await, session(&postern, "bob").await);
    alice.send("bob", "m1", "the falcon flies").await;
    assert_eq!(body(&bob.message().await), "the falcon flies");
    fs::copy(&own, plugins.join("classify-wordlist.wasm")).unwrap();
    postern.done(&["plugin", "activate", "classify-wordlist"], "").await;
    alice.send("bob", "m2", "the falcon flies").await;
    assert_eq!(body(&bob.message().await), "the ****** flies");

    // SIGTERM reaches it, and drains: clients are told, and the end is a clean one.
    let stopped = tokio::join!(postern.stop(), bob.ended());
    assert_eq!(stopped, ("0".to_owned(), Some(ReasonCode::ServerShuttingDown)));

    // Another container on the same data: what was activated serves, whatever the volume of plugins holds.
    fs::remove_file(plugins.join("classify-wordlist.wasm")).unwrap();
    let postern = podman.run("again", &options).await;
    let (mut alice, mut bob) = (session(&postern, "alice").await, session(&postern, "bob").await);
    alice.send("bob", "m3", "the falcon lands").await;
    while body(&bob.message().await) != "the ****** lands" {}
    assert_eq!(postern.stop().await, "0");
}

/// What the policy says of the plugin that comes.
const OWN: &str = "
[plugins.classify-wordlist]
grants = [\"log\", \"config\"]

[plugins.classify-wordlist.config]
mask = [\"falcon\"]
";

/// Adds the user by the command line inside, logs in and signs in from outside.
async fn session(postern: &Container<'_>, user: &str) -> Session {
    let words = ["user", "add", user, "--name", user, "--org", "acme", "--password-stdin"];
    // It is there already in the second container.
    postern.cli(&words, &password(user)).await;
    let ca = postern.ca().await;
    let api = phone::Api::new(&format!("https://{}", postern.address(8443).await), Some(&ca)).unwrap();
    let (name, secret) = (user.to_owned(), password(user));
    let login = tokio::task::spawn_blocking(move || api.login(&name, &secret, "pc")).await.unwrap().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let state = phone::Device::new(&folder.path().join("state"), "pc", login).unwrap();
    let mut device = Device { user: user.to_owned(), state };
    let connect = device.connect("tls");
    device.sign_in_through(Peer::tls(&postern.address(8883).await, &ca).await, connect).await
}
