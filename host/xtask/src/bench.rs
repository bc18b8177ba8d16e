//! `cargo xtask bench`: measurements on loopback, beside a peer in the same run, as a table and a report.
//!
//! Rounds go in turns through all that is compared, because figures of different minutes do not.
//!
//! ```text
//! site       the server under policies/bench.toml, its users      generator   the `load` process
//! peer       mosquitto and the peers of tests/peers              machine     what it ran on, fdatasync
//! stored, started, weighed, classified (here)  →  report          the table, docs/bench/issue-2.md
//! brokers    `bench brokers`: as a plain broker, beside others    interrupt   Ctrl-C
//! encrypt    `bench encrypt`: what encrypt on demand saves        running, spread, figures
//! plugins    `bench plugins`: swaps under load, shadows, traps    goal, section, bars, folder: of reports
//! ```

#![allow(clippy::indexing_slicing)] // a field that is missing in our own JSON is null, not a panic

mod bars;
mod brokers;
mod encrypt;
mod figures;
pub(crate) mod folder;
pub(crate) mod generator;
mod goal;
pub(crate) mod interrupt;
pub(crate) mod machine;
mod peer;
mod plugins;
pub(crate) mod report;
mod running;
mod section;
mod site;
pub(crate) mod spread;

use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result};
use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};

use crate::{plugins as components, setup, sh};
pub(crate) use bars::escaped;
use generator::Generator;
use peer::Peer;
use report::{Report, Row, Target};
use site::Site;

/// Where the release build is.
const RELEASE: &str = "target/release";
/// QoS 1 messages in flight of each publisher.
const WINDOW: usize = 100;
/// Publishers, and recipients, of the large cases.
const MANY: usize = 100;
/// Seconds of each case before it counts.
const WARM_UP_SECS: f64 = 2.0;
/// Starts of the server.
const STARTS: usize = 5;

/// What to measure.
#[derive(Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Options {
    #[command(subcommand)]
    other: Option<Other>,
    /// Rounds through all cases that carry messages
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Seconds that count, of each case in each round
    #[arg(long, default_value_t = 5.0)]
    secs: f64,
    /// Bytes of a message's body, at least 20
    #[arg(long, default_value_t = 64)]
    body: usize,
    /// Only this part, several times for several; then no report is written
    #[arg(long, value_enum)]
    only: Vec<Part>,
    /// Measure what is built already
    #[arg(long)]
    no_build: bool,
}

/// What else can be measured.
#[derive(Subcommand)]
enum Other {
    /// Postern as a plain MQTT broker, beside mosquitto, rumqttd and rmqtt
    Brokers(brokers::Options),
    /// Encrypt on demand against always TLS and always TCP, beside mosquitto
    Encrypt(encrypt::Options),
    /// Plugins swapped, tried out and failing under load; hooks against none, and against one over HTTP
    Plugins(plugins::Options),
}

/// A part of the measurements.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// One classify call
    Classify,
    /// Stored messages
    Stored,
    /// The peer, which stores nothing
    Peer,
    /// Start to first CONNACK
    Start,
    /// Bytes on the wire
    Bytes,
}

impl Options {
    fn has(&self, part: Part) -> bool {
        self.only.is_empty() || self.only.contains(&part)
    }
}

/// Runs the benchmarks and writes the report.
pub(crate) fn run(root: &Path, options: &Options) -> Result<ExitCode> {
    match &options.other {
        Some(Other::Brokers(options)) => return brokers::run(root, options),
        Some(Other::Encrypt(options)) => return encrypt::run(root, options),
        Some(Other::Plugins(options)) => return plugins::run(root, options),
        None => {}
    }
    interrupt::ends_children()?;
    setup::for_bench();
    if !options.no_build {
        components::build_all(root, false).context("the plugins do not build")?;
        build(root)?;
    }
    let mut report = Report::new(machine::describe(root)?);
    if options.no_build {
        report
            .notes
            .push("Measured what was built before: it may be older than the commit named here.".to_owned());
    }
    if options.has(Part::Classify) {
        classified(root, &mut report)?;
    }
    let mut generator = Generator::start(root)?;
    let site = Site::start(root, MANY)?;
    site.log_in(&mut generator, MANY)?;
    messages(&site, &mut generator, options, &mut report)?;
    if options.has(Part::Bytes) {
        println!("» bytes on the wire");
        report.bytes = Some(generator.ask(&json!({
            "ask": "bytes", "tcp": site.server.address("tcp")?, "tls": site.server.address("tls")?,
            "ca": site.ca(), "body": options.body,
        }))?);
        report.body = options.body;
    }
    let config = site.stop()?;
    if options.has(Part::Start) {
        started(root, &config, &mut generator, &mut report)?;
    }
    println!("\n{}", report.table());
    if options.only.is_empty() {
        let file = root.join("docs/bench/issue-2.md");
        std::fs::write(&file, report.markdown(&command_line()))
            .with_context(|| format!("cannot write {}", file.display()))?;
        println!("written: docs/bench/issue-2.md");
    }
    Ok(ExitCode::SUCCESS)
}

