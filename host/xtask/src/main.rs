//! Tasks of the workspace, in the order a newcomer meets them: `up`, `demo`, `test`, `bench`, `soak`,
//! `guards`, `plugins`, `image`, `docs`.
//!
//! Each does all its set-up itself. `up`, `demo` and `test` build the whole workspace with the `dev`
//! profile into the one target folder, so that what one of them has built the next one finds; `bench`
//! and `soak` build for release, `guards` in a scratch copy.

mod bench;
mod demo;
mod docs;
mod fuzz;
mod guards;
mod image;
mod plugins;
mod server;
mod setup;
mod sh;
mod soak;
mod statements;
mod test;
mod up;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Tasks of the Postern workspace")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Build all and serve on the default ports, with demo users; Ctrl-C stops
    Up,
    /// Tell the whole story step by step; exits non-zero if a step fails
    Demo(demo::Options),
    /// Build what is needed and run all tests
    Test {
        /// Passed to `cargo nextest run`, such as a part of a test's name
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Measure, beside peers where there are any, and write a report
    Bench(bench::Options),
    /// A day in an hour: everything at once, and nothing may grow or be lost
    Soak(soak::Options),
    /// Take each guarded rule out in a scratch copy, and show that a test then fails
    Guards(guards::Options),
    /// Feed random packets and operations to the broker, for as long as you like
    Fuzz(fuzz::Options),
    /// Write the pages of docs/operate that are made of the source
    Docs,
    /// Build the container image with docker, podman or buildah
    Image(image::Options),
    /// Build the default plugins into target/plugins
    Plugins {
        /// Also the guests that misbehave, into target/test-guests
        #[arg(long)]
        test_guests: bool,
        /// Also the examples, in four languages, into target/plugins-examples
        #[arg(long)]
        examples: bool,
    },
}

fn main() -> ExitCode {
    match run(Arguments::parse().task) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(task: Task) -> Result<ExitCode> {
    let root = root()?;
    // Relative paths in the config file start at the working directory.
    std::env::set_current_dir(&root).with_context(|| format!("cannot enter {}", root.display()))?;
    match task {
        Task::Up => up::run(&root),
        Task::Demo(options) => demo::run(&root, &options),
        Task::Test { arguments } => test::run(&root, &arguments),
        Task::Bench(options) => bench::run(&root, &options),
        Task::Soak(options) => soak::run(&root, &options),
        Task::Guards(options) => guards::run(&root, &options),
        Task::Fuzz(options) => fuzz::run(&root, &options),
        Task::Docs => {
            docs::run(&root)?;
            Ok(ExitCode::SUCCESS)
        }
        Task::Image(options) => image::run(&root, &options),
        Task::Plugins { test_guests, examples } => {
            let mut built = plugins::build_all(&root, test_guests)?;
            if examples {
                built.extend(plugins::examples::build_all(&root)?);
            }
            for path in built {
                println!("{}", path.display());
            }
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// The workspace's folder: two above this crate's.
fn root() -> Result<PathBuf> {
    let here = std::env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    here.ancestors().nth(2).map(PathBuf::from).context("host/xtask is not inside a workspace")
}
