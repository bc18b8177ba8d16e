//! A signed-in phone: it comes, chats, goes in one way or another, and comes back with a token of its own,
//! a renewed or a new one. What was not acknowledged when it went is sent again under the same id.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use postern_broker::wire::{Ack, Packet, PacketId, PublishHeader, QoS, ReasonCode, encode_publish};
use tokio::sync::watch;
use tokio::time::{Instant as Moment, sleep, sleep_until, timeout};

use super::dice::Dice;
use super::door::{Ending, Listener};
use super::{Told, World, every};
use crate::fleet::accounts::Account;
use crate::links::AnyLine;

/// Seconds; a link that is silent for one and a half times as long is ended.
const KEEP_ALIVE_SECS: u16 = 8;
const PING: Duration = Duration::from_secs(3);
/// Between two messages.
const PAUSE: Duration = Duration::from_millis(500);
/// Messages that are not acknowledged.
const WINDOW: usize = 20;
/// A stay, and the time between two.
const STAY: (Duration, Duration) = (Duration::from_secs(20), Duration::from_secs(100));
const AWAY: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(15));
/// A token is renewed after so long at the latest.
const OLD: Duration = Duration::from_secs(200);
/// How long the server may take to end a link that says nothing.
const NOTICED: Duration = Duration::from_secs(30);
/// Signed-in phones chat on these, most of them on the first.
const LISTENERS: [Listener; 4] = [Listener::Tls, Listener::Tls, Listener::Tls, Listener::Wss];

/// A message under way.
struct Flight {
    to: String,
    sent: Instant,
}

/// One of them.
pub(super) struct Phone {
    number: usize,
    world: Arc<World>,
    dice: Dice,
    account: Account,
    since: Instant,
    mates: Vec<String>,
    next: usize,
    in_flight: BTreeMap<usize, Flight>,
    /// When it had caught up after it came last: a second later.
    opened_micros: u64,
}

/// The name of a phone and of its user.
pub(super) fn name(number: usize) -> String {
    format!("phone-{number}")
}

/// The number of such a name.
fn number_of(name: &str) -> Option<usize> {
    name.strip_prefix("phone-")?.parse().ok()
}

impl Phone {
    /// Logs in. `mates`: whom it may write to.
    pub(super) async fn log_in(world: Arc<World>, number: usize, mates: Vec<String>) -> Result<Self> {
        let account = world.log_in(&name(number)).await?;
        world.keep(number, &account);
        let dice = Dice::new(u64::try_from(number)? + 1_000);
        let (since, in_flight) = (Instant::now(), BTreeMap::new());
        Ok(Phone { number, world, dice, account, since, mates, next: 0, in_flight, opened_micros: 0 })
    }

    /// Comes and goes until it is told to leave.
    pub(super) async fn live(mut self, mut told: watch::Receiver<Told>) -> Result<()> {
        // Not all at once.
        sleep(self.dice.between(Duration::ZERO, AWAY.1)).await;
        while *told.borrow_and_update() != Told::Leave {
            if let Err(error) = self.visit(&mut told).await {
                self.world.watch.fault(&name(self.number), &error);
                sleep(Duration::from_secs(1)).await;
            }
            if *told.borrow() == Told::Live {
                let away = self.dice.between(AWAY.0, AWAY.1);
                timeout(away, told.changed()).await.ok();
                if let Err(error) = self.refresh().await {
                    self.world.watch.fault(&format!("{}: its token", name(self.number)), &error);
                }
            }
        }
        Ok(())
    }

    /// Another token, now and then; before the one that it has ends, in any case.
    async fn refresh(&mut self) -> Result<()> {
        let face = self.dice.below(100);
        if face < 10 {
            self.account = self.world.log_in(&name(self.number)).await?;
            self.world.watch.count("logins");
        } else if face < 50 || self.since.elapsed() > OLD {
            let (account, api) = (self.account.clone(), self.world.api.clone());
            self.account = tokio::task::spawn_blocking(move || account.renewed(&api)).await??;
            self.world.watch.count("renewals");
        } else {
            return Ok(());
        }
        self.since = Instant::now();
        self.world.keep(self.number, &self.account);
        Ok(())
    }

    async fn visit(&mut self, told: &mut watch::Receiver<Told>) -> Result<()> {
        let listener = self.dice.one(&LISTENERS).context("listeners")?;
        let ending = match self.dice.below(4) {
            0 => Ending::Reset,
            1 => Ending::Silence,
            _ => Ending::Goodbye,
        };
        let connect = self.account.connect_at(listener.name(), listener.transport(), KEEP_ALIVE_SECS)?;
        let begun = Instant::now();
        let (mut line, _) = self.world.door.open(listener, ending, connect).await?;
        self.world.watch.took("sign_in", begun.elapsed());
        self.world.watch.count("visits");
        self.opened_micros = self.world.watch.micros() + 1_000_000;
        for number in self.in_flight.keys().copied().collect::<Vec<_>>() {
            self.put(&mut line, number)?;
        }
        self.stay(&mut line, told).await?;
        let is_last = *told.borrow() != Told::Live && ending == Ending::Silence;
        self.end(line, if is_last { Ending::Goodbye } else { ending }).await
    }

