//! `cargo xtask bench`: measurements, beside peers in the same run.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::Args;

/// What to measure.
#[derive(Args)]
pub(crate) struct Options {}

/// Runs the benchmarks and writes the report.
pub(crate) fn run(_root: &Path, _options: &Options) -> Result<ExitCode> {
    crate::setup::for_bench();
    bail!("there is nothing to measure yet")
}
