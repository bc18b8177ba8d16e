//! The parts that put an operator beside messages: which phases they ask for, which figures they take.

use anyhow::Result;
use serde_json::{Value, json};

use super::stage::{Flow, Stage};
use super::{Bench, Part};
use crate::bench::figures::at;
use crate::bench::generator::Generator;

/// Messages in flight of each publisher where no clock sends.
const WINDOW: u32 = 100;
/// Messages a second, and pairs, of `activate`: a decision is seen within a millisecond.
const WATCHED: (f64, usize) = (2_000.0, 20);
/// Activations of `activate`, by each way.
const TURNS: usize = 40;
/// Messages a second that leave a core to a shadow.
const LIGHT: f64 = 2_000.0;
/// Seconds before the first phase counts.
const WARM_UP_SECS: f64 = 2.0;
/// From one activation of `activate` to the next: what the old code decided has been delivered.
const APART_MILLIS: u64 = 100;

/// One part's measuring, on a server that serves.
type Measure<'a> = fn(&mut Bench<'a>, &Stage) -> Result<()>;

impl<'a> Bench<'a> {
    pub(super) fn parts(&mut self) -> Result<()> {
        let on_stage: [(Part, Measure<'a>); 4] = [
            (Part::Swaps, Self::swaps),
            (Part::Activate, Self::activate),
            (Part::Compile, Self::compile),
            (Part::Shadow, Self::shadow),
        ];
        let is_asked = on_stage.iter().any(|(part, _)| self.options.has(*part));
        if is_asked || self.options.has(Part::Trap) {
            let mut stage = Stage::start(self)?;
            for (part, measure) in on_stage.into_iter().filter(|(part, _)| self.options.has(*part)) {
                let done = measure(self, &stage);
                self.go_on(part, done, Some(&stage))?;
            }
            if self.options.has(Part::Trap) {
                stage = stage.again(self, false)?;
                let done = self.traps().and_then(|()| self.spin(&stage));
                self.go_on(Part::Trap, done, Some(&stage))?;
            }
            stage.site.stop()?;
        }
        if self.options.has(Part::Hooks) {
            let done = self.hooks();
            self.go_on(Part::Hooks, done, None)?;
        }
        Ok(())
    }

    /// A part that failed is noted, and the next ones go on.
    fn go_on(&mut self, part: Part, done: Result<()>, stage: Option<&Stage>) -> Result<()> {
        let Err(error) = done else { return Ok(()) };
        let why = format!("{error:#}").replace(&format!("{}/", self.root.display()), "");
        println!("» {part:?}: {why}");
        self.notes.push(format!("{part:?}: not measured to its end: {why}."));
        // It may hang in what failed.
        self.generator = Generator::start(self.root)?;
        stage.map_or(Ok(()), |stage| stage.site.log_in(&mut self.generator, self.options.pairs + 1))
    }

    pub(super) fn clock(&self, rate: f64) -> Flow {
        Flow { pairs: self.options.pairs, rate: Some(rate), window: WINDOW }
    }

    /// Quiet phases and such with activations, in turns, on the same links.
    fn swaps(&mut self, stage: &Stage) -> Result<()> {
        let each = self.options.activations.div_ceil(self.options.rounds.max(1));
        let versions: Vec<_> = (0..2).map(|at| stage.versions.join(format!("{at}.wasm"))).collect();
        let swap = |count: usize| {
            json!({
                "do": "swap", "name": "classify-topic", "file": stage.plugins.join("classify-topic.wasm"),
                "versions": versions, "count": count, "gap_ms": self.options.gap_millis,
            })
        };
        // Both versions are compiled and loaded once before it counts.
        let mut phases = vec![phase("warm-up", WARM_UP_SECS, vec![swap(2)])];
        let mut left = self.options.activations;
        for _ in 0..self.options.rounds {
            phases.push(phase("quiet", self.options.secs, vec![]));
            phases.push(phase("swaps", self.options.secs, vec![swap(each.min(left))]));
            left -= each.min(left);
        }
        let flow = self.clock(self.options.rate);
        let phases = stage.operate(self, "swaps", flow, json!(phases))?;
        for phase in &phases {
            let name = name_of(phase);
            self.take(&format!("swaps {name}"), phase);
            if name == "swaps" {
                self.figures.add("swaps count", at(phase, "/acts/0/activations"));
                self.take_at("swaps answered", phase, "/acts/0/answered_ms");
            }
        }
        Ok(())
    }

    /// By the socket and by the command, to a decision that is seen in a message.
    fn activate(&mut self, stage: &Stage) -> Result<()> {
        let program = self.root.join(crate::bench::RELEASE).join("postern");
        let turns = |count: usize, command: bool| {
            let command = command.then(|| json!([program, stage.site.config]));
            json!({
                "do": "turns", "masks": "classify-wordlist", "plain": "classify-topic", "count": count,
                "gap_ms": APART_MILLIS, "command": command,
            })
        };
        let phases = json!([
            phase("warm-up", WARM_UP_SECS, vec![turns(2, false)]),
            phase("socket", 0.0, vec![turns(TURNS, false)]),
            phase("command", 0.0, vec![turns(TURNS, true)]),
        ]);
        let flow = Flow { pairs: WATCHED.1.min(self.options.pairs), rate: Some(WATCHED.0), window: WINDOW };
        for phase in &stage.operate(self, "activate", flow, phases)? {
            let name = name_of(phase);
            self.take_at(&format!("activate answered {name}"), phase, "/acts/0/answered_ms");
            self.take_at(&format!("activate decided {name}"), phase, "/acts/0/decided_ms");
        }
        Ok(())
    }

    /// A JavaScript component, by the clock and at full speed.
    fn compile(&mut self, stage: &Stage) -> Result<()> {
        let file = self.root.join("target/plugins-examples/alarm-js.wasm");
        let compile = json!({ "do": "compile", "file": file, "count": 1 });
        for (name, rate) in [("by the clock", Some(self.options.rate)), ("full speed", None)] {
            let mut phases = vec![phase("warm-up", WARM_UP_SECS, vec![])];
            for _ in 0..self.options.rounds {
                phases.push(phase("quiet", self.options.secs, vec![]));
                phases.push(phase("compiling", 0.0, vec![compile.clone()]));
            }
            let flow = Flow { rate, ..self.clock(0.0) };
            for phase in &stage.operate(self, &format!("compile {name}"), flow, json!(phases))? {
                self.take(&format!("compile {name} {}", name_of(phase)), phase);
                self.figures.add(format!("compile {name} secs"), at(phase, "/acts/0/secs/p50"));
            }
        }
        Ok(())
    }

    /// With and without a shadow that is asked about every message, in turns.
    fn shadow(&mut self, stage: &Stage) -> Result<()> {
        let begin = json!({ "do": "shadow", "name": "classify-wordlist", "every": 1 });
        let end = json!({ "do": "unshadow", "name": "classify-wordlist" });
        for (name, rate) in
            [("light", Some(LIGHT)), ("by the clock", Some(self.options.rate)), ("full speed", None)]
        {
            let mut phases = vec![phase("warm-up", WARM_UP_SECS, vec![])];
            for round in 0..self.options.rounds {
                let mut acts = vec![];
                if round > 0 {
                    acts.push(end.clone());
                }
                phases.push(afterwards("off", self.options.secs, acts));
                phases.push(afterwards("on", self.options.secs, vec![begin.clone()]));
            }
            phases.push(phase("end", 0.0, vec![end.clone()]));
            let flow = Flow { rate, ..self.clock(0.0) };
            for phase in &stage.operate(self, &format!("shadow {name}"), flow, json!(phases))? {
                self.take(&format!("shadow {name} {}", name_of(phase)), phase);
                for key in ["compared", "shed", "candidate_ns", "served_ns"] {
                    let found = at(phase, &format!("/acts/0/{key}"));
                    let found = found.filter(|_| name_of(phase) != "on");
                    self.figures.add(format!("shadow {name} {key}"), found);
                }
            }
        }
        Ok(())
    }

    /// The figures of a phase.
    pub(super) fn take(&mut self, name: &str, phase: &Value) {
        for key in ["acked_per_sec", "delivered_per_sec", "server_cpu", "generator_cpu"] {
            self.figures.add(format!("{name} {key}"), at(phase, &format!("/{key}")));
        }
        self.take_at(&format!("{name} ack"), phase, "/ack_ms");
        self.take_at(&format!("{name} delivery"), phase, "/delivery_ms");
        self.take_at(&format!("{name} sign-in"), phase, "/sign_in_ms");
    }

    /// The quantiles at a place of a phase.
    fn take_at(&mut self, name: &str, phase: &Value, pointer: &str) {
        for key in ["p50", "p99", "p999", "max"] {
            self.figures.add(format!("{name} {key}"), at(phase, &format!("{pointer}/{key}")));
        }
    }
}

pub(super) fn name_of(phase: &Value) -> &str {
    phase.get("name").and_then(Value::as_str).unwrap_or_default()
}

pub(super) fn phase(name: &str, secs: f64, acts: Vec<Value>) -> Value {
    json!({ "name": name, "secs": secs, "acts": acts })
}

/// It counts when all is done.
pub(super) fn afterwards(name: &str, secs: f64, acts: Vec<Value>) -> Value {
    json!({ "name": name, "secs": secs, "acts": acts, "counts_afterwards": true })
}
