//! The rows: their cases, what the generator is asked for each, and which quantities its answer gives.

use clap::ValueEnum;
use serde_json::{Value, json};

use super::Options;
use super::contender::{Stable, Who};
use super::figures::{Better, What};
use crate::bench::running::Running;

/// A row of the comparison.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(super) enum Row {
    /// Messages a second: QoS 0 and 1, 1 → 1 and 10 → 10, 64 and 256 bytes
    Rate,
    /// What it costs to ask classify for every message; measured with `rate`
    Classify,
    /// 99th percentile at half the best peer's top rate
    Latency,
    /// Deliveries a second: 1 → 1,000 and 1,000 → 1
    Fan,
    /// Memory of an idle link, plain and TLS, without and with a subscription
    Idle,
    /// The server's CPU for a connect: plain, TLS full and resumed
    Connect,
    /// Memory after many messages, against before
    Soak,
    /// A message to a new topic while others hold many filters
    Topic,
}

impl Row {
    /// The title of its section.
    pub(super) fn title(self) -> &'static str {
        match self {
            Row::Rate => "Throughput",
            Row::Classify => "The price of classify",
            Row::Latency => "Latency at half the best peer's top rate",
            Row::Fan => "Fan-out and fan-in",
            Row::Idle => "Memory of an idle link",
            Row::Connect => "CPU of a connect",
            Row::Soak => "Memory after many messages",
            Row::Topic => "The first message to a topic",
        }
    }
}

/// One thing to measure with every broker in turn.
pub(super) struct Case {
    pub(super) name: String,
    pub(super) who: Vec<Who>,
    pub(super) ask: Box<dyn Fn(&Running) -> Value>,
}

/// Who sends how much to whom.
#[derive(Clone, Copy)]
pub(super) struct Shape {
    qos: u8,
    publishers: usize,
    subscribers: usize,
    window: u64,
    body: usize,
}

impl Shape {
    pub(super) fn name(&self) -> String {
        let Shape { qos, publishers, subscribers, body, .. } = self;
        format!("QoS {qos}, {publishers} → {subscribers}, {body} B")
    }

    /// At full speed, or at a rate.
    pub(super) fn case(self, who: &[Who], rate: Option<f64>, options: &Options) -> Case {
        let (warm_up_secs, secs) = (options.warm_up_secs, options.secs);
        let ask = move |to: &Running| {
            json!({
                "ask": "traffic", "address": to.tcp, "server_pid": to.id, "qos": self.qos, "run": 1,
                "publishers": self.publishers, "subscribers": self.subscribers, "window": self.window,
                "body": self.body, "rate": rate, "warm_up_secs": warm_up_secs, "secs": secs,
            })
        };
        Case { name: self.name(), who: who.to_vec(), ask: Box::new(ask) }
    }
}

/// Of `rate`.
pub(super) fn rate_shapes() -> Vec<Shape> {
    let mut shapes = Vec::new();
    for (qos, window) in [(0, 1_000), (1, 100)] {
        for pairs in [1, 10] {
            for body in [64, 256] {
                shapes.push(Shape { qos, publishers: pairs, subscribers: pairs, window, body });
            }
        }
    }
    shapes
}

/// Of `latency`: the least and the most of `rate` at each QoS.
pub(super) fn latency_shapes() -> Vec<Shape> {
    let is_one = |shape: &Shape| (shape.publishers == 1) == (shape.body == 64);
    rate_shapes().into_iter().filter(is_one).collect()
}

/// Of `fan`. All windows together stay below the 10,000 messages that Postern queues for a session.
pub(super) fn fan_shapes(many: usize) -> Vec<Shape> {
    let mut shapes = Vec::new();
    for qos in [0, 1] {
        shapes.push(Shape { qos, publishers: 1, subscribers: many, window: 20, body: 64 });
        shapes.push(Shape { qos, publishers: many, subscribers: 1, window: 4, body: 64 });
    }
    shapes
}

/// Of the rows that are no traffic.
pub(super) fn others(row: Row, stable: &Stable, options: &Options) -> Vec<Case> {
    let ca = stable.certificate.ca.clone();
    let case =
        |name: String, ask: Box<dyn Fn(&Running) -> Value>| Case { name, who: Who::BROKERS.to_vec(), ask };
    match row {
        Row::Rate | Row::Classify | Row::Latency | Row::Fan => Vec::new(),
        Row::Idle => {
            let links = options.links;
            let tls = move |to: &Running| json!({ "ask": "crowd", "address": to.tls, "server_pid": to.id, "ca": ca, "links": links });
            let tcp = move |to: &Running| json!({ "ask": "crowd", "address": to.tcp, "server_pid": to.id, "ca": null, "links": links });
            vec![case("TCP".to_owned(), Box::new(tcp)), case("TLS 1.3".to_owned(), Box::new(tls))]
        }
        Row::Connect => {
            let connects = options.connects;
            let ways =
                [("TCP", false, false), ("TLS 1.3, full", true, false), ("TLS 1.3, resumed", true, true)];
            let ways = ways.into_iter().map(|(name, tls, resumed)| {
                let ca = tls.then(|| ca.clone());
                let ask = move |to: &Running| {
                    json!({
                        "ask": "handshakes", "address": if tls { &to.tls } else { &to.tcp },
                        "server_pid": to.id, "ca": ca, "connects": connects, "resumed": resumed,
                    })
                };
                case(name.to_owned(), Box::new(ask))
            });
            ways.collect()
        }
        Row::Soak => {
            let deliveries = options.deliveries;
            let ask = move |to: &Running| {
                json!({
                    "ask": "traffic", "address": to.tcp, "server_pid": to.id, "qos": 0, "run": 1,
                    "publishers": 10, "subscribers": 10, "window": 1000, "body": 64, "deliveries": deliveries,
                })
            };
            let million = deliveries as f64 / 1e6;
            vec![case(format!("{million} million, QoS 0, 10 → 10, 64 B"), Box::new(ask))]
        }
        Row::Topic => {
            let filters = options.filters;
            let ask = move |to: &Running| {
                json!({
                    "ask": "newcomer", "address": to.tcp, "server_pid": to.id, "filters": filters,
                    "messages": 1000,
                })
            };
            vec![case(format!("{filters} filters"), Box::new(ask))]
        }
    }
}

