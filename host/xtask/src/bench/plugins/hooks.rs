//! All hooks on against all off, and against one asked over HTTP: QoS 1 throughput, each server started for its turn.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::Bench;
use crate::bench::RELEASE;
use crate::bench::figures::at;
use crate::bench::site::{ONE_ADDRESS, Plan, Site};

/// The program whose hooks can be off.
pub(super) const BYPASS: &str = "postern-bypass";
/// Messages in flight of each publisher.
const WINDOW: usize = 100;
/// Seconds before it counts.
const WARM_UP_SECS: f64 = 2.0;

/// How the hooks are asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Hooks {
    Off,
    On,
    Asked,
    Outside,
}

impl Hooks {
    pub(super) const ALL: [Hooks; 4] = [Hooks::Off, Hooks::On, Hooks::Asked, Hooks::Outside];

    pub(super) fn name(self) -> &'static str {
        match self {
            Hooks::Off => "off",
            Hooks::On => "on",
            Hooks::Asked => "on, asked always",
            Hooks::Outside => "outside, over HTTP",
        }
    }

    pub(super) fn colour(self) -> &'static str {
        match self {
            Hooks::Off => "#3f8f5f",
            Hooks::On => "#1f5fbf",
            Hooks::Asked => "#8fb4e8",
            Hooks::Outside => "#c9762b",
        }
    }
}

/// A case: its name, whether messages are stored, and how many pairs.
pub(super) const CASES: [(&str, bool, usize); 3] =
    [("stored, 100 → 100", true, 100), ("ordinary, 100 → 100", false, 100), ("ordinary, 1 → 1", false, 1)];

impl Bench<'_> {
    pub(super) fn hooks(&mut self) -> Result<()> {
        self.is_marked("postern", false)?;
        self.is_marked(BYPASS, true)?;
        self.log_in_for_hooks()?;
        for round in 1..=self.options.rounds {
            for (name, is_stored, pairs) in CASES {
                for hooks in Hooks::ALL {
                    // A stored message is asked about always.
                    if is_stored && hooks == Hooks::Asked {
                        continue;
                    }
                    let answer = self.measure(hooks, is_stored, pairs.min(self.options.pairs))?;
                    let about = format!("hooks {name} {}", hooks.name());
                    println!("» round {round}: {about}: {answer}");
                    self.take(&about, &answer);
                    let each = at(&answer, "/server_cpu").zip(at(&answer, "/acked_per_sec"));
                    self.figures.add(format!("{about} cpu"), each.map(|(cpu, rate)| cpu / rate * 1e6));
                }
            }
        }
        Ok(())
    }

    /// Whether a program is built so that its hooks can be off.
    fn is_marked(&self, program: &str, is_to_be: bool) -> Result<()> {
        let path = self.root.join(RELEASE).join(program);
        let bytes = std::fs::read(&path).with_context(|| path.display().to_string())?;
        let mark = b"built with bench-bypass";
        let is_marked = bytes.windows(mark.len()).any(|window| window == mark);
        ensure!(is_marked == is_to_be, "{program}: hooks can be off: {is_marked}; built by something else?");
        Ok(())
    }

    fn log_in_for_hooks(&mut self) -> Result<()> {
        let policy = self.root.join("policies/bench.toml");
        let plan = Plan::new(STORED, &policy, ONE_ADDRESS);
        plan.empty(self.root)?;
        let site = Site::start_as(self.root, &plan, self.options.pairs)?;
        site.log_in(&mut self.generator, self.options.pairs)?;
        site.stop()?;
        let folder = self.root.join("target").join(ORDINARY);
        if folder.exists() {
            std::fs::remove_dir_all(&folder)?;
        }
        std::fs::create_dir_all(&folder)?;
        let file = self.root.join("policies/open.toml");
        let open = std::fs::read_to_string(&file).with_context(|| file.display().to_string())?;
        let asked = open.replace("ask_always = false", "ask_always = true");
        ensure!(asked != open, "policies/open.toml does not say `ask_always = false`");
        std::fs::write(folder.join("open.toml"), open)?;
        std::fs::write(folder.join("asked.toml"), asked)?;
        Ok(())
    }

    /// One figure, of a server that is started for it.
    fn measure(&mut self, hooks: Hooks, is_stored: bool, pairs: usize) -> Result<Value> {
        let outside = if hooks == Hooks::Outside { Some(Outside::start(self.root)?) } else { None };
        let environment = match (&outside, hooks) {
            (Some(outside), _) => vec![(VARIABLE, outside.address.as_str())],
            (None, Hooks::Off) => vec![(VARIABLE, "off")],
            _ => vec![],
        };
        let program = if environment.is_empty() { "postern" } else { BYPASS };
        let policy = match (is_stored, hooks) {
            (true, _) => self.root.join("policies/bench.toml"),
            (false, Hooks::Asked) => self.root.join("target").join(ORDINARY).join("asked.toml"),
            (false, _) => self.root.join("target").join(ORDINARY).join("open.toml"),
        };
        let name = if is_stored { STORED } else { ORDINARY };
        let plan = Plan { program, environment: &environment, ..Plan::new(name, &policy, ONE_ADDRESS) };
        let site = Site::open(self.root, &plan)?;
        self.runs += 1;
        let (address, pid) = (site.server.address("tcp")?, site.server.id());
        let request = if is_stored {
            json!({
                "ask": "messages", "address": address, "server_pid": pid, "sign_in": true, "pairs": pairs,
                "window": WINDOW, "body": self.options.body, "warm_up_secs": WARM_UP_SECS,
                "secs": self.options.secs, "run": self.runs,
            })
        } else {
            json!({
                "ask": "traffic", "address": address, "server_pid": pid, "publishers": pairs, "subscribers": pairs,
                "qos": 1, "window": WINDOW, "body": self.options.body, "warm_up_secs": WARM_UP_SECS,
                "secs": self.options.secs, "run": self.runs,
            })
        };
        let answer = self.generator.ask(&request)?;
        site.stop()?;
        Ok(answer)
    }
}

/// Below target/.
const STORED: &str = "bench-plugins-stored";
const ORDINARY: &str = "bench-plugins-ordinary";
/// As host/server's bypass has it.
const VARIABLE: &str = "POSTERN_BENCH_HOOKS";

/// The hook in a process of its own; ends with us.
struct Outside {
    child: Child,
    address: String,
}

impl Outside {
    fn start(root: &Path) -> Result<Self> {
        let program = root.join(RELEASE).join("hook");
        let mut child = Command::new(&program)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().context("no stdout")?).read_line(&mut line)?;
        let address = line.trim().strip_prefix("listening ").context("the hook does not listen")?.to_owned();
        Ok(Outside { child, address })
    }
}

impl Drop for Outside {
    fn drop(&mut self) {
        self.child.kill().and_then(|()| self.child.wait()).ok();
    }
}
