//! A login server and an MQTT server apart, on NATS and PostgreSQL.

use std::collections::HashSet;
use std::fs;

use phone::ApiError;
use postern_broker::wire::{ReasonCode, Version};
use postern_tests::{KeyPair, Nats, Peer, Postern, Postgres, Session, body, connect, password};

/// The two nodes and what they stand on.
struct Nodes {
    login: Postern,
    broker: Postern,
    nats: Nats,
    postgres: Postgres,
}

/// A node of one role, on these two.
async fn node(role: &'static str, nats: &Nats, postgres: &Postgres) -> Postern {
    Postern::start(|c| {
        c.set("roles", vec![role]);
        c.set("bus.url", nats.url());
        c.set("store.url", postgres.url());
    })
    .await
}

/// None where PostgreSQL or NATS is not installed (and the test is listed as not run).
async fn start() -> Option<Nodes> {
    let (nats, postgres) = (Nats::start().await?, Postgres::start().await?);
    let broker = node("broker", &nats, &postgres).await;
    let login = node("login", &nats, &postgres).await;
    Some(Nodes { login, broker, nats, postgres })
}

impl Nodes {
    /// Logs in at one node and signs in at the other.
    async fn session(&self, user: &str, client_id: &str) -> Session {
        let mut device = self.login.device(user, client_id).await;
        device.sign_in(&self.broker).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a2_each_group_refuses_the_others_work() {
    let Some(nodes) = start().await else { return };
    // MQTT at the login server.
    for version in [Version::V5, Version::V311] {
        let ack = Peer::to(&nodes.login, "tcp").await.connect(connect(version, "x")).await.expect("CONNACK");
        assert!(ack.reason as u8 >= 0x80, "{version:?}: {ack:?}");
        if version == Version::V5 {
            assert_eq!(ack.reason, ReasonCode::UseAnotherServer);
        }
    }
    // A login at the MQTT server.
    nodes.login.user("alice").await;
    let refused = nodes.broker.login("alice", &password("alice"), "phone").await;
    assert!(matches!(refused, Err(ApiError::Refused { status: 421, .. })), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_12_any_login_server_takes_a_challenge_and_of_all_one_does() {
    let Some(nodes) = start().await else { return };
    let other = node("login", &nodes.nats, &nodes.postgres).await;
    let pair = KeyPair::of(1);
    nodes.login.user_with_key("car-1", &pair).await;
    for _ in 0..3 {
        let answer = pair.answer(&nodes.login.challenge().await, "car-1", "127.0.0.1");
        let [here, there] = [&nodes.login, &other].map(|node| node.post_login(answer.clone()));
        let (here, there) = tokio::join!(here, there);
        assert!(here.is_ok() != there.is_ok(), "{here:?} {there:?}");
    }
    let elsewhere = pair.answer(&nodes.login.challenge().await, "car-1", "127.0.0.1");
    other.post_login(elsewhere).await.expect("another node's challenge");
    let refused = nodes.broker.post_login(serde_json::json!({})).await;
    assert!(matches!(refused, Err(ApiError::Refused { status: 421, .. })), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a2_apart_they_do_the_whole_journey() {
    let Some(nodes) = start().await else { return };
    let mut alice = nodes.session("alice", "phone").await;
    let mut device = nodes.login.device("bob", "pc").await;
    alice.send("bob", "m1", "stored").await;
    let mut bob = device.sign_in(&nodes.broker).await;
    assert_eq!(body(&bob.message().await), "stored");
    bob.send("alice", "m2", "forwarded").await;
    assert_eq!(body(&alice.message().await), "forwarded");
    assert_eq!(alice.status_of("bob").await, "online");
}

#[tokio::test(flavor = "multi_thread")]
async fn a7_the_dynamic_group_issues_the_token_and_it_travels_over_the_bus() {
    let Some(nodes) = start().await else { return };
    let tap = nodes.nats.tap().await;
    nodes.login.user("alice").await;
    let login = nodes.login.login("alice", &password("alice"), "phone").await.unwrap();
    let heard = tap.heard();
    assert!(heard.iter().any(|(subject, _)| subject == "postern.token.issue"), "asked on the bus: {heard:?}");
    assert!(heard.iter().any(|(_, payload)| payload.contains(&login.token.id)), "answered on the bus");
    // The login server has no token plugin that could have made it.
    let roles = nodes.login.json(&["plugin", "list"]).await.to_string();
    assert!(roles.contains("login") && !roles.contains("token"), "{roles}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a4_groups_talk_over_the_bus_and_have_no_link_of_their_own() {
    let Some(mut nodes) = start().await else { return };
    let mut alice = nodes.session("alice", "phone").await;
    alice.send("alice", "m1", "everything is in use").await;

    let (login, broker) = (sockets(nodes.login.id()), sockets(nodes.broker.id()));
    assert!(!login.ports.is_empty() && !login.peers.is_empty(), "the login server has listeners and a bus");
    assert!(login.peers.is_disjoint(&broker.ports), "login → broker: {:?} {:?}", login.peers, broker.ports);
    assert!(broker.peers.is_disjoint(&login.ports), "broker → login: {:?} {:?}", broker.peers, login.ports);

    // Without the bus there is no login: nothing else carries it.
    nodes.nats.kill().await;
    let refused = nodes.login.login("alice", &password("alice"), "phone").await;
    assert!(matches!(refused, Err(ApiError::Refused { status: 503, .. })), "{refused:?}");
}

/// A process's TCP sockets: ports it listens on, and ports it is connected to.
struct Sockets {
    ports: HashSet<u16>,
    peers: HashSet<u16>,
}

/// From /proc: which inodes the process holds, and what they are.
fn sockets(id: u32) -> Sockets {
    let links = fs::read_dir(format!("/proc/{id}/fd"))
        .unwrap()
        .flatten()
        .filter_map(|fd| fs::read_link(fd.path()).ok());
    let names = links.map(|link| link.to_string_lossy().into_owned());
    let inodes: HashSet<String> =
        names.filter_map(|n| Some(n.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned())).collect();
    let mut sockets = Sockets { ports: HashSet::new(), peers: HashSet::new() };
    for line in fs::read_to_string(format!("/proc/{id}/net/tcp")).unwrap().lines().skip(1) {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let port = |at: usize| u16::from_str_radix(fields[at].rsplit(':').next().unwrap(), 16).unwrap();
        match fields[3] {
            _ if !inodes.contains(fields[9]) => {}
            "0A" => drop(sockets.ports.insert(port(1))),
            // A connection that it took is the other side's.
            "01" if !sockets.ports.contains(&port(1)) => drop(sockets.peers.insert(port(2))),
            _ => {}
        }
    }
    sockets
}
