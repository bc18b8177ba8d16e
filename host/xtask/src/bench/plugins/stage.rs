//! The server that is measured: a folder of plugins of its own, whose files come and go, and a policy for them.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::Bench;
use crate::bench::figures::at;
use crate::bench::site::{ONE_ADDRESS, Plan, Site};

/// Below target/.
const FOLDER: &str = "bench-plugins";
/// What its plugins are granted, beside policies/bench.toml.
const GRANTS: &str = "
[plugins.classify-wordlist]
grants = [\"log\", \"config\"]
[plugins.classify-wordlist.limits]
call_cpu_ms = 10
[plugins.classify-wordlist.config]
mask = [\"secret\"]
[plugins.rogue-classify]
grants = [\"log\", \"config\"]
[plugins.rogue-classify.config]
misbehave = \"spin\"
[plugins.alarm-js]
grants = [\"log\", \"config\"]
";
/// Without it what spins is rolled back before anybody has looked at its breaker.
const NO_PROBATION: &str = "
[activation]
probation_secs = 0
";
/// Outcomes of calls that gave no answer.
const FAILED: [&str; 7] = ["trapped", "slow", "busy", "recovering", "nonsense", "failed", "unavailable"];

/// The server, and where its files are.
pub(super) struct Stage {
    pub(super) site: Site,
    /// The plugin folder.
    pub(super) plugins: PathBuf,
    /// Files that are put there.
    pub(super) versions: PathBuf,
}

impl Stage {
    /// Starts it with nothing stored and everybody logged in, one pair more than send messages.
    pub(super) fn start(bench: &mut Bench<'_>) -> Result<Self> {
        let (root, pairs) = (bench.root, bench.options.pairs + 1);
        let policy = root.join("target").join(FOLDER).join("policy.toml");
        let plan = plan(&policy);
        plan.empty(root)?;
        write_policy(root, &policy, true)?;
        let (plugins, versions) = folders(root)?;
        let site = Site::start_as(root, &plan, pairs)?;
        site.log_in(&mut bench.generator, pairs)?;
        Ok(Stage { site, plugins, versions })
    }

    /// Starts it again with what is stored; `on_probation`: new generations are watched as by default.
    pub(super) fn again(self, bench: &Bench<'_>, on_probation: bool) -> Result<Self> {
        self.site.stop()?;
        let policy = bench.root.join("target").join(FOLDER).join("policy.toml");
        write_policy(bench.root, &policy, on_probation)?;
        let site = Site::open(bench.root, &plan(&policy))?;
        Ok(Stage { site, ..self })
    }

    /// Has the generator send messages while an operator acts; what was lost, doubled or failed is noted.
    pub(super) fn operate(
        &self,
        bench: &mut Bench<'_>,
        about: &str,
        flow: Flow,
        phases: Value,
    ) -> Result<Vec<Value>> {
        bench.runs += 1;
        let failed = self.failed_calls()?;
        let answer = bench.generator.ask(&json!({
            "ask": "operate", "address": self.site.server.address("tcp")?, "server_pid": self.site.server.id(),
            "admin": self.site.folder.join("admin.sock"), "pairs": flow.pairs, "rate": flow.rate, "window": flow.window,
            "body": bench.options.body, "run": bench.runs, "phases": phases,
        }));
        let answer = answer.with_context(|| about.to_owned())?;
        let failed = self.failed_calls()? - failed;
        bench.figures.add(format!("{about} failed"), Some(failed));
        bench.figures.add(format!("{about} ended"), at(&answer, "/ended"));
        for key in ["sent", "lost", "repeated", "missed"] {
            let count = at(&answer, &format!("/totals/{key}"));
            bench.figures.add(format!("{about} {key}"), count);
            if key != "sent" && count.is_some_and(|count| count > 0.0) {
                bench.notes.push(format!("{about}: {} messages {key}.", count.unwrap_or_default()));
            }
        }
        let phases = answer.pointer("/phases").and_then(Value::as_array).cloned().unwrap_or_default();
        for phase in &phases {
            println!("» {about}: {phase}");
        }
        Ok(phases)
    }

    /// Calls of any plugin that gave no answer, since the start.
    fn failed_calls(&self) -> Result<f64> {
        let count = |outcome: &&str| {
            self.site.server.metric("postern_plugin_calls_total", &format!("outcome=\"{outcome}\""))
        };
        FAILED.iter().map(count).sum()
    }
}

/// How messages come.
#[derive(Clone, Copy)]
pub(super) struct Flow {
    pub(super) pairs: usize,
    /// A second; none: as many as windows of this size allow.
    pub(super) rate: Option<f64>,
    pub(super) window: u32,
}

fn plan(policy: &Path) -> Plan<'_> {
    Plan { plugins: "target/bench-plugins/plugins", ..Plan::new(FOLDER, policy, ONE_ADDRESS) }
}

fn write_policy(root: &Path, to: &Path, on_probation: bool) -> Result<()> {
    let file = root.join("policies/bench.toml");
    let mut text = std::fs::read_to_string(&file).with_context(|| file.display().to_string())?;
    text.push_str(GRANTS);
    if !on_probation {
        text.push_str(NO_PROBATION);
    }
    std::fs::write(to, text).with_context(|| to.display().to_string())
}

/// The plugin folder with what serves and what is to, and one with two builds of classify-topic, told apart by a
/// custom section.
fn folders(root: &Path) -> Result<(PathBuf, PathBuf)> {
    let folder = root.join("target").join(FOLDER);
    let (plugins, versions) = (folder.join("plugins"), folder.join("versions"));
    for folder in [&plugins, &versions] {
        std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    }
    let own = crate::plugins::names(root)?.into_iter().map(|name| format!("plugins/{name}.wasm"));
    let others =
        ["plugins-examples/classify-wordlist.wasm", "test-guests/rogue-classify.wasm"].map(str::to_owned);
    for file in own.chain(others) {
        let from = root.join("target").join(&file);
        let to = plugins.join(from.file_name().context("a name")?);
        std::fs::copy(&from, to).with_context(|| from.display().to_string())?;
    }
    let good = std::fs::read(root.join("target/plugins/classify-topic.wasm"))?;
    for version in 0..2_u8 {
        // Section 0, its length, its name's, its name, and what it holds.
        let bytes = [&good[..], &[0, 3, 1, b'v', version]].concat();
        std::fs::write(versions.join(format!("{version}.wasm")), bytes)?;
    }
    Ok((plugins, versions))
}
