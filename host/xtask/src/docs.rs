//! `docs`: the pages of docs/operate that are made of the source. A test fails while they are not.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use crate::sh;

const PAGES: [&str; 3] = ["config", "policy", "metrics"];

pub(crate) fn run(root: &Path) -> Result<()> {
    sh::build_workspace(root)?;
    for page in PAGES {
        let text = sh::output(Command::new(root.join(sh::PROGRAMS).join("postern")).args([
            "config",
            "reference",
            page,
        ]))?;
        let file = root.join(format!("docs/operate/{page}.md"));
        std::fs::write(&file, text + "\n").with_context(|| file.display().to_string())?;
        println!("{}", file.display());
    }
    Ok(())
}
