//! A fleet of simulated terminals and who asks it for commands: memory, bytes, CPU and latency, whatever the
//! requests make of it.
//!
//! ```text
//! users      their rows        accounts  their tokens
//!                              car     one terminal        link    one link of it, packet by packet
//! schedule   who is asked when asker   who asks            ledger  what was asked, and what came of it
//! diary      what a terminal has carried, and while it counted
//! (here)     arrive → rest, weighed → a day of commands → leave
//! ```

pub(crate) mod accounts;
mod asker;
mod car;
mod diary;
mod ledger;
mod link;
mod report;
mod schedule;
pub(crate) mod users;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use rustls::ClientConfig;
use rustls::client::Resumption;
use serde::Deserialize;
use serde_json::Value;
use terminal::message::Transport;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant as Moment, sleep, sleep_until};

use crate::vitals::{Memory, cpu_secs, memory};
use accounts::Accounts;
use asker::{Asker, Numbered};
use car::{Car, Road, Told};
use diary::Diary;
use ledger::{Entry, Ledger};
use schedule::schedule;

/// First arrivals under way at once.
const AT_ONCE: usize = 32;
/// Sessions that a terminal can resume; a ticket is good once.
const SESSIONS: usize = 8;
/// How long everything may take that was asked for, beyond its time.
const PATIENCE: Duration = Duration::from_secs(240);
/// How often one looks.
const LOOK: Duration = Duration::from_millis(50);

/// A fleet and its day.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Request {
    /// The plain listener.
    tcp: String,
    /// The TLS listener.
    tls: String,
    /// The certificate to trust, PEM.
    ca: PathBuf,
    /// The server's process.
    server_pid: u32,
    /// True: a broker that knows nothing of commands; the terminals are anonymous there.
    bare: bool,
    groups: Vec<Group>,
    /// Links that ask for commands.
    askers: usize,
    /// Between two pings of a terminal.
    ping_millis: u64,
    /// For everything to come to rest.
    settle_secs: f64,
    /// The CPU at rest is measured for so long.
    rest_secs: f64,
    /// Commands are spread over so long; 0: all at once.
    asked_secs: f64,
    /// It is counted for so long; 0: until all has come to rest.
    day_secs: f64,
    /// Whether handshakes may be resumed.
    tickets: bool,
    /// Each terminal visits TLS once before.
    warm_up: bool,
}

/// Terminals that are alike.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Group {
    terminals: usize,
    /// Where they are at first.
    on_tls: bool,
    /// Of their commands.
    class: String,
    /// For each terminal.
    commands: usize,
}

/// What was measured of the server.
#[derive(Default)]
pub(crate) struct Seen {
    before: Memory,
    idle: Memory,
    /// Sampled during the day.
    during: Vec<Memory>,
    after: Memory,
    arriving_secs: f64,
    rest_cpu_secs: f64,
    day_cpu_secs: f64,
    day_secs: f64,
}

/// A fleet under way.
struct Fleet<'a> {
    request: &'a Request,
    road: Arc<Road>,
    tell: watch::Sender<Told>,
    cars: JoinSet<Result<Diary>>,
    askers: JoinSet<Result<()>>,
}

/// Lets the fleet live, and reports.
pub(crate) async fn run(request: &Request, accounts: &Accounts) -> Result<Value> {
    let sizes: Vec<(usize, usize)> =
        request.groups.iter().map(|group| (group.terminals, group.commands)).collect();
    let work = schedule(&sizes, Duration::from_secs_f64(request.asked_secs));
    let entry = |asking: &schedule::Asking| Entry { group: asking.group, ..Entry::default() };
    let road = Arc::new(Road {
        tcp: request.tcp.clone(),
        tls: request.tls.clone(),
        ping: Duration::from_millis(request.ping_millis.max(1)),
        warm_up: request.warm_up,
        ledger: Ledger::new(work.iter().map(entry).collect()),
        present: AtomicUsize::new(0),
        gate: Semaphore::new(AT_ONCE),
    });
    let (tell, _) = watch::channel(Told::Live);
    let mut fleet = Fleet { request, road, tell, cars: JoinSet::new(), askers: JoinSet::new() };
    let mut seen = Seen::default();
    fleet.arrive(accounts, &mut seen).await?;
    fleet.rest(&mut seen).await?;
    if !work.is_empty() || request.day_secs > 0.0 {
        fleet.day(accounts, work.into_iter().enumerate().collect(), &mut seen).await?;
    }
    fleet.tell.send(Told::Leave)?;
    let mut diaries = Vec::new();
    while let Some(diary) = fleet.cars.join_next().await {
        diaries.push(diary??);
    }
    fleet.askers.shutdown().await;
    let entries = fleet.road.ledger.lock();
    Ok(report::answer(request, &seen, &diaries, &entries))
}

