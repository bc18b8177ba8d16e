//! Mixed load for as long as one likes, and an account of every message at its end.
//!
//! ```text
//! phone      signed-in phones that chat, go in any way and come back         chat     what became of each message
//! sessions   durable sessions at QoS 1 and 2 that go and return              client   what such a client keeps
//! flow       anonymous publishers and subscribers that stay; retained messages
//! visitors   anonymous clients that come once: wills, silence, half packets, takeovers, sessions left behind
//! cars       terminals in shifts, with commands (fleet)
//! reader     history and more over HTTP; at the end all of it
//! door       TCP, TLS, WebSocket, both          watch    counters and latencies, a line every so often
//! (here)     live → finish: nothing new, until all has come → leave → read everything
//! ```
//!
//! Nobody here may be told anything unexpected: each time is a fault, with its text.

mod cars;
pub(crate) mod certificate;
mod chat;
mod client;
mod dice;
mod door;
mod flow;
mod phone;
mod reader;
mod sessions;
mod visitors;
mod watch;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use ::phone::{Api, Token};
use anyhow::{Context, Result, anyhow, ensure};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::watch as channel;
use tokio::task::JoinSet;
use tokio::time::{Interval, MissedTickBehavior, interval, sleep, timeout};

use crate::fleet::accounts::Account;
use chat::Chat;
use door::Door;
use sessions::{Part, Session};
use watch::Watch;

/// How long what is under way may take at the end.
const PATIENCE: Duration = Duration::from_secs(90);
/// How often one looks whether it has come.
const LOOK: Duration = Duration::from_millis(100);

/// What is to run against which server.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Request {
    /// Listeners `tcp`, `tls`, `ws` and `wss`.
    listen: BTreeMap<String, String>,
    /// `https://HOST:PORT`.
    api: String,
    /// The certificate to trust, PEM.
    ca: PathBuf,
    /// The server's process.
    server_pid: u32,
    /// Of all users.
    password: String,
    /// Phones, each of a user of its own.
    phones: usize,
    /// Phones of an organisation: they write to one another.
    together: usize,
    secs: f64,
    /// Between two lines.
    every_secs: f64,
    /// Where the lines go.
    lines: PathBuf,
}

/// What everybody is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    Live,
    /// Nothing new; who is away comes back.
    Finish,
    Leave,
}

/// What everybody shares.
struct World {
    door: Door,
    api: Api,
    api_url: String,
    password: String,
    phones: usize,
    together: usize,
    watch: Watch,
    chat: Chat,
    /// The phones' tokens of now.
    tokens: Mutex<Vec<Option<Token>>>,
}

impl World {
    async fn log_in(&self, user: &str) -> Result<Account> {
        let (api, user, password) = (self.api.clone(), user.to_owned(), self.password.clone());
        tokio::task::spawn_blocking(move || Account::log_in(&api, &user, &password)).await?
    }

    fn keep(&self, phone: usize, account: &Account) {
        if let Ok(mut tokens) = self.tokens.lock()
            && let Some(kept) = tokens.get_mut(phone)
        {
            *kept = Some(account.token().clone());
        }
    }

    fn token(&self, phone: usize) -> Option<Token> {
        self.tokens.lock().ok()?.get(phone)?.clone()
    }

    /// Whom a phone writes to: the others of its organisation.
    fn mates(&self, phone: usize) -> impl Iterator<Item = usize> + use<> {
        let first = phone / self.together * self.together;
        (first..(first + self.together).min(self.phones)).filter(move |mate| *mate != phone)
    }

    /// Whether everybody listens who is to hear everything.
    fn is_ready(&self) -> bool {
        let is = |what, many: usize| self.watch.counted(what) >= many as u64;
        is("flow_subscribers", flow::PAIRS)
            && is("sleepers_there", sessions::PAIRS)
            && is("executors", 1)
            && is("states_there", 1)
    }

    /// Whether all that was sent has come.
    fn is_settled(&self) -> bool {
        let pairs = [("flow_sent", "flow_came"), ("least_sent", "least_came"), ("exact_sent", "exact_came")];
        let came = |(sent, came)| self.watch.counted(came) >= self.watch.counted(sent);
        pairs.into_iter().all(came)
            && self.chat.on_the_way() == 0
            && self.chat.stored() as u64 >= self.watch.counted("stored_sent")
            && self.watch.counted("wills_heard") >= self.watch.counted("wills_left")
    }
}

/// A clock that does not make up for what it has missed.
fn every(period: Duration) -> Interval {
    let mut clock = interval(period);
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    clock
}

/// Everybody who lives until told to leave.
struct Crowd {
    world: Arc<World>,
    here: JoinSet<()>,
    told: channel::Receiver<Told>,
}

impl Crowd {
    fn add<F>(&mut self, who: String, life: impl FnOnce(channel::Receiver<Told>) -> F)
    where
        F: Future<Output = Result<()>> + Send + 'static,
    {
        let (life, world) = (life(self.told.clone()), self.world.clone());
        self.here.spawn(async move {
            if let Err(error) = life.await {
                world.watch.fault(&who, &error);
            }
        });
    }
}

