//! Links that rest: what one costs the server in memory, with its keep alive running.
//!
//! A hundredth of the links comes first and stays, so that what a server makes once is not counted.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use postern_broker::wire::{Packet, QoS};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::links::{self, AnyLine, Way};
use crate::vitals::{cpu_secs, memory};

/// Each link pings once in half of it.
const KEEP_ALIVE_SECS: u16 = 6;
/// How often a link pings.
const PING: Duration = Duration::from_secs(3);
/// Every link has pinged, and what the handshakes left is freed.
const SETTLE: Duration = Duration::from_millis(4_000);

/// Who is to rest where.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Request {
    /// The listener, `HOST:PORT`.
    address: String,
    /// The server's process.
    server_pid: u32,
    /// The certificate to trust, PEM; none: plain.
    ca: Option<PathBuf>,
    /// Links to be weighed.
    links: usize,
}

/// What the links are told.
#[derive(Clone, Copy, PartialEq)]
enum Told {
    Rest,
    Subscribe,
}

/// Opens the links, weighs them, lets each subscribe once, and weighs them again.
pub(crate) async fn run(request: &Request) -> Result<Value> {
    let way = Way::trusting(request.ca.as_deref())?;
    let (tell, told) = watch::channel(Told::Rest);
    let mut resting = JoinSet::new();
    let first = request.links.div_ceil(100);
    open(request, &way, 0..first, &told, &mut resting).await?;
    settled(&mut resting).await?;
    let before = memory(request.server_pid)?;

    let begun = Instant::now();
    open(request, &way, first..first + request.links, &told, &mut resting).await?;
    let connecting_secs = begun.elapsed().as_secs_f64();
    let cpu = cpu_secs(&request.server_pid.to_string())?;
    let settling = Instant::now();
    settled(&mut resting).await?;
    let cpu = (cpu_secs(&request.server_pid.to_string())? - cpu) / settling.elapsed().as_secs_f64();
    let idle = memory(request.server_pid)?;

    tell.send(Told::Subscribe)?;
    settled(&mut resting).await?;
    settled(&mut resting).await?;
    let subscribed = memory(request.server_pid)?;
    resting.shutdown().await;

    let links = request.links as f64;
    // The first links subscribe too: they are in neither difference before, and in this one.
    let all = (first + request.links) as f64;
    let subscription = (subscribed.rss_anon_kib - idle.rss_anon_kib) / all;
    let link = (idle.rss_anon_kib - before.rss_anon_kib) / links;
    Ok(json!({
        "link_kib": link,
        "link_rss_kib": (idle.rss_kib - before.rss_kib) / links,
        "subscribed_link_kib": link + subscription,
        "connects_per_sec": links / connecting_secs,
        "resting_cpu": cpu,
    }))
}

async fn open(
    request: &Request,
    way: &Way,
    range: std::ops::Range<usize>,
    told: &watch::Receiver<Told>,
    resting: &mut JoinSet<Result<()>>,
) -> Result<()> {
    let first = range.start;
    let client = |at: usize| format!("rest-{}", first + at);
    let one = async |at: usize| links::on(way, &request.address, &client(at), KEEP_ALIVE_SECS).await;
    // In parts, so that those who are there ping while others come.
    let mut opened = 0;
    while opened < range.len() {
        let part = (range.len() - opened).min(500);
        let lines = links::many(part, async |at| one(opened + at).await).await?;
        for (at, line) in lines.into_iter().enumerate() {
            // Spread over the time between two pings.
            let at = first + opened + at;
            let wait = PING.mul_f64((at % 100) as f64 / 100.0);
            resting.spawn(rest(line, at, wait, told.clone()));
        }
        opened += part;
    }
    Ok(())
}

async fn rest(mut line: AnyLine, at: usize, wait: Duration, mut told: watch::Receiver<Told>) -> Result<()> {
    sleep(wait).await;
    let mut subscribed = false;
    loop {
        line.send(&Packet::PingReq)?;
        line.flush().await?;
        while !matches!(line.packet().await?, Packet::PingResp) {}
        tokio::select! {
            () = sleep(PING) => {}
            asked = async { told.wait_for(|told| *told == Told::Subscribe).await.map(drop) }, if !subscribed => {
                asked.context("the generator is gone")?;
                subscribed = true;
                sleep(wait).await;
                line.subscribe(&format!("rest/{at}/news"), QoS::AtLeastOnce).await?;
            }
        }
    }
}

/// Waits; no link may end meanwhile.
async fn settled(resting: &mut JoinSet<Result<()>>) -> Result<()> {
    tokio::select! {
        () = sleep(SETTLE) => Ok(()),
        Some(ended) = resting.join_next() => {
            ended??;
            bail!("a link has ended")
        }
    }
}
