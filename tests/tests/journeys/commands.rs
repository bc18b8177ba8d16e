//! The journey of a command: asked for, saved, the terminal brought in through TLS when it must, sent,
//! executed once, reported; and back to plain TCP (B1 to B14).

use postern_broker::wire::ReasonCode;
use postern_tests::{ACKNOWLEDGED, DONE, Device, Postern, Requester, Session, TCP, TLS, patiently};
use serde_json::json;

/// A node, a phone that may control `car-1`, and the terminal's device.
async fn stage(change: impl FnOnce(&mut postern_tests::Settings)) -> (Postern, Requester, Device) {
    let postern = Postern::start(change).await;
    let phone = postern.requester("alice", &["car-1"]).await;
    let car = postern.terminal("car-1").await;
    (postern, phone, car)
}

async fn on_plain(postern: &Postern, car: &mut Device) -> Session {
    let mut link = car.drive(postern, "tcp").await;
    link.query().await;
    link
}

/// Waits until the requester sees the command in this state.
async fn becomes(phone: &Requester, id: &str, state: &str) -> serde_json::Value {
    let seen = async {
        loop {
            let command = phone.find(id).await.expect("the command is there");
            if command["state"] == state {
                return command;
            }
            tokio::task::yield_now().await;
        }
    };
    patiently(&format!("state {state}"), seen).await
}

#[tokio::test]
async fn b1_b5_b8_b9_b12_the_whole_way_there_and_back() {
    let (postern, phone, mut car) = stage(|s| {
        s.policy("plugins.encrypt-on-demand.config.idle_min_secs", 1);
        s.policy("plugins.encrypt-on-demand.config.idle_max_secs", 1);
    })
    .await;
    let mut plain = on_plain(&postern, &mut car).await;
    let id = phone.ask_for("car-1", "unlock").await;
    let instruction = plain.instruction().await;
    assert_eq!(instruction.to, TLS);
    assert_eq!(becomes(&phone, &id, "waiting").await["needs_tls"], true);
    drop(plain);

    let mut tls = car.drive(&postern, "tls").await;
    tls.query().await;
    let command = tls.command().await;
    assert_eq!((&*command.id, &*command.body, command.must_encrypt), (&*id, &b"unlock"[..], true));
    assert!(car.is_genuine("tls", &command) && !car.is_genuine("plain", &command));
    becomes(&phone, &id, "sent").await;
    assert_eq!(tls.report(car.result("tls", &id, ACKNOWLEDGED, "")).await, ReasonCode::Success);
    becomes(&phone, &id, "acknowledged").await;
    assert_eq!(tls.report(car.result("tls", &id, DONE, "open")).await, ReasonCode::Success);
    assert_eq!(becomes(&phone, &id, "done").await["result"], "open");

    let back = tls.instruction().await;
    assert_eq!(back.to, TCP);
    assert!(back.sequence > instruction.sequence);
    drop(tls);
    // Nothing waits: the query on plain brings nothing, and the next command is the next that comes.
    let mut plain = on_plain(&postern, &mut car).await;
    phone.ask(json!({ "terminal": "car-1", "class": "info", "body": "where" })).await.unwrap();
    assert_eq!(plain.command().await.body, b"where");
}

#[tokio::test]
async fn b2_b13_asked_twice_with_one_key_it_is_one_command() {
    let (postern, phone, mut car) = stage(|_| {}).await;
    let asked = json!({ "terminal": "car-1", "class": "info", "body": "where", "key": "k-1" });
    let (first, second) = tokio::join!(phone.ask(asked.clone()), phone.ask(asked));
    assert_eq!(first.unwrap()["id"], second.unwrap()["id"]);
    let mut link = on_plain(&postern, &mut car).await;
    link.command().await;
    phone.ask(json!({ "terminal": "car-1", "class": "info", "body": "next" })).await.unwrap();
    assert_eq!(link.command().await.body, b"next", "it came once");
}

