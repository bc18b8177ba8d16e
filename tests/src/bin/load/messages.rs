//! Publishers, each with a window in flight, and a recipient for each.
//!
//! Recipients acknowledge what they get and check that it comes in order. PUBACKs and deliveries are
//! counted apart: a server that acknowledges faster than it delivers shows.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use bytes::{BufMut, BytesMut};
use postern_broker::wire::{Ack, Packet, PacketId, PublishHeader, QoS, ReasonCode, Version, encode_publish};
use postern_tests::connect;
use serde::Deserialize;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::meter::Meter;
use crate::people::People;
use crate::pump::{Line, tcp};

/// Every so many messages one is timed.
const SAMPLE: u64 = 64;
/// Run number, count within the run, microseconds: what every body begins with, bytes.
const STAMP: usize = 20;
/// How long deliveries may take after the last message was acknowledged.
const PATIENCE: Duration = Duration::from_secs(60);

/// What is to flow.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Request {
    /// The plain listener, `HOST:PORT`.
    address: String,
    /// The server's process, to see its CPU time.
    server_pid: Option<u32>,
    /// True: signed-in users and instant messages. False: a server that asks for nothing.
    sign_in: bool,
    /// Publishers, and recipients.
    pairs: usize,
    /// QoS 1 messages in flight of each publisher.
    window: usize,
    /// Bytes of a body, at least 20.
    body: usize,
    /// Seconds before it counts.
    warm_up_secs: f64,
    /// Seconds that count.
    secs: f64,
    /// Told apart from all other runs on the same data.
    run: u32,
}

/// The user who publishes in a pair.
pub(crate) fn publisher_of(pair: usize) -> String {
    format!("pub-{pair}")
}

/// The user who gets it.
pub(crate) fn recipient_of(pair: usize) -> String {
    format!("rec-{pair}")
}

/// Runs the messages and reports.
pub(crate) async fn run(request: &Request, people: &mut People) -> Result<Value> {
    ensure!(
        request.body >= STAMP && request.pairs > 0 && request.window > 0,
        "pairs, window or body too small"
    );
    let meter = Arc::new(Meter::new());
    let (mut recipients, mut lines) = (JoinSet::new(), Vec::new());
    for pair in 0..request.pairs {
        let mut line = open(request, &recipient_of(pair), people).await?;
        if !request.sign_in {
            line.subscribe(&topic(pair), QoS::AtLeastOnce).await?;
        }
        recipients.spawn(receive(line, meter.clone(), request.run));
    }
    for pair in 0..request.pairs {
        lines.push((topic(pair), open(request, &publisher_of(pair), people).await?));
    }
    let mut publishers = JoinSet::new();
    for (topic, line) in lines {
        publishers.spawn(publish(line, topic, meter.clone(), request.window, request.body, request.run));
    }

    sleep_unless_failed(request.warm_up_secs, &mut publishers, &mut recipients).await?;
    meter.measure(true);
    let from = meter.moment(request.server_pid)?;
    sleep_unless_failed(request.secs, &mut publishers, &mut recipients).await?;
    let to = meter.moment(request.server_pid)?;
    meter.measure(false);
    meter.stop();
    while let Some(ended) = publishers.join_next().await {
        ended??;
    }
    let all_came = async {
        while meter.delivered.load(Relaxed) < meter.acked.load(Relaxed) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, all_came).await.ok(); // what is missing shows in the report
    recipients.shutdown().await;
    Ok(meter.report(&from, &to))
}

/// `im/u/{to}/{from}`: an ordinary topic to servers that give it no meaning.
fn topic(pair: usize) -> String {
    format!("im/u/{}/{}", recipient_of(pair), publisher_of(pair))
}

async fn open(request: &Request, user: &str, people: &mut People) -> Result<Line<TcpStream>> {
    let connect = if request.sign_in {
        people.connect(user, "tcp", Version::V5)?
    } else {
        connect(Version::V311, user)
    };
    let connect = postern_broker::wire::Connect { keep_alive: 0, ..connect };
    Line::open(tcp(&request.address).await?, connect).await.with_context(|| user.to_owned())
}

