//! One link of a simulated terminal: signed in, subscribed, its query sent; then packet by packet.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use postern_broker::wire::{
    Ack, Disconnect, Packet, PacketId, Publish, PublishHeader, QoS, ReasonCode, Version, encode_publish,
};
use postern_tests::connect;
use rustls::ClientConfig;
use terminal::keys::CommandKey;
use terminal::message::{Query, Transport};

use super::accounts::Account;
use super::ledger::Way;
use crate::pump::Line;
use crate::segments::Carried;
use crate::socket::Socket;

/// As in the CONNECT and the query, seconds; pings may come more often than it asks for.
const KEEP_ALIVE_SECS: u16 = 60;

/// A link.
pub(crate) struct Link {
    line: Line<Socket>,
    pub(crate) transport: Transport,
    pub(crate) opened: Instant,
    resumed: Option<bool>,
    key: Option<CommandKey>,
    ids: u16,
    query: u16,
    /// Results that the server has not taken yet.
    results: HashSet<u16>,
    pinged: Option<Instant>,
}

/// What came, as far as a terminal wants to know.
pub(crate) enum Came {
    Instruction(Vec<u8>),
    Command(Publish),
    /// After so long.
    Pong(Instant),
    /// A result was not taken.
    Refused(ReasonCode),
    /// Nothing to care for.
    Other,
}

/// Where a link goes to, and whose it is.
pub(crate) struct Door<'a> {
    pub(crate) address: &'a str,
    pub(crate) transport: Transport,
    pub(crate) tls: &'a Arc<ClientConfig>,
    pub(crate) name: &'a str,
}

impl Link {
    /// Connects and signs in; SUBSCRIBE and, with an account, the query go out with one write.
    pub(crate) async fn open(door: &Door<'_>, account: Option<&mut Account>) -> Result<Self> {
        let Door { address, transport, tls, name } = *door;
        let socket = Socket::open(address, (transport == Transport::Tls).then_some(tls)).await?;
        let resumed = socket.is_resumed();
        let (hello, key) = match account {
            None => (connect(Version::V5, name), None),
            Some(account) => (account.connect(transport, KEEP_ALIVE_SECS)?, Some(account.command_key()?)),
        };
        let line = Line::open(socket, hello).await?;
        let opened = Instant::now();
        let mut link = Link {
            line,
            transport,
            opened,
            resumed,
            key,
            ids: 0,
            query: 0,
            results: HashSet::new(),
            pinged: None,
        };
        let filters = [format!("link/{name}"), format!("cmd/{name}/do")];
        link.line.put_subscribe(&filters.each_ref().map(String::as_str), QoS::AtLeastOnce)?;
        if link.key.is_some() {
            let query = Query { understands_disconnect: true, keep_alive_secs: KEEP_ALIVE_SECS };
            link.query = link.publish(&format!("cmd/{name}/query"), &query.write())?;
        }
        link.line.flush().await?;
        Ok(link)
    }

    /// Waits for bytes, once. Losing a race loses nothing.
    pub(crate) async fn fill(&mut self) -> Result<()> {
        self.line.fill().await
    }

    /// Writes what there is to write.
    pub(crate) async fn flush(&mut self) -> Result<()> {
        self.line.flush().await
    }

    /// The next of what has come.
    pub(crate) fn next(&mut self) -> Result<Option<Came>> {
        let Some(packet) = self.line.next_of_all()? else { return Ok(None) };
        Ok(Some(match packet {
            Packet::PingResp => self.pinged.take().map_or(Came::Other, Came::Pong),
            Packet::Publish(publish) if publish.topic.starts_with("link/") => {
                self.acknowledge(&publish)?;
                Came::Instruction(publish.payload.to_vec())
            }
            Packet::Publish(publish) if publish.topic.starts_with("cmd/") => Came::Command(publish),
            Packet::Publish(publish) => {
                self.acknowledge(&publish)?;
                Came::Other
            }
            Packet::SubAck(ack) if ack.reasons.iter().any(|reason| reason.is_error()) => {
                bail!("SUBACK: {:?}", ack.reasons)
            }
            Packet::PubAck(ack) if ack.packet_id.get() == self.query && ack.reason.is_error() => {
                bail!("the query: {:?}", ack.reason)
            }
            Packet::PubAck(ack) => {
                let known = self.results.remove(&ack.packet_id.get());
                if known && ack.reason.is_error() { Came::Refused(ack.reason) } else { Came::Other }
            }
            Packet::Disconnect(farewell) => Came::Instruction(redirect(&farewell)?),
            _ => Came::Other,
        }))
    }

