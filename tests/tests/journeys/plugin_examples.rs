//! The examples for real use (examples/plugins): a word list, an archive, an enterprise's own login.

use std::path::PathBuf;

use postern_tests::{Postern, Settings, body, root};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

fn example(name: &str) -> PathBuf {
    let file = root().join(format!("target/plugins-examples/{name}.wasm"));
    assert!(file.exists(), "{} is missing: run `cargo xtask plugins --examples`", file.display());
    file
}

/// Has an example serve a role with the grants of the plugin that it replaces.
fn serve(settings: &mut Settings, role: &str, name: &str) {
    settings.role(role, name);
    settings.plugin(name, &example(name));
}

#[tokio::test(flavor = "multi_thread")]
async fn a12_a_word_list_masks_before_a_message_is_stored() {
    let postern = Postern::start(|c| {
        serve(c, "classify", "classify-wordlist");
        c.policy("plugins.classify-wordlist.config.mask", vec!["falcon"]);
        c.policy("plugins.classify-wordlist.config.refuse", vec!["password"]);
    })
    .await;
    let (mut alice, bob) = (postern.session("alice", "phone").await, postern.session("bob", "pc").await);
    bob.leave().await; // what waits for him is what was stored
    alice.send("bob", "m1", "the FALCON flies; falcons do not").await;
    let refused = alice.send("bob", "m2", "my password is x").await;
    let told = refused.reason_string.as_deref().unwrap_or_default();
    assert!(refused.reason as u8 >= 0x80 && told.contains("may not be sent"), "{refused:?}");
    let mut bob = postern.session("bob", "pc").await;
    assert_eq!(body(&bob.message().await), "the ****** flies; falcons do not");
}

#[tokio::test(flavor = "multi_thread")]
async fn a10_a_plugin_that_archives_stores_all_the_same() {
    let mut postern = Postern::start(|c| serve(c, "store", "store-archive")).await;
    let (mut alice, bob) = (postern.session("alice", "phone").await, postern.session("bob", "pc").await);
    bob.leave().await;
    alice.send("bob", "m1", "call 0711 123456").await;
    alice.send("bob", "m1", "call 0711 123456").await;
    postern.stop().await;
    postern.restart().await;
    let mut bob = postern.session("bob", "pc").await;
    assert_eq!(body(&bob.message().await), "call 0711 123456", "whole, and once");
    assert_eq!(bob.messages_so_far().await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a5_people_log_in_with_an_enterprises_own_endpoint() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(endpoint(stream));
        }
    });
    let postern = Postern::start(|c| {
        serve(c, "login", "login-http");
        let grants = ["log", "config", "password", "proof", "http", "http-password"];
        c.policy("plugins.login-http.grants", grants.to_vec());
        c.policy("plugins.login-http.http_hosts", vec![host.clone()]);
        c.policy("plugins.login-http.config", toml::Table::from_iter([("host".to_owned(), host.into())]));
    })
    .await;
    let login = postern.login("alice", "right", "phone").await;
    assert_eq!(login.expect("she may").profile.name, "Alice");
    assert!(postern.login("alice", "wrong", "phone").await.is_err());
    assert!(postern.login("mallory", "right", "phone").await.is_err());
    let output = postern.cli(&["user", "list"]).await;
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && told.contains("kept at"), "{told}");
}

/// Knows Alice.
async fn endpoint(mut stream: TcpStream) {
    let (mut request, mut piece) = (String::new(), [0; 4096]);
    while !(request.contains("\r\n\r\n") && (request.starts_with("GET") || request.ends_with('}'))) {
        let n = stream.read(&mut piece).await.unwrap();
        assert_ne!(n, 0, "cut off: {request}");
        request.push_str(std::str::from_utf8(&piece[..n]).unwrap());
    }
    let (line, rest) = request.split_once("\r\n").unwrap();
    let fits = rest.contains(r#""password":"right""#) && rest.contains(r#""user":"alice""#);
    let (status, body) = match line {
        "POST /login HTTP/1.1" if fits => ("200 OK", r#"{"user":"alice","name":"Alice","org":"acme"}"#),
        "POST /login HTTP/1.1" => ("401 Unauthorized", ""),
        "GET /users/alice HTTP/1.1" => ("200 OK", r#"{"user":"alice","name":"Alice","org":"acme"}"#),
        _ if line.contains("/partners") || line.contains("/visible") => ("200 OK", "[]"),
        _ => ("404 Not Found", ""),
    };
    let text = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    stream.write_all(text.as_bytes()).await.unwrap();
}
