//! Wrong config, plugins, database, certificate: one clear line, exit code 1, nothing half-started.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use postern_tests::{Postern, Refused, Settings, SmallDisk};

/// Starts with something wrong; the one line of stderr names what is in `names`.
async fn refused(names: &[&str], change: impl FnOnce(&mut Settings)) -> Refused {
    let refused = Postern::try_start(change).await.expect_err("it must not start");
    let lines: Vec<&str> = refused.stderr.lines().filter(|line| line.starts_with("postern: ")).collect();
    assert_eq!(lines.len(), 1, "one line says what is wrong:\n{}", refused.stderr);
    for name in names {
        assert!(lines[0].contains(name), "{name:?} is not named: {}", lines[0]);
    }
    assert_eq!(refused.status.code(), Some(1), "{}", lines[0]);
    refused
}

/// Whether the refused start left the data folder without a database.
fn untouched(refused: &Refused) -> bool {
    !refused.folder.path().join("data/postern.db").exists()
}

#[tokio::test(flavor = "multi_thread")]
async fn s_an_unknown_config_key_is_named() {
    let seen = refused(&["postern.toml", "listen.tpc"], |c| c.set("listen.tpc", "127.0.0.1:0")).await;
    assert!(untouched(&seen));
}

#[tokio::test(flavor = "multi_thread")]
async fn s_an_unknown_variable_is_named() {
    refused(&["POSTERN_LISTEN__TPC"], |c| c.variable("POSTERN_LISTEN__TPC", "127.0.0.1:0")).await;
    refused(&["POSTERN_NONSENSE"], |c| c.variable("POSTERN_NONSENSE", "1")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn s_a_wrong_type_is_named() {
    refused(&["postern.toml", "limits.connections"], |c| c.set("limits.connections", "many")).await;
    refused(&["POSTERN_LIMITS__CONNECTIONS"], |c| c.variable("POSTERN_LIMITS__CONNECTIONS", "many")).await;
    refused(&["postern.toml", "listen.tcp"], |c| c.set("listen.tcp", 1883)).await;
    refused(&["postern.toml", "listen.tcp"], |c| c.set("listen.tcp", "no port")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn s_every_key_can_be_set_by_environment() {
    let postern = Postern::start(|c| {
        c.set("listen.tcp", "127.0.0.1:1");
        c.variable("POSTERN_LISTEN__TCP", "127.0.0.1:0");
    })
    .await;
    assert!(!postern.address("tcp").ends_with(":1"), "the variable wins over the file");
}

#[tokio::test(flavor = "multi_thread")]
async fn s_a_port_in_use_is_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let seen = refused(&["listen.tls", &address], |c| c.set("listen.tls", address.as_str())).await;
    assert!(untouched(&seen));
}

#[tokio::test(flavor = "multi_thread")]
async fn c1_without_a_plugin_for_a_role_nothing_starts() {
    for (role, plugin) in [
        ("login", "login-table"),
        ("token", "token-hmac"),
        ("classify", "classify-topic"),
        ("store", "store-sql"),
        ("encrypt", "encrypt-on-demand"),
    ] {
        let seen = refused(&[role, &format!("{plugin}.wasm")], |c| c.without_plugin(plugin)).await;
        assert!(untouched(&seen));
        // Nor does one that the policy does not name: the host has no rule of its own to fall back on.
        refused(&[&format!("roles.{role}"), "policy.toml"], |c| {
            c.policy["roles"].as_table_mut().unwrap().remove(role);
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn c3_a_foreign_plugin_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let cut = folder.path().join("cut.wasm");
    let whole = fs::read(postern_tests::root().join("target/plugins/classify-topic.wasm")).unwrap();
    fs::write(&cut, &whole[..whole.len() / 2]).unwrap();
    let module = folder.path().join("module.wasm");
    fs::write(&module, b"\0asm\x01\0\0\0").unwrap();
    let text = folder.path().join("text.wasm");
    fs::write(&text, "not WebAssembly at all").unwrap();
    for file in [cut, module, text] {
        refused(&["classify-topic.wasm"], |c| c.plugin("classify-topic", &file)).await;
    }
    // A component of another role.
    let token = postern_tests::root().join("target/plugins/token-hmac.wasm");
    refused(&["classify-topic.wasm"], |c| c.plugin("classify-topic", &token)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn c4_a_plugin_that_imports_what_is_not_granted_does_not_load() {
    for (plugin, interface) in [("token-hmac", "keys"), ("store-sql", "sql"), ("login-table", "password")] {
        refused(&[plugin, interface], |c| {
            let grants = &mut c.policy["plugins"][plugin]["grants"];
            grants.as_array_mut().unwrap().retain(|granted| granted.as_str() != Some(interface));
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn s_a_policy_with_an_unknown_key_or_grant_is_named() {
    refused(&["policy.toml"], |c| c.policy("plugins.token-hmac.limits.memory", 5)).await;
    refused(&["policy.toml", "filesystem"], |c| c.policy("plugins.token-hmac.grants", vec!["filesystem"]))
        .await;
    refused(&["missing.toml"], |c| c.set("policy", "/nowhere/missing.toml")).await;
    refused(&["token-hmac", "lifetime"], |c| c.policy("plugins.token-hmac.config.lifetime", 5)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn s_an_unreadable_or_broken_database_is_named() {
    refused(&["store.url", "broken.db"], |c| {
        let file = c.folder.join("broken.db");
        fs::write(&file, "this is no database, but long enough to be looked at as one").unwrap();
        c.set("store.url", format!("sqlite:{}", file.display()));
    })
    .await;
    refused(&["store.url"], |c| c.set("store.url", "sqlite:/nowhere/at/all/postern.db")).await;
    refused(&["store.url"], |c| c.set("store.url", "mysql://root@localhost/postern")).await;
    // PostgreSQL that is not there; rule 11: one off loopback without TLS.
    refused(&["store.url"], |c| c.set("store.url", "postgres://postgres@127.0.0.1:1/postern")).await;
    refused(&["store.url"], |c| c.set("store.url", "postgres://postgres@192.0.2.1/postern")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn s_a_bus_off_loopback_needs_tls_and_credentials() {
    refused(&["bus.url"], |c| c.set("bus.url", "nats://192.0.2.1:4222")).await;
    refused(&["bus.url"], |c| c.set("bus.url", "nats://127.0.0.1:1")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn s_a_data_folder_has_one_owner() {
    let postern = Postern::start(|_| {}).await;
    let data = postern.data();
    refused(&["data", "another postern"], |c| c.set("data", data.to_str().unwrap())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn s_a_data_folder_that_cannot_be_written_is_named() {
    refused(&["/proc/postern"], |c| c.set("data", "/proc/postern")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn s_a_missing_or_wrong_certificate_is_named() {
    refused(&["tls.certificate", "nowhere.pem"], |c| {
        c.set("tls.certificate", "/nowhere.pem");
        c.set("tls.key", "/nowhere.pem");
    })
    .await;
    refused(&["cert.pem"], |c| {
        let file = c.folder.join("cert.pem");
        fs::write(&file, "no certificate").unwrap();
        c.set("tls.certificate", file.to_str().unwrap());
        c.set("tls.key", file.to_str().unwrap());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn s_an_expired_certificate_is_named() {
    refused(&["tls.certificate", "expired"], |c| {
        let (certificate, key) = expired_certificate();
        let (file, key_file) = (c.folder.join("old.pem"), c.folder.join("old.key"));
        fs::write(&file, certificate).unwrap();
        fs::write(&key_file, key).unwrap();
        fs::set_permissions(&key_file, fs::Permissions::from_mode(0o600)).unwrap();
        c.set("tls.certificate", file.to_str().unwrap());
        c.set("tls.key", key_file.to_str().unwrap());
    })
    .await;
}

/// Good until the first day of 2020.
fn expired_certificate() -> (String, String) {
    let mut params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    params.not_before = rcgen::date_time_ymd(2019, 1, 1);
    params.not_after = rcgen::date_time_ymd(2020, 1, 1);
    let key = rcgen::KeyPair::generate().unwrap();
    (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
}

#[tokio::test(flavor = "multi_thread")]
async fn s_wrong_usage_is_exit_code_2() {
    for words in [&["serve", "--nonsense"][..], &["nonsense"], &[], &["plugin"]] {
        let output = std::process::Command::new(postern_tests::program()).args(words).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{words:?}");
    }
    let output = std::process::Command::new(postern_tests::program())
        .args(["status", "--admin", "unix:/nowhere/admin.sock"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1), "nobody there");
    assert!(String::from_utf8_lossy(&output.stderr).contains("/nowhere/admin.sock"));
}

#[tokio::test(flavor = "multi_thread")]
async fn s_a_full_disk_refuses_and_harms_nothing() {
    let Some(disk) = SmallDisk::mount(6) else { return };
    let mut postern = Postern::start(|c| c.set("data", disk.path().join("data").to_str().unwrap())).await;
    let mut alice = postern.session("alice", "phone").await;
    postern.user("bob").await;
    let (mut stored, mut refused) = (0, 0);
    for n in 0.. {
        let ack = alice.send("bob", &format!("m{n}"), &"x".repeat(60_000)).await;
        if (ack.reason as u8) < 0x80 {
            stored += 1
        } else {
            refused += 1
        }
        if refused == 3 {
            break;
        }
        assert!(n < 1_000, "the limit is never reached");
    }
    assert!(stored > 0);
    // With room again, everything that was acknowledged is there, and it goes on.
    postern.kill().await;
    disk.resize(60);
    postern.restart().await;
    let mut bob = postern.session("bob", "pc").await;
    for n in 0..stored {
        let got = bob.message().await;
        let id =
            got.properties.unwrap().user_properties.iter().find(|(k, _)| &**k == "id").unwrap().1.to_string();
        assert_eq!(id, format!("m{n}"));
    }
    assert_eq!(bob.messages_so_far().await, []);
    let ack = postern.session("alice", "phone").await.send("bob", "after", "room again").await;
    assert!((ack.reason as u8) < 0x80, "{ack:?}");
}
