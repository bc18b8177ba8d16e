//! SIGKILL again and again under a mixed load: sessions, their messages and retained messages are
//! there again (issue of the broker: nothing acknowledged is lost, QoS 2 is never doubled).

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use postern_broker::wire::{Ack, Connect, Packet, PacketId, Publish, QoS, ReasonCode, Version};
use postern_tests::{Peer, Postern, body, connect, patiently, publish};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

/// Messages that a sender has under way at once.
const IN_FLIGHT: usize = 20;
const TOPICS: usize = 5;

/// Rounds of killing; `CRASHES=100` for more.
fn rounds() -> usize {
    std::env::var("CRASHES").map_or(10, |rounds| rounds.parse().expect("CRASHES is a number"))
}

/// A CONNECT of a session that is to be found again.
fn persistent(client_id: &str) -> Connect {
    Connect {
        clean_start: false,
        session_expiry: Some(3600),
        receive_maximum: Some(40),
        ..connect(Version::V5, client_id)
    }
}

/// A sender as it has to be: what is not answered is sent again, in order, when the session is resumed.
#[derive(Default)]
struct Sender {
    name: &'static str,
    qos: QoS,
    retain: bool,
    next: usize,
    /// By packet identifier's turn: identifier, text, and whether PUBREC has come.
    under_way: BTreeMap<usize, (PacketId, String, bool)>,
}

impl Sender {
    fn publish(&self, n: usize, id: PacketId, text: &str, dup: bool) -> Publish {
        let topic = format!("load/{}/{}", self.name, n % TOPICS);
        Publish {
            packet_id: Some(id),
            dup,
            retain: self.retain,
            ..publish(&topic, text.to_owned(), self.qos)
        }
    }

    /// Sends until the link ends; tells each text that the server has taken.
    async fn run(mut self, address: String, tell: UnboundedSender<String>) -> Self {
        let mut peer = Peer::tcp(&address).await;
        let Some(_) = peer.connect(persistent(self.name)).await else { return self };
        for (n, (id, text, received)) in &self.under_way {
            if *received {
                peer.send(Packet::PubRel(Ack::new(*id, ReasonCode::Success))).await;
            } else {
                peer.send(self.publish(*n, *id, text, true)).await;
            }
        }
        loop {
            while self.under_way.len() < IN_FLIGHT {
                let n = self.next;
                self.next += 1;
                let id = PacketId::new(u16::try_from(n % 60_000).unwrap() + 1).unwrap();
                let text = format!("{} {n}", self.name);
                peer.send(self.publish(n, id, &text, false)).await;
                self.under_way.insert(n, (id, text, false));
            }
            let Some(packet) = peer.next().await else { return self };
            let of = |id: PacketId| self.under_way.iter().find(|(_, (of, ..))| *of == id).map(|(n, _)| *n);
            match packet {
                Packet::PubAck(ack) => {
                    let n = of(ack.packet_id).expect("one of ours");
                    assert!(!ack.reason.is_error(), "{ack:?}");
                    let (_, text, _) = self.under_way.remove(&n).unwrap();
                    tell.send(text).expect("the test listens");
                }
                Packet::PubRec(ack) => {
                    let n = of(ack.packet_id).expect("one of ours");
                    assert!(!ack.reason.is_error(), "{ack:?}");
                    let entry = self.under_way.get_mut(&n).unwrap();
                    if !std::mem::replace(&mut entry.2, true) {
                        tell.send(entry.1.clone()).expect("the test listens");
                    }
                    peer.send(Packet::PubRel(Ack::new(ack.packet_id, ReasonCode::Success))).await;
                }
                // After a restart the server may not know the identifier any more.
                Packet::PubComp(ack) => {
                    if let Some(n) = of(ack.packet_id) {
                        self.under_way.remove(&n);
                    }
                }
                other => panic!("{other:?}"),
            }
        }
    }
}

/// A subscriber as it has to be: what it holds of QoS 2 it holds over links.
#[derive(Default)]
struct Reader {
    name: &'static str,
    held: HashSet<PacketId>,
    got: HashMap<String, usize>,
    subscribed: bool,
}

impl Reader {
    async fn link(&mut self, address: &str) -> Option<Peer> {
        let mut peer = Peer::tcp(address).await;
        let ack = peer.connect(persistent(self.name)).await?;
        assert_eq!(ack.session_present, self.subscribed, "{} after SUBACK", self.name);
        if !self.subscribed {
            assert_eq!(peer.subscribe("load/#", QoS::ExactlyOnce).await, ReasonCode::GrantedQoS2);
            self.subscribed = true;
        }
        Some(peer)
    }