    /// PUBACK.
    pub(crate) fn acknowledge(&mut self, publish: &Publish) -> Result<()> {
        match publish.packet_id {
            Some(id) => self.line.send(&Packet::PubAck(Ack::new(id, ReasonCode::Success))),
            None => Ok(()),
        }
    }

    /// A message at QoS 1; its packet id.
    pub(crate) fn publish(&mut self, topic: &str, body: &[u8]) -> Result<u16> {
        self.ids = self.ids.checked_add(1).filter(|id| *id < u16::MAX).unwrap_or(1);
        let packet_id = PacketId::new(self.ids);
        let header = PublishHeader { qos: QoS::AtLeastOnce, packet_id, ..PublishHeader::default() };
        let line = &mut self.line;
        encode_publish(&header, topic, body, None, line.version, &mut line.output)?;
        Ok(self.ids)
    }

    /// A result: until its PUBACK the terminal is at work.
    pub(crate) fn report(&mut self, name: &str, body: &[u8]) -> Result<()> {
        let id = self.publish(&format!("cmd/{name}/result"), body)?;
        self.results.insert(id);
        Ok(())
    }

    /// Whether a result is on its way.
    pub(crate) fn is_busy(&self) -> bool {
        !self.results.is_empty()
    }

    /// PINGREQ, unless one is unanswered.
    pub(crate) fn ping(&mut self) -> Result<bool> {
        let is_new = self.pinged.is_none();
        if is_new {
            self.pinged = Some(Instant::now());
            self.line.send(&Packet::PingReq)?;
        }
        Ok(is_new)
    }

    /// What authenticates commands on this link; None for who has no account.
    pub(crate) fn key(&self) -> Option<&CommandKey> {
        self.key.as_ref()
    }

    /// How a command that was asked for at this time reaches us.
    pub(crate) fn way(&self, asked: Option<Instant>) -> Way {
        match self.resumed {
            None => Way::Plain,
            Some(_) if asked.is_none_or(|asked| self.opened <= asked) => Way::There,
            Some(true) => Way::Resumed,
            Some(false) => Way::Full,
        }
    }

    /// Whether its TLS session was resumed; None on plain.
    pub(crate) fn resumed(&self) -> Option<bool> {
        self.resumed
    }

    /// What it has carried so far.
    pub(crate) fn carried(&self) -> Carried {
        self.line.stream().carried().unwrap_or_default()
    }

    /// Ends it in order, and reads to the end; what it has carried.
    pub(crate) async fn end(mut self) -> Carried {
        self.line.farewell().await;
        let rest = async { while self.line.fill().await.is_ok() {} };
        tokio::time::timeout(std::time::Duration::from_secs(1), rest).await.ok();
        self.carried()
    }
}

/// The instruction in a DISCONNECT; any other one is an error.
fn redirect(farewell: &Disconnect) -> Result<Vec<u8>> {
    if farewell.reason != ReasonCode::UseAnotherServer {
        bail!("the server said {farewell:?}");
    }
    let mut properties = farewell.user_properties.iter();
    let found = properties.find(|(name, _)| **name == *"postern-instruction");
    let (_, text) = found.context("a DISCONNECT 0x9C without an instruction")?;
    URL_SAFE_NO_PAD.decode(text.as_bytes()).context("base64url")
}