#[tokio::test]
async fn b2_a_command_is_asked_for_by_mqtt_and_its_steps_are_pushed() {
    let (postern, mut phone, mut car) = stage(|_| {}).await;
    let mut link = on_plain(&postern, &mut car).await;
    let mut alice = phone.device().sign_in(&postern).await;
    let asked = json!({ "class": "info", "body": "where", "key": "k-1" }).to_string();
    assert_eq!(alice.put("cmd/car-1/ask", asked).await.reason, ReasonCode::Success);
    let command = link.command().await;
    assert_eq!(link.report(car.result("plain", &command.id, DONE, "at home")).await, ReasonCode::Success);
    let mut states = Vec::new();
    while states.last().is_none_or(|state| state != "done") {
        let pushed = alice.message().await;
        assert_eq!(&*pushed.topic, "note/u/alice");
        let step: serde_json::Value = serde_json::from_slice(&pushed.payload).unwrap();
        assert_eq!((&step["id"], &step["key"]), (&json!(command.id), &json!("k-1")));
        states.push(step["state"].as_str().unwrap().to_owned());
    }
    assert_eq!(states, ["accepted", "sent", "done"]);
    let wrong = alice.put("cmd/car-1/ask", "{\"class\":\"INFO\"}").await;
    assert_eq!(wrong.reason, ReasonCode::NotAuthorized);
    assert!(wrong.reason_string.is_some_and(|why| why.contains("class")));
}

#[tokio::test]
async fn b3_a_follow_up_that_needs_encryption_suffices() {
    let (postern, phone, mut car) = stage(|_| {}).await;
    let mut link = on_plain(&postern, &mut car).await;
    let asked = json!({ "terminal": "car-1", "class": "info", "follow_ups": ["info", "diagnosis"] });
    phone.ask(asked).await.unwrap();
    assert_eq!(link.instruction().await.to, TLS);
}

#[tokio::test]
async fn b4_b6_on_tls_it_is_sent_at_once() {
    let (postern, phone, mut car) = stage(|_| {}).await;
    let mut link = car.drive(&postern, "tls").await;
    link.query().await;
    let id = phone.ask_for("car-1", "unlock").await;
    assert_eq!(link.command().await.id, id);
}

#[tokio::test]
async fn b7_what_needs_no_encryption_goes_out_on_the_link_there_is() {
    let (postern, phone, mut car) = stage(|_| {}).await;
    for (listener, transport) in [("tcp", "plain"), ("tls", "tls")] {
        let mut link = car.drive(&postern, listener).await;
        link.query().await;
        phone.ask(json!({ "terminal": "car-1", "class": "info", "body": listener })).await.unwrap();
        let command = link.command().await;
        assert_eq!((&*command.body, command.must_encrypt), (listener.as_bytes(), false));
        assert!(car.is_genuine(transport, &command));
        let done = car.result(transport, &command.id, DONE, "");
        assert_eq!(link.report(done).await, ReasonCode::Success);
    }
}

#[tokio::test]
async fn b9_only_commands_that_need_tls_lengthen_the_stay() {
    let (postern, phone, mut car) = stage(|s| {
        s.policy("plugins.encrypt-on-demand.config.idle_min_secs", 1);
        s.policy("plugins.encrypt-on-demand.config.idle_max_secs", 1);
    })
    .await;
    let mut link = car.drive(&postern, "tls").await;
    link.query().await;
    // Plain commands and queries all the while: it is told to go all the same.
    let told = async {
        loop {
            phone.ask(json!({ "terminal": "car-1", "class": "info", "body": "x" })).await.unwrap();
            let command = link.command().await;
            link.report(car.result("tls", &command.id, DONE, "")).await;
            link.query().await;
            if let Some(instruction) = link.came_already(|publish| *publish.topic == *"link/car-1") {
                return instruction;
            }
        }
    };
    let instruction = patiently("the instruction to go back", told).await;
    assert_eq!(instruction.payload[6], TCP);
}

