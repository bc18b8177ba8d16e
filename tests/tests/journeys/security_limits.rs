//! What strangers may take: places for requests, connections, descriptors. Whoever takes all of his keeps
//! nobody else out.

use std::time::{Duration, Instant};

use phone::ApiError;
use postern_broker::wire::{
    Packet, PacketId, Publish, QoS, ReasonCode, RetainHandling, Subscribe, SubscribeFilter, Version,
};
use postern_tests::{Page, Peer, Postern, connect, password, patiently, publish, text};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// A request to log in of which half the body is there, when the server waits for the rest.
async fn half_a_login(postern: &Postern) -> Peer {
    let mut peer = Peer::tls(postern.address("http"), &postern.ca()).await;
    let head = "POST /v1/login HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
                Expect: 100-continue\r\nContent-Length: 80\r\n\r\n";
    peer.send_bytes(head.as_bytes()).await;
    peer.until(b"100 Continue\r\n\r\n").await;
    peer.send_bytes(b"{").await;
    peer
}

#[tokio::test(flavor = "multi_thread")]
async fn s_half_a_login_keeps_nobody_out() {
    let postern = Postern::start(|c| {
        c.set("limits.logins_at_once", 1);
        c.set("limits.http_requests", 200);
    })
    .await;
    postern.user("alice").await;
    let mut halves = Vec::new();
    for _ in 0..16 {
        halves.push(half_a_login(&postern).await);
    }
    postern.login("alice", &password("alice"), "phone").await.expect("they hold no login back");
    // And they do not wait for ever.
    let mut first = halves.remove(0);
    let answer = first.until(b"\r\n\r\n").await;
    assert!(answer.starts_with(b"HTTP/1.1 400"), "{}", String::from_utf8_lossy(&answer));
}

#[tokio::test(flavor = "multi_thread")]
async fn s_requests_of_one_address_are_limited() {
    let postern = Postern::start(|c| c.set("limits.http_requests_per_address", 4)).await;
    postern.user("alice").await;
    let mut halves = Vec::new();
    for _ in 0..4 {
        halves.push(half_a_login(&postern).await);
    }
    let refused = postern.login("alice", &password("alice"), "phone").await;
    let Err(ApiError::Refused { status: 503, retry_after: Some(1), .. }) = refused else {
        panic!("a fifth at once: {refused:?}")
    };
    assert_eq!(postern.metric("postern_refused_total", "http-requests-per-address").await, 1.0);
    // A place comes free with each that ends.
    halves.remove(0).until(b"\r\n\r\n").await;
    postern.login("alice", &password("alice"), "phone").await.expect("there is room again");
}

