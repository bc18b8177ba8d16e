//! Commands on a hostile network: the cases of SECURITY.md that are the server's part.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use phone::ApiError;
use postern_broker::wire::{QoS, ReasonCode};
use postern_tests::{DONE, Device, Page, Peer, Postern, Requester, TCP, TLS, Wire, metric, publish};
use serde_json::json;

async fn stage(change: impl FnOnce(&mut postern_tests::Settings)) -> (Postern, Requester, Device) {
    let postern = Postern::start(change).await;
    let phone = postern.requester("alice", &["car-1"]).await;
    let car = postern.terminal("car-1").await;
    (postern, phone, car)
}

async fn commands(postern: &Postern) -> Vec<serde_json::Value> {
    let listed = postern.cli(&["command", "list", "--json"]).await;
    serde_json::from_slice(&listed.stdout).unwrap()
}

fn audit(postern: &Postern) -> String {
    std::fs::read_to_string(postern.data().join("audit.log")).unwrap()
}

#[tokio::test]
async fn s_phone_without_the_right_is_refused_before_anything_is_saved_or_sent() {
    let (postern, _phone, mut car) = stage(|_| {}).await;
    let mut link = car.drive(&postern, "tcp").await;
    link.query().await;
    let mallory = postern.requester("mallory", &["truck-1"]).await;
    let refused = mallory.ask(json!({ "terminal": "car-1", "class": "info" })).await.unwrap_err();
    assert!(matches!(refused, ApiError::Refused { status: 403, .. }), "{refused}");
    let mut mallory = postern.device("mallory", "phone").await.sign_in(&postern).await;
    let asked = mallory.put("cmd/car-1/ask", "{\"class\":\"info\"}").await;
    assert_eq!(asked.reason, ReasonCode::NotAuthorized);
    assert!(commands(&postern).await.is_empty());
    assert!(link.messages_so_far().await.is_empty());
}

#[tokio::test]
async fn s_a_command_is_its_requesters_alone() {
    let (postern, phone, _car) = stage(|_| {}).await;
    let id = phone.ask_for("car-1", "unlock").await;
    let bob = postern.requester("bob", &["car-1"]).await;
    let refused = bob.find(&id).await.unwrap_err();
    assert!(matches!(refused, ApiError::Refused { status: 404, .. }), "{refused}");
}

#[tokio::test]
async fn s_plugin_that_says_plain_is_fine_changes_nothing_of_the_floor() {
    let (postern, phone, mut car) = stage(|s| {
        s.role("encrypt", "rogue-encrypt");
        s.policy("plugins.rogue-encrypt.config.misbehave", "nonsense");
    })
    .await;
    let mut link = car.drive(&postern, "tcp").await;
    link.query().await;
    let id = phone.ask_for("car-1", "unlock").await;
    assert_eq!(link.instruction().await.to, TLS);
    assert!(link.came_already(|publish| publish.topic.starts_with("cmd/")).is_none());
    drop(link);
    let mut link = car.drive(&postern, "tls").await;
    link.query().await;
    let command = link.command().await;
    assert!(command.id == id && command.must_encrypt);
}

#[tokio::test]
async fn s_plugin_that_traps_lets_nothing_out() {
    let (postern, phone, mut car) = stage(|s| {
        s.role("encrypt", "rogue-encrypt");
        s.policy("plugins.rogue-encrypt.config.misbehave", "trap");
    })
    .await;
    let mut link = car.drive(&postern, "tcp").await;
    link.query().await;
    for class in ["remote-control", "info"] {
        let refused = phone.ask(json!({ "terminal": "car-1", "class": class })).await.unwrap_err();
        assert!(matches!(refused, ApiError::Refused { status: 503, .. }), "{class}: {refused}");
    }
    assert!(commands(&postern).await.is_empty());
    assert!(link.messages_so_far().await.is_empty());
}

