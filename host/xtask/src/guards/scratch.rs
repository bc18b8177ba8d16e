//! The scratch copy in target/guards: nothing of the tree itself is touched.
//!
//! It shares the tree's compiled dependencies (cargo's build folder), so that only the workspace's own
//! crates are built for it: all of them once, then those that a patch concerns.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use anyhow::{Context, Result, bail};

use super::rule::Rule;
use crate::{plugins, sh};

/// What the runner says: [`FAILED`] when it has run tests and some failed.
/// (<https://docs.rs/nextest-metadata>, `NextestExitCode`)
const FAILED: i32 = 100;

/// A copy of the workspace.
pub(crate) struct Scratch {
    tree: PathBuf,
    /// Where cargo keeps what is not a result: shared with the tree.
    build: PathBuf,
    logs: PathBuf,
    /// Whether the components are built from a patched source.
    stale: bool,
}

/// How a rule's test ended.
pub(crate) enum Ran {
    /// It passed.
    Passed,
    /// It failed.
    Failed,
}

impl Scratch {
    /// Brings the copy up to date with the files that git knows or would take.
    ///
    /// # Errors
    /// Git's, the disk's.
    pub(crate) fn copy(root: &Path) -> Result<Self> {
        let home = root.join("target/guards");
        let (tree, logs) = (home.join("tree"), home.join("logs"));
        fs::create_dir_all(&tree).with_context(|| format!("cannot make {}", tree.display()))?;
        fs::create_dir_all(&logs)?;
        let mut git = Command::new("git");
        git.args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]).current_dir(root);
        let listed = sh::output(&mut git)?;
        let listed = listed.split('\0').filter(|path| !path.is_empty()).map(PathBuf::from);
        let files: BTreeSet<PathBuf> = listed.filter(|path| root.join(path).is_file()).collect();
        for path in &files {
            let (from, to) = (root.join(path), tree.join(path));
            // What is the same stays as it is: cargo judges by the time of the last change.
            let bytes = fs::read(&from).with_context(|| format!("cannot read {}", from.display()))?;
            if fs::read(&to).is_ok_and(|old| old == bytes) {
                continue;
            }
            to.parent().map_or(Ok(()), fs::create_dir_all)?;
            fs::copy(&from, &to).with_context(|| format!("cannot write {}", to.display()))?;
        }
        remove_others(&tree, Path::new(""), &files)?;
        let build =
            std::env::var_os("CARGO_BUILD_BUILD_DIR").map_or_else(|| root.join("target"), PathBuf::from);
        Ok(Scratch { tree, build, logs, stale: true })
    }

    /// Its folder.
    pub(crate) fn tree(&self) -> &Path {
        &self.tree
    }

    /// Builds without a patch and runs the tests of all rules: the names of the rules whose tests pass.
    ///
    /// # Errors
    /// When it does not build.
    pub(crate) fn sound(&mut self, rules: &[Rule]) -> Result<BTreeSet<String>> {
        self.components(false)?;
        self.programs("without-patches")?;
        let mut sound = BTreeSet::new();
        let suites: BTreeSet<&str> = rules.iter().map(|rule| rule.suite.as_str()).collect();
        for suite in suites {
            let of_suite: Vec<&Rule> = rules.iter().filter(|rule| rule.suite == suite).collect();
            let filter: Vec<String> = of_suite.iter().map(|rule| format!("test({})", rule.test)).collect();
            let log = format!("without-patches-{suite}");
            let status = self.tests(suite, &filter.join(" + "), &log)?;
            if !matches!(status.code(), Some(0 | FAILED)) {
                bail!("the tests of {suite} do not run: see {}", self.log(&log).display());
            }
            let told = fs::read_to_string(self.log(&log))?;
            for rule in of_suite {
                let outcomes: Vec<&str> = outcomes(&told, &rule.test).collect();
                if !outcomes.is_empty() && outcomes.iter().all(|outcome| *outcome == "PASS") {
                    sound.insert(rule.name.clone());
                }
            }
        }
        Ok(sound)
    }

    /// Builds what the patch concerns and runs the rule's test.
    ///
    /// # Errors
    /// When the patched copy does not build, or the test cannot be run.
    pub(crate) fn try_rule(&mut self, rule: &Rule) -> Result<Ran> {
        if rule.suite != "lib" {
            self.components(rule.is_in_components())?;
        }
        if rule.suite == "journeys" {
            self.programs(&rule.name)?;
        }
        let status = self.tests(&rule.suite, &format!("test({})", rule.test), &rule.name)?;
        match status.code() {
            Some(0) => Ok(Ran::Passed),
            Some(FAILED) => Ok(Ran::Failed),
            _ => bail!("does not compile, or the test does not run: see {}", self.log(&rule.name).display()),
        }
    }

    /// Builds the components, unless those that are there are those of the tree as it is.
    fn components(&mut self, patched: bool) -> Result<()> {
        if patched || self.stale {
            self.stale = true; // also when this fails
            plugins::build_all(&self.tree, true)?;
            self.stale = patched;
        }
        Ok(())
    }

    /// Builds the programs. The whole workspace is selected each time, so that features stay the same.
    fn programs(&self, log: &str) -> Result<()> {
        let status = self.logged(self.cargo().args(["build", "--workspace", "--bins"]), log)?;
        if !status.success() {
            bail!("does not compile: see {}", self.log(log).display());
        }
        Ok(())
    }

    fn tests(&self, suite: &str, filter: &str, log: &str) -> Result<ExitStatus> {
        let mut cargo = self.cargo();
        cargo.args(["nextest", "run", "--workspace", "--color=never", "--status-level=pass"]);
        cargo.args(["--final-status-level=none", "--show-progress=none", "--no-fail-fast", "--retries=0"]);
        match suite {
            "lib" | "bins" => cargo.arg(format!("--{suite}")),
            program => cargo.args(["--test", program]),
        };
        // A rule may be what ends a call: its test is given up after a while.
        let config = self.tree.join("tests/guards/nextest.toml");
        cargo.arg("--tool-config-file").arg(format!("guards:{}", config.display()));
        // A test that cannot run here fails under CI, and so does not look as if it passed.
        cargo.args(["-E", filter]).env("CI", "true");
        self.logged(&mut cargo, log)
    }

    fn cargo(&self) -> Command {
        let mut cargo = sh::cargo();
        cargo.current_dir(&self.tree).env_remove("CARGO_TARGET_DIR");
        cargo.env("CARGO_BUILD_BUILD_DIR", &self.build);
        cargo
    }

    fn log(&self, name: &str) -> PathBuf {
        self.logs.join(format!("{name}.log"))
    }

    /// Runs a command with all that it says in a log.
    fn logged(&self, command: &mut Command, log: &str) -> Result<ExitStatus> {
        let file = File::create(self.log(log)).with_context(|| format!("cannot write {log}.log"))?;
        command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
        command.status().context("cannot start cargo")
    }
}

