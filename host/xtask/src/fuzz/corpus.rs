//! Which of the inputs found are worth committing: as few as reach all code that any of them does.

use std::fs;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use super::Site;

/// Files of one target's corpus at most; tests/fuzz-cases/tests/replay.rs bounds them all together.
const FILES: usize = 32;

/// What the names of inputs that once broke something begin with: they stay.
const REGRESSION: &str = "regression-";

/// Makes the committed corpus anew out of itself and what runs found.
///
/// # Errors
/// When libFuzzer cannot merge, or the disk fails.
pub(super) fn keep(site: &Site, target: &str) -> Result<()> {
    let (old, found) = (site.corpus.join(target), site.found.join(target));
    let new = site.found.join(format!("{target}.new"));
    let _ = fs::remove_dir_all(&new);
    fs::create_dir_all(&new).with_context(|| format!("cannot make {}", new.display()))?;
    let mut merge = Command::new(site.programs.join(target));
    // Edges only: how often one is taken would keep hundreds.
    merge.args(["-set_cover_merge=1", "-use_counters=0"]).arg(&new).arg(&old).arg(&found);
    let status = merge.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status()?;
    if !status.success() {
        bail!("{target}: merging the corpus ended with {status}");
    }
    let mut inputs = Vec::new();
    for entry in fs::read_dir(&new)? {
        let path = entry?.path();
        inputs.push((fs::metadata(&path)?.len(), path));
    }
    // The largest reach most.
    inputs.sort_by(|a, b| b.cmp(a));
    inputs.truncate(FILES);
    for entry in fs::read_dir(&old)? {
        let entry = entry?;
        if !entry.file_name().to_string_lossy().starts_with(REGRESSION) {
            fs::remove_file(entry.path())?;
        }
    }
    for (_, path) in &inputs {
        let name = path.file_name().context("a file without a name")?;
        fs::copy(path, old.join(name)).with_context(|| format!("cannot keep {}", path.display()))?;
    }
    fs::remove_dir_all(&new)?;
    println!("{target}: {} inputs kept, {} bytes", inputs.len(), inputs.iter().map(|i| i.0).sum::<u64>());
    Ok(())
}
