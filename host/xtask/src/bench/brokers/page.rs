//! The report: docs/bench/issue-3.md and its plots.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;

use super::Options;
use super::contender::Who;
use super::figures::{Better, Figures, What};
use super::rows::Row;
use super::words;
use crate::bench::bars::{self, Bar, Group};
use crate::bench::spread::Spread;
use crate::bench::{command_line, folder};
use crate::sh;

/// What a report is made of.
pub(super) struct Page<'a> {
    pub(super) figures: &'a Figures,
    /// Sentences on what went wrong, and on whose limit a figure shows.
    pub(super) notes: &'a [String],
    pub(super) machine: &'a [(&'static str, String)],
    pub(super) options: &'a Options,
    pub(super) root: &'a Path,
}

/// A plot: its file, its row and quantity, and the beginning of its cases' names.
struct Plot {
    file: &'static str,
    row: Row,
    what: usize,
    cases: &'static str,
}

const PLOTS: [Plot; 9] = [
    Plot { file: "brokers-throughput-qos0.svg", row: Row::Rate, what: 0, cases: "QoS 0" },
    Plot { file: "brokers-throughput-qos1.svg", row: Row::Rate, what: 0, cases: "QoS 1" },
    Plot { file: "brokers-cpu.svg", row: Row::Rate, what: 1, cases: "" },
    Plot { file: "brokers-latency.svg", row: Row::Latency, what: 0, cases: "" },
    Plot { file: "brokers-fan.svg", row: Row::Fan, what: 0, cases: "" },
    Plot { file: "brokers-idle.svg", row: Row::Idle, what: 0, cases: "" },
    Plot { file: "brokers-connect.svg", row: Row::Connect, what: 0, cases: "" },
    Plot { file: "brokers-soak.svg", row: Row::Soak, what: 3, cases: "" },
    Plot { file: "brokers-topic.svg", row: Row::Topic, what: 0, cases: "" },
];