#[tokio::test]
async fn b13_a_command_waits_for_an_offline_terminal_and_is_executed_once() {
    let (mut postern, phone, mut car) = stage(|_| {}).await;
    let id = phone.ask_for("car-1", "unlock").await;
    postern.kill().await;
    postern.restart().await;
    let mut link = car.drive(&postern, "tls").await;
    link.query().await;
    assert_eq!(link.command().await.id, id);
    // The terminal executes it; its word is lost. It asks again, and tells again what it knows.
    drop(link);
    let mut link = car.drive(&postern, "tls").await;
    link.query().await;
    assert_eq!(link.command().await.id, id, "what has no result is sent again: the terminal knows it");
    for _ in 0..2 {
        assert_eq!(link.report(car.result("tls", &id, DONE, "open")).await, ReasonCode::Success);
    }
    link.query().await;
    let next = phone_asks_next(&postern).await;
    assert_eq!(link.command().await.id, next, "nothing of the first comes any more");
}

async fn phone_asks_next(postern: &Postern) -> String {
    let phone = postern.requester("bob", &["car-1"]).await;
    phone.ask_for("car-1", "lock").await
}

#[tokio::test]
async fn b13_a_command_that_nobody_came_for_expires() {
    let (_postern, phone, _car) = stage(|_| {}).await;
    let asked = json!({ "terminal": "car-1", "class": "remote-control", "expires_in_secs": 1 });
    let id = phone.ask(asked).await.unwrap()["id"].as_str().unwrap().to_owned();
    becomes(&phone, &id, "expired").await;
}

#[tokio::test]
async fn b13_what_was_sent_is_not_told_as_expired() {
    let (postern, phone, mut car) = stage(|_| {}).await;
    let mut link = car.drive(&postern, "tls").await;
    link.query().await;
    let asked = json!({ "terminal": "car-1", "class": "remote-control", "expires_in_secs": 1 });
    let id = phone.ask(asked).await.unwrap()["id"].as_str().unwrap().to_owned();
    link.command().await;
    let later =
        json!({ "terminal": "car-1", "class": "remote-control", "expires_in_secs": 1, "key": "later" });
    drop(link);
    let never = phone.ask(later).await.unwrap()["id"].as_str().unwrap().to_owned();
    becomes(&phone, &never, "expired").await;
    // Both are past their time by now; the first was executed meanwhile.
    let mut link = car.drive(&postern, "tls").await;
    link.query().await;
    assert_eq!(link.report(car.result("tls", &id, DONE, "late")).await, ReasonCode::Success);
    becomes(&phone, &id, "done").await;
}

#[tokio::test]
async fn b2_a_command_is_taken_back_until_it_is_sent() {
    let (postern, phone, mut car) = stage(|_| {}).await;
    let other = postern.requester("bob", &["car-1"]).await;
    let unlock = phone.ask_for("car-1", "unlock").await;
    let stop = phone.ask_for("car-1", "stop").await;
    let refused = other.take_back(&unlock).await.unwrap_err();
    assert!(matches!(refused, phone::ApiError::Refused { status: 404, .. }), "{refused}");
    phone.take_back(&unlock).await.unwrap();
    phone.take_back(&unlock).await.expect("it is as it was wanted");
    assert_eq!(phone.find(&unlock).await.unwrap()["state"], "cancelled");
    let told = postern.done(&["command", "cancel", &stop]).await;
    assert!(told.contains("cancelled"), "{told}");
    becomes(&phone, &stop, "cancelled").await;
    let audit = std::fs::read_to_string(postern.data().join("audit.log")).unwrap();
    assert!(audit.contains("command.cancel") && audit.contains(&stop), "{audit}");

    // Neither comes to the terminal; what has, is taken back no more.
    let lock = phone.ask_for("car-1", "lock").await;
    let mut link = car.drive(&postern, "tls").await;
    link.query().await;
    assert_eq!(link.command().await.id, lock);
    let refused = phone.take_back(&lock).await.unwrap_err();
    assert!(matches!(refused, phone::ApiError::Refused { status: 409, .. }), "{refused}");
    let output = postern.cli(&["command", "cancel", &lock]).await;
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(1) && told.contains("it is sent already"), "{told}");
    assert_eq!(link.report(car.result("tls", &lock, DONE, "")).await, ReasonCode::Success);
    becomes(&phone, &lock, "done").await;
}

