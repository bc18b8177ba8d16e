//! The generator of `cargo xtask bench`: a process of its own, so that its CPU time is not the server's.
//!
//! One request a line on stdin, as JSON; one answer a line on stdout. A request that failed answers
//! `{"error": …}`, and the next one is served all the same.
//!
//! ```text
//! login      devices log in once, for all that follows          people
//! messages   publishers → recipients, windows in flight         messages: pump (packets in batches), meter
//! start      from the start of a server to its first CONNACK    start
//! bytes      what a sign-in and a message weigh on the wire     bytes: tally (a counting proxy)
//! operate    messages by the clock while an operator acts       operator: flow, gauge, acts, admin
//!
//! Of anonymous clients (links), for every broker:
//! traffic    1 → 1, n → n, 1 → n, n → 1, by window or by clock   traffic: frames (packets undecoded), meter
//! crowd      links that rest, by their memory                    crowd: vitals
//! handshakes connects, by their CPU                              handshakes: vitals
//! newcomer   a new topic beside many filters                     newcomer
//!
//! Of encrypt on demand:
//! users      rows of users, with a cheap hash                    fleet::users
//! enrol      terminals log in once                               fleet::accounts
//! fleet      a fleet's memory, bytes, CPU, latency, for real     fleet; socket, segments (TCP_INFO)
//! policy     thirty days of the plugin's idle period             policy
//!
//! Of a soak:
//! soakusers  who is to be there                                  soak
//! soak       mixed load, and an account of every message         soak
//! certificate  a new one, or whether it is served                soak::certificate
//! ```
#![allow(clippy::large_futures, reason = "a generator: its links do not rest")]

mod bytes;
mod crowd;
mod fleet;
mod frames;
mod handshakes;
mod links;
mod messages;
mod meter;
mod newcomer;
mod operator;
mod people;
mod policy;
mod pump;
mod segments;
mod soak;
mod socket;
mod start;
mod tally;
mod traffic;
mod vitals;

use std::io::{BufRead, Write};
use std::time::Duration;

use anyhow::{Context, Result};
use serde::Deserialize;
use serde_json::{Value, json};

/// What `cargo xtask bench` can ask for.
#[derive(Deserialize)]
#[serde(tag = "ask", rename_all = "lowercase", deny_unknown_fields)]
enum Request {
    /// Log devices in.
    Login(people::Request),
    /// Push messages through a server for a while.
    Messages(messages::Request),
    /// Start a server, until it says CONNACK.
    Start(start::Request),
    /// Count bytes.
    Bytes(bytes::Request),
    /// Push messages while an operator swaps plugins.
    Operate(operator::Request),
    /// Push anonymous messages through any broker.
    Traffic(traffic::Request),
    /// Weigh resting links.
    Crowd(crowd::Request),
    /// Connect.
    Handshakes(handshakes::Request),
    /// Publish to new topics beside many filters.
    Newcomer(newcomer::Request),
    /// Write users while no server runs.
    Users(fleet::users::Request),
    /// Log terminals in.
    Enrol(fleet::accounts::Request),
    /// Let a fleet of terminals live.
    Fleet(fleet::Request),
    /// Ask the plugin how long to stay on TLS, for many simulated days.
    Policy(policy::Request),
    /// Name the users of a soak.
    SoakUsers(soak::UsersRequest),
    /// Load a server with everything at once.
    Soak(soak::Request),
    /// Make a certificate, or look whether it is served.
    Certificate(soak::certificate::Request),
}

/// A request to a broker that hangs ends so.
const PATIENCE: Duration = Duration::from_secs(300);

fn main() -> Result<()> {
    // One thread: what it can do is measured against what the server can, and shown.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (mut people, mut accounts) = (people::People::default(), fleet::accounts::Accounts::default());
    for line in std::io::stdin().lock().lines() {
        let answer = runtime.block_on(serve(&line?, &mut people, &mut accounts));
        let answer = answer.unwrap_or_else(|error| json!({ "error": format!("{error:#}") }));
        let mut out = std::io::stdout().lock();
        writeln!(out, "{answer}").and_then(|()| out.flush())?;
    }
    Ok(())
}

async fn serve(
    line: &str,
    people: &mut people::People,
    accounts: &mut fleet::accounts::Accounts,
) -> Result<Value> {
    match serde_json::from_str(line).context("the request")? {
        Request::Login(request) => people.log_in(&request),
        Request::Messages(request) => messages::run(&request, people).await,
        Request::Start(request) => start::run(&request, people).await,
        Request::Bytes(request) => bytes::run(&request, people).await,
        Request::Operate(request) => operator::run(&request, people).await,
        Request::Traffic(request) => patiently(traffic::run(&request)).await,
        Request::Crowd(request) => patiently(crowd::run(&request)).await,
        Request::Handshakes(request) => patiently(handshakes::run(&request)).await,
        Request::Newcomer(request) => patiently(newcomer::run(&request)).await,
        Request::Users(request) => fleet::users::write(&request).await,
        Request::Enrol(request) => accounts.log_in(&request),
        Request::Fleet(request) => fleet::run(&request, accounts).await,
        Request::Policy(request) => policy::run(&request).await,
        Request::SoakUsers(request) => Ok(soak::users(&request)),
        Request::Soak(request) => soak::run(&request).await,
        Request::Certificate(request) => soak::certificate::run(&request).await,
    }
}

async fn patiently(work: impl Future<Output = Result<Value>>) -> Result<Value> {
    tokio::time::timeout(PATIENCE, work).await.context("it took too long")?
}