/// Sleeps, unless a link ends.
pub(crate) async fn sleep_unless_failed(
    secs: f64,
    publishers: &mut JoinSet<Result<()>>,
    recipients: &mut JoinSet<Result<()>>,
) -> Result<()> {
    let ended = tokio::select! {
        () = tokio::time::sleep(Duration::from_secs_f64(secs)) => return Ok(()),
        Some(ended) = publishers.join_next() => ended,
        Some(ended) = recipients.join_next() => ended,
    };
    ended??;
    bail!("a link has ended")
}

async fn publish(
    mut line: Line<TcpStream>,
    topic: String,
    meter: Arc<Meter>,
    window: usize,
    body: usize,
    run: u32,
) -> Result<()> {
    let (mut count, mut in_flight) = (0_u64, 0);
    let mut timed = VecDeque::new();
    let mut payload = BytesMut::new();
    loop {
        while in_flight < window && meter.goes_on() {
            let id = packet_id(count);
            let now = meter.now_micros();
            if count.is_multiple_of(SAMPLE) {
                timed.push_back((id, now));
            }
            payload.clear();
            payload.put_u32(run);
            payload.put_u64(count);
            payload.put_u64(now);
            payload.put_bytes(b'x', body.saturating_sub(STAMP));
            let header = PublishHeader { packet_id: Some(id), ..header() };
            encode_publish(&header, &topic, &payload, None, line.version, &mut line.output)?;
            count += 1;
            in_flight += 1;
            meter.sent.fetch_add(1, Relaxed);
        }
        if in_flight == 0 {
            return Ok(());
        }
        line.flush().await?;
        line.fill().await?;
        while let Some(packet) = line.next()? {
            match packet {
                Packet::PubAck(ack) => {
                    ensure!(!ack.reason.is_error(), "refused: {:?} {:?}", ack.reason, ack.reason_string);
                    in_flight = in_flight.saturating_sub(1);
                    meter.acked.fetch_add(1, Relaxed);
                    if let Some((_, sent)) = timed.pop_front_if(|(id, _)| *id == ack.packet_id) {
                        meter.note_ack(sent);
                    }
                }
                other => acknowledge(&mut line, &other)?,
            }
        }
    }
}

async fn receive(mut line: Line<TcpStream>, meter: Arc<Meter>, run: u32) -> Result<()> {
    let mut expected = 0;
    loop {
        line.flush().await?;
        line.fill().await?;
        while let Some(packet) = line.next()? {
            acknowledge(&mut line, &packet)?;
            let Packet::Publish(publish) = packet else { continue };
            let Some((count, sent)) = stamp(&publish.payload, run) else { continue };
            if count < expected {
                meter.repeated.fetch_add(1, Relaxed);
                continue;
            }
            meter.missed.fetch_add(count - expected, Relaxed);
            meter.delivered.fetch_add(1, Relaxed);
            expected = count + 1;
            if count.is_multiple_of(SAMPLE) {
                meter.note_delivery(sent);
            }
        }
    }
}

/// A PUBACK for a QoS 1 publish.
fn acknowledge(line: &mut Line<TcpStream>, packet: &Packet) -> Result<()> {
    match packet {
        Packet::Publish(publish) if publish.qos == QoS::AtLeastOnce => {
            let id = publish.packet_id.context("QoS 1 without a packet id")?;
            line.send(&Packet::PubAck(Ack::new(id, ReasonCode::Success)))
        }
        _ => Ok(()),
    }
}

/// Count and time of a body of this run; None for others', such as presence.
fn stamp(body: &[u8], run: u32) -> Option<(u64, u64)> {
    let (of, rest) = body.split_first_chunk()?;
    let (count, rest) = rest.split_first_chunk()?;
    let (sent, _) = rest.split_first_chunk()?;
    (u32::from_be_bytes(*of) == run).then(|| (u64::from_be_bytes(*count), u64::from_be_bytes(*sent)))
}

/// Windows are far below 65,535: an id is free again long before it comes round.
fn packet_id(count: u64) -> PacketId {
    let id = u16::try_from(count % u64::from(u16::MAX)).unwrap_or(0);
    PacketId::MIN.saturating_add(id)
}

fn header() -> PublishHeader<'static> {
    PublishHeader { qos: QoS::AtLeastOnce, ..PublishHeader::default() }
}
