//! SIGTERM: nothing new, everybody is told, what is in flight is finished, stragglers are named.

use std::collections::{HashMap, HashSet};

use bytes::Bytes;
use postern_broker::wire::{Ack, Disconnect, Packet, QoS, ReasonCode, Version};
use postern_tests::{Page, Peer, Postern, Settings, connect, patiently, publish};
use tokio::{
    net::TcpListener,
    sync::mpsc::{UnboundedSender, unbounded_channel},
};

/// Clients under load, and how many of them sign in and send what is stored.
const CLIENTS: usize = 200;
const SIGNED_IN: usize = 8;
/// Messages that each has under way at once.
const IN_FLIGHT: usize = 4;
/// Acknowledgements before the signal.
const ACKNOWLEDGED: usize = 2_000;

/// What a client was told at its end, and when it has ended.
type Told = Option<Disconnect>;

/// Anonymous clients may use `load/#`, beside those who sign in.
fn anonymous(s: &mut Settings) {
    s.policy("plugins.token-hmac.config.anonymous", true);
    let filters = || toml::Value::Array(vec!["load/#".into()]);
    s.policy("plugins.token-hmac.config.rights.anonymous.publish", filters());
    s.policy("plugins.token-hmac.config.rights.anonymous.subscribe", filters());
}

/// A session that takes `load/#` and outlives its link.
async fn collector(postern: &Postern, clean_start: bool) -> Peer {
    let mut peer = Peer::to(postern, "tcp").await;
    let connect = postern_broker::wire::Connect {
        clean_start,
        session_expiry: Some(3_600),
        ..connect(Version::V5, "collector")
    };
    let ack = peer.connect(connect).await.expect("CONNACK");
    assert_eq!((ack.reason, ack.session_present), (ReasonCode::Success, !clean_start));
    peer
}

/// Sends until the link ends; tells the body of each message that was acknowledged without an error.
async fn send_until_told(mut peer: Peer, topic: String, name: String, tell: UnboundedSender<String>) -> Told {
    let mut under_way = HashMap::new();
    for n in 0.. {
        let (id, body) = (peer.next_id(), format!("{name}-{n}"));
        let message = publish(&topic, Bytes::from(body.clone()), QoS::AtLeastOnce);
        peer.send(postern_broker::wire::Publish { packet_id: Some(id), ..message }).await;
        under_way.insert(id, body);
        while under_way.len() >= IN_FLIGHT {
            match peer.next().await {
                Some(Packet::PubAck(ack)) => {
                    let body = under_way.remove(&ack.packet_id).expect("an id of ours");
                    if !ack.reason.is_error() {
                        tell.send(body).expect("the test listens");
                    }
                }
                Some(Packet::Disconnect(disconnect)) => {
                    assert!(peer.closed().await.is_empty(), "nothing comes behind a DISCONNECT");
                    return Some(disconnect);
                }
                // What its user sends from another device.
                Some(Packet::Publish(message)) => peer.acknowledge(&message).await,
                Some(_) => {}
                None => return None,
            }
        }
    }
    None
}

#[tokio::test(flavor = "multi_thread")]
async fn drain_under_load_loses_nothing_acknowledged_and_tells_everybody() {
    let mut postern = Postern::start(|s| {
        anonymous(s);
        s.set("limits.queue_messages", 1_000_000);
        // More than they need: how long it takes is not what is tried here.
        s.set("limits.drain_secs", 40);
    })
    .await;
    let mut keeper = collector(&postern, true).await;
    assert_eq!(keeper.subscribe("load/#", QoS::AtLeastOnce).await, ReasonCode::GrantedQoS1);
    keeper.cut().await;
    let reader = postern.device("bob", "pc").await;

    let mut peers = Vec::new();
    for n in 0..CLIENTS {
        let name = format!("c{n}");
        let (peer, topic) = if n < SIGNED_IN {
            let session = postern.session(&format!("u{}", n % 4), &name).await;
            let topic = format!("im/u/bob/{}", session.user);
            (session.peer, topic)
        } else {
            let listener = ["tcp", "tls", "ws"][n % 3];
            let mut peer = Peer::to(&postern, listener).await;
            let ack = peer.connect(connect(Version::V5, &name)).await.expect("CONNACK");
            assert_eq!(ack.reason, ReasonCode::Success);
            (peer, format!("load/{n}"))
        };
        peers.push((peer, topic, name));
    }
    let (tell, mut told) = unbounded_channel();
    let mut clients = Vec::new();
    for (peer, topic, name) in peers {
        clients.push(tokio::spawn(send_until_told(peer, topic, name, tell.clone())));
    }
    drop(tell);
    let mut acknowledged = Vec::new();
    while acknowledged.len() < ACKNOWLEDGED {
        acknowledged.push(patiently("an acknowledgement", told.recv()).await.expect("the clients send"));
    }
    postern.stop().await;
    for client in clients {
        let disconnect = patiently("a client's end", client).await.unwrap();
        let reason = disconnect.expect("every MQTT 5 client is told").reason;
        assert_eq!(reason, ReasonCode::ServerShuttingDown);
    }
    while let Some(body) = patiently("the clients' end", told.recv()).await {
        acknowledged.push(body);
    }
    assert!(!postern.log().contains("grace is over"), "{}", postern.log());

    postern.restart().await;
    let (loaded, stored): (Vec<_>, Vec<_>) = acknowledged.iter().partition(|body| !is_stored(body));
    assert!(!stored.is_empty());
    let mut keeper = collector(&postern, false).await;
    let mut waited_for: HashSet<&str> = loaded.iter().map(|body| body.as_str()).collect();
    while !waited_for.is_empty() {
        let Packet::Publish(message) = keeper.packet().await else { continue };
        keeper.acknowledge(&message).await;
        waited_for.remove(std::str::from_utf8(&message.payload).unwrap());
    }
    let history = history(&postern, &reader).await;
    let missing: Vec<_> = stored.iter().filter(|body| !history.contains(**body)).collect();
    assert!(missing.is_empty(), "acknowledged and missing: {missing:?}");
    println!("{} acknowledged, {} of them stored", acknowledged.len(), stored.len());
}