/// Lets everybody live, and reports.
pub(crate) async fn run(request: &Request) -> Result<Value> {
    ensure!(request.phones >= 2 && request.together >= 2 && request.secs > 0.0, "phones, together or secs");
    let pem = std::fs::read(&request.ca).with_context(|| request.ca.display().to_string())?;
    let world = Arc::new(World {
        door: Door { listen: request.listen.clone(), tls: ::phone::sign_in::trust(&pem)? },
        api: Api::new(&request.api, Some(&pem))?,
        api_url: request.api.clone(),
        password: request.password.clone(),
        phones: request.phones,
        together: request.together,
        watch: Watch::new(),
        chat: Chat::of(request.phones),
        tokens: Mutex::new(vec![None; request.phones]),
    });
    let (tell, told) = channel::channel(Told::Live);
    let end = Instant::now() + Duration::from_secs_f64(request.secs);
    let lines = tokio::spawn(write_lines(world.clone(), watch::file(&request.lines)?, request.every_secs));
    let mut crowd = Crowd { world: world.clone(), here: JoinSet::new(), told };
    begin(&mut crowd, request, end).await?;
    sleep(end.saturating_duration_since(Instant::now())).await;

    tell.send(Told::Finish)?;
    let all_came = async {
        while !world.is_settled() {
            sleep(LOOK).await;
        }
    };
    timeout(PATIENCE, all_came).await.ok(); // what is missing shows in the report
    lines.abort();
    tell.send(Told::Leave)?;
    let all_gone = async { while crowd.here.join_next().await.is_some() {} };
    // Neither takes the hour's figures along: both stand in the report.
    if timeout(PATIENCE, all_gone).await.is_err() {
        world.watch.fault("the crowd", &anyhow!("somebody does not leave"));
    }
    if let Err(error) = reader::read_all(&world).await {
        world.watch.fault("history", &error);
    }
    let mut report = world.watch.report();
    if let Some(report) = report.as_object_mut() {
        report.insert("chat".to_owned(), world.chat.report());
    }
    Ok(report)
}

/// Everybody begins.
async fn begin(crowd: &mut Crowd, request: &Request, end: Instant) -> Result<()> {
    let world = crowd.world.clone();
    crowd.add("the executor".to_owned(), |told| visitors::hear_wills(world.clone(), told));
    crowd.add("the retainer".to_owned(), |told| flow::retain(world.clone(), told));
    for pair in 0..flow::PAIRS {
        crowd.add(format!("subscriber {pair}"), |told| flow::subscribe(world.clone(), pair, told));
        crowd.add(format!("publisher {pair}"), |told| flow::publish(world.clone(), pair, told));
    }
    for pair in 0..sessions::PAIRS {
        for part in [Part::Publisher, Part::Sleeper] {
            let session = Session::new(world.clone(), part, pair)?;
            crowd.add(format!("session {pair}"), |told| session.live(told));
        }
    }
    crowd.add("visitors".to_owned(), |told| visitors::come(world.clone(), told));
    let (for_cars, ca, pid) = (world.clone(), request.ca.clone(), request.server_pid);
    crowd.add("terminals".to_owned(), |told| async move { cars::work(for_cars, &ca, pid, end, told).await });
    for number in 0..request.phones {
        let mates = world.mates(number).map(phone::name).collect();
        let phone = phone::Phone::log_in(world.clone(), number, mates).await?;
        crowd.add(phone::name(number), |told| phone.live(told));
    }
    crowd.add("the reader".to_owned(), |told| reader::ask(world.clone(), told));
    crowd.add("the control".to_owned(), |told| control(world.clone(), told));
    Ok(())
}

/// How late a clock is that asks the server nothing: what the machine's other work does to latencies.
async fn control(world: Arc<World>, told: channel::Receiver<Told>) -> Result<()> {
    let pause = Duration::from_millis(20);
    while *told.borrow() == Told::Live {
        let begun = Instant::now();
        sleep(pause).await;
        world.watch.took("lateness", begun.elapsed().saturating_sub(pause));
    }
    Ok(())
}

async fn write_lines(world: Arc<World>, mut file: std::fs::File, every_secs: f64) {
    let mut every = every(Duration::from_secs_f64(every_secs.max(0.1)));
    every.tick().await;
    loop {
        every.tick().await;
        if let Err(error) = world.watch.write(&mut file) {
            world.watch.fault("lines", &error);
        }
    }
}

/// The users that are to be there: those of phones first, by organisation.
pub(crate) fn users(request: &UsersRequest) -> Value {
    let mut users: Vec<String> = (0..request.phones).map(phone::name).collect();
    users.extend(cars::users());
    json!({ "users": users })
}

/// For how many phones.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct UsersRequest {
    phones: usize,
}
