//! `cargo xtask bench brokers`: Postern beside mosquitto, rumqttd and rmqtt, in turns, in one run.
//!
//! ```text
//! rows       what is measured, and what the generator is asked     contender  who, and how each starts
//! (here)     rounds: all cases of a row, each with every broker    figures    the values of all rounds
//! page       docs/bench/issue-3.md (words: its sentences), docs/bench/brokers-*.svg
//! ```

mod contender;
mod figures;
mod page;
mod rows;
mod words;

use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};
use serde_json::Value;

use super::generator::Generator;
use super::{interrupt, machine};
use crate::{plugins, setup, sh};
use contender::{Stable, Who};
use figures::{Figures, What};
use rows::{Case, Row};

/// What to compare.
#[derive(Args)]
pub(crate) struct Options {
    /// Rounds through all cases of a row
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Rounds of `idle`, whose figures vary little
    #[arg(long, default_value_t = 2)]
    idle_rounds: usize,
    /// Rounds of `soak`, which takes as long as all rounds of another row
    #[arg(long, default_value_t = 1)]
    soak_rounds: usize,
    /// Seconds of traffic that count
    #[arg(long, default_value_t = 1.5)]
    secs: f64,
    /// Seconds of traffic before it counts
    #[arg(long, default_value_t = 0.5)]
    warm_up_secs: f64,
    /// Subscribers, or publishers, of `fan`
    #[arg(long, default_value_t = 1_000)]
    fan: usize,
    /// Links of `idle`
    #[arg(long, default_value_t = 10_000)]
    links: usize,
    /// Connects of each kind of `connect`
    #[arg(long, default_value_t = 500)]
    connects: usize,
    /// Messages delivered in `soak`
    #[arg(long, default_value_t = 10_000_000)]
    deliveries: u64,
    /// Filters that others hold in `topic`
    #[arg(long, default_value_t = 100_000)]
    filters: usize,
    /// Only this row, several times for several; then no report is written
    #[arg(long, value_enum)]
    only: Vec<Row>,
    /// Write the report all the same
    #[arg(long)]
    report: bool,
    /// Measure what is built already
    #[arg(long)]
    no_build: bool,
}

/// Runs the comparison and writes the report.
pub(super) fn run(root: &Path, options: &Options) -> Result<ExitCode> {
    interrupt::ends_children()?;
    setup::for_bench();
    if !options.no_build {
        plugins::build_all(root, false).context("the plugins do not build")?;
        super::build(root)?;
        build_peers(root)?;
    }
    let machine = machine::describe(root)?;
    let begun = Instant::now();
    let mut bench = Bench {
        root,
        options,
        stable: Stable::prepare(root)?,
        generator: Generator::start(root)?,
        figures: Figures::default(),
        notes: Vec::new(),
    };
    let rows = Row::value_variants().iter().copied();
    let rows: Vec<Row> = rows.filter(|row| options.only.is_empty() || options.only.contains(row)).collect();
    for row in &rows {
        bench.row(*row, rows.contains(&Row::Rate))?;
    }
    bench.note_full_generator();
    let Bench { figures, notes, .. } = bench;
    let page = page::Page { figures: &figures, notes: &notes, machine: &machine, options, root };
    println!("\n{}", page.sections());
    if options.report || options.only.is_empty() {
        page.write(begun.elapsed())?;
    }
    Ok(ExitCode::SUCCESS)
}

/// A workspace of its own: nothing of it is in Postern's tree.
fn build_peers(root: &Path) -> Result<()> {
    let mut cargo = sh::cargo();
    cargo.args(["build", "--release", "--locked", "--manifest-path", "tests/peers/Cargo.toml"]);
    cargo.args(["--target-dir", contender::PEERS]).current_dir(root);
    sh::run("build the peers", &mut cargo)
}

/// A comparison under way.
struct Bench<'a> {
    root: &'a Path,
    options: &'a Options,
    stable: Stable,
    generator: Generator,
    figures: Figures,
    notes: Vec<String>,
}

