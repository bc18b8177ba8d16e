//! SIGKILL under load, and the order of syncing and acknowledging as the kernel saw it.

use std::collections::{HashMap, HashSet};

use postern_broker::wire::{Packet, Publish, QoS};
use postern_tests::{Postern, Session, body, not_run, patiently, publish};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

/// Rounds of killing; `CRASHES=100` for more.
fn rounds() -> usize {
    std::env::var("CRASHES").map_or(10, |rounds| rounds.parse().expect("CRASHES is a number"))
}

/// Messages that a sender has under way at once.
const IN_FLIGHT: usize = 50;

/// Sends until the link ends; tells each id that was acknowledged without an error.
async fn send_until_killed(mut session: Session, round: usize, tell: UnboundedSender<String>) {
    let mut under_way = HashMap::new();
    for n in 0.. {
        let id = format!("{}-{round}-{n}", session.user);
        let packet = session.start(&format!("im/u/bob/{}", session.user), &id, &id).await;
        under_way.insert(packet, id);
        while under_way.len() >= IN_FLIGHT {
            match session.peer.next().await {
                Some(Packet::PubAck(ack)) => {
                    let id = under_way.remove(&ack.packet_id).expect("an id of ours");
                    if (ack.reason as u8) < 0x80 {
                        tell.send(id).expect("the test listens");
                    }
                }
                Some(_) => {}
                None => return,
            }
        }
    }
}

/// Takes what comes until the link ends; gives the bodies, which are the ids.
async fn read_until_killed(mut session: Session) -> Vec<String> {
    let mut delivered = Vec::new();
    while let Some(packet) = session.peer.next().await {
        if let Packet::Publish(publish) = packet {
            session.peer.acknowledge(&publish).await;
            if publish.topic.starts_with("im/") {
                delivered.push(body(&publish).to_owned());
            }
        }
    }
    delivered
}

#[tokio::test(flavor = "multi_thread")]
async fn a10_killed_again_and_again_no_acknowledged_message_is_missing() {
    let mut postern = Postern::start(|_| {}).await;
    let mut reader = postern.device("bob", "pc").await;
    let mut devices = Vec::new();
    for sender in ["u1", "u2", "u3"] {
        devices.push(postern.device(sender, "phone").await);
    }
    let (mut acknowledged, mut delivered) = (Vec::new(), Vec::new());
    for round in 0..rounds() {
        let bob = tokio::spawn(read_until_killed(reader.sign_in(&postern).await));
        let (tell, mut told) = unbounded_channel();
        for device in &mut devices {
            let session = device.sign_in(&postern).await;
            tokio::spawn(send_until_killed(session, round, tell.clone()));
        }
        drop(tell);
        // Each round is killed at another place: after so many acknowledgements.
        for _ in 0..100 + 37 * (round % 17) {
            acknowledged.push(patiently("an acknowledgement", told.recv()).await.expect("the senders send"));
        }
        postern.kill().await;
        while let Some(id) = patiently("the senders' end", told.recv()).await {
            acknowledged.push(id);
        }
        delivered.extend(patiently("the reader's end", bob).await.unwrap());
        postern.restart().await;
    }
    assert!(!delivered.is_empty());

    // All that was acknowledged is in the store, and each id once.
    let history = all_of_history(&postern, &reader).await;
    let stored: HashSet<&String> = history.iter().collect();
    assert_eq!(stored.len(), history.len(), "a message is stored twice");
    let missing: Vec<_> = acknowledged.iter().filter(|id| !stored.contains(id)).collect();
    assert!(missing.is_empty(), "acknowledged and missing: {missing:?}");
    let unknown: Vec<_> = delivered.iter().filter(|id| !stored.contains(id)).collect();
    assert!(unknown.is_empty(), "delivered and not stored: {unknown:?}");
    println!(
        "{} acknowledged, {} stored, {} delivered live",
        acknowledged.len(),
        history.len(),
        delivered.len()
    );
}

/// Ids in bob's inbox, page by page.
async fn all_of_history(postern: &Postern, device: &postern_tests::Device) -> Vec<String> {
    let (api, token) = (postern.api(), device.state.login().token.clone());
    let read = move || {
        let (mut ids, mut before) = (Vec::new(), String::new());
        loop {
            let page: phone::History = api.get(&token, &format!("/v1/messages?limit=200{before}")).unwrap();
            ids.extend(page.messages.into_iter().map(|message| message.id));
            match page.next_before {
                Some(seq) => before = format!("&before={seq}"),
                None => return ids,
            }
        }
    };
    tokio::task::spawn_blocking(read).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a10_the_log_is_synced_before_the_puback_is_written() {
    if !std::path::Path::new("/usr/bin/strace").exists() {
        return not_run("strace is not installed (Debian package strace)");
    }
    let trace = tempfile::NamedTempFile::new().unwrap();
    let file = trace.path().to_str().unwrap().to_owned();
    let calls = "--trace=fsync,fdatasync,write,writev,sendto,sendmsg,pwrite64,openat";
    // On plain TCP, so that the PUBACK's bytes can be seen; the operator lets users chat there.
    let rights = toml::Value::from(vec!["im/u/+/{user}"]);
    let mut postern = Postern::start(|c| {
        c.under(&["strace", "-f", "-tt", "-xx", "-s", "64", "-o", &file, calls]);
        c.policy("plugins.token-hmac.config.rights.plain.publish", rights);
    })
    .await;
    let mut device = postern.device("alice", "phone").await;
    postern.user("bob").await;
    let mut alice = device.sign_in_on(&postern, "tcp", |_| {}).await;
    // A packet id that is easy to find, and is not in any other call.
    let id = std::num::NonZeroU16::new(0x5AA5).unwrap();
    let message = publish("im/u/bob/alice", "durable first", QoS::AtLeastOnce);
    alice.peer.send(Publish { packet_id: Some(id), ..message }).await;
    let ack = alice.acknowledged(id).await;
    assert!((ack.reason as u8) < 0x80, "{ack:?}");
    postern.stop().await;

    let trace = std::fs::read_to_string(trace.path()).unwrap();
    let lines: Vec<&str> = trace.lines().collect();
    let puback = lines.iter().position(|line| is_puback(line)).expect("the PUBACK is in the trace");
    let body = hex("durable first");
    let written =
        lines.iter().position(|line| line.contains(&body) || line.contains("pwrite64(")).unwrap_or(0);
    let synced = lines[..puback].iter().rposition(|line| {
        (line.contains("fsync(") || line.contains("fdatasync(") || line.contains("sync resumed"))
            && line.contains("= 0")
    });
    let last_write = lines[..puback].iter().rposition(|line| line.contains("pwrite64("));
    assert!(written < puback, "the message is written before the PUBACK");
    assert!(synced > last_write, "the log is synced after its last write and before the PUBACK");
}

/// A PUBACK of MQTT 5 for packet 0x5AA5: 40 02 5a a5, or with a reason and properties.
fn is_puback(line: &str) -> bool {
    (line.contains("write") || line.contains("send"))
        && line.contains(r"\x40\x0")
        && line.contains(r"\x5a\xa5")
}

fn hex(text: &str) -> String {
    text.bytes().map(|byte| format!(r"\x{byte:02x}")).collect()
}