/// One selection, always the same, so that nothing is built twice.
pub(crate) fn build(root: &Path) -> Result<()> {
    let mut cargo = sh::cargo();
    cargo.args(["build", "--release", "-p", "postern", "-p", "postern-tests", "-p", "postern-guest"]);
    cargo.args(["--bins", "--example", "classify_cost"]).current_dir(root);
    sh::run("build for release", &mut cargo)
}

/// The median of each of three runs of host/guest's example.
fn classified(root: &Path, report: &mut Report) -> Result<()> {
    /// Whom the message is from, as the example calls it, and whether the call has a target.
    const CASES: [(&str, bool); 3] = [("signed in", true), ("anonymous", true), ("groups asked for", false)];
    println!("» classify calls");
    let program = root.join(RELEASE).join("examples/classify_cost");
    let texts = (0..3).map(|_| sh::output(&mut Command::new(&program))).collect::<Result<Vec<_>>>()?;
    for (sender, has_target) in CASES {
        let begin = format!("classify, {sender}, 256 B: median ");
        let median = |text: &String| -> Result<f64> {
            let line = text.lines().find_map(|line| line.strip_prefix(&begin)?.split_once(" ns"));
            line.context("classify_cost says something else")?.0.parse().context("nanoseconds")
        };
        let nanos = texts.iter().map(median).collect::<Result<Vec<_>>>()?;
        let name = format!("one classify call, 256-byte payload, {sender}, CPU");
        let row = Row::new(&name, "ns", nanos);
        report.rows.push(if has_target { row.target(Target::Below(1_000.0)) } else { row });
    }
    Ok(())
}

/// A case that carries messages.
struct Case {
    name: String,
    part: Part,
    pairs: usize,
    target: Option<Target>,
}

/// All cases in turns, `rounds` times.
fn messages(site: &Site, generator: &mut Generator, options: &Options, report: &mut Report) -> Result<()> {
    let case = |part, pairs, name: &str, target| Case {
        name: format!("{name}, {pairs} → {pairs}"),
        part,
        pairs,
        target,
    };
    let cases = [
        case(Part::Stored, MANY, "stored and forwarded, QoS 1", Some(Target::AtLeast(30_000.0))),
        case(Part::Stored, 1, "stored and forwarded, QoS 1", Some(Target::AtLeast(10_000.0))),
        case(Part::Peer, 1, "mosquitto, stores nothing, QoS 1", None),
        case(Part::Peer, MANY, "mosquitto, stores nothing, QoS 1", None),
    ];
    let cases: Vec<&Case> = cases.iter().filter(|case| options.has(case.part)).collect();
    if cases.is_empty() {
        return Ok(());
    }
    let peer = if options.has(Part::Peer) { Peer::mosquitto(&site.folder, None)? } else { None };
    let mut fdatasync = Vec::new();
    let mut answers: Vec<Vec<Value>> = vec![Vec::new(); cases.len()];
    let mut runs = 0;
    for round in 1..=options.rounds {
        fdatasync.push(machine::fdatasync_micros(&site.folder)?);
        for (case, answers) in cases.iter().zip(&mut answers) {
            let (address, pid) = match (case.part, &peer) {
                (Part::Peer, Some(peer)) => (peer.address.as_str(), peer.id()),
                (Part::Peer, None) => continue,
                _ => (site.server.address("tcp")?, site.server.id()),
            };
            runs += 1;
            let answer = generator.ask(&json!({
                "ask": "messages", "address": address, "server_pid": pid, "sign_in": case.part == Part::Stored,
                "pairs": case.pairs, "window": WINDOW, "body": options.body,
                "warm_up_secs": WARM_UP_SECS, "secs": options.secs, "run": runs,
            }))?;
            println!("» round {round}: {}: {}", case.name, report::in_short(&answer));
            answers.push(answer);
        }
    }
    report.rows.push(Row::new("fdatasync after a 4 KiB write, median of 200", "µs", fdatasync));
    for (case, answers) in cases.iter().zip(answers) {
        report.messages(&case.name, case.target, answers);
    }
    Ok(())
}

fn started(root: &Path, config: &Path, generator: &mut Generator, report: &mut Report) -> Result<()> {
    let mut millis = Vec::new();
    for _ in 0..STARTS {
        let answer = generator.ask(&json!({
            "ask": "start", "program": root.join(RELEASE).join("postern"), "config": config, "user": "rec-0",
        }))?;
        let at = |key: &str| answer.get(key).and_then(Value::as_f64).context("the generator's answer");
        println!("» start: {:.0} ms to listen, {:.0} ms to CONNACK", at("listening_ms")?, at("connack_ms")?);
        millis.push(at("connack_ms")?);
    }
    let name = "start with cached plugins to first CONNACK";
    report.rows.push(Row::new(name, "ms", millis).target(Target::Below(300.0)));
    Ok(())
}

/// As it was typed.
pub(crate) fn command_line() -> String {
    let words = std::env::args().skip(1);
    std::iter::once("cargo xtask".to_owned()).chain(words).collect::<Vec<_>>().join(" ")
}
