//! Running other programs: what is run, how long it took, and what to do when it fails.

use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// Where the workspace's programs are built.
pub(crate) const PROGRAMS: &str = "target/debug";

/// Runs `command` with our own terminal and says how long it took when that is worth saying.
pub(crate) fn run(what: &str, command: &mut Command) -> Result<()> {
    println!("» {what}");
    let begun = Instant::now();
    let status = command.stdin(Stdio::null()).status().with_context(|| missing(command))?;
    let took = begun.elapsed();
    if !status.success() {
        bail!("{what}: {} ended with {status}", line(command));
    }
    if took >= Duration::from_secs(1) {
        println!("  {what}: {}", human(took));
    }
    Ok(())
}

/// What `command` prints on stdout, without the last newline.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let output =
        command.stdin(Stdio::null()).stderr(Stdio::inherit()).output().with_context(|| missing(command))?;
    if !output.status.success() {
        bail!("{} ended with {}", line(command), output.status);
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim_end().to_owned())
}

/// Whether a program of this name is on the path.
pub(crate) fn has(program: &str) -> bool {
    std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|d| d.join(program).is_file()))
        || Path::new("/usr/sbin").join(program).is_file()
}

/// The cargo that runs us.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    // Set for us by `cargo run`; a build script that watches them (ring's does) would run again, and
    // half the tree be built anew, each time somebody types `cargo build` between two tasks.
    for (variable, _) in std::env::vars_os() {
        let name = variable.to_string_lossy();
        if ["CARGO_MANIFEST_", "CARGO_PKG_", "CARGO_BIN_", "CARGO_CRATE_"].iter().any(|p| name.starts_with(p))
        {
            command.env_remove(&variable);
        }
    }
    command
}

/// Builds the programs and the tests' harness. With the same selection everywhere cargo settles on
/// the same features, so that nothing is built twice.
pub(crate) fn build_workspace(root: &Path) -> Result<()> {
    if !root.join(PROGRAMS).join("postern").exists() {
        println!("{FIRST_BUILD}");
    }
    run("build the workspace", cargo().args(["build", "--workspace"]).current_dir(root))
}

/// Said before the first build.
const FIRST_BUILD: &str = "First build: cargo downloads about 60 MB of crates and compiles about 400 of them, \
    once;\non two cores that takes about 20 minutes. Later builds take seconds.";

/// `2 min 5 s`, `3.1 s`.
pub(crate) fn human(took: Duration) -> String {
    match took.as_secs() {
        0..60 => format!("{:.1} s", took.as_secs_f64()),
        secs => format!("{} min {} s", secs / 60, secs % 60),
    }
}

/// Under `CI=true` a test that did not run is a failure.
pub(crate) fn is_ci() -> bool {
    std::env::var_os("CI").is_some_and(|value| value == OsStr::new("true") || value == OsStr::new("1"))
}

fn line(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(OsStr::to_string_lossy).collect::<Vec<_>>().join(" ")
}

fn missing(command: &Command) -> String {
    format!("cannot start {}", command.get_program().to_string_lossy())
}
