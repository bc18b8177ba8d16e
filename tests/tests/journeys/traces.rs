//! OpenTelemetry traces: what a collector gets, and what a missing one changes.

use postern_broker::wire::{MessageProperties, Publish, QoS};
use postern_tests::{Collector, Postern, Session, publish, text};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";

/// A server that traces a share of what it does, and exports it soon.
async fn traced(url: &str, share: f64) -> Postern {
    Postern::start(|c| {
        c.set("telemetry.otlp", url);
        c.set("telemetry.sample", share);
        c.set("telemetry.service", "postern-test");
        c.variable("OTEL_BSP_SCHEDULE_DELAY", "50");
    })
    .await
}

/// An instant message that says which trace it is part of.
async fn send_within(alice: &mut Session, to: &str, traceparent: &str) {
    let packet_id = alice.peer.next_id();
    let user_properties = vec![(text("traceparent"), text(traceparent))];
    let properties = Some(Box::new(MessageProperties { user_properties, ..Default::default() }));
    let message = publish(&format!("im/u/{to}/{}", alice.user), "hello", QoS::AtLeastOnce);
    alice.peer.send(Publish { packet_id: Some(packet_id), properties, ..message }).await;
    let ack = alice.acknowledged(packet_id).await;
    assert!((ack.reason as u8) < 0x80, "{ack:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_logins_trace_leads_over_the_bus_to_plugin_and_commit() {
    let collector = Collector::start().await;
    let postern = traced(&collector.url(), 1.0).await;
    let mut alice = postern.session("alice", "phone").await;
    let login = collector.trace(&["POST /v1/login", "login.login", "token.issue", "bus.request"]).await;
    assert_eq!(login.path("login.login"), ["POST /v1/login", "login.login"]);
    assert_eq!(login.attribute("login.login", "postern.plugin"), "login-table");
    assert_eq!(login.path("token.issue"), ["POST /v1/login", "bus.request", "token.issue"]);
    assert_eq!(login.attribute("bus.request", "postern.subject"), "token.issue");
    let commits = login.0.iter().filter(|span| span.name == "store.commit");
    let above = |id: &[u8]| login.0.iter().find(|span| span.span_id == id).map(|span| span.name.as_str());
    let above: Vec<_> = commits.filter_map(|commit| above(&commit.parent_span_id)).collect();
    assert!(above.contains(&"login.login") && above.contains(&"token.issue"), "{above:?}");
    assert_eq!(login.attribute("POST /v1/login", "http.response.status_code"), "200");
    // Its lines are found by its id.
    let line = postern.logged("\"message\":\"login\"").await;
    assert!(line.contains(&login.id()), "{line}");

    let sign_in = collector.trace(&["mqtt.connect", "token.verify"]).await;
    assert_eq!(sign_in.path("token.verify"), ["mqtt.connect", "token.verify"]);

    // Two messages of one transaction: each has it in its own trace.
    postern.user("bob").await;
    let first = alice.start("im/u/bob/alice", "m1", "hello").await;
    let second = alice.start("im/u/bob/alice", "m2", "hello").await;
    alice.acknowledged(first).await;
    alice.acknowledged(second).await;
    let message = collector.trace(&["mqtt.publish", "store.save", "store.commit", "deliver"]).await;
    assert_eq!(message.path("store.save"), ["mqtt.publish", "store.save"]);
    // Looking up the recipient may have had a commit of its own.
    let saves: Vec<_> = message.0.iter().filter(|span| span.name == "store.save").collect();
    let is_saved = |id: &[u8]| saves.iter().any(|save| save.span_id == id);
    assert!(message.0.iter().any(|span| span.name == "store.commit" && is_saved(&span.parent_span_id)));
    let said = collector.resources();
    assert!(said.contains(&"service.name=postern-test".to_owned()), "{said:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_messages_trace_is_that_of_its_publisher() {
    let collector = Collector::start().await;
    let postern = traced(&collector.url(), 0.0).await;
    let (mut alice, mut bob) = (postern.session("alice", "phone").await, postern.session("bob", "pc").await);
    // Not sampled: known by the trace, and not recorded. No trace: neither.
    send_within(&mut alice, "bob", &format!("00-{}-{PARENT}-00", TRACE.replace('4', "5"))).await;
    send_within(&mut alice, "bob", "not one").await;
    send_within(&mut alice, "bob", &format!("00-{TRACE}-{PARENT}-01")).await;
    for _ in 0..3 {
        bob.message().await;
    }
    let all = ["mqtt.publish", "classify.classify", "store.save", "store.commit", "deliver"];
    let trace = collector.trace(&all).await;
    assert_eq!(trace.id(), TRACE);
    assert_eq!(trace.span("mqtt.publish").parent_span_id, [0x00, 0xf0, 0x67, 0xaa, 0x0b, 0xa9, 0x02, 0xb7]);
    assert_eq!(trace.path("classify.classify"), ["mqtt.publish", "classify.classify"]);
    assert_eq!(trace.attribute("classify.classify", "postern.plugin"), "classify-topic");
    assert_eq!(trace.path("store.commit"), ["mqtt.publish", "store.save", "store.commit"]);
    assert_eq!(trace.attribute("store.save", "postern.plugin"), "store-sql");
    assert_eq!(trace.path("deliver"), ["mqtt.publish", "deliver"]);
    assert_eq!(trace.0.len(), collector.count(), "nothing else is recorded");
    // Nobody is named.
    let told = format!("{trace:?}");
    assert!(!told.contains("alice") && !told.contains("bob") && !told.contains("phone"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commands_trace_leads_to_the_terminal() {
    let collector = Collector::start().await;
    let postern = traced(&collector.url(), 1.0).await;
    let requester = postern.requester("alice", &["car"]).await;
    let mut unit = postern.terminal("car").await;
    let mut link = unit.drive(&postern, "tls").await;
    link.query().await;
    requester.ask_for("car", "unlock").await;
    link.command().await;
    let all = ["POST /v1/commands", "encrypt.decide", "store.command", "command.serve", "command.deliver"];
    let trace = collector.trace(&all).await;
    assert_eq!(trace.path("encrypt.decide")[..2], ["POST /v1/commands", "bus.request"]);
    assert_eq!(
        trace.path("command.deliver"),
        ["POST /v1/commands", "bus.request", "command.serve", "command.deliver"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_is_not_there_changes_nothing_and_is_told_of_once() {
    // A port that was free a moment ago.
    let gone = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let mut postern = traced(&format!("http://{gone}"), 1.0).await;
    let (mut alice, mut bob) = (postern.session("alice", "phone").await, postern.session("bob", "pc").await);
    postern.logged("traces are lost").await;
    for n in 0..100 {
        let ack = alice.send("bob", &format!("m{n}"), "hello").await;
        assert!((ack.reason as u8) < 0x80, "{ack:?}");
        bob.message().await;
    }
    postern.stop().await;
    assert_eq!(postern.log().matches("traces are lost").count(), 1);
}
