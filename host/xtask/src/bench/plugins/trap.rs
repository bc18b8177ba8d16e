//! Guests that fail: what a trap costs the host, and what is left of one that spins once its breaker has opened.

use std::process::Command;

use anyhow::{Context, Result};
use serde_json::json;

use super::Bench;
use super::parts::{afterwards, name_of, phase};
use super::stage::Stage;
use crate::bench::figures::at;
use crate::sh;

/// What host/guest's example calls its figures, and what they are here.
const LINES: [(&str, &str); 3] = [
    ("a call that answers", "trap answers"),
    ("a call that traps", "trap traps"),
    ("the call after it, with a fresh instance", "trap fresh"),
];

impl Bench<'_> {
    /// The median of each round of host/guest's example.
    pub(super) fn traps(&mut self) -> Result<()> {
        println!("» a guest that traps");
        let program = self.root.join(crate::bench::RELEASE).join("examples/trap_cost");
        for _ in 0..self.options.rounds {
            let text = sh::output(Command::new(&program).current_dir(self.root))?;
            print!("{text}");
            let of = |what: &str| -> Result<f64> {
                let begin = format!("{what}: median ");
                let line = text.lines().find_map(|line| line.strip_prefix(&begin)?.split_once(" ns"));
                Ok(line.context("trap_cost says something else")?.0.parse::<f64>()? / 1e3)
            };
            let [answers, traps, fresh] = [of(LINES[0].0)?, of(LINES[1].0)?, of(LINES[2].0)?];
            for ((_, name), value) in LINES.iter().zip([answers, traps, fresh]) {
                self.figures.add(*name, Some(value));
            }
            self.figures.add("trap cost", Some(traps + fresh - 2.0 * answers));
        }
        Ok(())
    }

    /// A classify plugin that spins on every call, while others store messages and sign in.
    pub(super) fn spin(&mut self, stage: &Stage) -> Result<()> {
        let user = format!("rec-{}", self.options.pairs);
        let signing_in = |mut phase: serde_json::Value| {
            phase["signs_in"] = json!(user);
            phase
        };
        let mut phases = vec![phase("warm-up", 2.0, vec![])];
        for _ in 0..self.options.rounds {
            let back = json!({ "do": "activate", "name": "classify-topic" });
            phases.push(signing_in(afterwards("well", self.options.secs, vec![back])));
            phases.push(signing_in(phase(
                "opening",
                0.0,
                vec![json!({ "do": "fail", "name": "rogue-classify" })],
            )));
            phases.push(signing_in(phase("open", self.options.secs, vec![])));
        }
        let flow = self.clock(self.options.rate);
        for phase in &stage.operate(self, "spin", flow, json!(phases))? {
            self.take(&format!("spin {}", name_of(phase)), phase);
            self.figures.add("spin opened", at(phase, "/acts/0/opened_ms"));
        }
        Ok(())
    }
}
