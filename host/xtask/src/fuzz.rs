//! `cargo xtask fuzz`: the targets of tests/fuzz by libFuzzer, one after the other, for as long as you
//! like. A crash leaves its input in target/fuzz/crashes.
//!
//! The flags are those of cargo-fuzz, which therefore need not be installed; `cargo fuzz` takes the
//! same folder. `RUSTC_BOOTSTRAP` lets the pinned compiler take the one flag that is not stable.

mod corpus;
mod run;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::sh;

/// What to run, and how long.
#[derive(Args)]
pub(crate) struct Options {
    /// Targets; all when none is named
    targets: Vec<String>,
    /// Executions of each target
    #[arg(long, default_value_t = 100_000)]
    runs: u64,
    /// Seconds of each target at most
    #[arg(long, default_value_t = 0, hide_default_value = true)]
    secs: u64,
    /// Run one target with this input only, such as one that crashed
    #[arg(long, value_name = "FILE", conflicts_with_all = ["runs", "secs", "keep"])]
    input: Option<PathBuf>,
    /// Afterwards take into tests/fuzz/corpus what reaches code that nothing else there does
    #[arg(long)]
    keep: bool,
}

/// Instruments as cargo-fuzz does: edges counted, comparisons watched, memory checked.
const FLAGS: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares -Zsanitizer=address --cfg fuzzing";

/// The folders of a run.
struct Site {
    /// The committed corpora, a folder for each target.
    corpus: PathBuf,
    /// The programs.
    programs: PathBuf,
    /// What runs find, by target.
    found: PathBuf,
    /// Inputs that crash.
    crashes: PathBuf,
}

/// Builds the targets and runs them; fails when one crashes.
///
/// # Errors
/// When they do not build, or a target is unknown.
pub(crate) fn run(root: &Path, options: &Options) -> Result<ExitCode> {
    let package = root.join("tests/fuzz");
    let known = targets(&package)?;
    let named: Vec<&String> = options.targets.iter().filter(|name| !known.contains(name)).collect();
    if !named.is_empty() {
        bail!("no such target: {named:?}; there are {}", known.join(", "));
    }
    let targets = if options.targets.is_empty() { &known } else { &options.targets };
    let site = build(root, &package)?;
    if let Some(input) = &options.input {
        let [target] = &targets[..] else { bail!("name the one target that the input is for") };
        return run::input(&site, target, input);
    }

    let mut rows = Vec::new();
    let mut crashed = false;
    for target in targets {
        let ran = run::target(&site, target, options.runs, options.secs)?;
        crashed |= ran.crash.is_some();
        let row = ran.row(target);
        println!("{row}");
        rows.push(row);
        if options.keep && ran.crash.is_none() {
            corpus::keep(&site, target)?;
        }
    }
    if rows.len() > 1 {
        println!("\n{}", rows.join("\n"));
    }
    Ok(if crashed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// The names of the targets, from their files.
fn targets(package: &Path) -> Result<Vec<String>> {
    let folder = package.join("fuzz_targets");
    let mut names = Vec::new();
    for entry in std::fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))? {
        names.extend(entry?.path().file_stem().map(|name| name.to_string_lossy().into_owned()));
    }
    names.sort();
    Ok(names)
}

/// Builds into target/fuzz, which the flags keep apart from everything else.
fn build(root: &Path, package: &Path) -> Result<Site> {
    let home = root.join("target/fuzz");
    let machine = host()?;
    let mut cargo = sh::cargo();
    cargo.current_dir(package).args(["build", "--release", "--locked", "--bins"]);
    // With a target named, the flags are not for build scripts and macros.
    cargo.args(["--target", &machine, "--target-dir"]).arg(&home);
    cargo.env("RUSTC_BOOTSTRAP", "1").env("RUSTFLAGS", FLAGS).env_remove("CARGO_ENCODED_RUSTFLAGS");
    sh::run("build the fuzz targets", &mut cargo)?;
    let site = Site {
        corpus: package.join("corpus"),
        programs: home.join(machine).join("release"),
        found: home.join("found"),
        crashes: home.join("crashes"),
    };
    std::fs::create_dir_all(&site.crashes).context("cannot make target/fuzz/crashes")?;
    Ok(site)
}

/// The compiler's own machine, such as `x86_64-unknown-linux-gnu`.
fn host() -> Result<String> {
    let told = sh::output(std::process::Command::new("rustc").arg("-vV"))?;
    let host = told.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).context("rustc -vV names no host")
}