const fn what(name: &'static str, unit: &'static str, better: Better) -> What {
    What { name, unit, better }
}

pub(super) const MESSAGES: What = what("messages delivered", "msg/s", Better::More);
pub(super) const CPU: What = what("the server's CPU for one message", "µs", Better::Less);
pub(super) const SERVER: What = what("the server's CPU", "cores", Better::Neither);
pub(super) const GENERATOR: What = what("the generator's CPU", "cores", Better::Neither);
pub(super) const P99: What = what("99th percentile, publisher to subscriber", "ms", Better::Less);
pub(super) const RATIO: What = what("throughput, asked always against verdict holds", "%", Better::Neither);
pub(super) const QUESTION: What =
    what("CPU for one message, asked always less verdict holds", "µs", Better::Neither);
const P50: What = what("median, publisher to subscriber", "ms", Better::Less);
const LINK: What = what("RssAnon growth per link", "KiB", Better::Less);
const SUBSCRIBED: What = what("the same with one subscription", "KiB", Better::Less);
const LINK_RSS: What = what("RSS growth per link", "KiB", Better::Less);
const RESTING: What = what("the server's CPU while all rest", "cores", Better::Less);
const ACCEPTED: What = what("connects, 32 under way at once", "1/s", Better::More);
const CONNECT: What = what("the server's CPU for one connect", "µs", Better::Less);
const WALL: What = what("TCP connect to CONNACK, one after the other", "ms", Better::Less);
const RESUMED: What = what("handshakes that were resumed", "%", Better::Neither);
const GROWTH: What = what("RSS after less before", "MiB", Better::Less);
const BEFORE: What = what("RSS before", "MiB", Better::Neither);
const LOADED: What = what("RSS at the end of the load", "MiB", Better::Less);
const AFTER: What = what("RSS after", "MiB", Better::Less);
const FIRST: What = what("new topic to PUBACK, median", "µs", Better::Less);
const FIRST_P99: What = what("new topic to PUBACK, 99th percentile", "µs", Better::Less);
const AGAIN: What = what("known topic to PUBACK, median", "µs", Better::Less);
const HELD: What = what("filters subscribed", "1/s", Better::More);
const FILTER: What = what("RssAnon growth per filter", "KiB", Better::Less);

/// What the generator's answer says, the row's first quantity first.
pub(super) fn read(row: Row, answer: &Value) -> Vec<(What, f64)> {
    let of = |pointer: &str| answer.pointer(pointer).and_then(Value::as_f64);
    let mib = |pointer: &str| of(pointer).map(|kib| kib / 1024.0);
    let percent = |pointer: &str| of(pointer).map(|share| share * 100.0);
    let delivered = of("/delivered_per_sec");
    let cpu = of("/server_cpu").zip(delivered).map(|(cores, rate)| cores * 1e6 / rate.max(1.0));
    let found = match row {
        Row::Rate | Row::Classify | Row::Fan => vec![
            (MESSAGES, delivered),
            (CPU, cpu),
            (SERVER, of("/server_cpu")),
            (GENERATOR, of("/generator_cpu")),
        ],
        Row::Latency => vec![
            (P99, of("/delivery_ms/p99")),
            (P50, of("/delivery_ms/p50")),
            (MESSAGES, delivered),
            (CPU, cpu),
            (GENERATOR, of("/generator_cpu")),
        ],
        Row::Idle => vec![
            (LINK, of("/link_kib")),
            (SUBSCRIBED, of("/subscribed_link_kib")),
            (LINK_RSS, of("/link_rss_kib")),
            (RESTING, of("/resting_cpu")),
            (ACCEPTED, of("/connects_per_sec")),
        ],
        Row::Connect => {
            vec![(CONNECT, of("/cpu_micros")), (WALL, of("/millis")), (RESUMED, percent("/resumed"))]
        }
        Row::Soak => vec![
            (GROWTH, mib("/memory/after/rss_kib").zip(mib("/memory/before/rss_kib")).map(|(a, b)| a - b)),
            (BEFORE, mib("/memory/before/rss_kib")),
            (LOADED, mib("/memory/under_load/rss_kib")),
            (AFTER, mib("/memory/after/rss_kib")),
            (MESSAGES, delivered),
        ],
        Row::Topic => vec![
            (FIRST, of("/first_micros/p50")),
            (FIRST_P99, of("/first_micros/p99")),
            (AGAIN, of("/again_micros/p50")),
            (HELD, of("/filters_per_sec")),
            (FILTER, of("/filter_kib")),
        ],
    };
    found.into_iter().filter_map(|(what, value)| Some((what, value?))).collect()
}