#[tokio::test]
async fn s_plugin_that_traps_over_the_idle_period_sends_nobody_to_plain() {
    let postern = Postern::start(|s| {
        s.role("encrypt", "rogue-encrypt");
        s.policy("plugins.rogue-encrypt.config.misbehave", "trap");
        s.policy("plugins.rogue-encrypt.config.when", "boom");
    })
    .await;
    let mut boom = postern.terminal("boom").await;
    let mut link = boom.drive(&postern, "tls").await;
    link.query().await;
    // It is asked again, and the terminal stays meanwhile.
    postern.logged_times("role encrypt: no idle period", 2).await;
    assert!(link.messages_so_far().await.is_empty());
}

#[tokio::test]
async fn s_another_device_of_a_terminal_gets_nothing_while_the_first_is_connected() {
    let (postern, phone, mut car) = stage(|_| {}).await;
    let mut copy = postern.device("car-1", "copied-unit").await;
    let mut link = car.drive(&postern, "tls").await;
    link.query().await;
    let mut other = copy.drive(&postern, "tls").await;
    let refused = other.put("cmd/car-1/query", vec![1, 3, 0, 0, 60]).await;
    assert_eq!(refused.reason, ReasonCode::NotAuthorized);
    let id = phone.ask_for("car-1", "unlock").await;
    assert_eq!(link.command().await.id, id);
    assert!(other.messages_so_far().await.is_empty());
}

#[tokio::test]
async fn s_a_command_of_who_is_gone_is_not_executed() {
    let (postern, phone, mut car) = stage(|_| {}).await;
    phone.ask_for("car-1", "unlock").await;
    let removed = postern.cli(&["user", "remove", "alice"]).await;
    assert!(removed.status.success(), "{}", String::from_utf8_lossy(&removed.stderr));
    let mut link = car.drive(&postern, "tls").await;
    link.query().await;
    let failed = async {
        while commands(&postern).await[0]["state"] != "failed" {
            tokio::task::yield_now().await;
        }
    };
    postern_tests::patiently("the end of the command", failed).await;
    assert!(link.messages_so_far().await.is_empty());
}

#[tokio::test]
async fn s_query_on_plain_while_a_command_waits_brings_an_instruction_and_nothing_of_it() {
    let (postern, phone, mut car) = stage(|_| {}).await;
    phone.ask_for("car-1", "unlock").await;
    let mut link = car.drive(&postern, "tcp").await;
    link.query().await;
    assert_eq!(link.instruction().await.to, TLS);
    assert!(link.came_already(|publish| publish.topic.starts_with("cmd/")).is_none());
    // None waits for another terminal: no instruction for it.
    let mut other = postern.terminal("car-2").await;
    let mut other = other.drive(&postern, "tcp").await;
    other.query().await;
    phone_for_two(&postern).await.ask(json!({ "terminal": "car-2", "class": "info" })).await.unwrap();
    other.command().await;
    assert!(other.came_already(|publish| publish.topic.starts_with("link/")).is_none());
}

async fn phone_for_two(postern: &Postern) -> Requester {
    postern.requester("carol", &["car-2"]).await
}

#[tokio::test]
async fn s_hundred_requests_while_reconnecting_bring_one_instruction() {
    let (postern, phone, mut car) = stage(|s| s.set("limits.commands_per_requester", 100)).await;
    let mut link = car.drive(&postern, "tcp").await;
    link.query().await;
    for _ in 0..100 {
        phone.ask_for("car-1", "unlock").await;
    }
    link.instruction().await;
    assert!(link.messages_so_far().await.is_empty(), "one is enough");
    // The requester's queue is bounded.
    let refused = phone.ask(json!({ "terminal": "car-1", "class": "info" })).await.unwrap_err();
    assert!(matches!(refused, ApiError::Refused { status: 429, .. }), "{refused}");
    drop(link);
    let mut link = car.drive(&postern, "tls").await;
    link.query().await;
    let mut ids = std::collections::HashSet::new();
    for _ in 0..100 {
        assert!(ids.insert(link.command().await.id), "each comes once");
    }
}

