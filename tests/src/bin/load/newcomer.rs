//! A message to a topic that nobody has published to before, while others hold many filters.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use postern_broker::wire::{
    Packet, PacketId, PublishHeader, QoS, RetainHandling, Subscribe, SubscribeFilter, encode_publish,
};
use postern_tests::text;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::TcpStream;

use crate::links;
use crate::pump::Line;
use crate::vitals::memory;

/// Filters of one SUBSCRIBE.
const TOGETHER: usize = 100;
/// Filters of one link: Postern's own bound.
const PER_LINK: usize = 1_000;
/// Long enough that no link needs to ping.
const KEEP_ALIVE_SECS: u16 = 3_600;
/// How long one series of messages may take.
const PATIENCE: Duration = Duration::from_secs(4);

/// What to hold and to publish.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Request {
    /// The plain listener, `HOST:PORT`.
    address: String,
    /// The server's process.
    server_pid: u32,
    /// Filters that others hold.
    filters: usize,
    /// Messages at most of each series.
    messages: usize,
}

/// Holds the filters, and publishes one message at a time.
pub(crate) async fn run(request: &Request) -> Result<Value> {
    let before = memory(request.server_pid)?;
    let begun = Instant::now();
    let holder = async |at: usize| {
        let mut line = links::plain(&request.address, &format!("holder-{at}"), KEEP_ALIVE_SECS).await?;
        let count = PER_LINK.min(request.filters - at * PER_LINK);
        for from in (0..count).step_by(TOGETHER) {
            hold(&mut line, at, from..count.min(from + TOGETHER)).await?;
        }
        Ok(line)
    };
    let holders = links::many(request.filters.div_ceil(PER_LINK), holder).await?;
    let subscribing_secs = begun.elapsed().as_secs_f64();
    let held = memory(request.server_pid)?;

    let mut line = links::plain(&request.address, "newcomer", KEEP_ALIVE_SECS).await?;
    one(&mut line, "warm/up").await?;
    let first = series(&mut line, request.messages, |at| format!("new/{at}/topic")).await?;
    let again = series(&mut line, request.messages, |_| "new/0/topic".to_owned()).await?;
    line.close().await;
    drop(holders); // not one by one: a server may walk all filters for each
    Ok(json!({
        "first_micros": quantiles(first),
        "again_micros": quantiles(again),
        "filters_per_sec": request.filters as f64 / subscribing_secs,
        "filter_kib": (held.rss_anon_kib - before.rss_anon_kib) / request.filters as f64,
    }))
}

/// One SUBSCRIBE; every tenth filter has a wildcard.
async fn hold(line: &mut Line<TcpStream>, holder: usize, range: std::ops::Range<usize>) -> Result<()> {
    let filter = |at: usize| SubscribeFilter {
        filter: text(&if at.is_multiple_of(10) {
            format!("held/{holder}/{at}/+")
        } else {
            format!("held/{holder}/{at}")
        }),
        qos: QoS::AtLeastOnce,
        no_local: false,
        retain_as_published: false,
        retain_handling: RetainHandling::Send,
    };
    line.send(&Packet::Subscribe(Subscribe {
        packet_id: PacketId::MIN,
        subscription_id: None,
        user_properties: Vec::new(),
        filters: range.map(filter).collect(),
    }))?;
    line.flush().await?;
    loop {
        if let Packet::SubAck(ack) = line.packet().await? {
            ensure!(ack.reasons.iter().all(|reason| !reason.is_error()), "SUBACK: {:?}", ack.reasons);
            return Ok(());
        }
    }
}

/// Microseconds to the PUBACK of each message.
async fn series(
    line: &mut Line<TcpStream>,
    messages: usize,
    topic: impl Fn(usize) -> String,
) -> Result<Vec<f64>> {
    let begun = Instant::now();
    let mut micros = Vec::with_capacity(messages);
    for at in 0..messages {
        micros.push(one(line, &topic(at)).await?);
        if begun.elapsed() > PATIENCE {
            break;
        }
    }
    Ok(micros)
}

async fn one(line: &mut Line<TcpStream>, topic: &str) -> Result<f64> {
    let header =
        PublishHeader { qos: QoS::AtLeastOnce, packet_id: Some(PacketId::MIN), ..PublishHeader::default() };
    let begun = Instant::now();
    encode_publish(&header, topic, &[b'x'; 64], None, line.version, &mut line.output)?;
    line.flush().await?;
    while !matches!(line.packet().await?, Packet::PubAck(_)) {}
    Ok(begun.elapsed().as_secs_f64() * 1e6)
}

fn quantiles(mut micros: Vec<f64>) -> Value {
    micros.sort_unstable_by(f64::total_cmp);
    let at = |percent: usize| micros.get(micros.len() * percent / 100).copied();
    json!({ "p50": at(50), "p99": at(99), "messages": micros.len() })
}
