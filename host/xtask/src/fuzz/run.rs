//! One target, run by libFuzzer.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::Site;
use crate::sh;

/// Bytes of the longest input, MB of memory, and seconds of one input, beyond which it is a fault.
const BOUNDS: [&str; 3] = ["-max_len=1024", "-rss_limit_mb=2048", "-timeout=10"];

/// How a target's run ended.
pub(super) struct Ran {
    executions: u64,
    /// Edges of the program that were reached.
    edges: u64,
    /// Edges told apart by how often an input takes them, and comparisons.
    features: u64,
    took: Duration,
    /// The input that ended it.
    pub(super) crash: Option<PathBuf>,
}

impl Ran {
    /// One line for people.
    pub(super) fn row(&self, target: &str) -> String {
        let Ran { executions, edges, features, took, crash } = self;
        let took = sh::human(*took);
        let end = match crash {
            None => "no crash".to_owned(),
            Some(input) => {
                let input = input.display();
                format!("CRASHED; to see it again: cargo xtask fuzz {target} --input {input}")
            }
        };
        format!(
            "{target:9} {executions:>9} executions in {took:>12}, {edges:>5} edges, {features:>6} features, {end}"
        )
    }
}

/// Runs a target from the committed corpus and what earlier runs found.
///
/// # Errors
/// When it cannot be started.
pub(super) fn target(site: &Site, target: &str, runs: u64, secs: u64) -> Result<Ran> {
    let found = site.found.join(target);
    std::fs::create_dir_all(&found).with_context(|| format!("cannot make {}", found.display()))?;
    println!("» fuzz {target}");
    let begun = Instant::now();
    let mut command = Command::new(site.programs.join(target));
    command.args(BOUNDS).arg(format!("-runs={runs}")).arg(format!("-max_total_time={secs}"));
    command.arg(format!("-artifact_prefix={}/{target}-", site.crashes.display()));
    command.arg("-print_final_stats=1").arg(&found).arg(site.corpus.join(target));
    let mut child = command
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start {}", site.programs.join(target).display()))?;

    let mut ran = Ran { executions: 0, edges: 0, features: 0, took: Duration::ZERO, crash: None };
    let told = child.stderr.take().context("no stderr")?;
    for line in BufReader::new(told).split(b'\n') {
        let line = String::from_utf8_lossy(&line?).into_owned();
        if !ran.reads(&line) {
            eprintln!("{line}");
        }
    }
    let status = child.wait()?;
    if !status.success() && ran.crash.is_none() {
        anyhow::bail!("{target} ended with {status}");
    }
    ran.took = begun.elapsed();
    Ok(ran)
}

/// Runs a target with one input, and shows all it says.
pub(super) fn input(site: &Site, target: &str, input: &Path) -> Result<ExitCode> {
    let mut command = Command::new(site.programs.join(target));
    let status = command.args(BOUNDS).arg(input).status().context("cannot start the target")?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

impl Ran {
    /// Reads one of libFuzzer's lines; false for one that people should see.
    fn reads(&mut self, line: &str) -> bool {
        // #65536  pulse  cov: 1423 ft: 5120 corp: 310/44Kb lim: 1024 exec/s: 9362 rss: 480Mb
        if line.starts_with('#') && line.contains(" cov: ") {
            self.edges = after(line, " cov: ").unwrap_or(self.edges);
            self.features = after(line, " ft: ").unwrap_or(self.features);
            self.executions = after(line, "#").unwrap_or(self.executions);
            return true;
        }
        if let Some(executions) = after(line, "stat::number_of_executed_units:") {
            self.executions = executions;
        }
        if let Some((_, path)) = line.split_once("Test unit written to ") {
            self.crash = Some(PathBuf::from(path.trim()));
        }
        ["INFO:", "stat::", "#", "Done ", "\""].iter().any(|known| line.starts_with(known)) || line.is_empty()
    }
}

/// The number behind a word.
fn after(line: &str, word: &str) -> Option<u64> {
    let (_, rest) = line.split_once(word)?;
    rest.trim_start().split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}
