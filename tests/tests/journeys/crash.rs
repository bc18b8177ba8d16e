//! SIGKILL under load: what was acknowledged is there. (The order of syncing is in `guards_order`.)

use std::collections::{HashMap, HashSet};

use postern_broker::wire::Packet;
use postern_tests::{Postern, Session, body, patiently};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

/// Rounds of killing; `CRASHES=100` for more.
fn rounds() -> usize {
    std::env::var("CRASHES").map_or(10, |rounds| rounds.parse().expect("CRASHES is a number"))
}

/// Messages that a sender has under way at once.
const IN_FLIGHT: usize = 50;

/// Sends until the link ends; tells each id that was acknowledged without an error.
pub(super) async fn send_until_killed(mut session: Session, round: usize, tell: UnboundedSender<String>) {
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
pub(super) async fn all_of_history(postern: &Postern, device: &postern_tests::Device) -> Vec<String> {
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