impl Page<'_> {
    /// Writes the report and its plots.
    pub(super) fn write(&self, took: Duration) -> Result<()> {
        for plot in &PLOTS {
            if let Some(svg) = self.plot(plot) {
                folder::write(self.root, plot.file, &svg)?;
            }
        }
        folder::write(self.root, "issue-3.md", &self.markdown(took))
    }

    fn markdown(&self, took: Duration) -> String {
        let mut text = words::opening(&command_line(), &sh::human(took));
        let relevant = |what: &str| what != "file system of the data folder";
        for (what, value) in self.machine.iter().filter(|(what, _)| relevant(what)) {
            text.push_str(&format!("- {what}: {value}\n"));
        }
        for (name, version) in embedded(self.root) {
            text.push_str(&format!("- peer: {name} {version}\n"));
        }
        text.push_str(&words::options(self.options));
        text.push_str(&self.standing());
        text.push_str(&self.sections());
        text
    }

    /// The tables of all rows, with their plots, and the notes.
    pub(super) fn sections(&self) -> String {
        let mut text = String::new();
        for row in
            [Row::Rate, Row::Classify, Row::Latency, Row::Fan, Row::Idle, Row::Connect, Row::Soak, Row::Topic]
        {
            if self.figures.cases(row).is_empty() {
                continue;
            }
            text.push_str(&format!("\n## {}\n\n{}\n", row.title(), words::of(row)));
            for plot in PLOTS.iter().filter(|plot| plot.row == row) {
                text.push_str(&format!("\n![{}]({})\n", row.title(), plot.file));
            }
            for what in self.figures.whats(row) {
                text.push_str(&self.table(row, what));
            }
        }
        if !self.notes.is_empty() {
            text.push_str("\n## Whose limit, and what failed\n\n");
            self.notes.iter().for_each(|note| text.push_str(&format!("- {note}\n")));
        }
        text
    }

    /// One quantity of a row: a line for each case, a column for each broker.
    fn table(&self, row: Row, what: What) -> String {
        let cases = self.figures.cases(row);
        let of = |case: &str, who| self.figures.spread(row, case, what, who);
        let measured = |who: &Who| cases.iter().any(|case| of(case, *who).is_some());
        let brokers: Vec<Who> = Who::ALL.into_iter().filter(measured).collect();
        let compared = brokers.len() > 1 && what.better != Better::Neither;
        let mut text = format!("\n**{}, {}**{}\n\n| |", what.name, what.unit, direction(what.better));
        brokers.iter().for_each(|who| text.push_str(&format!(" {} |", who.name())));
        text.push_str(if compared { " Postern to the best peer |\n|---|" } else { "\n|---|" });
        text.push_str(&"---:|".repeat(brokers.len()));
        text.push_str(if compared { "---|\n" } else { "\n" });
        for case in cases {
            text.push_str(&format!("| {case} |"));
            for who in &brokers {
                text.push_str(&format!(" {} |", of(&case, *who).map_or("–".to_owned(), Spread::shown)));
            }
            if compared {
                let ratio = self.ratio(row, &case, what);
                text.push_str(&ratio.map_or(" – |".to_owned(), |(ratio, peer, behind)| {
                    let behind = if behind { ", **behind**" } else { "" };
                    format!(" {ratio:.2} × {}{behind} |", peer.name())
                }));
            }
            text.push('\n');
        }
        text
    }

    /// Postern's median by the best peer's, that peer, and whether we are behind.
    fn ratio(&self, row: Row, case: &str, what: What) -> Option<(f64, Who, bool)> {
        let own = self.figures.spread(row, case, what, Who::Postern)?.median;
        let (peer, best) = self.figures.best_peer(row, case, what)?;
        let behind = match what.better {
            Better::More => own < best,
            Better::Less => own > best,
            Better::Neither => false,
        };
        (best > 0.0).then_some((own / best, peer, behind))
    }

    /// Each row's first quantity, and where Postern is behind.
    fn standing(&self) -> String {
        let mut behind = Vec::new();
        let mut compared = 0;
        for row in [Row::Rate, Row::Latency, Row::Fan, Row::Idle, Row::Connect, Row::Soak, Row::Topic] {
            let whats = self.figures.whats(row);
            let Some(what) = whats.first() else { continue };
            for case in self.figures.cases(row) {
                let Some((ratio, peer, is_behind)) = self.ratio(row, &case, *what) else { continue };
                compared += 1;
                if is_behind {
                    behind.push(format!(
                        "- {}, {case}: {ratio:.2} × {} ({})\n",
                        row.title(),
                        peer.name(),
                        what.name
                    ));
                }
            }
        }
        if compared == 0 {
            return String::new();
        }
        let first = format!(
            "\n## Standing\n\nOf {compared} comparisons by each row's first quantity, Postern is behind the best of the \
             peers in {}:\n\n",
            behind.len()
        );
        if behind.is_empty() { first.replace(":\n\n", ".\n") } else { first + &behind.concat() }
    }

    fn plot(&self, plot: &Plot) -> Option<String> {
        let what = *self.figures.whats(plot.row).get(plot.what)?;
        let bars = |case: &String| -> Option<Group> {
            let bar = |who: Who| {
                let spread = self.figures.spread(plot.row, case, what, who)?;
                Some(Bar { name: who.name().to_owned(), colour: who.colour(), spread })
            };
            let bars: Vec<Bar> = Who::ALL.into_iter().filter_map(bar).collect();
            (case.starts_with(plot.cases) && !bars.is_empty()).then(|| (case.clone(), bars))
        };
        let groups: Vec<Group> = self.figures.cases(plot.row).iter().filter_map(bars).collect();
        let title = format!("{}: {}", plot.row.title(), what.name);
        let unit = format!("{}{}", what.unit, direction(what.better));
        (!groups.is_empty()).then(|| bars::bars(&title, &unit, &groups, number))
    }
}

fn direction(better: Better) -> &'static str {
    match better {
        Better::More => ", more is better",
        Better::Less => ", less is better",
        Better::Neither => "",
    }
}

/// `12,345`, `123.4`, `1.23`.
pub(super) fn number(value: f64) -> String {
    crate::bench::report::number(value)
}

/// Names and versions of the peers of tests/peers, from its lock file.
fn embedded(root: &Path) -> Vec<(&'static str, String)> {
    let lock = std::fs::read_to_string(root.join("tests/peers/Cargo.lock")).unwrap_or_default();
    let version = |name: &str| -> Option<String> {
        let (_, rest) = lock.split_once(&format!("name = \"{name}\"\nversion = \""))?;
        Some(rest.split_once('"')?.0.to_owned())
    };
    ["rumqttd", "rmqtt"].into_iter().filter_map(|name| Some((name, version(name)?))).collect()
}