#[tokio::test]
async fn s_link_that_falls_back_to_tcp_gets_nothing_of_what_was_on_its_way() {
    let (postern, phone, mut car) = stage(|_| {}).await;
    let wire = Wire::to(postern.address("tcp")).await;
    let mut tls = car.sign_in_on(&postern, "tls", |_| {}).await;
    tls.query().await;
    tls.acknowledges = false;
    let id = phone.ask_for("car-1", "unlock").await;
    // It was written to the TLS link, which is gone before it is acknowledged: its session goes on on plain.
    assert_eq!(tls.command().await.id, id);
    let mut connect = car.connect("tcp");
    connect.clean_start = false;
    let mut peer = Peer::tcp(wire.address()).await;
    let ack = peer.connect(connect).await.expect("CONNACK");
    assert!(ack.reason == ReasonCode::Success && ack.session_present);
    assert!(peer.so_far().await.is_empty(), "what was on its way stays away");
    assert!(!wire.down().windows(6).any(|bytes| bytes == b"unlock"));
}

#[tokio::test]
async fn s_results_that_others_make_up_are_refused_and_written_down() {
    let (postern, phone, mut car) = stage(|_| {}).await;
    let mut truck = postern.terminal("truck-1").await;
    let info = phone.ask(json!({ "terminal": "car-1", "class": "info" })).await.unwrap();
    let info = info["id"].as_str().unwrap();
    let secret = phone.ask_for("car-1", "unlock").await;
    let mut link = car.drive(&postern, "tcp").await;
    link.query().await;
    link.command().await;
    let mut forged = car.result("plain", info, DONE, "open");
    *forged.last_mut().unwrap() ^= 1;
    assert_eq!(link.report(forged).await, ReasonCode::NotAuthorized, "a wrong MAC");
    let moved = car.result("tls", info, DONE, "open");
    assert_eq!(link.report(moved).await, ReasonCode::NotAuthorized, "made for another transport");
    let on_plain = car.result("plain", &secret, DONE, "open");
    assert_eq!(link.report(on_plain).await, ReasonCode::NotAuthorized, "of a command that needs TLS");
    for bytes in [&[1, 4][..], &[1, 9, 0], &[], &[1; 4000]] {
        assert_eq!(link.report(bytes.to_vec()).await, ReasonCode::NotAuthorized);
    }
    let mut other = truck.drive(&postern, "tls").await;
    other.query().await;
    let of_another = truck.result("tls", &secret, DONE, "open");
    assert_eq!(other.report(of_another).await, ReasonCode::NotAuthorized, "another terminal's command");
    let states = commands(&postern).await;
    assert!(states.iter().all(|command| command["state"] != "done"), "{states:?}");
    let audit = audit(&postern);
    // A wrong MAC came twice, and is written down once a minute: who does this does it often.
    assert_eq!(audit.matches("\"act\":\"command.refused\"").count(), 2, "{audit}");
}

#[tokio::test]
async fn s_the_servers_topics_are_nobody_elses() {
    let (postern, phone, mut car) = stage(|s| {
        let all = toml::Value::Array(vec!["#".into()]);
        s.policy("plugins.token-hmac.config.rights.tls.publish", all.clone());
        s.policy("plugins.token-hmac.config.rights.tls.subscribe", all);
    })
    .await;
    let mut link = car.drive(&postern, "tls").await;
    link.query().await;
    let mut spy = postern.device("spy", "pc").await.sign_in(&postern).await;
    spy.peer.subscribe("cmd/#", QoS::AtLeastOnce).await;
    spy.peer.subscribe("link/#", QoS::AtLeastOnce).await;
    for topic in ["link/car-1", "cmd/car-1/do", "cmd/car-1/query", "cmd/car-1/result", "cmd/car-1/x/y"] {
        let sent = spy.put(topic, vec![1, 3, 0, 0, 60]).await;
        assert_eq!(sent.reason, ReasonCode::NotAuthorized, "{topic}");
    }
    phone.ask_for("car-1", "unlock").await;
    link.command().await;
    assert!(spy.messages_so_far().await.is_empty(), "a command is for its terminal alone");
    assert!(link.messages_so_far().await.is_empty());
}

