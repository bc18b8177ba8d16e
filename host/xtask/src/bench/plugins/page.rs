//! The report: docs/bench/issue-5.md and its plots.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;

use super::hooks::{CASES, Hooks};
use super::{Options, standing, words};
use crate::bench::bars::{Bar, Group, bars};
use crate::bench::figures::Figures;
use crate::bench::goal::Goal;
use crate::bench::report::number;
use crate::bench::section::section;
use crate::bench::spread::Spread;
use crate::bench::{command_line, folder};
use crate::sh;

/// Of what is compared: without and with.
const WITHOUT: &str = "#8fb4e8";
const WITH: &str = "#1f5fbf";

/// What a report is made of.
pub(super) struct Page<'a> {
    pub(super) figures: &'a Figures,
    /// Sentences on what went wrong.
    pub(super) notes: &'a [String],
    pub(super) machine: &'a [(&'static str, String)],
    pub(super) options: &'a Options,
    pub(super) root: &'a Path,
}

/// The columns of a phase: heading, and the end of a figure's name.
const PHASE: [(&str, &str); 8] = [
    ("acknowledged a second", "acked_per_sec"),
    ("delivery, p50, ms", "delivery p50"),
    ("p99, ms", "delivery p99"),
    ("p99.9, ms", "delivery p999"),
    ("slowest, ms", "delivery max"),
    ("PUBACK, p99, ms", "ack p99"),
    ("server, cores", "server_cpu"),
    ("clients, cores", "generator_cpu"),
];

