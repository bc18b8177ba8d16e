//! Messages of anonymous clients from any number of publishers to any number of subscribers.
//!
//! Without a rate, each publisher keeps a window in flight: a message is in flight until every
//! subscriber has it and, at QoS 1, it is acknowledged. With a rate, messages are due on a clock of
//! 1 ms that waits for nobody, and their latency counts from the moment at which they were due.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use postern_broker::wire::QoS;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::{interval, sleep, timeout};

use crate::frames::{Frame, STAMP, Template, puback, stamp};
use crate::links;
use crate::messages::sleep_unless_failed;
use crate::meter::Meter;
use crate::pump::Line;
use crate::vitals::memory;

/// Every so many messages one is timed: at full speed …
const SAMPLE: u32 = 64;
/// … and at a rate.
const SAMPLE_AT_RATE: u32 = 8;
/// When nothing has come for so long, what is in flight is taken for lost.
const STALLED: Duration = Duration::from_millis(500);
/// How long links may take to end, and messages that are under way to come.
const GOODBYE: Duration = Duration::from_secs(3);
/// How late the clock of a rate may be before a message counts as sent when it was due.
const SLACK: Duration = Duration::from_millis(2);
/// How long `deliveries` may take.
const LONG: Duration = Duration::from_secs(280);
/// What a server gets to tidy up after `deliveries`.
const TIDY: Duration = Duration::from_secs(3);
/// Long enough that no link needs to ping.
const KEEP_ALIVE_SECS: u16 = 3_600;

/// What is to flow.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Request {
    /// The plain listener, `HOST:PORT`.
    address: String,
    /// The server's process.
    server_pid: u32,
    /// As many publishers as subscribers are pairs; one of either sends to all or hears all.
    publishers: usize,
    subscribers: usize,
    /// 0 or 1.
    qos: u8,
    /// Messages in flight of each publisher.
    window: u64,
    /// Bytes of a body, at least 16.
    body: usize,
    /// Messages a second of all publishers together; none: as many as the windows allow.
    #[serde(default)]
    rate: Option<f64>,
    /// Seconds before it counts.
    #[serde(default)]
    warm_up_secs: f64,
    /// Seconds that count.
    #[serde(default)]
    secs: f64,
    /// Instead of seconds: until so many have been delivered; then memory is compared.
    #[serde(default)]
    deliveries: Option<u64>,
    /// Told apart from all other runs on the same server.
    run: u32,
}

/// What a publisher and its subscribers share.
#[derive(Default)]
struct Flow {
    /// Deliveries to all its subscribers together.
    arrived: AtomicU64,
    more: Notify,
}

/// One publisher's part of a request.
struct Part {
    flow: Arc<Flow>,
    template: Template,
    qos1: bool,
    /// Subscribers of each message.
    fan: u64,
    window: u64,
    /// Messages a second.
    rate: Option<f64>,
    meter: Arc<Meter>,
}

