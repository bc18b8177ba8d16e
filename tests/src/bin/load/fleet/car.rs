//! A simulated terminal: signs in, pings, follows instructions, executes commands once and reports them, as
//! docs/protocol/encrypt-on-demand.md says; what it decides, the example terminal's rules decide. Its journal
//! is in memory.
//!
//! At a broker that knows nothing of all this it has no account, and answers a command by two messages of the
//! same size.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rustls::ClientConfig;
use terminal::message::{Command, CommandId, Outcome, Report, Transport};
use terminal::rules::{Decision, Known, Standing, follow_bytes, receive};
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant as Moment, sleep, sleep_until};

use super::accounts::Account;
use super::diary::Diary;
use super::ledger::Ledger;
use super::link::{Came, Door, Link};

/// After a link that broke.
const PAUSE: Duration = Duration::from_millis(100);
/// A terminal whose links break so often is given up.
const BROKEN: u64 = 50;
/// Bytes of a result, `acknowledged` and `done`.
const RESULTS: [usize; 2] = [55, 59];

/// What all terminals are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    /// Live.
    Live,
    /// From now on it counts.
    Begin,
    /// And no more.
    End,
    /// Say goodbye.
    Leave,
}

/// What all of them share.
pub(crate) struct Road {
    pub(crate) tcp: String,
    pub(crate) tls: String,
    pub(crate) ping: Duration,
    /// Visit TLS once before, so that later handshakes are resumed.
    pub(crate) warm_up: bool,
    pub(crate) ledger: Ledger,
    /// How many have arrived.
    pub(crate) present: AtomicUsize,
    /// First arrivals under way.
    pub(crate) gate: Semaphore,
}

/// One of them.
pub(crate) struct Car {
    pub(crate) number: usize,
    pub(crate) name: String,
    pub(crate) home: Transport,
    pub(crate) account: Option<Account>,
    pub(crate) tls: Arc<ClientConfig>,
    pub(crate) road: Arc<Road>,
    pub(crate) diary: Diary,
    /// Of the instruction followed last.
    pub(crate) sequence: u64,
    /// The journal.
    pub(crate) executed: HashSet<CommandId>,
}

/// Why a link is left.
enum Next {
    On(Transport),
    Home,
}

impl Car {
    /// Lives until it is told to leave.
    pub(crate) async fn live(mut self, mut told: watch::Receiver<Told>) -> Result<Diary> {
        let mut first = Some(self.arrive().await?);
        let mut transport = self.home;
        loop {
            let mut link = match first.take() {
                Some(link) => link,
                None => match self.come(transport).await {
                    Ok(link) => link,
                    Err(error) => {
                        self.broke(&error)?;
                        sleep(PAUSE).await;
                        continue;
                    }
                },
            };
            match self.stay(&mut link, &mut told).await {
                Ok(Next::On(to)) => {
                    self.diary.sums.switches += 1;
                    transport = to;
                    self.leave(link).await;
                }
                Ok(Next::Home) => {
                    self.leave(link).await;
                    return Ok(self.diary);
                }
                Err(error) => {
                    self.broke(&error)?;
                    self.leave(link).await;
                }
            }
        }
    }

    /// The first link, in turns with others.
    async fn arrive(&mut self) -> Result<Link> {
        let road = self.road.clone();
        let permit = road.gate.acquire().await?;
        if road.warm_up && self.home == Transport::Plain {
            let visit = self.come(Transport::Tls).await?;
            self.leave(visit).await;
        }
        let link = self.come(self.home).await.with_context(|| self.name.clone())?;
        drop(permit);
        road.present.fetch_add(1, Relaxed);
        Ok(link)
    }

    async fn come(&mut self, transport: Transport) -> Result<Link> {
        let address = if transport == Transport::Tls { &self.road.tls } else { &self.road.tcp };
        let door = Door { address, transport, tls: &self.tls, name: &self.name };
        let link = Link::open(&door, self.account.as_mut()).await?;
        match link.resumed() {
            Some(true) => self.diary.sums.resumed += 1,
            Some(false) => self.diary.sums.full += 1,
            None => {}
        }
        Ok(link)
    }

    async fn leave(&mut self, link: Link) {
        let (opened, transport) = (link.opened, link.transport);
        let carried = link.end().await;
        self.diary.sums = self.diary.now(carried, opened, transport);
    }

    fn broke(&mut self, error: &anyhow::Error) -> Result<()> {
        self.diary.broken += 1;
        self.diary.why = format!("{error:#}");
        ensure!(self.diary.broken < BROKEN, "{}: {}", self.name, self.diary.why);
        Ok(())
    }

