//! What is printed, and docs/bench/issue-6.md: the verdict of each series, the books, how it was done.

use super::books::Outcome;
use super::events::Kind;
use super::plot::plot;
use super::samples::{Sample, bytes};
use super::series::{Bound, Line, Series, Verdict, WARM_UP, WINDOWS, all, disturbed};
use crate::bench::report::number;

/// A run, judged.
pub(crate) struct Page<'a> {
    outcome: &'a Outcome,
    series: Vec<(Series, Option<Verdict>)>,
    /// Windows in which the machine was not ours.
    disturbed: usize,
}

/// The plots: file, title, unit, series.
const PLOTS: &[(&str, &str, &str, &[&str])] = &[
    ("soak-memory.svg", "Memory", "MiB", &["rss", "anon"]),
    (
        "soak-descriptors.svg",
        "Descriptors, threads, sessions",
        "count",
        &["descriptors", "files", "threads", "clients", "sessions"],
    ),
    ("soak-latency.svg", "Stored messages", "ms", &["stored50", "stored99", "came99", "late99", "sync"]),
    ("soak-flow.svg", "Plain messages", "ms", &["flow50", "flow99", "flowcame99", "late99"]),
    ("soak-http.svg", "HTTP and sign-in", "ms", &["http50", "http99", "signin50"]),
    ("soak-cpu.svg", "CPU", "cores", &["cpu", "stolen"]),
];

impl<'a> Page<'a> {
    pub(crate) fn new(outcome: &'a Outcome, samples: &[Sample], lines: &[Line]) -> Self {
        let disturbed = disturbed(samples, outcome.secs);
        let series = all(samples, lines, outcome.secs, &disturbed);
        let series = series.into_iter().map(|series| (series.clone(), series.verdict())).collect();
        Page { outcome, series, disturbed: disturbed.len() }
    }

    /// Whether nothing grows beyond its bound and nothing is lost.
    pub(crate) fn passes(&self) -> bool {
        self.was_ours()
            && !self.series.is_empty()
            && self.series.iter().all(|(_, verdict)| verdict.is_some_and(|verdict| verdict.passes()))
            && self.outcome.books().iter().all(|entry| entry.wrong == 0 && entry.of > 0)
    }

    /// Whether most of the run says something: by a few calm windows nothing is judged.
    fn was_ours(&self) -> bool {
        self.disturbed * 4 <= WINDOWS
    }

    /// Rows of the table of series.
    fn rows(&self) -> Vec<[String; 7]> {
        let head = ["series", "level", "growth in the run", "95 % from", "to", "at most", ""];
        let mut rows = vec![head.map(str::to_owned)];
        for (series, verdict) in &self.series {
            let name =
                format!("{}{}{}", series.name, if series.unit.is_empty() { "" } else { ", " }, series.unit);
            let Some(verdict) = verdict else {
                rows.push([&*name, "–", "–", "–", "–", "–", "too short"].map(str::to_owned));
                continue;
            };
            let fit = &verdict.fit;
            let told = match (series.bound, verdict.passes()) {
                (Bound::Control, _) => "–",
                (_, true) => "PASS",
                (_, false) => "FAIL",
            };
            rows.push([
                name,
                figure(fit.level),
                figure(fit.slope),
                figure(fit.low),
                figure(fit.high),
                figure(verdict.bound),
                told.to_owned(),
            ]);
        }
        rows
    }

    /// Rows of the books.
    fn books(&self) -> Vec<[String; 4]> {
        let mut rows = vec![["must be nought", "of", "found", ""].map(str::to_owned)];
        for entry in self.outcome.books() {
            let told = match (entry.wrong, entry.of) {
                (0, 0) => "FAIL: there was none",
                (0, _) => "PASS",
                _ => "FAIL",
            };
            rows.push([
                entry.name.to_owned(),
                entry.of.to_string(),
                entry.wrong.to_string(),
                told.to_owned(),
            ]);
        }
        rows
    }

    /// For the terminal.
    pub(crate) fn told(&self) -> String {
        let mut text = aligned(&self.rows());
        text.push('\n');
        text.push_str(&aligned(&self.books()));
        for fault in self.outcome.answer["faults"].as_array().into_iter().flatten() {
            text.push_str(&format!("fault: {}\n", fault.as_str().unwrap_or_default()));
        }
        if !self.was_ours() {
            text.push_str(&format!("{} of {WINDOWS} windows were another's: too many\n", self.disturbed));
        }
        text.push_str(if self.passes() { "\nPASS" } else { "\nFAIL" });
        text
    }

    /// Files and what is in them.
    pub(crate) fn plots(&self) -> Vec<(&'static str, String)> {
        let of = |keys: &[&str]| -> Vec<&Series> {
            let has = |key: &&str| self.series.iter().map(|(series, _)| series).find(|s| s.key == *key);
            keys.iter().filter_map(has).collect()
        };
        let minutes = self.outcome.secs / 60.0;
        PLOTS
            .iter()
            .filter_map(|(file, title, unit, keys)| Some((*file, plot(title, unit, minutes, &of(keys))?)))
            .collect()
    }