/// Runs the messages and reports.
pub(crate) async fn run(request: &Request) -> Result<Value> {
    let (publishers, subscribers) = (request.publishers, request.subscribers);
    ensure!(request.body >= STAMP && request.window > 0 && request.qos < 2, "body, window or qos");
    ensure!(publishers.min(subscribers) == 1 || publishers == subscribers, "publishers and subscribers");
    let before = memory(request.server_pid)?;
    let qos = if request.qos == 1 { QoS::AtLeastOnce } else { QoS::AtMostOnce };
    let meter = Arc::new(Meter::new());
    let flows: Arc<[Arc<Flow>]> = (0..publishers).map(|_| Arc::default()).collect();
    let topic = |of: usize| format!("bench/{}/{of}", request.run);
    let fan = u64::try_from(subscribers / publishers)?.max(1);

    let subscriber = async |at: usize| {
        let client = format!("sub-{}-{at}", request.run);
        let mut line = links::plain(&request.address, &client, KEEP_ALIVE_SECS).await?;
        let filter =
            if subscribers < publishers { topic(0).replace("/0", "/+") } else { topic(at % publishers) };
        line.subscribe(&filter, qos).await?;
        Ok(line)
    };
    let hearing = links::many(subscribers, subscriber).await?;
    let publisher = async |at: usize| {
        let client = format!("pub-{}-{at}", request.run);
        links::plain(&request.address, &client, KEEP_ALIVE_SECS).await
    };
    let speaking = links::many(publishers, publisher).await?;

    let (mut senders, mut receivers) = (JoinSet::new(), JoinSet::new());
    let sample = sample_of(request.rate);
    for line in hearing {
        receivers.spawn(receive(line, flows.clone(), fan, sample, meter.clone()));
    }
    for (at, (line, flow)) in speaking.into_iter().zip(flows.iter()).enumerate() {
        let part = Part {
            flow: flow.clone(),
            template: Template::new(&topic(at), request.qos == 1, u32::try_from(at)?, request.body)?,
            qos1: request.qos == 1,
            fan,
            window: request.window,
            rate: request.rate.map(|rate| rate / publishers as f64),
            meter: meter.clone(),
        };
        senders.spawn(publish(line, part));
    }
    sleep_unless_failed(request.warm_up_secs, &mut senders, &mut receivers).await?;
    meter.measure(true);
    let from = meter.moment(Some(request.server_pid))?;
    match request.deliveries {
        None => sleep_unless_failed(request.secs, &mut senders, &mut receivers).await?,
        Some(deliveries) => {
            let all = async {
                while meter.delivered.load(Relaxed) < deliveries {
                    sleep_unless_failed(0.02, &mut senders, &mut receivers).await?;
                }
                Ok(())
            };
            timeout(LONG, all).await.unwrap_or_else(|_| bail!("{deliveries} deliveries took too long"))?;
        }
    }
    let to = meter.moment(Some(request.server_pid))?;
    let under_load = memory(request.server_pid)?;
    meter.measure(false);
    meter.stop();
    let all_came = async {
        senders.join_all().await;
        while meter.delivered.load(Relaxed) < meter.sent.load(Relaxed) * fan {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(GOODBYE, all_came).await.ok(); // what is missing shows in the report
    receivers.shutdown().await;
    if request.deliveries.is_some() {
        sleep(TIDY).await;
    }
    let mut report = meter.report(&from, &to);
    let lost = (meter.sent.load(Relaxed) * fan).saturating_sub(meter.delivered.load(Relaxed));
    let memory = json!({ "before": before, "under_load": under_load, "after": memory(request.server_pid)? });
    if let Some(report) = report.as_object_mut() {
        report.insert("lost".to_owned(), json!(lost));
        report.insert("memory".to_owned(), memory);
    }
    Ok(report)
}

fn sample_of(rate: Option<f64>) -> u32 {
    if rate.is_some() { SAMPLE_AT_RATE } else { SAMPLE }
}

/// A publisher's count of what it sent.
struct Sent {
    line: Line<TcpStream>,
    part: Part,
    sample: u32,
    count: u32,
    acked: u64,
    /// Messages given up.
    lost: u64,
    /// Packet ids and times of sampled messages.
    timed: VecDeque<(u16, u64)>,
}

async fn publish(line: Line<TcpStream>, part: Part) -> Result<()> {
    let sample = sample_of(part.rate);
    let mut sent = Sent { line, part, sample, count: 0, acked: 0, lost: 0, timed: VecDeque::new() };
    match sent.part.rate {
        None => sent.by_window().await?,
        Some(rate) => sent.by_clock(rate).await?,
    }
    sent.line.close().await;
    Ok(())
}

impl Sent {
    async fn by_window(&mut self) -> Result<()> {
        loop {
            let open = self.in_flight();
            if self.part.meter.goes_on() {
                self.write(self.part.window.saturating_sub(open), self.part.meter.now_micros());
            } else if open == 0 {
                return Ok(());
            }
            self.line.flush().await?;
            let flow = self.part.flow.clone();
            tokio::select! {
                () = flow.more.notified() => {}
                read = self.line.fill(), if self.part.qos1 => {
                    read?;
                    self.take_acks()?;
                }
                () = sleep(STALLED) => self.lost += self.in_flight(),
            }
        }
    }

    async fn by_clock(&mut self, rate: f64) -> Result<()> {
        let mut clock = interval(Duration::from_millis(1));
        let mut ticks = 0_u32;
        while self.part.meter.goes_on() {
            tokio::select! {
                due = clock.tick() => {
                    ticks += 1;
                    let all = (f64::from(ticks) * rate / 1_000.0) as u64;
                    let meter = &self.part.meter;
                    let micros =
                        if due.elapsed() < SLACK { meter.now_micros() } else { meter.micros_at(due.into_std()) };
                    self.write(all.saturating_sub(u64::from(self.count)), micros);
                    self.line.flush().await?;
                }
                read = self.line.fill(), if self.part.qos1 => {
                    read?;
                    self.take_acks()?;
                }
            }
        }
        Ok(())
    }

    /// Messages that are not both delivered and, at QoS 1, acknowledged.
    fn in_flight(&self) -> u64 {
        let arrived = self.part.flow.arrived.load(Relaxed) / self.part.fan;
        let done = if self.part.qos1 { arrived.min(self.acked) } else { arrived };
        u64::from(self.count).saturating_sub(done + self.lost)
    }

    fn write(&mut self, messages: u64, micros: u64) {
        for _ in 0..messages {
            // Windows are far below 65,535: an id is free again long before it comes round.
            let id = u16::try_from(self.count % u32::from(u16::MAX)).unwrap_or(0) + 1;
            if self.part.qos1 && self.count.is_multiple_of(self.sample) {
                self.timed.push_back((id, micros));
            }
            let id = self.part.qos1.then_some(id);
            self.part.template.write(id, self.count, micros, &mut self.line.output);
            self.count += 1;
        }
        self.part.meter.sent.fetch_add(messages, Relaxed);
    }

    fn take_acks(&mut self) -> Result<()> {
        let (meter, timed, mut acked) = (&self.part.meter, &mut self.timed, 0);
        self.line.scan(|frame, _| {
            if let Frame::PubAck(id) = frame {
                acked += 1;
                if let Some((_, sent)) = timed.pop_front_if(|(of, _)| *of == id) {
                    meter.note_ack(sent);
                }
            }
            Ok(())
        })?;
        self.acked += acked;
        meter.acked.fetch_add(acked, Relaxed);
        Ok(())
    }
}

async fn receive(
    mut line: Line<TcpStream>,
    flows: Arc<[Arc<Flow>]>,
    fan: u64,
    sample: u32,
    meter: Arc<Meter>,
) -> Result<()> {
    let mut expected = vec![0_u32; flows.len()];
    loop {
        line.flush().await?;
        line.fill().await?;
        let (mut delivered, mut full): (u64, Option<&Flow>) = (0, None);
        line.scan(|frame, output| {
            let Frame::Publish(id, body) = frame else { return Ok(()) };
            if let Some(id) = id {
                output.extend_from_slice(&puback(id));
            }
            let Some((source, count, sent)) = stamp(body) else { bail!("a message of somebody else") };
            let at = usize::try_from(source)?;
            let (Some(flow), Some(expected)) = (flows.get(at), expected.get_mut(at)) else {
                bail!("a message of nobody")
            };
            if count < *expected {
                meter.repeated.fetch_add(1, Relaxed);
                return Ok(());
            }
            meter.missed.fetch_add(u64::from(count - *expected), Relaxed);
            *expected = count + 1;
            delivered += 1;
            // Not all publishers at once: of many, each sends few.
            if count.wrapping_add(source).is_multiple_of(sample) {
                meter.note_delivery(sent);
            }
            if (flow.arrived.fetch_add(1, Relaxed) + 1).is_multiple_of(fan) {
                if let Some(former) = full.filter(|former| !std::ptr::eq(*former, &**flow)) {
                    former.more.notify_one();
                }
                full = Some(flow);
            }
            Ok(())
        })?;
        meter.delivered.fetch_add(delivered, Relaxed);
        if let Some(flow) = full {
            flow.more.notify_one();
        }
    }
}
