//! `cargo xtask guards`: takes each guarded rule out in turn, in a scratch copy, and shows that a test
//! then fails. A rule whose test still passes is guarded by nothing.
//!
//! tests/guards/NAME.toml → [`rule`] (what is replaced, which test must fail) → [`scratch`] (the copy:
//! patch, build, test, put back) → the table

mod rule;
mod scratch;

use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use clap::Args;

use crate::sh;
use rule::Rule;
use scratch::{Ran, Scratch};

/// Which rules.
#[derive(Args)]
pub(crate) struct Options {
    /// Only these rules (a file of tests/guards, without .toml); may be given again
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// Name the rules and their tests, and run nothing
    #[arg(long)]
    list: bool,
}

/// What became of a patched copy.
enum Verdict {
    /// The rule's test failed, as it should.
    Killed,
    /// The rule's test passed without the rule.
    Survived,
    /// It could not be tried: this says nothing about the rule.
    Error(String),
}

/// Tries each rule and prints the table; fails when one survives or cannot be tried.
///
/// # Errors
/// When the scratch copy cannot be made or does not build without any patch.
pub(crate) fn run(root: &Path, options: &Options) -> Result<ExitCode> {
    let rules = rule::read(&root.join("tests/guards"), &options.only)?;
    if options.list {
        for Rule { name, rule, test, .. } in &rules {
            println!("{name:28} {rule}\n{:28} {test}", "");
        }
        return Ok(ExitCode::SUCCESS);
    }
    if !sh::has("cargo-nextest") {
        bail!("cargo-nextest is not installed; type: cargo install --locked cargo-nextest");
    }
    let mut scratch = Scratch::copy(root)?;
    println!("» build and test {} without patches", scratch.tree().display());
    let sound = scratch.sound(&rules)?;

    let mut tried = Vec::new();
    for rule in &rules {
        let begun = Instant::now();
        let verdict = if sound.contains(&rule.name) {
            attempt(&mut scratch, rule)
        } else {
            Verdict::Error("its test fails without the patch, too".to_owned())
        };
        let row = row(rule, &verdict, begun.elapsed());
        println!("{row}");
        tried.push((row, verdict));
    }
    let left = tried.iter().filter(|(_, verdict)| !matches!(verdict, Verdict::Killed));
    let left: Vec<&str> = left.map(|(row, _)| row.as_str()).collect();
    println!("\n{} of {} rules are guarded by a test", tried.len() - left.len(), tried.len());
    left.iter().for_each(|row| println!("{row}"));
    Ok(if left.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn attempt(scratch: &mut Scratch, rule: &Rule) -> Verdict {
    match patched(scratch, rule) {
        Ok(Ran::Failed) => Verdict::Killed,
        Ok(Ran::Passed) => Verdict::Survived,
        Err(error) => Verdict::Error(format!("{error:#}")),
    }
}

/// Patches, tries, and puts back whatever happens.
fn patched(scratch: &mut Scratch, rule: &Rule) -> Result<Ran> {
    let before = rule.apply(scratch.tree())?;
    let ran = scratch.try_rule(rule);
    for (file, text) in before {
        std::fs::write(&file, text)?;
    }
    ran
}

fn row(rule: &Rule, verdict: &Verdict, took: Duration) -> String {
    let (word, why) = match verdict {
        Verdict::Killed => ("killed", String::new()),
        Verdict::Survived => ("SURVIVED", String::new()),
        Verdict::Error(why) => ("ERROR", format!("\n           {why}")),
    };
    let Rule { name, rule, test, .. } = rule;
    format!("{word:9} {:>12}  {name:28} {rule}  ({test}){why}", sh::human(took))
}
