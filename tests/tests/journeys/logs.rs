//! What is logged: one id from the request or packet to the store, and nobody's name.

use postern_broker::wire::{Packet, QoS, Version};
use postern_tests::{Peer, Postern, publish};
use serde_json::{Value, json};

/// A trace that a client says that it is part of.
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

/// All lines of the log that contain `part`, as JSON.
fn lines(postern: &Postern, part: &str) -> Vec<Value> {
    let log = postern.log();
    let found = log.lines().filter(|line| line.contains(part));
    found.map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{line}: {e}"))).collect()
}

/// The line, of so many that contain `part`, that was written last.
async fn line(postern: &Postern, part: &str, times: usize) -> Value {
    let line = postern.logged_times(part, times).await;
    serde_json::from_str(&line).unwrap_or_else(|e| panic!("{line}: {e}"))
}

/// An HTTPS request by hand: the answer's head and body.
async fn ask(postern: &Postern, request: &str) -> (String, String) {
    let mut peer = Peer::tls(postern.address("http"), &postern.ca()).await;
    peer.send_bytes(request.as_bytes()).await;
    let answer = String::from_utf8(peer.closed_after().await).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    (head.to_ascii_lowercase(), body.to_owned())
}

fn login(user: &str, headers: &str) -> String {
    let body = json!({ "user": user, "client_id": "phone", "password": "wrong" }).to_string();
    let head =
        "POST /v1/login HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-type: application/json";
    format!("{head}\r\ncontent-length: {}\r\n{headers}\r\n{body}", body.len())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_http_request_is_known_by_the_trace_that_it_names() {
    let postern = Postern::start(|_| {}).await;
    let named = format!("traceparent: 00-{TRACE}-00f067aa0ba902b7-00\r\n");
    let (head, body) = ask(&postern, &login("alice", &named)).await;
    assert!(head.contains(&format!("x-request-id: {TRACE}")), "{head}");
    let problem: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(problem["request_id"], TRACE);
    assert_eq!(line(&postern, "login refused", 1).await["id"], TRACE);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_http_request_without_a_good_trace_gets_an_id_of_its_own() {
    let postern = Postern::start(|_| {}).await;
    let mut ids = Vec::new();
    for (times, headers) in [(1, ""), (2, "traceparent: 00-0-0-00\r\n")] {
        let (head, body) = ask(&postern, &login("alice", headers)).await;
        let problem: Value = serde_json::from_str(&body).unwrap();
        let id = problem["request_id"].as_str().unwrap().to_owned();
        assert!(head.contains(&format!("x-request-id: {id}")), "{head}");
        assert!(id.len() == 32 && !ids.contains(&id), "{id}");
        assert_eq!(line(&postern, "login refused", times).await["id"], id);
        ids.push(id);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_packets_id_is_in_what_its_plugin_and_the_store_have_to_say() {
    // The store plugin writes a hundred thousand lines about this message, or traps.
    for how in ["flood", "trap"] {
        let postern = Postern::start(|c| c.rogue("store", how, "boom")).await;
        postern.user("bob").await;
        let mut boom = postern.session("boom", "phone").await;
        let ack = boom.send("bob", "m1", "hello").await;
        if how == "flood" {
            let id = line(&postern, "of a flood", 2).await["id"].as_str().expect("an id").to_owned();
            assert_eq!(id.split('-').count(), 3, "process, link, packet: {id}");
            let all = lines(&postern, "of a flood");
            assert!(all.iter().all(|line| line["id"] == *id), "{all:?}");
            let kept = postern.done(&["plugin", "logs", "rogue-store"]).await;
            let has_id = |line: &str| line.ends_with(&format!(" id={id}"));
            assert!(kept.lines().any(|line| line.contains("of a flood") && has_id(line)), "{kept}");
            continue;
        }
        assert!(ack.reason as u8 >= 0x80, "{ack:?}");
        let fault = line(&postern, "\"message\":\"the plugin trapped", 1).await;
        let refused = line(&postern, "storage refused", 1).await;
        assert_eq!(refused["id"], fault["id"]);
        // The next message is another packet of the same link.
        boom.send("bob", "m2", "hello").await;
        let next = line(&postern, "storage refused", 2).await;
        let ids = [&refused, &next].map(|line| line["id"].as_str().expect("an id").rsplit_once('-').unwrap());
        let [(link, first), (same, second)] = ids.map(|(link, n)| (link, n.parse::<u32>().unwrap()));
        assert!(link == same && second > first, "{refused} and {next}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_a_link_names_the_packet_that_it_is_for() {
    let postern = Postern::start(|_| {}).await;
    let mut device = postern.device("alice", "old-phone").await;
    let mut alice = device
        .sign_in_on(&postern, "tls", |c| {
            c.version = Version::V311;
            c.session_expiry = None;
        })
        .await;
    // The CONNECT is the first packet.
    alice.peer.send(Packet::PingReq).await;
    alice.start("im/u/bob/carol", "", "forged").await;
    alice.peer.closed().await;
    let ended: Value = serde_json::from_str(&postern.logged("link ended").await).unwrap();
    assert!(ended["id"].as_str().unwrap().ends_with("-3"), "{ended}");
}

#[tokio::test(flavor = "multi_thread")]
async fn logs_are_text_where_the_config_says_so() {
    let mut postern = Postern::start(|c| c.set("log.format", "text")).await;
    postern.logged(" INFO postern::serve: ready").await;
    postern.stop().await;
}

/// In every name, topic, id and body of the journey below, and nowhere else.
const NAME: &str = "quixot";

#[tokio::test(flavor = "multi_thread")]
async fn s_default_logs_name_nobody() {
    let mut postern = Postern::start(|_| {}).await;
    let named = |what: &str| format!("{NAME}-{what}");
    let (user, other, terminal) = (named("user"), named("other"), named("terminal"));
    // Login, also with a wrong password; sign-in, also with a wrong one.
    let mut alice = postern.session(&user, &named("phone")).await;
    let mut bob = postern.session(&other, &named("pc")).await;
    postern.login(&user, "wrong", &named("phone")).await.unwrap_err();
    let mut device = postern.device(&user, &named("tablet")).await;
    let mut connect = device.connect_with_bearer();
    connect.password = Some("wrong".into());
    assert!(
        Peer::to(&postern, "tls").await.connect(connect).await.is_some_and(|ack| ack.reason as u8 >= 0x80)
    );
    // Messages: stored, routed, refused with MQTT 5 and 3.
    assert!((alice.send(&other, &named("id"), &named("body")).await.reason as u8) < 0x80);
    bob.message().await;
    alice.publish(&named("topic"), "", &named("body")).await;
    alice.publish(&format!("im/u/{other}/{other}"), "", &named("forged")).await;
    alice.send(&named("nobody"), "", &named("body")).await;
    let mut old = device
        .sign_in_on(&postern, "tls", |c| {
            c.version = Version::V311;
            c.session_expiry = None;
        })
        .await;
    old.peer.send(publish(&format!("im/u/{other}/{other}"), named("forged"), QoS::AtMostOnce)).await;
    old.start(&format!("im/u/{other}/{other}"), "", &named("forged")).await;
    old.peer.closed().await;
    // A command to a terminal on plain TCP, which is told to come in through TLS; a forged result.
    let requester = postern.requester(&named("driver"), &[&terminal]).await;
    let mut unit = postern.terminal(&terminal).await;
    let mut plain = unit.drive(&postern, "tcp").await;
    plain.query().await;
    requester.ask_for(&terminal, &named("unlock")).await;
    plain.instruction().await;
    // Its MAC is that of another transport.
    let forged = unit.result("tls", &"0".repeat(32), postern_tests::DONE, &named("result"));
    plain.report(forged).await;
    postern.done(&["user", "lock", &other]).await;
    postern.stop().await;

    let log = postern.log();
    for line in
        ["login", "login refused", "sign-in refused", "link ended", "instructed to reconnect", "stopped"]
    {
        assert!(log.contains(line), "the journey brings {line:?}:\n{log}");
    }
    let naming: Vec<_> = log.lines().filter(|line| line.contains(NAME)).collect();
    assert!(naming.is_empty(), "{naming:#?}");
}
