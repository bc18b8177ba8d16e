//! A client whose session outlives its links: what it has sent and not finished, and what it has got at QoS 2
//! and not yet released, as MQTT wants a client to keep it (MQTT 5, 4.1 and 4.4).

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use postern_broker::wire::{
    Ack, Connect, Packet, PacketId, Publish, PublishHeader, QoS, ReasonCode, Version, encode_publish,
};
use postern_tests::connect;
use tokio::time::timeout;

use super::World;
use super::door::{Ending, Listener};
use crate::links::AnyLine;

/// Seconds.
const KEEP_ALIVE_SECS: u16 = 6;
/// Seconds that an MQTT 5 session is kept; one of 3.1.1 is kept as long as the server says.
const EXPIRY_SECS: u32 = 600;
/// How long the server may take to end a link that says nothing.
const NOTICED: Duration = Duration::from_secs(30);

/// A message that is not finished.
struct Out {
    topic: String,
    qos: QoS,
    body: String,
    /// PUBREC has come: PUBREL is what is repeated.
    is_released: bool,
}

/// One of them.
pub(super) struct Client {
    world: Arc<World>,
    name: String,
    version: Version,
    has_been: bool,
    next: u64,
    /// By the order in which they were sent.
    out: BTreeMap<u64, Out>,
    /// Packet ids of QoS 2 that are not released.
    received: HashSet<PacketId>,
}

impl Client {
    pub(super) fn new(world: Arc<World>, name: String, version: Version) -> Self {
        let (out, received) = Default::default();
        Client { world, name, version, has_been: false, next: 0, out, received }
    }

    /// Opens a link to the session, which must be there after the first time; what was not finished goes
    /// out again.
    pub(super) async fn come(&mut self, listener: Listener, ending: Ending) -> Result<AnyLine> {
        let hello = Connect {
            clean_start: !self.has_been,
            session_expiry: (self.version == Version::V5).then_some(EXPIRY_SECS),
            keep_alive: KEEP_ALIVE_SECS,
            ..connect(self.version, &self.name)
        };
        // With 3.1.1 a clean session would end with its link.
        let hello = Connect { clean_start: hello.clean_start && self.version == Version::V5, ..hello };
        let (mut line, is_present) = self.world.door.open(listener, ending, hello).await?;
        ensure!(is_present || !self.has_been, "the server has lost the session");
        self.has_been = true;
        for (&number, out) in &self.out {
            if out.is_released {
                line.send(&Packet::PubRel(Ack::new(id_of(number), ReasonCode::Success)))?;
            } else {
                write(&mut line, number, out, true)?;
            }
        }
        line.flush().await?;
        Ok(line)
    }

    /// Sends a message.
    pub(super) fn send(&mut self, line: &mut AnyLine, topic: &str, qos: QoS, body: String) -> Result<()> {
        let number = self.next;
        self.next += 1;
        let out = Out { topic: topic.to_owned(), qos, body, is_released: false };
        write(line, number, &out, false)?;
        self.out.insert(number, out);
        Ok(())
    }

    /// Messages that are not finished.
    pub(super) fn unfinished(&self) -> usize {
        self.out.len()
    }

    /// Answers a packet as the protocol says; a message that has not come before.
    pub(super) fn take(&mut self, line: &mut AnyLine, packet: Packet) -> Result<Option<Publish>> {
        let answer = |packet_id| Ack::new(packet_id, ReasonCode::Success);
        match packet {
            Packet::PubAck(ack) => {
                ensure!(!ack.reason.is_error(), "refused: {:?}", ack.reason);
                self.out.retain(|number, _| id_of(*number) != ack.packet_id);
            }
            Packet::PubRec(ack) => {
                ensure!(!ack.reason.is_error(), "refused: {:?}", ack.reason);
                let mut all = self.out.iter_mut();
                if let Some((_, out)) = all.find(|(number, _)| id_of(**number) == ack.packet_id) {
                    out.is_released = true;
                }
                line.send(&Packet::PubRel(answer(ack.packet_id)))?;
            }
            Packet::PubComp(ack) => self.out.retain(|number, _| id_of(*number) != ack.packet_id),
            Packet::PubRel(ack) => {
                self.received.remove(&ack.packet_id);
                line.send(&Packet::PubComp(answer(ack.packet_id)))?;
            }
            Packet::Publish(publish) => match (publish.qos, publish.packet_id) {
                (QoS::AtLeastOnce, Some(id)) => {
                    line.send(&Packet::PubAck(answer(id)))?;
                    return Ok(Some(publish));
                }
                (QoS::ExactlyOnce, Some(id)) => {
                    line.send(&Packet::PubRec(answer(id)))?;
                    return Ok(self.received.insert(id).then_some(publish));
                }
                _ => return Ok(Some(publish)),
            },
            _ => {}
        }
        Ok(None)
    }

    /// Ends a link in this way.
    pub(super) async fn leave(&self, mut line: AnyLine, ending: Ending) -> Result<()> {
        match ending {
            Ending::Goodbye => line.close().await,
            Ending::Reset => self.world.watch.count("resets"),
            Ending::Silence => {
                self.world.watch.count("silences");
                let to_the_end = async { while line.fill().await.is_ok() {} };
                ensure!(timeout(NOTICED, to_the_end).await.is_ok(), "its silence was not noticed");
            }
        }
        Ok(())
    }
}

fn write(line: &mut AnyLine, number: u64, out: &Out, dup: bool) -> Result<()> {
    let header =
        PublishHeader { qos: out.qos, dup, packet_id: Some(id_of(number)), ..PublishHeader::default() };
    encode_publish(&header, &out.topic, out.body.as_bytes(), None, line.version, &mut line.output)
        .context("encode")
}

/// What is unfinished is far less than 60,000.
fn id_of(number: u64) -> PacketId {
    PacketId::MIN.saturating_add(u16::try_from(number % 60_000).unwrap_or(0))
}
