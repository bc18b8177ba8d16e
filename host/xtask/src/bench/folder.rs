//! docs/bench, where reports and their plots are.

use std::path::Path;

use anyhow::{Context, Result};

const FOLDER: &str = "docs/bench";

/// Writes a report or a plot, and tells of it.
///
/// # Errors
/// The file cannot be written.
pub(crate) fn write(root: &Path, name: &str, text: &str) -> Result<()> {
    let file = root.join(FOLDER).join(name);
    std::fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
    println!("written: {FOLDER}/{name}");
    Ok(())
}
