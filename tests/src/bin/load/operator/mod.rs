//! Messages of signed-in clients while an operator swaps, tries out and activates plugins.
//!
//! Phases follow each other on the same links; in each an operator may act. What came late, twice or not at
//! all is counted over all of them; a link that ends fails the run.

mod acts;
mod admin;
mod flow;
mod gauge;

use std::cell::RefCell;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use postern_broker::wire::Version;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::messages::{publisher_of, recipient_of, sleep_unless_failed};
use crate::people::People;
use acts::Act;
use admin::Admin;
use flow::Part;
use gauge::{Gauge, quantiles};

/// How long what is under way may take to come when no more is sent.
const GOODBYE: Duration = Duration::from_secs(20);
/// How often somebody signs in where sign-ins are timed.
const SIGN_IN: Duration = Duration::from_millis(20);

/// What is to happen.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Request {
    /// The plain listener, `HOST:PORT`.
    address: String,
    /// The admin socket.
    admin: PathBuf,
    /// The server's process.
    server_pid: u32,
    /// Publishers, and recipients.
    pairs: usize,
    /// Messages a second of all publishers together; none: as many as the windows allow.
    #[serde(default)]
    rate: Option<f64>,
    /// Messages in flight of each publisher, without a rate.
    window: u32,
    /// Bytes of a body.
    body: usize,
    /// Told apart from all other runs on the same data.
    run: u32,
    phases: Vec<Phase>,
}

/// A time of the run.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Phase {
    name: String,
    /// It lasts so long at least, and until all is done.
    secs: f64,
    /// One after the other.
    #[serde(default)]
    acts: Vec<Act>,
    /// Whether it begins when all is done, and not with it.
    #[serde(default)]
    counts_afterwards: bool,
    /// A user who signs in again and again meanwhile.
    #[serde(default)]
    signs_in: Option<String>,
}

/// Runs the phases and reports.
pub(crate) async fn run(request: &Request, people: &mut People) -> Result<Value> {
    ensure!(request.pairs > 0 && request.window > 0, "pairs or window too small");
    let gauge = Arc::new(Gauge::new());
    let (mut recipients, mut publishers) = (JoinSet::new(), JoinSet::new());
    for pair in 0..request.pairs {
        let user = recipient_of(pair);
        let line = flow::open(&request.address, people.connect(&user, "tcp", Version::V311)?, &user).await?;
        recipients.spawn(flow::receive(line, gauge.clone(), request.run, request.rate.is_some()));
    }
    let mut lines = Vec::new();
    for pair in 0..request.pairs {
        let user = publisher_of(pair);
        let connect = people.connect(&user, "tcp", Version::V311)?;
        lines.push(flow::open(&request.address, connect, &user).await?);
    }
    for (pair, line) in lines.into_iter().enumerate() {
        let part = Part {
            topic: format!("im/u/{}/{}", recipient_of(pair), publisher_of(pair)),
            body: request.body,
            run: request.run,
            window: request.window,
            rate: request.rate.map(|rate| rate / request.pairs as f64),
            place: pair as f64 / request.pairs as f64,
            gauge: gauge.clone(),
        };
        publishers.spawn(flow::publish(line, part));
    }
    let admin = Admin::new(&request.admin);
    let mut phases = Vec::new();
    for phase in &request.phases {
        let part = run_phase(phase, request, &gauge, &admin, people);
        phases.push(tokio::select! {
            done = part => done?,
            failed = sleep_unless_failed(f64::from(u32::MAX), &mut publishers, &mut recipients) => {
                failed?;
                bail!("a phase took too long");
            }
        });
    }
    // One that ended meanwhile has failed the run; one that has just ended counts here.
    let ended = publishers.try_join_next().into_iter().chain(recipients.try_join_next()).count();
    gauge.stop();
    let all_came = async {
        while let Some(ended) = publishers.join_next().await {
            ended??;
        }
        while gauge.delivered.load(Relaxed) < gauge.sent.load(Relaxed) {
            sleep(Duration::from_millis(5)).await;
        }
        anyhow::Ok(())
    };
    if let Ok(ended) = timeout(GOODBYE, all_came).await {
        ended?;
    } // what is missing shows in the report
    recipients.shutdown().await;
    Ok(json!({ "phases": phases, "totals": gauge.totals(), "ended": ended }))
}

async fn run_phase(
    phase: &Phase,
    request: &Request,
    gauge: &Gauge,
    admin: &Admin,
    people: &mut People,
) -> Result<Value> {
    let mut did = Vec::new();
    let sign_ins = RefCell::new(Vec::new());
    let acting = async {
        let (mut from, mut begun) = (gauge.moment(request.server_pid)?, Instant::now());
        for act in &phase.acts {
            did.push(act.perform(admin, gauge).await?);
        }
        if phase.counts_afterwards {
            sign_ins.borrow_mut().clear();
            (from, begun) = (gauge.moment(request.server_pid)?, Instant::now());
        }
        sleep(Duration::from_secs_f64(phase.secs).saturating_sub(begun.elapsed())).await;
        gauge.since(&from, request.server_pid)
    };
    let mut report = tokio::select! {
        report = acting => report?,
        failed = sign_in_again(phase.signs_in.as_deref(), request, people, &sign_ins) => {
            failed?;
            bail!("sign-ins ended");
        }
    };
    if let Some(report) = report.as_object_mut() {
        report.insert("name".to_owned(), json!(phase.name));
        report.insert("acts".to_owned(), json!(did));
        report.insert("sign_in_ms".to_owned(), quantiles(sign_ins.take()));
    }
    Ok(report)
}

/// Signs a user in again and again, from the connection to the CONNACK; nobody: waits for ever.
async fn sign_in_again(
    user: Option<&str>,
    request: &Request,
    people: &mut People,
    millis: &RefCell<Vec<f64>>,
) -> Result<()> {
    let Some(user) = user else { return std::future::pending().await };
    loop {
        // Its counter is synced to disk: the device's work, not the server's.
        let connect = people.connect(user, "tcp", Version::V311)?;
        let begun = Instant::now();
        let line = flow::open(&request.address, connect, user).await?;
        millis.borrow_mut().push(begun.elapsed().as_secs_f64() * 1e3);
        line.close().await;
        sleep(SIGN_IN).await;
    }
}