/// Removes from the copy what the tree no longer has; its target folder stays.
fn remove_others(tree: &Path, below: &Path, files: &BTreeSet<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(tree.join(below))? {
        let entry = entry?;
        let path = below.join(entry.file_name());
        if path == Path::new("target") {
            continue;
        }
        if entry.file_type()?.is_dir() {
            remove_others(tree, &path, files)?;
        } else if !files.contains(&path) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// What the runner says of the tests whose names contain `test`: lines such as
/// `PASS [   0.004s] (1/3) postern-tests::journeys login::a5_…`.
fn outcomes<'a>(told: &'a str, test: &'a str) -> impl Iterator<Item = &'a str> {
    told.lines().filter_map(move |line| {
        let (outcome, rest) = line.trim_start().split_once(" [")?;
        let name = rest.split_whitespace().last()?;
        (name.contains(test) && outcome.bytes().all(|b| b.is_ascii_uppercase() || b == b'-'))
            .then_some(outcome)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcomes_are_told_from_other_lines() {
        let told = "   Compiling postern [x] a5_b\n        PASS [   0.004s] (1/2) postern-tests::journeys login::a5_b\n\
                    SIGABRT [   1.004s] (2/2) postern-tests::journeys login::a5_b_c\n     Summary [   1.1s] 2 tests run a5_b";
        assert_eq!(outcomes(told, "a5_b").collect::<Vec<_>>(), ["PASS", "SIGABRT"]);
        assert_eq!(outcomes(told, "a6").count(), 0);
    }
}