    /// On one link until it is to be left.
    async fn stay(&mut self, link: &mut Link, told: &mut watch::Receiver<Told>) -> Result<Next> {
        // Not all at the same moment.
        let phase = self.road.ping.mul_f64((self.number % 997) as f64 / 997.0);
        let mut ping_at = Moment::now() + phase;
        let mut next = None;
        loop {
            tokio::select! {
                filled = link.fill() => {
                    filled?;
                    while let Some(came) = link.next()? {
                        next = next.or(self.take(link, came)?);
                    }
                    link.flush().await?;
                }
                () = sleep_until(ping_at) => {
                    ping_at += self.road.ping;
                    self.diary.sums.pings += u64::from(link.ping()?);
                    link.flush().await?;
                }
                changed = told.changed() => {
                    changed.context("the generator is gone")?;
                    let now = self.diary.now(link.carried(), link.opened, link.transport);
                    match *told.borrow_and_update() {
                        Told::Live => {}
                        Told::Begin => self.diary.begin(now),
                        Told::End => self.diary.end(now),
                        Told::Leave => return Ok(Next::Home),
                    }
                }
            }
            if let Some(to) = next {
                return Ok(Next::On(to));
            }
        }
    }

    /// What came; where to go on, if that is what it says.
    fn take(&mut self, link: &mut Link, came: Came) -> Result<Option<Transport>> {
        match came {
            Came::Instruction(bytes) => return Ok(self.instructed(link, &bytes)),
            Came::Command(publish) => {
                if link.key().is_some() {
                    self.commanded(link, &publish.payload)?;
                } else {
                    self.bare(link, &publish.payload)?;
                }
                link.acknowledge(&publish)?;
            }
            Came::Pong(sent) if self.diary.is_counting() => {
                self.diary.pings_ms.push(sent.elapsed().as_secs_f32() * 1e3);
            }
            Came::Refused(reason) => {
                self.diary.odd += 1;
                self.diary.why = format!("a result: {reason:?}");
            }
            Came::Pong(_) | Came::Other => {}
        }
        Ok(None)
    }

    fn instructed(&mut self, link: &Link, bytes: &[u8]) -> Option<Transport> {
        let account = self.account.as_ref()?;
        let standing = Standing {
            terminal: &self.name,
            transport: link.transport,
            last_sequence: self.sequence,
            busy: link.is_busy(),
            now_ms: account.server_now(),
        };
        match follow_bytes(bytes, &account.instruction_keys, standing) {
            Ok(instruction) => {
                self.sequence = instruction.sequence;
                Some(instruction.to)
            }
            Err((why, _)) => {
                self.diary.odd += 1;
                self.diary.why = format!("an instruction: {why:?}");
                None
            }
        }
    }

    fn commanded(&mut self, link: &mut Link, bytes: &[u8]) -> Result<()> {
        let (Some(account), Some(key)) = (&self.account, link.key().cloned()) else { return Ok(()) };
        let Ok(command) = Command::read(bytes, &key, &self.name, link.transport) else {
            self.diary.odd += 1;
            return Ok(());
        };
        let known = if self.executed.contains(&command.id) { Known::Finished } else { Known::No };
        let reports: &[Outcome] = match receive(&command, link.transport, known, account.server_now()) {
            Decision::Ignore(_) => &[],
            Decision::Report(Outcome::Expired, _) => &[Outcome::Expired],
            Decision::Report(..) => &[Outcome::Acknowledged],
            Decision::ReportAgain => &[Outcome::Done],
            Decision::Execute => {
                self.executed.insert(command.id);
                self.execute(link, &command.body);
                &[Outcome::Acknowledged, Outcome::Done]
            }
        };
        for &outcome in reports {
            let body = if outcome == Outcome::Done { b"done".to_vec() } else { Vec::new() };
            let report = Report { id: command.id, outcome, body };
            link.report(&self.name, &report.write(&key, &self.name, link.transport))?;
        }
        Ok(())
    }

    fn bare(&self, link: &mut Link, body: &[u8]) -> Result<()> {
        self.execute(link, body);
        RESULTS.iter().try_for_each(|&size| link.report(&self.name, &vec![0; size]))
    }

    /// A body begins with the command's number.
    fn execute(&self, link: &Link, body: &[u8]) {
        let digits = body.get(..super::asker::DIGITS).and_then(|digits| std::str::from_utf8(digits).ok());
        let Some(number) = digits.and_then(|digits| digits.parse::<usize>().ok()) else { return };
        let way = link.way(self.road.ledger.asked(number));
        let now = Instant::now();
        self.road.ledger.note(number, |entry| {
            entry.times += 1;
            entry.executed.get_or_insert((now, way));
        });
    }
}
