//! `cargo xtask demo`: the story, step by step, with real programs. Ends with a failure if a step does.

mod cast;
mod road;
mod story;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, Result};
use clap::Args;

use crate::{plugins, sh};

/// How to tell it.
#[derive(Args)]
pub(crate) struct Options {
    /// Leave a plugin out, to see that it is missed
    #[arg(long, value_name = "PLUGIN")]
    without: Option<String>,
}

/// Tells the story.
pub(crate) fn run(root: &Path, options: &Options) -> Result<ExitCode> {
    let folder = root.join("target/demo");
    let components = components(root, &folder, options)?;
    sh::build_workspace(root)?;
    match std::fs::remove_dir_all(folder.join("data")) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    let begun = Instant::now();
    let mut teller = Teller { step: 0 };
    match story::tell(&mut teller, root, &folder, &components) {
        Ok(()) => {
            println!("\nThat was the story: {} steps in {}.", teller.step, sh::human(begun.elapsed()));
            Ok(ExitCode::SUCCESS)
        }
        Err(error) => {
            println!("\nStep {} failed: {error:#}", teller.step);
            println!("The server's log: {}", folder.join("postern.log").display());
            Ok(ExitCode::FAILURE)
        }
    }
}

/// The plugin folder to serve from, a copy: the story changes it. Someone who took one plugin away wants to see
/// what happens, so a folder with some of them is taken as it is.
fn components(root: &Path, folder: &Path, options: &Options) -> Result<PathBuf> {
    let built = root.join("target/plugins");
    let is_there = |name: &String| built.join(format!("{name}.wasm")).is_file();
    let names = plugins::names(root)?;
    if names.iter().any(is_there) && !names.iter().all(is_there) {
        println!(
            "Some plugins are missing in target/plugins: serving without them. To build them: cargo xtask plugins"
        );
    } else {
        plugins::build_all(root, false).context("the plugins do not build")?;
        plugins::examples::build_rust(root).context("the examples in Rust do not build")?;
    }
    let copy = folder.join("plugins");
    match std::fs::remove_dir_all(&copy) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
        _ => std::fs::create_dir_all(&copy)?,
    }
    for name in names.iter().filter(|name| is_there(name) && options.without.as_ref() != Some(name)) {
        let file = format!("{name}.wasm");
        std::fs::copy(built.join(&file), copy.join(&file))?;
    }
    Ok(copy)
}

/// Numbers the steps.
pub(crate) struct Teller {
    step: u32,
}

impl Teller {
    /// Announces the next step.
    fn step(&mut self, what: &str) {
        self.step += 1;
        println!("\n{:2}. {what}", self.step);
    }

    /// A figure or a fact below a step.
    #[allow(clippy::unused_self)] // reads as speech
    fn note(&self, what: &str) {
        for line in what.lines() {
            println!("    {line}");
        }
    }
}
