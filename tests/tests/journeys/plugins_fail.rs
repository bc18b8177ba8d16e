//! C5 and C6: a plugin that traps, spins, hoards memory or answers nonsense costs its own call, and the
//! caller gets what the role's failure rule says. User `boom` sets them off; alice is the neighbour.

use phone::ApiError;
use postern_broker::wire::{Connect, Packet, QoS, ReasonCode, Version};
use postern_tests::{Peer, Postern, Session, body, connect, password, publish, text};

/// What no call may survive, and what an answer may not be.
const MISBEHAVIOUR: [&str; 4] = ["trap", "spin", "hoard", "nonsense"];

/// Nothing that a plugin says while it falls may reach a client.
const PANIC_TEXT: &str = "told to trap";

fn old(connect: &mut Connect) {
    connect.version = Version::V311;
    connect.session_expiry = None;
}

/// A message of alice's to bob arrives.
async fn the_neighbours_go_on(alice: &mut Session, bob: &mut Session, id: &str) {
    let ack = alice.send("bob", id, id).await;
    assert!((ack.reason as u8) < 0x80, "{id}: {ack:?}");
    assert_eq!(body(&bob.message().await), id);
}

#[tokio::test(flavor = "multi_thread")]
async fn c6_login_fails_closed_and_costs_nobody_else() {
    for how in MISBEHAVIOUR {
        let postern = Postern::start(|c| c.rogue("login", how, "boom")).await;
        let (mut alice, mut bob) =
            (postern.session("alice", "phone").await, postern.session("bob", "pc").await);
        let refused = postern.login("boom", &password("boom"), "phone").await;
        let Err(ApiError::Refused { status: 503, title, detail, .. }) = refused else {
            panic!("{how}: {refused:?}")
        };
        assert!(!format!("{title} {detail:?}").contains(PANIC_TEXT), "{how}");
        the_neighbours_go_on(&mut alice, &mut bob, how).await;
        postern.session("carol", "phone").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn c6_token_fails_closed_and_costs_nobody_else() {
    for how in MISBEHAVIOUR {
        let postern = Postern::start(|c| c.rogue("token", how, "boom")).await;
        for user in ["alice", "bob", "boom"] {
            // The organisation that its grants name.
            postern.user_of(user, "rogue", &[]).await;
        }
        let (mut alice, mut bob) =
            (postern.session("alice", "phone").await, postern.session("bob", "pc").await);
        for version in [Version::V5, Version::V311] {
            let (user_name, password) = (Some(text("boom.phone")), Some("x".into()));
            let connect = Connect { user_name, password, ..connect(version, "phone") };
            let ack = Peer::to(&postern, "tls").await.connect(connect).await.expect("CONNACK");
            assert_eq!(ack.reason, ReasonCode::ServerUnavailable, "{how} {version:?}");
        }
        // No token, so no login either, and nothing of the profile (A6).
        let refused = postern.login("boom", &password("boom"), "phone").await;
        assert!(matches!(refused, Err(ApiError::Refused { status: 503, .. })), "{how}: {refused:?}");
        the_neighbours_go_on(&mut alice, &mut bob, how).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn c6_classification_may_fail_to_the_class_of_the_prefix() {
    for how in ["trap", "spin", "hoard"] {
        let postern = Postern::start(|c| {
            c.rogue("classify", how, "boom");
            c.policy("failure.classify", "prefix");
        })
        .await;
        let (mut alice, mut bob) =
            (postern.session("alice", "phone").await, postern.session("bob", "pc").await);
        let mut boom = postern.session("boom", "phone").await;
        let ack = boom.send("bob", "m1", "by its prefix").await;
        assert!((ack.reason as u8) < 0x80, "{how}: {ack:?}");
        let got = bob.message().await;
        assert_eq!((&*got.topic, body(&got)), ("im/u/bob/boom", "by its prefix"));
        the_neighbours_go_on(&mut alice, &mut bob, how).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn c6_classification_may_be_set_to_fail_closed() {
    for how in MISBEHAVIOUR {
        let postern = Postern::start(|c| {
            c.rogue("classify", how, "boom");
            c.policy("failure.classify", "closed");
        })
        .await;
        let (mut alice, mut bob) =
            (postern.session("alice", "phone").await, postern.session("bob", "pc").await);
        let mut boom = postern.session("boom", "phone").await;
        let ack = boom.send("bob", "m1", "not classified").await;
        assert!(ack.reason as u8 >= 0x80, "{how}: {ack:?}");
        assert!(!format!("{ack:?}").contains(PANIC_TEXT), "{how}: {ack:?}");
        the_neighbours_go_on(&mut alice, &mut bob, how).await;
        assert_eq!(bob.messages_so_far().await, [], "{how}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn c6_storage_refuses_so_that_the_sender_sends_again() {
    // `short` and `giant` are its nonsense: fewer answers or places than were asked for, 24 MiB of text.
    for how in ["trap", "spin", "hoard", "short", "giant"] {
        let postern = Postern::start(|c| c.rogue("store", how, "boom")).await;
        let (mut alice, mut bob) =
            (postern.session("alice", "phone").await, postern.session("bob", "pc").await);
        let mut device = postern.device("boom", "phone").await;

        // MQTT 5: PUBACK and PUBREC carry the refusal.
        let mut boom = device.sign_in(&postern).await;
        let ack = boom.send("bob", "m1", "not stored").await;
        assert!(ack.reason as u8 >= 0x80, "{how}: {ack:?}");
        assert!(!format!("{ack:?}").contains(PANIC_TEXT), "{how}: {ack:?}");
        assert!(refused_qos_2(&mut boom).await as u8 >= 0x80, "{how}");
        boom.leave().await;

        // 3.1.1: closed without an acknowledgement.
        let mut boom = device.sign_in_on(&postern, "tls", old).await;
        boom.start("im/u/bob/boom/m3", "", "not stored").await;
        let answers = boom.peer.closed().await;
        assert!(!answers.iter().any(|p| matches!(p, Packet::PubAck(_))), "{how}: {answers:?}");

        the_neighbours_go_on(&mut alice, &mut bob, how).await;
        assert_eq!(bob.messages_so_far().await, [], "{how}: nothing refused is delivered");
    }
}

/// The reason of a PUBREC.
async fn refused_qos_2(session: &mut Session) -> ReasonCode {
    let packet_id = Some(session.peer.next_id());
    let message = publish("im/u/bob/boom", "not stored", QoS::ExactlyOnce);
    session.peer.send(postern_broker::wire::Publish { packet_id, ..message }).await;
    loop {
        if let Packet::PubRec(ack) = session.peer.packet().await {
            return ack.reason;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn c5_a_role_that_always_fails_leaves_the_host_and_the_other_roles_alone() {
    for how in ["trap", "spin", "hoard"] {
        let postern = Postern::start(|c| {
            c.rogue("classify", how, "always");
            c.policy("failure.classify", "prefix");
        })
        .await;
        let (mut alice, mut bob) =
            (postern.session("alice", "phone").await, postern.session("bob", "pc").await);
        for n in 0..20 {
            the_neighbours_go_on(&mut alice, &mut bob, &format!("{how} {n}")).await;
        }
        alice.peer.so_far().await;
        assert!(postern.metric("postern_plugin_calls_total", "role=\"classify\"").await >= 1.0);
        assert!(postern.metric("postern_classify_fallback_total", "").await >= 1.0, "{how}: counted");
        // The operator can see it, and mend it while everybody stays.
        postern.json(&["plugin", "describe", "rogue-classify"]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn c5_a_log_flood_is_cut_and_the_call_goes_on() {
    let postern = Postern::start(|c| {
        c.rogue("classify", "flood", "boom");
        c.policy("plugins.rogue-classify.limits.call_cpu_ms", 5_000);
    })
    .await;
    let (mut alice, mut bob) = (postern.session("alice", "phone").await, postern.session("bob", "pc").await);
    let mut boom = postern.session("boom", "phone").await;
    boom.send("bob", "m1", "after the flood").await;
    assert_eq!(body(&bob.message().await), "after the flood");
    the_neighbours_go_on(&mut alice, &mut bob, "dry").await;
    let lines = postern.log().lines().filter(|line| line.contains("of a flood")).count();
    assert!((1..1_000).contains(&lines), "{lines} of 100,000 lines");
}

#[tokio::test(flavor = "multi_thread")]
async fn c3_a_plugin_that_fails_its_own_checks_does_not_serve() {
    for how in ["prepare", "self-check", "self-check-trap"] {
        let refused =
            Postern::try_start(|c| c.rogue("classify", how, "always")).await.expect_err("it must not start");
        assert_eq!(refused.status.code(), Some(1), "{how}");
        assert!(refused.stderr.contains("rogue-classify.wasm"), "{how}: {}", refused.stderr);
    }
    for guest in ["import-not-granted", "import-foreign", "world-version"] {
        let refused = Postern::try_start(|c| c.role("classify", guest)).await.expect_err("it must not start");
        assert!(refused.stderr.contains(&format!("{guest}.wasm")), "{guest}: {}", refused.stderr);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn s_without_classification_the_host_holds_what_it_knows() {
    // A grant of `#`, and a classify role that is never there.
    let postern = Postern::start(|c| {
        c.rogue("token", "well", "always");
        c.rogue("classify", "trap", "always");
        c.policy("failure.classify", "prefix");
    })
    .await;
    for (user, org) in [("alice", "rogue"), ("bob", "rogue"), ("carol", "strangers")] {
        postern.user_of(user, org, &[]).await;
    }
    let (mut alice, mut bob) = (postern.session("alice", "phone").await, postern.session("bob", "pc").await);
    let mut carol = postern.session("carol", "pc").await;
    for topic in [
        "im/u/carol/alice",
        "im/g/ops/alice",
        "note/u/bob",
        "note/all",
        "status/bob",
        "link/bob",
        "link/bob/x",
    ] {
        let ack = alice.publish(topic, "", "not to be sent").await;
        assert!(ack.reason as u8 >= 0x80, "{topic}: {ack:?}");
    }
    for (topic, body) in [("cmd/bob/ask", "{\"class\":\"info\"}"), ("plant/7/temperature", "may be sent")] {
        let ack = alice.publish(topic, "", body).await;
        assert!((ack.reason as u8) < 0x80, "{topic}: {ack:?}");
    }
    the_neighbours_go_on(&mut alice, &mut bob, "colleagues").await;
    assert_eq!((bob.messages_so_far().await, carol.messages_so_far().await), (vec![], vec![]));
}
