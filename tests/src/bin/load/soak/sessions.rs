//! Durable sessions: publishers and sleepers that go and return, at QoS 2 and 1. Of what was sent nothing may
//! be missing, and at QoS 2 nothing may come twice.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use postern_broker::wire::{Packet, Publish, QoS, Version};
use tokio::sync::watch;
use tokio::time::{Instant as Moment, sleep, sleep_until, timeout};

use super::client::Client;
use super::dice::Dice;
use super::door::{Ending, Listener};
use super::flow::{number, numbered};
use super::{Told, World, every};
use crate::links::AnyLine;

/// Publishers, and sleepers.
pub(super) const PAIRS: usize = 6;
/// Between two messages of a publisher, one of either QoS.
const PAUSE: Duration = Duration::from_millis(500);
const PING: Duration = Duration::from_secs(2);

/// Who comes and goes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Publisher,
    Sleeper,
}

impl Part {
    fn stay(self) -> (Duration, Duration) {
        match self {
            Part::Publisher => (Duration::from_secs(15), Duration::from_secs(60)),
            Part::Sleeper => (Duration::from_secs(3), Duration::from_secs(20)),
        }
    }

    fn away(self) -> (Duration, Duration) {
        match self {
            Part::Publisher => (Duration::from_millis(100), Duration::from_secs(2)),
            Part::Sleeper => (Duration::from_secs(1), Duration::from_secs(12)),
        }
    }
}

/// One of them.
pub(super) struct Session {
    pair: usize,
    part: Part,
    world: Arc<World>,
    client: Client,
    dice: Dice,
    /// Of either topic, QoS 1 and 2: the next number to be sent, or to come.
    next: [u64; 2],
    subscribed: bool,
}

/// Topic and QoS of each.
fn topics(pair: usize) -> [(String, QoS); 2] {
    [(format!("soak/least/{pair}"), QoS::AtLeastOnce), (format!("soak/exact/{pair}"), QoS::ExactlyOnce)]
}

impl Session {
    pub(super) fn new(world: Arc<World>, part: Part, pair: usize) -> Result<Self> {
        let name = if part == Part::Publisher { "durable-pub" } else { "durable-sub" };
        let version = if pair.is_multiple_of(2) { Version::V5 } else { Version::V311 };
        let client = Client::new(world.clone(), format!("{name}-{pair}"), version);
        let dice = Dice::new(u64::try_from(pair)? + if part == Part::Publisher { 2_000 } else { 3_000 });
        Ok(Session { pair, part, world, client, dice, next: [0; 2], subscribed: false })
    }

    /// Comes and goes until it is told to leave.
    pub(super) async fn live(mut self, mut told: watch::Receiver<Told>) -> Result<()> {
        while *told.borrow_and_update() != Told::Leave {
            if let Err(error) = self.visit(&mut told).await {
                let who = if self.part == Part::Publisher { "a durable publisher" } else { "a sleeper" };
                self.world.watch.fault(who, &error);
                sleep(Duration::from_secs(1)).await;
            }
            if *told.borrow() == Told::Live {
                let (from, to) = self.part.away();
                timeout(self.dice.between(from, to), told.changed()).await.ok();
            }
        }
        Ok(())
    }

    async fn visit(&mut self, told: &mut watch::Receiver<Told>) -> Result<()> {
        let listener = self.dice.one(&Listener::ALL).context("listeners")?;
        let ending = match self.dice.below(5) {
            0 | 1 => Ending::Reset,
            2 => Ending::Silence,
            _ => Ending::Goodbye,
        };
        let mut line = self.client.come(listener, ending).await?;
        if self.part == Part::Sleeper && !self.subscribed {
            for (topic, qos) in topics(self.pair) {
                line.subscribe(&topic, qos).await?;
            }
            self.subscribed = true;
            self.world.watch.count("sleepers_there");
        }
        self.world.watch.count("session_visits");
        self.stay(&mut line, told).await?;
        let is_last = *told.borrow() != Told::Live && ending == Ending::Silence;
        self.client.leave(line, if is_last { Ending::Goodbye } else { ending }).await
    }

    async fn stay(&mut self, line: &mut AnyLine, told: &mut watch::Receiver<Told>) -> Result<()> {
        let (from, to) = self.part.stay();
        let leave_at = Moment::now() + self.dice.between(from, to);
        let (mut ping, mut send) = (every(PING), every(PAUSE));
        let publishes = self.part == Part::Publisher;
        loop {
            // What came with the CONNACK, too.
            while let Some(packet) = line.next()? {
                if let Some(publish) = self.client.take(line, packet)? {
                    self.came(&publish);
                }
            }
            line.flush().await?;
            // Not marked as seen: `changed` has to tell it.
            let is_live = *told.borrow() == Told::Live;
            tokio::select! {
                filled = line.fill() => filled?,
                _ = send.tick(), if publishes && is_live && self.world.is_ready() => self.say(line)?,
                _ = ping.tick() => line.send(&Packet::PingReq)?,
                changed = told.changed() => {
                    changed.context("the soak is over")?;
                    if *told.borrow() == Told::Leave {
                        self.world.watch.add("unfinished", u64::try_from(self.client.unfinished())?);
                        return Ok(());
                    }
                }
                () = sleep_until(leave_at), if is_live => return Ok(()),
            }
        }
    }

    fn say(&mut self, line: &mut AnyLine) -> Result<()> {
        let sent = ["least_sent", "exact_sent"];
        for (((topic, qos), next), sent) in topics(self.pair).into_iter().zip(&mut self.next).zip(sent) {
            self.client.send(line, &topic, qos, numbered(&self.world, *next))?;
            *next += 1;
            self.world.watch.count(sent);
        }
        Ok(())
    }

    fn came(&mut self, publish: &Publish) {
        let exact = publish.topic.starts_with("soak/exact/");
        let (Some((number, _)), Some(next)) =
            (number(&publish.payload), self.next.get_mut(usize::from(exact)))
        else {
            return;
        };
        let [came, lost, again] = if exact {
            ["exact_came", "exact_lost", "exact_twice"]
        } else {
            ["least_came", "least_lost", "least_again"]
        };
        match number.checked_sub(*next) {
            Some(missing) => {
                self.world.watch.add(lost, missing);
                self.world.watch.count(came);
                *next = number + 1;
            }
            None => self.world.watch.count(again),
        }
    }
}