impl Fleet<'_> {
    /// A hundredth of each group first: what a server makes once is not counted.
    async fn arrive(&mut self, accounts: &Accounts, seen: &mut Seen) -> Result<()> {
        let all = self.all();
        let (first, rest): (Vec<_>, Vec<_>) = all.into_iter().partition(|(number, _)| number % 100 == 0);
        let pem = std::fs::read(&self.request.ca).with_context(|| self.request.ca.display().to_string())?;
        let tls = phone::sign_in::trust(&pem)?;
        let mut present = first.len();
        for (number, group) in first {
            self.start(number, group, accounts, &tls)?;
        }
        self.wait_for(present).await?;
        self.settle(self.request.settle_secs).await?;
        seen.before = memory(self.request.server_pid)?;
        present += rest.len();
        let begun = Moment::now();
        for (number, group) in rest {
            self.start(number, group, accounts, &tls)?;
        }
        self.wait_for(present).await?;
        seen.arriving_secs = begun.elapsed().as_secs_f64();
        Ok(())
    }

    /// Numbers of all terminals, with their groups.
    fn all(&self) -> Vec<(usize, usize)> {
        let groups = self.request.groups.iter().enumerate();
        let each = groups.flat_map(|(at, group)| std::iter::repeat_n(at, group.terminals));
        each.enumerate().collect()
    }

    fn start(&mut self, number: usize, group: usize, accounts: &Accounts, tls: &ClientConfig) -> Result<()> {
        let request = self.request;
        let of = request.groups.get(group).context("no such group")?;
        let name = format!("car-{number}");
        let mut tls = ClientConfig::clone(tls);
        tls.resumption =
            if request.tickets { Resumption::in_memory_sessions(SESSIONS) } else { Resumption::disabled() };
        let car = Car {
            number,
            account: if request.bare { None } else { Some(accounts.of(&name)?) },
            name,
            home: if of.on_tls { Transport::Tls } else { Transport::Plain },
            tls: Arc::new(tls),
            road: self.road.clone(),
            diary: Diary::of(group),
            sequence: 0,
            executed: Default::default(),
        };
        self.cars.spawn(car.live(self.tell.subscribe()));
        Ok(())
    }

    async fn wait_for(&mut self, present: usize) -> Result<()> {
        while self.road.present.load(Relaxed) < present {
            self.settle(LOOK.as_secs_f64()).await?;
        }
        Ok(())
    }

    /// Waits; nobody may end meanwhile.
    async fn settle(&mut self, secs: f64) -> Result<()> {
        tokio::select! {
            () = sleep(Duration::from_secs_f64(secs)) => Ok(()),
            Some(ended) = self.cars.join_next() => {
                ended??;
                bail!("a terminal has left")
            }
            Some(ended) = self.askers.join_next() => ended?.context("who asks"),
        }
    }

    async fn rest(&mut self, seen: &mut Seen) -> Result<()> {
        let server = self.request.server_pid.to_string();
        self.settle(self.request.settle_secs).await?;
        let cpu = cpu_secs(&server)?;
        self.settle(self.request.rest_secs).await?;
        seen.rest_cpu_secs = cpu_secs(&server)? - cpu;
        seen.idle = memory(self.request.server_pid)?;
        Ok(())
    }

    async fn day(&mut self, accounts: &Accounts, work: Vec<Numbered>, seen: &mut Seen) -> Result<()> {
        let request = self.request;
        let server = request.server_pid.to_string();
        let classes: Vec<String> = request.groups.iter().map(|group| group.class.clone()).collect();
        let askers = request.askers.max(1);
        let mut links = Vec::new();
        for at in 0..askers {
            let name = format!("asker-{at}");
            let mut account = if request.bare { None } else { Some(accounts.of(&name)?) };
            links.push(Asker::open(&self.road, account.as_mut(), &name).await?);
        }
        let begin = Moment::now();
        self.tell.send(Told::Begin)?;
        let cpu = cpu_secs(&server)?;
        for (at, asker) in links.into_iter().enumerate() {
            let own = work.iter().filter(|(number, _)| number % askers == at).copied().collect();
            self.askers.spawn(asker.ask(self.road.clone(), begin, own, classes.clone()));
        }
        let until = begin + Duration::from_secs_f64(request.day_secs);
        let give_up = until + PATIENCE;
        let mut looks = 0_u32;
        while Moment::now() < give_up && !(Moment::now() >= until && self.road.ledger.is_settled()) {
            self.settle(LOOK.as_secs_f64()).await?;
            looks += 1;
            if looks.is_multiple_of(20) {
                seen.during.push(memory(request.server_pid)?);
            }
        }
        seen.day_cpu_secs = cpu_secs(&server)? - cpu;
        seen.day_secs = begin.elapsed().as_secs_f64();
        if request.day_secs > 0.0 {
            self.tell.send(Told::End)?;
            sleep_until(Moment::now() + LOOK).await; // each notes it
        }
        // Results are told, and whoever is to go back goes.
        self.settle(request.settle_secs).await?;
        if request.day_secs == 0.0 {
            self.tell.send(Told::End)?;
            sleep(LOOK).await;
        }
        seen.after = memory(request.server_pid)?;
        ensure!(!self.cars.is_empty(), "nobody is left");
        Ok(())
    }
}