/// Whether it was sent by a client that signed in.
fn is_stored(body: &str) -> bool {
    let client = body.trim_start_matches('c').split('-').next().unwrap();
    client.parse::<usize>().unwrap() < SIGNED_IN
}

/// Bodies in bob's inbox.
async fn history(postern: &Postern, device: &postern_tests::Device) -> HashSet<String> {
    let (api, token) = (postern.api(), device.state.login().token.clone());
    let read = move || {
        let (mut bodies, mut before) = (HashSet::new(), String::new());
        loop {
            let page: phone::History = api.get(&token, &format!("/v1/messages?limit=200{before}")).unwrap();
            bodies.extend(page.messages.into_iter().map(|message| message.body.expect("a text")));
            match page.next_before {
                Some(seq) => before = format!("&before={seq}"),
                None => return bodies,
            }
        }
    };
    tokio::task::spawn_blocking(read).await.unwrap()
}

/// A client with a message that it has not acknowledged; and its packet.
async fn with_one_in_flight(postern: &Postern, name: &str) -> (Peer, Ack) {
    let mut peer = Peer::to(postern, "tcp").await;
    peer.connect(connect(Version::V5, name)).await.expect("CONNACK");
    let topic = format!("load/{name}");
    assert_eq!(peer.subscribe(&topic, QoS::AtLeastOnce).await, ReasonCode::GrantedQoS1);
    let id = Some(peer.next_id());
    peer.send(postern_broker::wire::Publish { packet_id: id, ..publish(&topic, "1", QoS::AtLeastOnce) })
        .await;
    loop {
        if let Packet::Publish(message) = peer.packet().await {
            let ack = Ack::new(message.packet_id.unwrap(), ReasonCode::Success);
            peer.so_far().await;
            return (peer, ack);
        }
    }
}

#[tokio::test]
async fn drain_waits_for_what_is_in_flight_and_sends_clients_elsewhere() {
    const ELSEWHERE: &str = "mqtt-2.example.com:8883";
    let mut postern = Postern::start(|s| {
        anonymous(s);
        s.set("limits.drain_secs", 60);
        s.set("drain.server_reference", ELSEWHERE);
    })
    .await;
    let (mut busy, ack) = with_one_in_flight(&postern, "busy").await;
    let mut old = Peer::to(&postern, "tcp").await;
    old.connect(connect(Version::V311, "old")).await.expect("CONNACK");
    let mut idle = Peer::to(&postern, "tls").await;
    idle.connect(connect(Version::V5, "idle")).await.expect("CONNACK");
    // It is in, and has not said who it is yet.
    let mut late = Peer::to(&postern, "wss").await;
    let health = postern.address("health").to_owned();
    assert_eq!(Page::get(&health, "/readyz").await.status, 200);

    let (postern, ()) = tokio::join!(
        async {
            postern.stop().await;
            postern
        },
        async {
            let reason = |packets: Vec<Packet>| match &packets[..] {
                [Packet::Disconnect(it)] => (it.reason, it.server_reference.as_deref().map(str::to_owned)),
                other => panic!("{other:?}"),
            };
            let told = (ReasonCode::UseAnotherServer, Some(ELSEWHERE.to_owned()));
            assert_eq!(reason(idle.closed().await), told);
            assert!(old.closed().await.is_empty(), "MQTT 3.1.1 has no word for it");
            let refused = late.connect(connect(Version::V5, "late")).await.expect("CONNACK");
            assert_eq!((refused.reason, refused.server_reference.as_deref()), (told.0, Some(ELSEWHERE)));

            // One is still busy: it is heard, and not cut off; and the node says what it is about.
            assert!(busy.so_far().await.is_empty());
            assert_eq!(Page::get(&health, "/healthz").await.status, 200);
            let unready = Page::get(&health, "/readyz").await;
            assert_eq!(unready.status, 503);
            assert!(unready.body.contains("node: it is stopping"), "{}", unready.body);
            busy.send(Packet::PubAck(ack)).await;
            assert_eq!(reason(busy.closed().await), told);
        }
    );
    assert!(!postern.log().contains("not waiting longer"), "{}", postern.log());
}