    /// The report.
    pub(crate) fn markdown(&self) -> String {
        let outcome = self.outcome;
        let verdict = if self.passes() { "PASS" } else { "FAIL" };
        let mut text = format!(
            "# Issue 6: a day in {:.0} minutes\n\nBy `{}`. **{verdict}.**\n\n{}\n\n## Slopes\n\n{}\n\n",
            outcome.secs / 60.0,
            outcome.command,
            self.summary(),
            slopes_words(self.disturbed),
        );
        text.push_str(&marked(&self.rows()));
        for (file, title, ..) in PLOTS {
            if self.plots().iter().any(|(there, _)| there == file) {
                text.push_str(&format!("\n![{title}]({file})\n"));
            }
        }
        text.push_str(&format!("\n## Books\n\n{BOOKS}\n\n"));
        text.push_str(&marked(&self.books()));
        text.push_str(&format!("\n{}\n\n## Load\n\n{LOAD}\n\n", self.counted()));
        text.push_str(&format!("{}\n\n## What grows by design\n\n{}\n\n", self.operator(), self.growth()));
        text.push_str("## Machine\n\n| | |\n|---|---|\n");
        for (what, value) in &outcome.machine {
            text.push_str(&format!("| {what} | {value} |\n"));
        }
        text
    }

    fn summary(&self) -> String {
        let judged = || self.series.iter().filter(|(series, _)| series.bound != Bound::Control);
        let all = judged().count();
        let well = judged().filter(|(_, v)| v.is_some_and(|v| v.passes())).count();
        let level = |key: &str| {
            let found = self.series.iter().find(|(series, _)| series.key == key);
            found.and_then(|(_, verdict)| *verdict).map_or_else(|| "–".to_owned(), |v| figure(v.fit.level))
        };
        format!(
            "{well} of {all} series have no slope beyond their bound after the warm-up, the first sixth. The server \
             was at {} MiB, {} descriptors and {} cores; a stored message was acknowledged within {} ms (p99 {} ms).",
            level("rss"),
            level("descriptors"),
            level("cpu"),
            level("stored50"),
            level("stored99"),
        )
    }

    fn counted(&self) -> String {
        let of = |what: &str| number(self.outcome.count(what) as f64);
        let chat = &self.outcome.answer["chat"];
        let log: Vec<String> =
            self.outcome.log.iter().map(|(level, lines)| format!("{lines} {level}")).collect();
        format!(
            "Stored messages delivered more than once, as QoS 1 may when a link breaks before its PUBACK: {}; QoS 1 \
             to durable sessions: {}. Lines of the server's log: {}.\n\nWithin the run: {} stays of phones, {} logins \
             and {} renewals beyond the first, {} links reset and {} silent ones ended by the server, {} visitors, \
             {} visits of durable sessions, {} abandoned sessions, {} half packets, {} takeovers, {} switches of \
             terminals in {} shifts, {} HTTP requests.",
            chat["came_again"],
            self.outcome.count("least_again"),
            log.join(", "),
            of("visits"),
            of("logins"),
            of("renewals"),
            of("resets"),
            of("silences"),
            of("visitors"),
            of("session_visits"),
            of("abandoned"),
            of("half_packets"),
            of("taken_over"),
            of("switches"),
            of("shifts"),
            of("http_requests"),
        )
    }

    fn operator(&self) -> String {
        let of = |kind: Kind| {
            let done = || self.outcome.events.iter().filter(move |event| event.kind == kind);
            let longest = done().map(|event| event.took).fold(0.0, f64::max);
            (done().count(), longest)
        };
        let (swaps, swap) = of(Kind::Swap);
        let (certificates, renewal) = of(Kind::Certificate);
        let (backups, backup) = of(Kind::Backup);
        format!(
            "The operator: {swaps} steps of plugin swaps, in turns another version, back, another as a canary for a \
             quarter of the clients, promoted, the first again (longest {swap:.2} s, with the start of the command); \
             {certificates} new certificates, each followed by SIGHUP and then asked for on three listeners until it \
             was served (longest {renewal:.2} s); {backups} backups (longest {backup:.2} s)."
        )
    }