/// Connections that say nothing, to an MQTT listener.
async fn silent(postern: &Postern, listener: &str, count: usize) -> Vec<TcpStream> {
    let mut all = Vec::new();
    for _ in 0..count {
        all.push(TcpStream::connect(postern.address(listener)).await.expect("the system lets it in"));
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn s_strangers_take_neither_the_operators_way_in_nor_that_of_others() {
    let postern = Postern::start(|c| c.under(&["sh", "-c", "ulimit -n 256; exec \"$0\" \"$@\""])).await;
    postern.logged("as many connections as the limit of open files allows").await;
    let mut alice = postern.session("alice", "phone").await;

    let mut held = Vec::new();
    for listener in ["tcp", "tls", "http"] {
        held.extend(silent(&postern, listener, 100).await);
    }
    let status = postern.json(&["status"]).await;
    assert_eq!(status["ready"], true, "{status}");
    // Who has signed in stays, and who can sign in does.
    alice.send("alice", "m1", "still here").await;
    let bob = postern.session("bob", "pc").await;
    bob.leave().await;
    assert!(postern.metric("postern_refused_total", "connections-before-sign-in").await > 0.0);
    drop(held);
}

#[tokio::test(flavor = "multi_thread")]
async fn s_the_soft_limit_of_open_files_is_raised_to_the_hard_one() {
    let postern = Postern::start(|c| c.under(&["sh", "-c", "ulimit -Sn 300; exec \"$0\" \"$@\""])).await;
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", postern.id())).unwrap();
    let files = limits.lines().find_map(|line| line.strip_prefix("Max open files")).unwrap();
    let mut numbers = files.split_whitespace();
    assert_eq!(numbers.next(), numbers.next(), "soft and hard: {files}");
}

#[tokio::test(flavor = "multi_thread")]
async fn s_one_stranger_more_sends_the_oldest_away() {
    let postern = Postern::start(|c| c.set("limits.connections_before_sign_in", 2)).await;
    let mut signed_in = postern.session("alice", "phone").await;
    let mut strangers = Vec::new();
    for _ in 0..3 {
        strangers.push(Peer::to(&postern, "tcp").await);
    }
    strangers[0].closed().await;
    for stranger in &mut strangers[1..] {
        let ack = stranger.connect(connect(Version::V5, "anyone")).await.expect("CONNACK");
        assert_eq!(ack.reason, ReasonCode::BadUserNameOrPassword, "it is still there");
    }
    signed_in.peer.so_far().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn s_handshake_connect_and_sign_in_have_one_deadline() {
    let postern = Postern::start(|c| c.set("limits.handshake_timeout_secs", 8)).await;
    let device = postern.device("alice", "phone").await;
    let mut peer = Peer::to(&postern, "tls").await;
    let begun = Instant::now();
    // Five of the eight seconds are gone when half a request is given up; then a CONNECT, and a challenge
    // that is never answered.
    half_a_login(&postern).await.until(b"\r\n\r\n").await;
    peer.version = Version::V5;
    peer.send(Packet::Connect(Box::new(device.connect_with_challenge()))).await;
    assert!(matches!(peer.packet().await, Packet::Auth(_)));
    peer.closed().await;
    let taken = begun.elapsed();
    assert!(taken < Duration::from_secs(11), "not eight seconds for each step: {taken:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn s_retained_messages_are_bounded_in_bytes() {
    let postern = Postern::start(|c| {
        c.policy_file("open");
        c.set("limits.retained_bytes", 5_000);
        c.set("limits.sys_interval_secs", 0); // they are retained too
    })
    .await;
    let mut peer = Peer::to(&postern, "tcp").await;
    peer.connect(connect(Version::V5, "all")).await.expect("CONNACK");
    for n in 1..=3 {
        let message = publish(&format!("kept/{n}"), vec![b'x'; 2_000], QoS::AtMostOnce);
        peer.send(Publish { retain: true, ..message }).await;
    }
    let mut reader = Peer::to(&postern, "tcp").await;
    reader.connect(connect(Version::V5, "reader")).await.expect("CONNACK");
    // Answered after what came before it.
    peer.so_far().await;
    reader.send(subscribe_to("kept/#")).await;
    let mut kept = Vec::new();
    for packet in [reader.packet().await, reader.packet().await, reader.packet().await] {
        if let Packet::Publish(publish) = packet {
            kept.push(publish.topic.to_string());
        }
    }
    kept.sort();
    assert_eq!(kept, ["kept/1", "kept/2"]);
    assert_eq!(reader.so_far().await, [], "and no third");
}

fn subscribe_to(filter: &str) -> Packet {
    let filters = vec![SubscribeFilter {
        filter: text(filter),
        qos: QoS::AtMostOnce,
        no_local: false,
        retain_as_published: false,
        retain_handling: RetainHandling::Send,
    }];
    let packet_id = PacketId::new(1).unwrap();
    let filters = filters.into_iter().collect();
    Packet::Subscribe(Subscribe { packet_id, subscription_id: None, user_properties: vec![], filters })
}

#[tokio::test(flavor = "multi_thread")]
async fn s_who_publishes_too_fast_is_read_no_further_and_loses_nothing() {
    for (key, rate) in [("publish_per_sec", 20), ("publish_bytes_per_sec", 20 * 1_014)] {
        let postern = Postern::start(|c| c.set(&format!("limits.{key}"), rate)).await;
        postern.user("bob").await;
        let mut device = postern.device("alice", "phone").await;
        // A keep alive that ends while the last are waiting: who is not read cannot be heard.
        let mut alice = device.sign_in_on(&postern, "tls", |connect| connect.keep_alive = 1).await;
        let begun = Instant::now();
        let body = "x".repeat(1_000);
        let mut sent = Vec::new();
        for n in 0..80 {
            sent.push(alice.start("im/u/bob/alice", &format!("m{n}"), &body).await);
        }
        for id in sent {
            let ack = alice.acknowledged(id).await;
            assert!((ack.reason as u8) < 0x80, "{key}: {ack:?}");
        }
        let taken = begun.elapsed();
        assert!(
            taken > Duration::from_millis(2_500),
            "{key}: 80 at 20 a second, one second's worth at once: {taken:?}"
        );
        assert!(postern.metric("postern_publish_held_total", "").await > 0.0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn s_what_waits_to_be_stored_is_bounded_and_nothing_is_lost() {
    let postern = Postern::start(|c| c.set("limits.ingest_bytes", 4_096)).await;
    let mut bob = postern.session("bob", "pc").await;
    let (mut alice, mut carol) =
        (postern.session("alice", "phone").await, postern.session("carol", "phone").await);
    let body = "x".repeat(3_000);
    for sender in [&mut alice, &mut carol] {
        let topic = format!("im/u/bob/{}", sender.user);
        let mut sent = Vec::new();
        for n in 0..100 {
            sent.push(sender.start(&topic, &format!("m{n}"), &body).await);
        }
        for id in sent {
            assert!((sender.acknowledged(id).await.reason as u8) < 0x80);
        }
    }
    for _ in 0..200 {
        bob.message().await;
    }
}

/// Whoever holds connections to the health listener, and keeps asking, does not keep probes out.
#[tokio::test]
async fn a_probe_comes_in_beside_those_who_hold_connections() {
    let postern = Postern::start(|_| {}).await;
    let health = postern.address("health").to_owned();
    let mut holders = tokio::task::JoinSet::new();
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    for _ in 0..40 {
        let (health, tell) = (health.clone(), tell.clone());
        holders.spawn(async move {
            let mut stream = TcpStream::connect(&health).await.unwrap();
            let mut some = [0; 1_024];
            let mut again = tokio::time::interval(Duration::from_millis(100));
            while stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").await.is_ok() {
                match stream.read(&mut some).await {
                    Ok(1..) => drop(tell.send(())),
                    _ => break,
                }
                again.tick().await;
            }
        });
    }
    // As many as there is room for have been answered, and go on.
    for _ in 0..32 {
        patiently("an answer", told.recv()).await.unwrap();
    }
    assert_eq!(Page::get(&health, "/healthz").await.status, 200);
}
