//! `cargo xtask demo`: the story, step by step.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::Args;

/// How to tell it.
#[derive(Args)]
pub(crate) struct Options {}

/// Tells the story.
pub(crate) fn run(_root: &Path, _options: &Options) -> Result<ExitCode> {
    bail!("there is nothing to tell yet")
}
