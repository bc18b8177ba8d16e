//! `cargo xtask bench encrypt`: terminals always on TLS, always on TCP and on demand, in Postern, and always
//! the one or the other in mosquitto: memory, bytes, CPU, latency (B9, B15).
//!
//! ```text
//! servers    Postern in either manner, mosquitto; accounts      fleet     what the generator is asked
//! parts      memory, latency, day, policy, crowd                figures   their values
//! derive     break-even, what a switch weighs (pure)            pictures  docs/bench/encrypt-*.svg (curves)
//! page       docs/bench/issue-4.md: tables (words: sentences; standing: what was to be reached)
//! ```

mod curves;
mod derive;
mod figures;
mod fleet;
mod page;
mod parts;
mod pictures;
mod servers;
mod standing;
mod words;

use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};

use super::generator::Generator;
use super::{interrupt, machine};
use crate::{plugins, setup};
use figures::Figures;
use servers::Servers;

/// What to measure.
#[derive(Args)]
pub(crate) struct Options {
    /// Terminals of `memory`
    #[arg(long, default_value_t = 10_000)]
    terminals: usize,
    /// Terminals of `crowd` that are given a command at once
    #[arg(long, default_value_t = 5_000)]
    crowd: usize,
    /// Rounds of `latency`
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Commands of each case of `latency`, in each round
    #[arg(long, default_value_t = 200)]
    commands: usize,
    /// Terminals of each rate in `day`
    #[arg(long, default_value_t = 40)]
    day_terminals: usize,
    /// Seconds that a simulated day of `day` takes; its pings come as often as every minute of a real one
    #[arg(long, default_value_t = 72.0)]
    day_secs: f64,
    /// Seconds that a simulated day of `memory` takes
    #[arg(long, default_value_t = 100.0)]
    memory_day_secs: f64,
    /// Simulated terminals at each rate in `policy`
    #[arg(long, default_value_t = 10)]
    policy_terminals: u64,
    /// Only this part, several times for several; then no report is written
    #[arg(long, value_enum)]
    only: Vec<Part>,
    /// Write the report all the same
    #[arg(long)]
    report: bool,
    /// Measure what is built already
    #[arg(long)]
    no_build: bool,
    /// Take the accounts of the run before, if there are as many
    #[arg(long)]
    again: bool,
}

/// A part of the measurements.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Part {
    /// Server memory of a whole fleet, and CPU of its pings
    Memory,
    /// Commands one after the other, by each way to the terminal: latency, CPU, bytes
    Latency,
    /// A simulated day at 0 to 50 commands, for real
    Day,
    /// Thirty simulated days with the plugin's idle period, counted
    Policy,
    /// Everybody is given a command at once
    Crowd,
}

impl Options {
    fn has(&self, part: Part) -> bool {
        self.only.is_empty() || self.only.contains(&part)
    }
}

/// A measurement under way.
struct Bench<'a> {
    root: &'a Path,
    options: &'a Options,
    servers: Servers,
    generator: Generator,
    figures: Figures,
    notes: Vec<String>,
}

/// Runs the parts and writes the report.
pub(super) fn run(root: &Path, options: &Options) -> Result<ExitCode> {
    interrupt::ends_children()?;
    setup::for_bench();
    if !options.no_build {
        plugins::build_all(root, false).context("the plugins do not build")?;
        super::build(root)?;
    }
    let machine = machine::describe(root)?;
    let begun = Instant::now();
    let mut generator = Generator::start(root)?;
    let servers = Servers::prepare(root, &mut generator, options)?;
    let enrolled = begun.elapsed();
    let (figures, notes) = (Figures::default(), Vec::new());
    let mut bench = Bench { root, options, servers, generator, figures, notes };
    for part in Part::value_variants().iter().copied().filter(|part| options.has(*part)) {
        bench.part(part).with_context(|| format!("{part:?}"))?;
    }
    let Bench { figures, notes, .. } = bench;
    let page = page::Page { figures: &figures, notes: &notes, machine: &machine, options, root };
    println!("\n{}", page.sections());
    if options.report || options.only.is_empty() {
        page.write(begun.elapsed(), enrolled)?;
    }
    Ok(ExitCode::SUCCESS)
}
