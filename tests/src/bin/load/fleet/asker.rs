//! Who asks the fleet for commands: one link, requests at QoS 1 on `cmd/{terminal}/ask`.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use postern_broker::wire::{Ack, Packet, PacketId, PublishHeader, QoS, ReasonCode, Version, encode_publish};
use postern_tests::connect;
use serde_json::json;
use terminal::message::Transport;
use tokio::time::{Instant as Moment, interval, sleep_until};

use super::accounts::Account;
use super::car::Road;
use super::schedule::Asking;
use crate::pump::Line;
use crate::socket::Socket;

/// The number that a command's body begins with.
pub(crate) const DIGITS: usize = 10;
/// Bytes of a command's body.
const BODY: usize = 32;
/// Bytes of a command with that body and the class `remote-control` as the server writes it.
const COMMAND: usize = 118;
/// Requests that are not acknowledged.
const WINDOW: usize = 256;
/// Seconds that a command is good.
const GOOD_SECS: u32 = 900;
/// It stays signed in while nothing is asked for.
const PING: Duration = Duration::from_secs(20);

/// The link of one who asks.
pub(crate) struct Asker {
    line: Line<Socket>,
    /// False: the broker knows nothing of commands, and gets them as they are.
    signed_in: bool,
    waiting: HashMap<u16, usize>,
    ids: u16,
}

/// A request: its number, and what it is for.
pub(crate) type Numbered = (usize, Asking);

impl Asker {
    pub(crate) async fn open(road: &Road, account: Option<&mut Account>, name: &str) -> Result<Self> {
        let socket = Socket::open(&road.tcp, None).await?;
        let signed_in = account.is_some();
        let hello = match account {
            None => connect(Version::V5, name),
            Some(account) => account.connect(Transport::Plain, 60)?,
        };
        let line = Line::open(socket, hello).await.with_context(|| name.to_owned())?;
        Ok(Asker { line, signed_in, waiting: HashMap::new(), ids: 0 })
    }

    /// Asks when it is time, and takes whatever comes back, until it is dropped.
    pub(crate) async fn ask(
        mut self,
        road: Arc<Road>,
        begin: Moment,
        work: Vec<Numbered>,
        classes: Vec<String>,
    ) -> Result<()> {
        let mut work = work.into_iter().peekable();
        let mut ping = interval(PING);
        loop {
            let due =
                work.peek().filter(|_| self.waiting.len() < WINDOW).map(|(_, asking)| begin + asking.at);
            tokio::select! {
                filled = self.line.fill() => {
                    filled?;
                    while let Some(packet) = self.line.next()? {
                        self.take(&road, packet)?;
                    }
                    self.line.flush().await?;
                }
                () = sleep_until(due.unwrap_or(begin)), if due.is_some() => {
                    let Some((number, asking)) = work.next() else { continue };
                    let class = classes.get(asking.group).map_or("", String::as_str);
                    self.send(number, &format!("car-{}", asking.car), class)?;
                    let now = Instant::now();
                    road.ledger.note(number, |entry| entry.asked = Some(now));
                    self.line.flush().await?;
                }
                _ = ping.tick() => {
                    self.line.send(&Packet::PingReq)?;
                    self.line.flush().await?;
                }
            }
        }
    }

    fn send(&mut self, number: usize, car: &str, class: &str) -> Result<()> {
        self.ids = self.ids.checked_add(1).filter(|id| *id < u16::MAX).unwrap_or(1);
        self.waiting.insert(self.ids, number);
        let digits = format!("{number:0DIGITS$}");
        let (topic, body) = if self.signed_in {
            let body = format!("{digits:x<BODY$}");
            let asked = json!({ "class": class, "body": body, "expires_in_secs": GOOD_SECS });
            (format!("cmd/{car}/ask"), asked.to_string())
        } else {
            (format!("cmd/{car}/do"), format!("{digits:x<COMMAND$}"))
        };
        let packet_id = PacketId::new(self.ids);
        let header = PublishHeader { qos: QoS::AtLeastOnce, packet_id, ..PublishHeader::default() };
        let line = &mut self.line;
        encode_publish(&header, &topic, body.as_bytes(), None, line.version, &mut line.output)?;
        Ok(())
    }

    fn take(&mut self, road: &Road, packet: Packet) -> Result<()> {
        match packet {
            Packet::PubAck(ack) => {
                if let Some(number) = self.waiting.remove(&ack.packet_id.get()) {
                    let now = Instant::now();
                    road.ledger.note(number, |entry| match ack.reason.is_error() {
                        true => entry.refused = true,
                        false => entry.accepted = Some(now),
                    });
                }
            }
            // What the server tells of each step.
            Packet::Publish(publish) => {
                if let Some(id) = publish.packet_id {
                    self.line.send(&Packet::PubAck(Ack::new(id, ReasonCode::Success)))?;
                }
            }
            _ => {}
        }
        Ok(())
    }
}