#[tokio::test]
async fn b2_one_key_names_one_command() {
    let (_postern, phone, _car) = stage(|_| {}).await;
    let asked = |body: &str| json!({ "terminal": "car-1", "class": "info", "body": body, "key": "k" });
    phone.ask(asked("lock")).await.unwrap();
    let refused = phone.ask(asked("unlock")).await.unwrap_err().to_string();
    assert!(refused.contains("this key names another command"), "{refused}");
}

#[tokio::test]
async fn b13_an_instruction_without_an_answer_is_repeated() {
    let (postern, phone, mut car) = stage(|_| {}).await;
    let mut link = on_plain(&postern, &mut car).await;
    phone.ask_for("car-1", "unlock").await;
    let first = link.instruction().await;
    let second = link.instruction().await;
    assert!(second.to == TLS && second.sequence > first.sequence && second.bytes != first.bytes);
}

#[tokio::test]
async fn b14_remote_control_and_diagnosis_need_tls_by_default() {
    let (_postern, phone, _car) = stage(|_| {}).await;
    for (class, needs_tls) in [("remote-control", true), ("diagnosis", true), ("info", false)] {
        let command = phone.ask(json!({ "terminal": "car-1", "class": class })).await.unwrap();
        assert_eq!(command["needs_tls"], needs_tls, "{class}");
    }
}

#[tokio::test]
async fn rule_4_a_terminal_that_says_so_is_sent_disconnect_with_the_instruction() {
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
    use postern_broker::wire::Packet;
    let (postern, phone, mut car) = stage(|_| {}).await;
    let mut link = car.drive(&postern, "tcp").await;
    assert_eq!(link.put("cmd/car-1/query", vec![1, 3, 1, 0, 60]).await.reason, ReasonCode::Success);
    phone.ask_for("car-1", "unlock").await;
    let farewell = loop {
        if let Packet::Disconnect(farewell) = link.peer.packet().await {
            break farewell;
        }
    };
    assert_eq!(farewell.reason, ReasonCode::UseAnotherServer);
    assert_eq!(farewell.server_reference, None, "an address never comes from a message");
    let carried = farewell.user_properties.iter().find(|(name, _)| &**name == "postern-instruction");
    let instruction = URL_SAFE_NO_PAD.decode(&*carried.unwrap().1).unwrap();
    assert_eq!((instruction[0], instruction[1], instruction[6]), (1, 1, TLS));
}

#[tokio::test]
async fn an_operator_sees_commands_and_not_what_they_say() {
    let (postern, phone, mut car) = stage(|_| {}).await;
    let id = phone.ask_for("car-1", "unlock-the-secret-door").await;
    let mut link = car.drive(&postern, "tls").await;
    link.query().await;
    link.command().await;
    link.report(car.result("tls", &id, DONE, "a-secret-result")).await;
    let listed = postern.cli(&["command", "list", "--json"]).await;
    let text = String::from_utf8(listed.stdout).unwrap();
    let listed: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&listed[0]["id"], &listed[0]["state"]), (&json!(id), &json!("done")));
    assert!(!text.contains("secret"), "{text}");
    let shown = postern.cli(&["command", "show", &id]).await;
    assert!(shown.status.success() && String::from_utf8_lossy(&shown.stdout).contains("car-1"));
    let audit = std::fs::read_to_string(postern.data().join("audit.log")).unwrap();
    assert!(!audit.contains("secret"));
}
