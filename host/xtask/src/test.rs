//! `cargo xtask test`: everything that is needed, then all tests. Nothing is skipped in silence.

use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result};

use crate::{plugins, setup, sh, statements};

/// A test that cannot run here appends a line `name: reason` to the file that this variable names.
const NOT_RUN: &str = "NOT_RUN_LIST";

/// Builds, runs, and lists what could not be run.
pub(crate) fn run(root: &Path, arguments: &[String]) -> Result<ExitCode> {
    setup::for_tests(root)?;
    plugins::build_all(root, true).context("the plugins do not build")?;
    plugins::examples::build_what_can_be(root);
    sh::build_workspace(root)?;

    statements::forget_last_run(root)?;
    let list = root.join("target/not-run.txt");
    std::fs::write(&list, "").with_context(|| format!("cannot write {}", list.display()))?;
    let passed = sh::run("tests", runner(root).args(arguments).env(NOT_RUN, &list));
    let not_run = std::fs::read_to_string(&list).unwrap_or_default();
    if !not_run.is_empty() {
        println!("Not run:\n{not_run}");
    }
    let held = arguments.is_empty().then(|| check_statements(root, &not_run));
    passed?;
    if held == Some(false) {
        return Ok(ExitCode::FAILURE);
    }
    if sh::is_ci() && !not_run.is_empty() {
        println!("CI: a test that did not run is a failure.");
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

/// Whether every test that tests/statements names ran and passed. Only a whole run can tell, and only
/// nextest writes what ran.
fn check_statements(root: &Path, not_run: &str) -> bool {
    if !sh::has("cargo-nextest") {
        println!("Statements of MQTT: not checked, for that takes cargo-nextest.");
        return !sh::is_ci();
    }
    let (faults, held) = match statements::check(root, not_run) {
        Ok(checked) => checked,
        Err(error) => {
            println!("Statements of MQTT: not checked: {error:#}");
            return false;
        }
    };
    println!("Statements of MQTT: {held} hold, {} tests that rows name did not pass", faults.len());
    faults.iter().for_each(|fault| println!("  {fault}"));
    faults.is_empty()
}

/// nextest where it is installed: it runs the tests of all crates side by side, each in a process
/// of its own. Else cargo's own runner.
fn runner(root: &Path) -> Command {
    let mut command = sh::cargo();
    if sh::has("cargo-nextest") {
        command.args(["nextest", "run", "--workspace"]);
    } else {
        println!("cargo-nextest is not installed: using `cargo test`, which takes longer.");
        command.args(["test", "--workspace"]);
    }
    command.current_dir(root);
    command
}