#[tokio::test]
async fn drain_ends_by_its_deadline_and_names_stragglers_without_their_client_id() {
    let mut postern = Postern::start(|s| {
        anonymous(s);
        s.set("limits.drain_secs", 1);
    })
    .await;
    // One never acknowledges: it is told after half of the time.
    let (mut stubborn, _) = with_one_in_flight(&postern, "stubborn").await;
    // The other reads nothing, more than the system holds for it: it cannot even be told.
    let mut deaf = Peer::to(&postern, "tcp").await;
    deaf.connect(connect(Version::V5, "deaf-one")).await.expect("CONNACK");
    assert_eq!(deaf.subscribe("load/much", QoS::AtMostOnce).await, ReasonCode::Success);
    let mut loud = Peer::to(&postern, "tcp").await;
    loud.connect(connect(Version::V5, "loud")).await.expect("CONNACK");
    for _ in 0..100 {
        loud.send(publish("load/much", vec![0; 256 * 1024], QoS::AtMostOnce)).await;
    }
    loud.so_far().await;
    let (postern, told) = tokio::join!(
        async {
            postern.stop().await;
            postern
        },
        stubborn.closed()
    );
    let Some(Packet::Disconnect(disconnect)) = told.last() else { panic!("{told:?}") };
    assert_eq!(disconnect.reason, ReasonCode::ServerShuttingDown);
    let log = postern.log();
    let line = log.lines().find(|line| line.contains("grace is over")).unwrap_or_else(|| panic!("{log}"));
    // printf %s /deaf-one | sha256sum
    assert!(line.contains("d97247ef7eb31a3d") && !log.contains("deaf-one"), "{line}");
}

#[tokio::test]
async fn drain_waits_for_nobody_who_has_not_said_who_it_is() {
    let mut postern = Postern::start(|s| {
        // Both longer than this test waits for the end.
        s.set("limits.drain_secs", 3_600);
        s.set("limits.handshake_timeout_secs", 3_600);
    })
    .await;
    let mut silent = Vec::new();
    for listener in ["tcp", "tls", "ws", "wss", "http"] {
        silent.push(Peer::tcp(postern.address(listener)).await);
    }
    // Begun, and not finished.
    let mut slow = Peer::to(&postern, "tls").await;
    slow.send_bytes(&[0x10]).await;
    postern.stop().await;
    assert!(!postern.log().contains("not waiting longer"), "{}", postern.log());
}

/// A signal that nobody has asked for yet would be lost to the first process of a container.
#[tokio::test]
async fn a_stop_before_it_serves_is_heard() {
    // A database that never answers.
    let database = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("postgres://nobody@{}/none", database.local_addr().unwrap());
    let notes = tempfile::tempdir().unwrap();
    let note = notes.path().join("id");
    let script = format!("echo $$ > '{}'; exec \"$0\" \"$@\"", note.display());
    let starting = Postern::try_start(|s| {
        s.set("store.url", url);
        s.under(&["sh", "-c", &script]);
    });
    let stopping = async {
        let (asked, _) = patiently("its question", database.accept()).await.unwrap();
        let id = std::fs::read_to_string(&note).unwrap();
        let sent = tokio::process::Command::new("kill").args(["-TERM", id.trim()]).status().await.unwrap();
        assert!(sent.success());
        asked
    };
    let (ended, _asked) = tokio::join!(starting, stopping);
    let Err(ended) = ended else { panic!("it serves without a database") };
    assert!(ended.status.success(), "{}: {}", ended.status, ended.stderr);
    assert!(ended.stderr.contains("stopped before it served"), "{}", ended.stderr);
}