impl Page<'_> {
    /// Writes the report and its plots.
    pub(super) fn write(&self, took: Duration) -> Result<()> {
        for (name, svg) in self.plots() {
            folder::write(self.root, name, &svg)?;
        }
        let mut text = words::opening(&command_line(), &sh::human(took));
        self.machine.iter().for_each(|(what, value)| text.push_str(&format!("- {what}: {value}\n")));
        text.push_str(&words::options(self.options));
        text.push_str(&self.sections());
        folder::write(self.root, "issue-5.md", &text)
    }

    /// Everything below the head.
    pub(super) fn sections(&self) -> String {
        let mut text = String::new();
        let goals: Vec<Vec<String>> = standing::goals(self.figures).iter().map(Goal::cells).collect();
        section(&mut text, "Standing", "", &["figure", "measured", "at most", ""], goals);
        self.phases(&mut text, "Swaps under load", words::SWAPS, &["swaps quiet", "swaps swaps"]);
        self.picture(&mut text, "plugins-swaps.svg");
        let counts = [
            ("activations", "swaps count"),
            ("answered, median, ms", "swaps answered p50"),
            ("answered, 99th percentile, ms", "swaps answered p99"),
            ("messages sent", "swaps sent"),
            ("lost", "swaps lost"),
            ("come twice, or late", "swaps repeated"),
            ("overtaken", "swaps missed"),
            ("calls that failed", "swaps failed"),
        ];
        self.facts(&mut text, "What became of them", "", &counts);
        self.activate(&mut text);
        let compile = ["by the clock", "full speed"]
            .map(|at| [format!("compile {at} quiet"), format!("compile {at} compiling")])
            .concat();
        let names: Vec<&str> = compile.iter().map(String::as_str).collect();
        self.phases(&mut text, "Compiling beside what serves", words::COMPILE, &names);
        let secs =
            [("by the clock, s", "compile by the clock secs"), ("full speed, s", "compile full speed secs")];
        self.facts(&mut text, "How long compiling took", "", &secs);
        self.shadow(&mut text);
        let trap = [
            ("a call that answers, warm, µs", "trap answers"),
            ("a call that traps, µs", "trap traps"),
            ("the call after it, µs", "trap fresh"),
            ("a trap costs, µs", "trap cost"),
        ];
        self.facts(&mut text, "A trap", words::TRAP, &trap);
        self.phases(
            &mut text,
            "A plugin that spins",
            words::SPIN,
            &["spin well", "spin opening", "spin open"],
        );
        let spin = [
            ("until the breaker is open, ms", "spin opened"),
            ("sign-in beside a well one, p50, ms", "spin well sign-in p50"),
            ("p99, ms", "spin well sign-in p99"),
            ("sign-in, breaker open, p50, ms", "spin open sign-in p50"),
            ("p99, ms", "spin open sign-in p99"),
        ];
        self.facts(&mut text, "The breaker, and the role token", "", &spin);
        self.hooks(&mut text);
        if !self.notes.is_empty() {
            text.push_str("\n## What failed\n\n");
            self.notes.iter().for_each(|note| text.push_str(&format!("- {note}\n")));
        }
        text
    }

    fn shown(&self, name: &str) -> String {
        self.figures.spread(name).map_or("–".to_owned(), Spread::shown)
    }

    /// A row of figures for each phase.
    fn phases(&self, text: &mut String, title: &str, words: &str, names: &[&str]) {
        let row = |name: &&str| {
            self.figures.spread(&format!("{name} acked_per_sec"))?;
            let cells = PHASE.iter().map(|(_, key)| self.shown(&format!("{name} {key}")));
            Some(std::iter::once((*name).to_owned()).chain(cells).collect())
        };
        let head: Vec<&str> = std::iter::once("").chain(PHASE.iter().map(|(head, _)| *head)).collect();
        section(text, title, words, &head, names.iter().filter_map(row).collect());
    }

    /// A line for each figure.
    fn facts(&self, text: &mut String, title: &str, words: &str, names: &[(&str, &str)]) {
        let row = |(what, name): &(&str, &str)| {
            let spread = self.figures.spread(name)?;
            Some(vec![(*what).to_owned(), spread.shown()])
        };
        section(text, title, words, &["", "median (least – most)"], names.iter().filter_map(row).collect());
    }

    fn activate(&self, text: &mut String) {
        let row = |(name, what): &(&str, &str)| {
            let of = |key: &str| self.figures.median(&format!("activate {what} {key}")).map(number);
            let mut cells = vec![(*name).to_owned(), of("p50")?];
            cells.extend(["p99", "max"].map(|key| of(key).unwrap_or_default()));
            Some(cells)
        };
        let rows = [
            ("on the socket: decided", "decided socket"),
            ("on the socket: answered", "answered socket"),
            ("by the command: decided", "decided command"),
            ("by the command: answered", "answered command"),
        ];
        let head = ["", "median, ms", "99th percentile, ms", "slowest, ms"];
        let rows = rows.iter().filter_map(row).collect();
        section(text, "From activate to the first decision", words::ACTIVATE, &head, rows);
    }

    fn shadow(&self, text: &mut String) {
        let loads = ["light", "by the clock", "full speed"];
        let names = loads.map(|load| [format!("shadow {load} off"), format!("shadow {load} on")]).concat();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        self.phases(text, "A shadow", words::SHADOW, &names);
        self.picture(text, "plugins-shadow.svg");
        let row = |load: &&str| {
            let of = |key: &str| self.figures.sum(&format!("shadow {load} {key}"));
            let (compared, shed) = (of("compared")?, of("shed")?);
            let share = format!("{} %", number(shed / (shed + compared) * 100.0));
            let nanos = |key: &str| {
                self.figures.median(&format!("shadow {load} {key}")).map_or("–".to_owned(), number)
            };
            let cells = [number(compared), number(shed), share, nanos("served_ns"), nanos("candidate_ns")];
            Some(std::iter::once((*load).to_owned()).chain(cells).collect())
        };
        let head = ["", "copies compared", "shed", "share", "served call, ns", "candidate's, ns"];
        section(text, "What the shadow shed", "", &head, loads.iter().filter_map(row).collect());
    }

    fn hooks(&self, text: &mut String) {
        let row = |(case, hooks): (&str, Hooks)| {
            let name = format!("hooks {case} {}", hooks.name());
            let rate = self.figures.spread(&format!("{name} acked_per_sec"))?;
            let off = self.figures.median(&format!("hooks {case} off acked_per_sec"));
            let share =
                off.map_or("–".to_owned(), |off| format!("{} %", number(rate.median / off * 100.0)));
            let keys = ["delivery p50", "delivery p99", "cpu", "server_cpu", "generator_cpu"];
            let cells = keys.map(|key| self.shown(&format!("{name} {key}")));
            let first = [format!("{case}: {}", hooks.name()), rate.shown(), share];
            Some(first.into_iter().chain(cells).collect())
        };
        let rows = CASES.iter().flat_map(|(case, ..)| Hooks::ALL.map(|hooks| (*case, hooks)));
        let head = [
            "",
            "acknowledged a second",
            "of off",
            "delivery, p50, ms",
            "p99, ms",
            "server's CPU, µs a message",
            "server, cores",
            "clients, cores",
        ];
        section(text, "Hooks", words::HOOKS, &head, rows.filter_map(row).collect());
        self.picture(text, "plugins-hooks.svg");
    }

    /// Files and what is in them, as far as it was measured.
    fn plots(&self) -> Vec<(&'static str, String)> {
        let bar = |name: &str, colour, figure: &str| {
            Some(Bar { name: name.to_owned(), colour, spread: self.figures.spread(figure)? })
        };
        let pair = |case: &str, (without, with): (&str, &str), of: [String; 2]| -> Option<Group> {
            let [first, second] = of;
            let bars: Vec<Bar> =
                [bar(without, WITHOUT, &first), bar(with, WITH, &second)].into_iter().flatten().collect();
            (!bars.is_empty()).then(|| (case.to_owned(), bars))
        };
        let quantiles = ["p50", "p99", "p999", "max"];
        let swaps = quantiles.iter().filter_map(|key| {
            let of = ["quiet", "swaps"].map(|phase| format!("swaps {phase} delivery {key}"));
            pair(key, ("quiet", "with activations"), of)
        });
        let shadow = ["light", "by the clock", "full speed"].iter().filter_map(|load| {
            let of = ["off", "on"].map(|phase| format!("shadow {load} {phase} delivery p99"));
            pair(load, ("without", "with a shadow"), of)
        });
        let hooks = CASES.iter().filter_map(|(case, ..)| {
            let bars: Vec<Bar> = Hooks::ALL
                .into_iter()
                .filter_map(|hooks| {
                    let figure = format!("hooks {case} {} acked_per_sec", hooks.name());
                    bar(hooks.name(), hooks.colour(), &figure)
                })
                .collect();
            (!bars.is_empty()).then(|| ((*case).to_owned(), bars))
        });
        let all: [(&'static str, &str, &str, Vec<Group>); 3] = [
            (
                "plugins-swaps.svg",
                "Delivery while plugins are swapped",
                "ms, less is better",
                swaps.collect(),
            ),
            (
                "plugins-shadow.svg",
                "Delivery beside a shadow",
                "ms, 99th percentile, less is better",
                shadow.collect(),
            ),
            (
                "plugins-hooks.svg",
                "QoS 1 by how hooks are asked",
                "messages a second, more is better",
                hooks.collect(),
            ),
        ];
        let drawn = all.into_iter().filter(|(.., groups)| !groups.is_empty());
        drawn.map(|(name, title, unit, groups)| (name, bars(title, unit, &groups, number))).collect()
    }

    fn picture(&self, text: &mut String, file: &str) {
        if self.plots().iter().any(|(name, _)| *name == file) {
            text.push_str(&format!("\n![]({file})\n"));
        }
    }
}
