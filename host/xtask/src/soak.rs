//! `cargo xtask soak`: a day in an hour. Everything that clients do at once, everything that an operator does
//! in a day, and the server's memory, descriptors and latency from beginning to end: without a slope after the
//! warm-up, and without a message lost.
//!
//! ```text
//! ground     the server, its policy and users            events    swaps, certificates, backups
//! samples    /proc, data folder, /metrics                series    what is judged, in windows, with its bound
//! fit        a robust line and its confidence (pure)     books     what must be nought
//! page       docs/bench/issue-6.md                       plot      docs/bench/soak-*.svg
//! ```
//!
//! The load is the generator's (tests/src/bin/load/soak).

#![allow(clippy::indexing_slicing)] // a field that is missing in our own JSON is null, not a panic

mod books;
mod events;
mod fit;
mod ground;
mod page;
mod plot;
mod samples;
mod series;

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use clap::Args;

use crate::bench::{self, folder, generator::Generator, interrupt, machine};
use crate::plugins;
use books::Outcome;
use events::Operator;
use ground::{FOLDER, Ground};
use page::Page;
use samples::Sample;
use series::{Line, WINDOWS};

/// How long, and how much.
#[derive(Args)]
pub(crate) struct Options {
    /// Seconds of load; the first sixth is the warm-up
    #[arg(long, default_value_t = 3_600.0)]
    secs: f64,
    /// Signed-in phones, each of which stores two messages a second while it is there
    #[arg(long, default_value_t = 32)]
    phones: usize,
    /// Run what is built already
    #[arg(long)]
    no_build: bool,
    /// Write docs/bench/issue-6.md, which a full hour does anyway
    #[arg(long)]
    report: bool,
    /// Run nothing: judge the samples of the run before once more
    #[arg(long)]
    again: bool,
}

/// A run that is written down without being asked to, seconds.
const FULL: f64 = 3_600.0;

/// Runs, judges, and writes the report.
pub(crate) fn run(root: &Path, options: &Options) -> Result<ExitCode> {
    if !options.again {
        soak(root, options)?;
    }
    let outcome: Outcome = serde_json::from_slice(&read(root, "outcome.json")?).context("outcome.json")?;
    let (samples, lines) =
        (read_lines::<Sample>(root, "server.jsonl")?, read_lines::<Line>(root, "load.jsonl")?);
    let page = Page::new(&outcome, &samples, &lines);
    println!("\n{}", page.told());
    if options.report || outcome.secs >= FULL {
        for (name, svg) in page.plots() {
            folder::write(root, name, &svg)?;
        }
        folder::write(root, "issue-6.md", &page.markdown())?;
    }
    Ok(if page.passes() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn soak(root: &Path, options: &Options) -> Result<()> {
    interrupt::ends_children()?;
    if !options.no_build {
        plugins::build_all(root, false).context("the plugins do not build")?;
        bench::build(root)?;
    }
    let machine =
        machine::describe(root)?.into_iter().map(|(what, value)| (what.to_owned(), value)).collect();
    let mut generator = Generator::start(root)?;
    let ground = Ground::start(root, &mut generator, options.phones)?;
    let window = options.secs / WINDOWS as f64;
    let request = ground.load(options.phones, options.secs, window)?;
    let mut operator = Operator::new(&ground, Generator::start(root)?, options.secs)?;
    println!("» {:.0} s of mixed load on process {}", options.secs, ground.server.id());
    let begun = Instant::now();
    let every = Duration::from_secs_f64((window / 2.0).clamp(0.2, 5.0));
    let mut out = fs::File::create(root.join(FOLDER).join("server.jsonl"))?;
    let mut told = 0;
    let answer = std::thread::scope(|scope| {
        let load = scope.spawn(|| generator.ask(&request));
        while !load.is_finished() {
            let at = begun.elapsed().as_secs_f64();
            if at < options.secs {
                let sample = samples::take(&ground, at)?;
                writeln!(out, "{}", serde_json::to_string(&sample)?)?;
                operator.work();
                let minute = (at / 60.0) as u64;
                if minute > told {
                    told = minute;
                    println!("{}", page::in_short(&sample));
                }
            }
            std::thread::sleep(every);
        }
        load.join().map_err(|_| anyhow!("the load panicked"))?
    })?;
    let Operator { done, .. } = operator;
    let Ground { server, folder, before, .. } = ground;
    // The last to close copies the logs into the databases.
    server.stop()?;
    let outcome = Outcome {
        machine,
        command: bench::command_line(),
        secs: options.secs,
        phones: options.phones,
        answer,
        events: done,
        before,
        after: samples::sizes(&folder.join("data"))?,
        log: levels(&fs::read_to_string(folder.join("server.log")).unwrap_or_default()),
    };
    fs::write(folder.join("outcome.json"), serde_json::to_vec_pretty(&outcome)?).context("outcome.json")
}

/// How many lines of each level a log has.
fn levels(log: &str) -> Vec<(String, usize)> {
    let has = |line: &&str, level: &str| {
        line.contains(&format!(" {level} ")) || line.contains(&format!("\"level\":\"{level}\""))
    };
    let count = |level: &str| log.lines().filter(|line| has(line, level)).count();
    ["ERROR", "WARN"].map(|level| (level.to_owned(), count(level))).into()
}

fn read(root: &Path, name: &str) -> Result<Vec<u8>> {
    let file = root.join(FOLDER).join(name);
    fs::read(&file).with_context(|| format!("cannot read {}: run a soak first", file.display()))
}

fn read_lines<T: serde::de::DeserializeOwned>(root: &Path, name: &str) -> Result<Vec<T>> {
    let text = read(root, name)?;
    let lines = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines.map(|line| serde_json::from_slice(line).with_context(|| name.to_owned())).collect()
}