impl Bench<'_> {
    /// Measures a row; `with_rate`: `rate` is one of the run's rows.
    fn row(&mut self, row: Row, with_rate: bool) -> Result<()> {
        let (options, rounds) = (self.options, self.options.rounds);
        let full_speed = |who: &[Who]| -> Vec<Case> {
            rows::rate_shapes().into_iter().map(|shape| shape.case(who, None, options)).collect()
        };
        match row {
            Row::Rate => self.turns(row, &full_speed(&Who::ALL), rounds),
            Row::Classify => {
                if !with_rate {
                    self.turns(Row::Rate, &full_speed(&Who::OURS), rounds)?;
                }
                self.price_of_classify();
                Ok(())
            }
            Row::Latency => {
                let cases = self.latency_cases()?;
                self.turns(row, &cases, rounds)
            }
            Row::Fan => {
                let shapes = rows::fan_shapes(options.fan);
                let cases: Vec<Case> =
                    shapes.into_iter().map(|shape| shape.case(&Who::BROKERS, None, options)).collect();
                self.turns(row, &cases, rounds)
            }
            Row::Idle | Row::Connect | Row::Soak | Row::Topic => {
                let cases = rows::others(row, &self.stable, options);
                let rounds = match row {
                    Row::Idle => options.idle_rounds,
                    Row::Soak => options.soak_rounds,
                    _ => rounds,
                };
                self.turns(row, &cases, rounds)
            }
        }
    }

    /// All cases with all their brokers, `rounds` times.
    fn turns(&mut self, row: Row, cases: &[Case], rounds: usize) -> Result<()> {
        for round in 1..=rounds {
            for case in cases {
                for who in &case.who {
                    let about = format!("{}: {}: {}", row.title(), case.name, who.name());
                    match self.measure(case, *who) {
                        Ok(None) => continue,
                        Ok(Some(answer)) => self.take(row, case, *who, &about, round, &answer),
                        Err(error) => {
                            let why = format!("{error:#}").replace(&format!("{}/", self.root.display()), "");
                            println!("» round {round}: {about}: {why}");
                            self.notes.push(format!("{about}, round {round}: not measured: {why}."));
                            // It may hang in what failed.
                            self.generator = Generator::start(self.root)?;
                        }
                    }
                }
            }
        }
        Ok(())
    }

    /// One figure of one broker, started for it.
    fn measure(&mut self, case: &Case, who: Who) -> Result<Option<Value>> {
        let Some(running) = self.stable.start(who)? else { return Ok(None) };
        self.generator.ask(&(case.ask)(&running)).map(Some)
    }

    fn take(&mut self, row: Row, case: &Case, who: Who, about: &str, round: usize, answer: &Value) {
        let found = rows::read(row, answer);
        let shown = found.iter().map(|(what, value)| format!("{} {}", page::number(*value), what.unit));
        println!("» round {round}: {about}: {}", shown.collect::<Vec<_>>().join(", "));
        for (what, value) in found {
            self.figures.add(row, &case.name, what, who, (round, value));
        }
        for (key, told) in [("lost", "did not arrive in time"), ("repeated", "came twice or late")] {
            if let Some(count @ 1..) = answer.get(key).and_then(Value::as_u64) {
                self.notes.push(format!("{about}, round {round}: {count} messages {told}."));
            }
        }
    }

    /// Half of what the best peer can do, of each shape.
    fn latency_cases(&mut self) -> Result<Vec<Case>> {
        let mut cases = Vec::new();
        for shape in rows::latency_shapes() {
            let full = [shape.case(&Who::PEERS, None, self.options)];
            if self.figures.best_peer(Row::Rate, &shape.name(), rows::MESSAGES).is_none() {
                self.turns(Row::Rate, &full, 1)?;
            }
            let best = self.figures.best_peer(Row::Rate, &shape.name(), rows::MESSAGES);
            let Some((who, top)) = best else { continue };
            let rate = (top / 2.0).round();
            let mut case = shape.case(&Who::ALL, Some(rate), self.options);
            case.name = format!("{}, {} msg/s", case.name, page::number(rate));
            println!("» {}: half of {}'s {} msg/s", case.name, who.name(), page::number(top));
            cases.push(case);
        }
        Ok(cases)
    }

    fn price_of_classify(&mut self) {
        for case in self.figures.cases(Row::Rate) {
            self.price(&case, rows::MESSAGES, rows::RATIO, |held, asked| 100.0 * asked / held);
            self.price(&case, rows::CPU, rows::QUESTION, |held, asked| asked - held);
        }
    }

    /// Round by round, the one against the other.
    fn price(&mut self, case: &str, of: What, into: What, price: fn(f64, f64) -> f64) {
        let held = self.figures.values(Row::Rate, case, of, Who::Postern).to_vec();
        let asked = self.figures.values(Row::Rate, case, of, Who::Asked).to_vec();
        for (round, held) in held {
            if let Some((_, asked)) = asked.iter().find(|(of, _)| *of == round) {
                self.figures.add(Row::Classify, case, into, Who::Asked, (round, price(held, *asked)));
            }
        }
    }

    /// Where the generator had no room left, the figure is its own.
    fn note_full_generator(&mut self) {
        let cores = std::thread::available_parallelism().map_or(1.0, |cores| cores.get() as f64);
        for row in [Row::Rate, Row::Latency, Row::Fan] {
            for case in self.figures.cases(row) {
                for who in Who::ALL {
                    let median = |what| Some(self.figures.spread(row, &case, what, who)?.median);
                    let Some(own) = median(rows::GENERATOR) else { continue };
                    let server = median(rows::SERVER).unwrap_or(0.0);
                    let about = format!("{}: {case}: {}", row.title(), who.name());
                    if own > 0.9 {
                        self.notes.push(format!(
                            "{about}: the generator's one thread was full ({own:.2} cores): the broker may do more."
                        ));
                    } else if own + server > 0.95 * cores {
                        self.notes.push(format!(
                            "{about}: the machine was full: {server:.2} cores the broker, {own:.2} the generator."
                        ));
                    }
                }
            }
        }
    }
}