    async fn stay(&mut self, line: &mut AnyLine, told: &mut watch::Receiver<Told>) -> Result<()> {
        let leave_at = Moment::now() + self.dice.between(STAY.0, STAY.1);
        let (mut ping, mut send) = (every(PING), every(PAUSE));
        loop {
            // What came with the CONNACK, too.
            while let Some(packet) = line.next()? {
                self.take(line, &packet)?;
            }
            line.flush().await?;
            // Not marked as seen: `changed` has to tell it.
            let is_live = *told.borrow() == Told::Live;
            tokio::select! {
                filled = line.fill() => filled?,
                _ = send.tick(), if is_live => self.say(line)?,
                _ = ping.tick() => line.send(&Packet::PingReq)?,
                changed = told.changed() => {
                    changed.context("the soak is over")?;
                    if *told.borrow() == Told::Leave {
                        return Ok(());
                    }
                }
                // Until all has come nobody goes any more.
                () = sleep_until(leave_at), if is_live => return Ok(()),
            }
        }
    }

    async fn end(&mut self, mut line: AnyLine, ending: Ending) -> Result<()> {
        match ending {
            Ending::Goodbye => line.close().await,
            Ending::Reset => {
                self.world.watch.count("resets");
                drop(line);
            }
            Ending::Silence => {
                self.world.watch.count("silences");
                // Neither answered nor kept: what comes is for the next link.
                let to_the_end = async { while line.fill().await.is_ok() {} };
                ensure!(timeout(NOTICED, to_the_end).await.is_ok(), "its silence was not noticed");
            }
        }
        Ok(())
    }

    fn say(&mut self, line: &mut AnyLine) -> Result<()> {
        if self.in_flight.len() >= WINDOW {
            self.world.watch.count("window_full");
            return Ok(());
        }
        let to = self.dice.below(self.mates.len());
        let to = self.mates.get(to).cloned().context("nobody to write to")?;
        let number = self.next;
        self.next += 1;
        self.in_flight.insert(number, Flight { to, sent: Instant::now() });
        self.world.watch.count("stored_sent");
        self.put(line, number)
    }

    fn put(&mut self, line: &mut AnyLine, number: usize) -> Result<()> {
        let Some(flight) = self.in_flight.get_mut(&number) else { return Ok(()) };
        flight.sent = Instant::now();
        let from = name(self.number);
        let topic = format!("im/u/{}/{from}/{from}-{number}", flight.to);
        let length = 64 + number % 7 * 64;
        let body = format!("{:x<length$}", format!("{number} {} ", self.world.watch.micros()));
        let header =
            PublishHeader { qos: QoS::AtLeastOnce, packet_id: Some(id_of(number)), ..Default::default() };
        encode_publish(&header, &topic, body.as_bytes(), None, line.version, &mut line.output)?;
        Ok(())
    }

    fn take(&mut self, line: &mut AnyLine, packet: &Packet) -> Result<()> {
        match packet {
            Packet::PubAck(ack) => {
                ensure!(!ack.reason.is_error(), "refused: {:?} {:?}", ack.reason, ack.reason_string);
                let number = self.in_flight.keys().copied().find(|number| id_of(*number) == ack.packet_id);
                let Some((number, flight)) = number.and_then(|n| self.in_flight.remove_entry(&n)) else {
                    bail!("an acknowledgement of nothing");
                };
                self.world.watch.took("stored_ack", flight.sent.elapsed());
                self.world.chat.acked(self.number, number);
            }
            Packet::Publish(publish) => {
                if let Some((from, number, sent)) = message(&publish.topic, &publish.payload, self.number)
                    && self.world.chat.came(from, number)
                {
                    self.world.watch.count("stored_came");
                    // One that waited for its recipient says nothing of the server's pace.
                    if sent > self.opened_micros {
                        self.world.watch.took("stored_delivery", self.world.watch.since(sent));
                    }
                }
                if let Some(id) = publish.packet_id {
                    line.send(&Packet::PubAck(Ack::new(id, ReasonCode::Success)))?;
                }
            }
            _ => {}
        }
        Ok(())
    }
}

/// Windows are far below 65,535.
fn id_of(number: usize) -> PacketId {
    PacketId::MIN.saturating_add(u16::try_from(number % usize::from(u16::MAX)).unwrap_or(0))
}

/// Sender, number and stamp of a message to phone `own`.
pub(super) fn message(topic: &str, body: &[u8], own: usize) -> Option<(usize, usize, u64)> {
    let (to, from) = topic.strip_prefix("im/u/")?.split_once('/')?;
    let mut words = std::str::from_utf8(body).ok()?.split(' ');
    let (number, stamp) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    (number_of(to)? == own).then_some((number_of(from)?, number, stamp))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_to_somebody_else_is_none() {
        assert_eq!(message("im/u/phone-2/phone-7", b"13 99 xxx", 2), Some((7, 13, 99)));
        assert_eq!(message("im/u/phone-2/phone-7", b"13 99 xxx", 3), None);
        assert_eq!(message("status/phone-2", b"13 99 ", 2), None);
        assert_eq!(message("im/u/phone-2/phone-7", b"hello", 2), None);
    }
}