#[tokio::test]
async fn s_flip_flop_is_bounded_by_the_hour() {
    let (postern, phone, mut car) = stage(|s| s.set("limits.instructions_per_terminal_per_hour", 3)).await;
    phone.ask_for("car-1", "unlock").await;
    for _ in 0..3 {
        let mut link = car.drive(&postern, "tcp").await;
        link.query().await;
        assert_eq!(link.instruction().await.to, TLS);
    }
    let mut link = car.drive(&postern, "tcp").await;
    link.query().await;
    let health = postern.address("health");
    let refused = async {
        while metric(&Page::get(health, "/metrics").await.body, "postern_refused_total", "switch-rate") < 1.0
        {
            tokio::task::yield_now().await;
        }
    };
    postern_tests::patiently("the limit", refused).await;
    assert!(link.messages_so_far().await.is_empty());
    // On TLS it may come by itself, at any time.
    let mut link = car.drive(&postern, "tls").await;
    link.query().await;
    link.command().await;
}

#[tokio::test]
async fn s_a_whole_session_on_plain_shows_no_key_token_or_command() {
    let (postern, phone, mut car) = stage(|_| {}).await;
    let wire = Wire::to(postern.address("tcp")).await;
    let mut peer = Peer::tcp(wire.address()).await;
    let ack = peer.connect(car.connect("tcp")).await.expect("CONNACK");
    assert_eq!(ack.reason, ReasonCode::Success);
    let query = publish("cmd/car-1/query", vec![1, 3, 0, 0, 60], QoS::AtMostOnce);
    peer.send(query).await;
    let id = phone.ask_for("car-1", "unlock-with-4711").await;
    let instruction = loop {
        if let postern_broker::wire::Packet::Publish(publish) = peer.packet().await {
            break publish;
        }
    };
    assert_eq!(&*instruction.topic, "link/car-1");
    drop(peer);
    let mut tls = car.drive(&postern, "tls").await;
    tls.query().await;
    tls.command().await;
    tls.report(car.result("tls", &id, DONE, "opened-with-4711")).await;
    let token = &car.state.login().token;
    let key = URL_SAFE_NO_PAD.decode(&token.key).unwrap();
    let sniffed = [wire.up(), wire.down()].concat();
    assert!(!sniffed.is_empty());
    for secret in [&key[..], token.bearer.as_bytes(), b"unlock-with-4711", b"opened-with-4711"] {
        let forms = [
            secret.to_vec(),
            STANDARD.encode(secret).into_bytes(),
            URL_SAFE_NO_PAD.encode(secret).into_bytes(),
            secret.iter().map(|byte| format!("{byte:02x}")).collect::<String>().into_bytes(),
        ];
        for form in forms {
            // Base64 of a longer text need not end alike.
            let form = &form[..form.len() - form.len() % 4];
            assert!(!sniffed.windows(form.len()).any(|bytes| bytes == form), "{secret:?}");
        }
    }
}

#[tokio::test]
async fn s_switches_are_in_the_audit_log_with_their_reason() {
    let (postern, phone, mut car) = stage(|s| {
        s.policy("plugins.encrypt-on-demand.config.idle_min_secs", 1);
        s.policy("plugins.encrypt-on-demand.config.idle_max_secs", 1);
    })
    .await;
    let mut link = car.drive(&postern, "tcp").await;
    link.query().await;
    phone.ask_for("car-1", "unlock").await;
    link.instruction().await;
    let mut link = car.drive(&postern, "tls").await;
    link.query().await;
    link.command().await;
    assert_eq!(link.instruction().await.to, TCP);
    let audit = audit(&postern);
    assert!(
        audit.contains("\"act\":\"link.instruct\"") && audit.contains("to tls: 1 commands wait"),
        "{audit}"
    );
    assert!(audit.contains("to plain: no command needed TLS for a while"), "{audit}");
}