    async fn take(&mut self, peer: &mut Peer, packet: Packet) {
        match packet {
            Packet::Publish(publish) => {
                let is_new = publish.qos != QoS::ExactlyOnce || self.held.insert(publish.packet_id.unwrap());
                if is_new {
                    *self.got.entry(body(&publish).to_owned()).or_default() += 1;
                }
                if publish.qos == QoS::ExactlyOnce {
                    let id = publish.packet_id.unwrap();
                    peer.send(Packet::PubRec(Ack::new(id, ReasonCode::Success))).await;
                } else {
                    peer.acknowledge(&publish).await;
                }
            }
            Packet::PubRel(ack) => {
                self.held.remove(&ack.packet_id);
                peer.send(Packet::PubComp(Ack::new(ack.packet_id, ReasonCode::Success))).await;
            }
            _ => {}
        }
    }

    /// Reads until the link ends.
    async fn run(mut self, address: String) -> Self {
        let Some(mut peer) = self.link(&address).await else { return self };
        while let Some(packet) = peer.next().await {
            self.take(&mut peer, packet).await;
        }
        self
    }

    /// Reads until everything of `wanted` is there.
    async fn read_all(&mut self, address: &str, wanted: &BTreeSet<String>) {
        let mut peer = self.link(address).await.expect("the server takes it");
        while wanted.iter().any(|text| !self.got.contains_key(text)) {
            let packet = peer.next().await.expect("more to come");
            self.take(&mut peer, packet).await;
        }
        // What is doubled would come behind.
        for packet in peer.so_far().await {
            self.take(&mut peer, packet).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_survive_being_killed_again_and_again() {
    let mut postern = Postern::start(|c| {
        c.policy_file("open");
        c.set("limits.queue_messages", 1_000_000);
    })
    .await;
    let mut reader = Reader { name: "reader", ..Reader::default() };
    let mut sleeper = Reader { name: "sleeper", ..Reader::default() };
    // Both subscribe before anything is sent; the sleeper is away from then on.
    reader.link(postern.address("tcp")).await.unwrap();
    sleeper.link(postern.address("tcp")).await.unwrap();
    let mut senders = [
        ("once", QoS::AtLeastOnce, false),
        ("exact", QoS::ExactlyOnce, false),
        ("last", QoS::AtLeastOnce, true),
    ]
    .map(|(name, qos, retain)| Sender { name, qos, retain, ..Sender::default() });
    let mut taken = BTreeSet::new();

    for round in 0..rounds() {
        let address = postern.address("tcp").to_owned();
        let (tell, mut told) = unbounded_channel();
        let reading = tokio::spawn(reader.run(address.clone()));
        let sending = senders.map(|sender| tokio::spawn(sender.run(address.clone(), tell.clone())));
        drop(tell);
        for _ in 0..100 + 37 * (round % 17) {
            taken.insert(patiently("something taken", told.recv()).await.expect("the senders send"));
        }
        postern.kill().await;
        while let Some(text) = patiently("the senders' end", told.recv()).await {
            taken.insert(text);
        }
        reader = patiently("the reader's end", reading).await.unwrap();
        let [a, b, c] = sending;
        senders = [a.await.unwrap(), b.await.unwrap(), c.await.unwrap()];
        postern.restart().await;
    }

    let address = postern.address("tcp").to_owned();
    reader.read_all(&address, &taken).await;
    sleeper.read_all(&address, &taken).await;
    for reader in [&reader, &sleeper] {
        let doubled: Vec<_> =
            reader.got.iter().filter(|(text, times)| text.starts_with("exact ") && **times > 1).collect();
        assert!(doubled.is_empty(), "{} got in QoS 2 more than once: {doubled:?}", reader.name);
    }
    retained_are_the_last(&address, &taken).await;
    println!(
        "{} taken, {} read, {} of them by the sleeper",
        taken.len(),
        reader.got.len(),
        sleeper.got.len()
    );
}

/// Each topic's retained message is the last one that was acknowledged, or a later one.
async fn retained_are_the_last(address: &str, taken: &BTreeSet<String>) {
    let mut peer = Peer::tcp(address).await;
    peer.connect(connect(Version::V5, "late")).await.unwrap();
    peer.subscribe("load/last/+", QoS::AtMostOnce).await;
    let number = |text: &str| text.rsplit_once(' ').unwrap().1.parse::<usize>().unwrap();
    let mut retained = HashMap::new();
    for packet in peer.so_far().await {
        if let Packet::Publish(publish) = packet {
            assert!(publish.retain, "{publish:?}");
            let n = number(body(&publish));
            retained.insert(n % TOPICS, n);
        }
    }
    for topic in 0..TOPICS {
        let numbers = taken.iter().filter(|text| text.starts_with("last ")).map(|text| number(text));
        let last = numbers.filter(|n| n % TOPICS == topic).max().expect("each topic was used");
        assert!(retained.get(&topic).is_some_and(|n| *n >= last), "{topic}: {retained:?}, {last} was taken");
    }
}