    fn growth(&self) -> String {
        let Outcome { before, after, .. } = self.outcome;
        let mib = |data, name| number(bytes(data, name) / f64::from(1 << 20));
        let grown = |name: &str| bytes(after, name) - bytes(before, name);
        let each =
            |bytes: f64, count: u64| if count > 0 { number(bytes / count as f64) } else { "–".to_owned() };
        let stored = self.outcome.count("stored_sent");
        let tokens = self.outcome.count("logins") + self.outcome.count("renewals");
        format!(
            "Messages are kept until an operator deletes them, a command thirty days after its end, the record of a \
             token for an hour after the token's end (more than this run), the audit log for ever. The store plugin's \
             database went from {} MiB to {} MiB, {} bytes for each of {} stored messages with bodies of 64 to 448 \
             bytes; the host's from {} MiB to {} MiB, with {} commands and {} new tokens; the audit log to {} MiB. The \
             write-ahead logs are among the series: each grows to 64 MiB before it is copied into its database, and is \
             written from its beginning again.",
            mib(before, "store-sql.db"),
            mib(after, "store-sql.db"),
            each(grown("store-sql.db"), stored),
            number(stored as f64),
            mib(before, "postern.db"),
            mib(after, "postern.db"),
            number(self.outcome.count("commands") as f64),
            number(tokens as f64),
            mib(after, "audit.log"),
        )
    }
}

fn slopes_words(disturbed: usize) -> String {
    format!(
        "An hour of this load has more swaps, renewals, logins and breaks than a day of a busy server, so the growth \
         within the run stands for a day's. Samples and latencies are put into {WINDOWS} windows (medians of what \
         /proc, the data folder and /metrics say; quantiles of all latencies of a window), the first {WARM_UP} are \
         left out, and the line is Theil–Sen's: stalls of a shared disk do not turn it as they would turn least \
         squares. The interval of its slope is Sen's, by ranks, widened by the residuals' autocorrelation. A series \
         passes when the whole interval is below what it may grow; or, where latencies waver too much for that, when \
         the line itself is and the interval reaches down to shrinking.\n\nWhat takes time takes more when another has \
         the machine, so CPU and latencies are judged without the windows in which another had it: those in which either of two \
         controls that do not ask the server was above twice its middle: a write with fdatasync, and the processors' time \
         that went to other machines (where that is above 0.1 cores). They are in the plots; of this run they were \
         {disturbed} of {WINDOWS}, and more than a quarter would be no run at all. What the server writes itself is judged \
         in all windows, by bytes."
    )
}

const BOOKS: &str = "Every message is numbered by its sender. Phones send again under the same id what was not \
    acknowledged when their link broke; at the end each reads its whole history over HTTP. Publishers and sleepers of \
    the durable sessions keep what the protocol has a client keep, go in any way at any moment, and find their session \
    again.";

const LOAD: &str = "Phones sign in by proof on TLS and WebSocket on TLS, store two messages a second each, stay for 20 \
    to 100 s, go by DISCONNECT, by RST or in silence, and come back with the same, a renewed or a new token (good for \
    ten minutes). Beside them: eight anonymous pairs on all four listeners with 20 messages a second each, QoS 0 and \
    1; ten retained messages replaced each second; six durable sessions, MQTT 5 and 3.1.1, that sleep and return, with \
    publishers that do so too, at QoS 1 and 2; four visitors a second with names of their own, who leave wills, \
    retained messages that they take back, sessions with a backlog that expires, half a packet, or their name to the \
    next one; twelve terminals in shifts, with a command each 15 s, half of which need TLS; four HTTP requests a \
    second for history, directory, read markers, challenges and with wrong credentials.";

/// One sample in one line.
pub(crate) fn in_short(sample: &Sample) -> String {
    let of = |name: &str| sample.metrics.get(name).copied().unwrap_or(f64::NAN);
    format!(
        "{:5.0} s: {:.1} MiB ({:.1} heap), {} descriptors, {} threads, {} clients, {} sessions, {:.1} CPU s, \
         databases {:.1} MiB",
        sample.at,
        sample.rss_kib / 1024.0,
        sample.anon_kib / 1024.0,
        sample.descriptors,
        sample.threads,
        of("postern_clients_connected"),
        of("postern_sessions"),
        sample.cpu_secs,
        sample.bytes(".db") / f64::from(1 << 20),
    )
}

fn figure(value: f64) -> String {
    if value.is_infinite() {
        "–".to_owned()
    } else if value == 0.0 {
        "0".to_owned()
    } else if value.abs() < 0.1 {
        format!("{value:.4}")
    } else {
        number(value)
    }
}

fn aligned<const N: usize>(rows: &[[String; N]]) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let mut text = String::new();
    for row in rows {
        for (column, cell) in row.iter().enumerate() {
            let pad = " ".repeat(width(column).saturating_sub(cell.chars().count()));
            text.push_str(&if column == 0 { format!("{cell}{pad}") } else { format!("  {pad}{cell}") });
        }
        text.push('\n');
    }
    text
}

fn marked<const N: usize>(rows: &[[String; N]]) -> String {
    let mut text = String::new();
    for (at, row) in rows.iter().enumerate() {
        text.push_str(&format!("| {} |\n", row.join(" | ")));
        if at == 0 {
            text.push_str(&format!("|---{}|\n", "|---:".repeat(N - 1)));
        }
    }
    text
}
