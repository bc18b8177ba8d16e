//! The report: docs/bench/issue-4.md and its plots.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;

use super::derive::{DAY, Weights, crossing};
use super::figures::{Figures, Mode};
use super::parts::{CASES, KEEP_ALIVES, PINGS, POLICY_RATES, RATES};
use super::{Bench, Options, standing, words};
use crate::bench::goal::Goal;
use crate::bench::section::section;
use crate::bench::spread::Spread;
use crate::bench::{command_line, folder};
use crate::sh;

/// What a report is made of.
pub(super) struct Page<'a> {
    pub(super) figures: &'a Figures,
    /// Sentences on what went wrong.
    pub(super) notes: &'a [String],
    pub(super) machine: &'a [(&'static str, String)],
    pub(super) options: &'a Options,
    pub(super) root: &'a Path,
}

/// Seconds that the policy lets a terminal stay at least.
const LEAST_STAY: f64 = 30.0;

impl Page<'_> {
    /// Writes the report and its plots.
    pub(super) fn write(&self, took: Duration, enrolled: Duration) -> Result<()> {
        for (name, svg) in self.plots() {
            folder::write(self.root, name, &svg)?;
        }
        let mut text = words::opening(&command_line(), &sh::human(took), &sh::human(enrolled));
        self.machine.iter().for_each(|(what, value)| text.push_str(&format!("- {what}: {value}\n")));
        text.push_str(&words::options(self.options));
        text.push_str(&self.sections());
        folder::write(self.root, "issue-4.md", &text)
    }

    /// Everything below the head.
    pub(super) fn sections(&self) -> String {
        let mut text = String::new();
        let goals: Vec<Vec<String>> = standing::goals(self.figures).iter().map(Goal::cells).collect();
        section(&mut text, "Standing", "", &["figure", "measured", "at most", ""], goals);
        self.memory(&mut text);
        self.bytes(&mut text);
        self.policy(&mut text);
        self.latency(&mut text);
        self.cpu(&mut text);
        self.crowd(&mut text);
        self.claim(&mut text);
        if !self.notes.is_empty() {
            text.push_str("\n## What failed\n\n");
            self.notes.iter().for_each(|note| text.push_str(&format!("- {note}\n")));
        }
        text
    }

    pub(super) fn of(&self, name: &str) -> Option<f64> {
        self.figures.median(name)
    }

    /// KiB of a terminal, at this many commands a day.
    pub(super) fn kib(&self, mode: Mode, rate: usize) -> Option<f64> {
        let idle = |mode: Mode| self.of(&format!("kib idle {mode:?}"));
        match (mode, rate) {
            (Mode::Demand, 0) => idle(Mode::Tcp),
            (Mode::Demand, 1) => self.of("kib after"),
            (Mode::Demand, _) => {
                let share = self.of(&format!("policy tls_share random {} {rate}", KEEP_ALIVES[0]))?;
                let (plain, tls) = (self.of("kib after")?, idle(Mode::Tls)?);
                Some(plain + share * (tls - plain))
            }
            _ => idle(mode),
        }
    }

    fn memory(&self, text: &mut String) {
        let row = |mode: &Mode| {
            let idle = self.of(&format!("kib idle {mode:?}"))?;
            let tls = self.of("kib idle Tls");
            let other = self.of("kib idle MosquittoTls");
            let value = if *mode == Mode::Demand { self.of("kib after")? } else { idle };
            let ratio = |to: Option<f64>| to.map_or("–".to_owned(), |to| number(value / to));
            let name = match mode {
                Mode::Demand => format!("{}, 1 command a day", mode.name()),
                _ => mode.name().to_owned(),
            };
            let arrivals = self.of(&format!("arrivals {mode:?}"));
            Some(vec![name, number(value), ratio(tls), ratio(other), shown(arrivals)])
        };
        let mut rows: Vec<Vec<String>> = Mode::ALL.iter().filter_map(row).collect();
        if let (Some(most), Some(during)) = (self.of("kib most"), self.of("kib during")) {
            let extra = |name: &str, value| {
                vec![name.to_owned(), number(value), String::new(), String::new(), String::new()]
            };
            rows.push(extra("– while that day passed, median", during));
            rows.push(extra("– while that day passed, the most", most));
        }
        for rate in [5, 20, 50] {
            if let Some(kib) = self.kib(Mode::Demand, rate) {
                let ratio = |to| self.of(to).map_or("–".to_owned(), |to| number(kib / to));
                let name = format!("Postern, on demand, {rate} commands a day, computed");
                rows.push(vec![
                    name,
                    number(kib),
                    ratio("kib idle Tls"),
                    ratio("kib idle MosquittoTls"),
                    String::new(),
                ]);
            }
        }
        let head =
            ["", "KiB a terminal", "× Postern, always TLS", "× mosquitto, always TLS", "arrivals a second"];
        section(text, "Memory", words::MEMORY, &head, rows);
        self.picture(text, "encrypt-memory.svg");
    }

    fn bytes(&self, text: &mut String) {
        let cell = |mode: &Mode, rate: usize| {
            let of = |what: &str| self.of(&format!("day {what} {mode:?} {rate}"));
            let spread = Spread { min: of("least")?, median: of("bytes")?, max: of("most")? };
            Some(spread.shown())
        };
        let row = |mode: &Mode| {
            let mut cells = vec![mode.name().to_owned()];
            cells.extend(RATES.iter().map(|rate| cell(mode, *rate).unwrap_or("–".to_owned())));
            cell(mode, 0).map(|_| cells)
        };
        let rows = Mode::ALL.iter().filter_map(row).collect();
        let names = RATES.map(|rate| format!("{rate} a day"));
        let head: Vec<&str> = std::iter::once("").chain(names.iter().map(String::as_str)).collect();
        section(text, "Bytes of a terminal and day", words::BYTES, &head, rows);
        self.picture(text, "encrypt-bytes.svg");
        self.pieces(text);
    }

    fn pieces(&self, text: &mut String) {
        let ping = |mode: Mode| {
            let of = |what: &str| self.of(&format!("day {what} {mode:?} 0"));
            Some(of("bytes")? / of("pings")?)
        };
        let mut rows = Vec::new();
        let mut push = |what: &str, value: Option<f64>| {
            if let Some(value) = value {
                rows.push(vec![what.to_owned(), number(value)]);
            }
        };
        for mode in [Mode::Tcp, Mode::Tls, Mode::MosquittoTcp, Mode::MosquittoTls] {
            push(&format!("ping and answer, {}", mode.name()), ping(mode));
        }
        for case in &CASES {
            push(&format!("command and results, {}", case.name), self.of(&format!("bytes {}", case.key)));
        }
        let over = |key: &str| Some(self.of(&format!("bytes {key}"))? - self.of("bytes there")?);
        push("switch there and back, resumed", over("resumed"));
        push("switch there and back, full handshake", over("full"));
        section(text, "Pieces", words::PIECES, &["", "bytes"], rows);
        self.break_even(text);
    }

    fn break_even(&self, text: &mut String) {
        let (weights, true) = Bench::weights(self.figures) else { return };
        let computed = |keep_alive: f64, idle: f64| number(weights.break_even(keep_alive, idle));
        let mut rows = Vec::new();
        for keep_alive in KEEP_ALIVES.map(f64::from) {
            let full = self
                .of("bytes full")
                .zip(self.of("bytes there"))
                .map(|(full, there)| Weights { switch: full - there, ..weights });
            rows.push(vec![
                format!("K = {keep_alive} s, I = {LEAST_STAY} s, computed"),
                computed(keep_alive, LEAST_STAY),
                full.map_or("–".to_owned(), |full| number(full.break_even(keep_alive, LEAST_STAY))),
            ]);
        }
        if let Some((measured, idle)) = self.measured_break_even() {
            let name = format!("the scaled day: K = 60 s, I = {} s", number(idle));
            rows.push(vec![format!("{name}, computed"), computed(60.0, idle), "–".to_owned()]);
            let measured = measured.map_or("none up to 50".to_owned(), number);
            rows.push(vec![format!("{name}, measured"), measured, "–".to_owned()]);
        }
        let head = ["commands a day over which always TLS weighs less", "resumed", "full handshake"];
        section(text, "Break-even", words::BREAK_EVEN, &head, rows);
    }

    /// Where the scaled day's curves cross, and the stay on TLS after a command in it, as of a real day.
    fn measured_break_even(&self) -> Option<(Option<f64>, f64)> {
        let of = |mode: Mode| {
            let each = RATES.iter().map(|rate| self.of(&format!("day bytes {mode:?} {rate}")));
            each.collect::<Option<Vec<f64>>>()
        };
        let crossed = crossing(&RATES.map(|rate| rate as f64), &of(Mode::Demand)?, &of(Mode::Tls)?);
        let at = |what: &str| self.of(&format!("day {what} {:?} 5", Mode::Demand));
        let idle = at("tls")? / (at("switches")? / 2.0) * DAY / self.options.day_secs;
        Some((crossed, idle))
    }

    fn policy(&self, text: &mut String) {
        let mut rows = Vec::new();
        for arrivals in ["random", "bursts"] {
            for keep_alive in KEEP_ALIVES {
                for rate in POLICY_RATES {
                    let of = |what: &str| self.of(&format!("policy {what} {arrivals} {keep_alive} {rate}"));
                    let whole = |what| of(what).map_or("–".to_owned(), |bytes| number(bytes.round()));
                    let percent =
                        |what| of(what).map_or("–".to_owned(), |share| format!("{:.2} %", share * 100.0));
                    if of("over").is_some() {
                        rows.push(vec![
                            format!("{arrivals}, K = {keep_alive} s, {rate} a day"),
                            whole("tls"),
                            whole("each_time"),
                            whole("policy"),
                            percent("over"),
                            percent("worst_terminal"),
                            percent("tls_share"),
                        ]);
                    }
                }
            }
        }
        let head = ["", "always TLS", "each time", "policy", "over", "worst terminal", "time on TLS"];
        section(text, "Thirty days by the policy, bytes a day", words::POLICY, &head, rows);
    }

    fn latency(&self, text: &mut String) {
        let row = |case: &super::parts::Case| {
            let of = |what: &str| self.figures.spread(&format!("{what} {}", case.key)).map(Spread::shown);
            let mut cells = vec![case.name.to_owned()];
            of("asked p50")?;
            let whats = ["asked p50", "asked p99", "accepted p50", "accepted p99", "cpu"];
            cells.extend(whats.map(|what| of(what).unwrap_or("–".to_owned())));
            cells.push(
                self.figures.sum(&format!("n {}", case.key)).map_or("–".to_owned(), |n| format!("{n}")),
            );
            Some(cells)
        };
        let head = [
            "",
            "asked, p50, ms",
            "asked, p99, ms",
            "accepted, p50, ms",
            "accepted, p99, ms",
            "the server's CPU, ms a command",
            "commands",
        ];
        section(text, "Latency", words::LATENCY, &head, CASES.iter().filter_map(row).collect());
        self.picture(text, "encrypt-latency.svg");
        let row = |mode: &Mode| {
            let mut cells = vec![mode.name().to_owned()];
            let pair = |rate: &usize| {
                let of = |what: &str| self.of(&format!("day {what} {mode:?} {rate}"));
                Some(format!("{} / {}", number(of("p50")?), number(of("p99")?)))
            };
            pair(&50)?;
            cells.extend(RATES.iter().skip(1).map(|rate| pair(rate).unwrap_or("–".to_owned())));
            Some(cells)
        };
        let names = RATES.map(|rate| format!("{rate} a day, p50 / p99 ms"));
        let head: Vec<&str> = std::iter::once("").chain(names.iter().skip(1).map(String::as_str)).collect();
        section(
            text,
            "Latency in the scaled day",
            words::DAY_LATENCY,
            &head,
            Mode::ALL.iter().filter_map(row).collect(),
        );
    }

    /// Milliseconds of CPU for a terminal's day.
    pub(super) fn cpu_of(&self, mode: Mode, rate: f64) -> Option<f64> {
        let case = match mode {
            Mode::Tcp => "plain",
            Mode::Tls => "there",
            Mode::Demand => "resumed",
            Mode::MosquittoTcp => "m-plain",
            Mode::MosquittoTls => "m-there",
        };
        let ping = self.of(&format!("ping cpu {mode:?}"))? / 1e3;
        Some(PINGS * ping + rate * self.of(&format!("cpu {case}"))?)
    }

    fn cpu(&self, text: &mut String) {
        let row = |mode: &Mode| {
            let mut cells = vec![mode.name().to_owned(), number(self.of(&format!("ping cpu {mode:?}"))?)];
            self.cpu_of(*mode, 0.0)?;
            cells.extend(RATES.map(|rate| shown(self.cpu_of(*mode, rate as f64))));
            let average = RATES.iter().sum::<usize>() as f64 / RATES.len() as f64;
            cells.push(shown(self.of(&format!("day cpu {mode:?}"))));
            cells.push(shown(self.cpu_of(*mode, average)));
            Some(cells)
        };
        let names = RATES.map(|rate| format!("{rate} a day, ms"));
        let mut head = vec!["", "a ping, µs"];
        head.extend(names.iter().map(String::as_str));
        head.extend(["scaled day, all rates, measured, ms", "the same computed, ms"]);
        section(text, "The server's CPU", words::CPU, &head, Mode::ALL.iter().filter_map(row).collect());
        self.picture(text, "encrypt-cpu.svg");
    }

    fn crowd(&self, text: &mut String) {
        let mut rows = Vec::new();
        let mut push = |what: &str, name: &str| {
            if let Some(value) = self.of(name) {
                rows.push(vec![what.to_owned(), number(value)]);
            }
        };
        push("commands asked for", "crowd commands");
        push("refused", "crowd refused");
        push("not executed", "crowd lost");
        push("executed more than once", "crowd twice");
        push("first request to last execution, s", "crowd span");
        push("asked to executed, median, ms", "crowd latency p50");
        push("asked to executed, 99th percentile, ms", "crowd latency p99");
        push("asked to accepted, 99th percentile, ms", "crowd accept p99");
        push("the server's CPU, s", "crowd cpu");
        push("ping of another link, plain, 99th percentile, ms", "crowd ping plain p99");
        push("ping of another link, plain, slowest, ms", "crowd ping plain max");
        push("ping of another link, TLS, 99th percentile, ms", "crowd ping tls p99");
        push("ping of another link, TLS, slowest, ms", "crowd ping tls max");
        section(text, "Everybody at once", words::CROWD, &["", ""], rows);
    }

    fn claim(&self, text: &mut String) {
        let ratio = |name: &str, tls: Mode, tcp: Mode, scale: &str| {
            let of = |mode: Mode| self.of(&name.replace("MODE", &format!("{mode:?}")));
            Some((of(tls)? / of(tcp)?, scale.to_owned()))
        };
        let facts = [
            ratio("kib idle MODE", Mode::Tls, Mode::Tcp, "memory of an idle terminal in Postern, TLS to TCP"),
            ratio("kib idle MODE", Mode::MosquittoTls, Mode::MosquittoTcp, "memory in mosquitto, TLS to TCP"),
            ratio("day bytes MODE 0", Mode::Tls, Mode::Tcp, "bytes of an idle day, TLS to TCP"),
        ];
        let rows: Vec<Vec<String>> =
            facts.into_iter().flatten().map(|(ratio, what)| vec![what, number(ratio)]).collect();
        let mut words = words::CLAIM.to_owned();
        let measured = |name| ratio(name, Mode::Tls, Mode::Tcp, "").map(|(ratio, _)| ratio);
        let told = |holds: bool| if holds { "holds" } else { "does not hold" };
        if let Some(memory) = measured("kib idle MODE") {
            let other = ratio("kib idle MODE", Mode::MosquittoTls, Mode::MosquittoTcp, "");
            let other = other.map(|(ratio, _)| format!(", for mosquitto {} times", number(ratio)));
            words.push_str(&format!(
                " Of memory it {} for Postern: {} times{}.",
                told((2.5..3.5).contains(&memory)),
                number(memory),
                other.unwrap_or_default()
            ));
        }
        if let Some(traffic) = measured("day bytes MODE 0") {
            let holds = told((1.8..2.2).contains(&traffic));
            words.push_str(&format!(" Of traffic it {holds} with TLS 1.3: {} times.", number(traffic)));
        }
        section(text, "The published claim (B15)", &words, &["", "ratio"], rows);
    }

    fn picture(&self, text: &mut String, file: &str) {
        if self.plots().iter().any(|(name, _)| *name == file) {
            text.push_str(&format!("\n![]({file})\n"));
        }
    }
}

fn shown(value: Option<f64>) -> String {
    value.map_or("–".to_owned(), number)
}

/// `12,345`, `123.4`, `1.23`.
pub(super) fn number(value: f64) -> String {
    crate::bench::report::number(value)
}
