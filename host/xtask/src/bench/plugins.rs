//! `cargo xtask bench plugins`: what an operator does to plugins while thousands of messages flow, what a plugin
//! that fails costs, and what asking plugins costs at all, beside none and beside one asked over HTTP.
//!
//! ```text
//! stage      the server under a policy of its own, the hook     parts     swaps, activate, shadow (by phases)
//! trap       a guest that traps, one that spins                 hooks     on, off, over HTTP
//! figures of bench::figures → standing, page (words) → docs/bench/issue-5.md, docs/bench/plugins-*.svg
//! ```

mod hooks;
mod page;
mod parts;
mod stage;
mod standing;
mod trap;
mod words;

use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};

use super::figures::Figures;
use super::generator::Generator;
use super::{interrupt, machine};
use crate::{plugins as components, setup, sh};

/// What to measure.
#[derive(Args)]
pub(crate) struct Options {
    /// Activations of `swaps`
    #[arg(long, default_value_t = 1_000)]
    activations: usize,
    /// Milliseconds from the answer to an activation to the next, in `swaps`
    #[arg(long, default_value_t = 0)]
    gap_millis: u64,
    /// Publishers, and recipients, of all parts but `activate`
    #[arg(long, default_value_t = 100)]
    pairs: usize,
    /// Messages a second where a clock sends them
    #[arg(long, default_value_t = 10_000.0)]
    rate: f64,
    /// Rounds
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Seconds of each phase
    #[arg(long, default_value_t = 5.0)]
    secs: f64,
    /// Bytes of a message's body, at least 39
    #[arg(long, default_value_t = 64)]
    body: usize,
    /// Only this part, several times for several; then no report is written
    #[arg(long, value_enum)]
    only: Vec<Part>,
    /// Write the report all the same
    #[arg(long)]
    report: bool,
    /// Measure what is built already
    #[arg(long)]
    no_build: bool,
}

/// A part of the measurements.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Part {
    /// Activations in turn between two versions
    Swaps,
    /// From an activation to its first decision
    Activate,
    /// A large component compiled beside what serves
    Compile,
    /// A candidate in the shadow
    Shadow,
    /// Guests that trap and spin
    Trap,
    /// Hooks on, off, and over HTTP
    Hooks,
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
    generator: Generator,
    figures: Figures,
    notes: Vec<String>,
    /// Runs of the generator so far: each tells its messages apart by it.
    runs: u32,
}

/// Runs the parts and writes the report.
pub(super) fn run(root: &Path, options: &Options) -> Result<ExitCode> {
    interrupt::ends_children()?;
    setup::for_bench();
    if !options.no_build {
        components::build_all(root, true).context("the plugins do not build")?;
        components::examples::build_all(root).context("the example plugins do not build")?;
        build(root)?;
    }
    let machine = machine::describe(root)?;
    let begun = Instant::now();
    let generator = Generator::start(root)?;
    let (figures, notes) = (Figures::default(), Vec::new());
    let mut bench = Bench { root, options, generator, figures, notes, runs: 0 };
    bench.parts()?;
    let Bench { figures, notes, .. } = bench;
    let page = page::Page { figures: &figures, notes: &notes, machine: &machine, options, root };
    println!("\n{}", page.sections());
    if options.report || options.only.is_empty() {
        page.write(begun.elapsed())?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The program with its hooks off, put aside, and then the one that is measured: one selection of packages, so that
/// nothing else is built twice.
fn build(root: &Path) -> Result<()> {
    let release = root.join(super::RELEASE);
    let mut cargo = sh::cargo();
    cargo.args(["build", "--release", "-p", "postern", "-p", "postern-tests", "-p", "postern-guest"]);
    cargo.args(["--features", "postern/bench-bypass", "--bin", "postern"]).current_dir(root);
    sh::run("build with hooks off", &mut cargo)?;
    std::fs::copy(release.join("postern"), release.join(hooks::BYPASS)).context(hooks::BYPASS)?;
    super::build(root)?;
    let mut cargo = sh::cargo();
    cargo.args(["build", "--release", "-p", "postern", "-p", "postern-tests", "-p", "postern-guest"]);
    cargo.args(["--bins", "--example", "trap_cost"]).current_dir(root);
    sh::run("build for release", &mut cargo)
}
