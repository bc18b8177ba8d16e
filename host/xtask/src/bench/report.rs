//! The table on stdout and the report in docs/bench.

use serde_json::Value;

use super::spread::{median, middle};

/// What a figure must reach, by its median.
#[derive(Clone, Copy)]
pub(super) enum Target {
    Below(f64),
    AtLeast(f64),
}

/// A figure: the values of all rounds.
pub(super) struct Row {
    name: String,
    unit: &'static str,
    values: Vec<f64>,
    target: Option<Target>,
}

impl Row {
    pub(super) fn new(name: &str, unit: &'static str, values: Vec<f64>) -> Self {
        let mut values = values;
        values.sort_unstable_by(f64::total_cmp);
        Row { name: name.to_owned(), unit, values, target: None }
    }

    pub(super) fn target(mut self, target: Target) -> Self {
        self.target = Some(target);
        self
    }

    /// Name, unit, minimum, median, maximum, target, met.
    fn cells(&self) -> [String; 7] {
        let middle = median(&self.values);
        let shown = |value: Option<f64>| value.map_or_else(|| "–".to_owned(), number);
        let (least, most) = (self.values.first().copied(), self.values.last().copied());
        let (target, met) = match (self.target, middle) {
            (Some(Target::Below(bound)), Some(value)) => {
                (format!("< {}", number(bound)), told(value < bound))
            }
            (Some(Target::AtLeast(bound)), Some(value)) => {
                (format!("≥ {}", number(bound)), told(value >= bound))
            }
            _ => (String::new(), ""),
        };
        let [least, middle, most] = [least, middle, most].map(shown);
        [self.name.clone(), self.unit.to_owned(), least, middle, most, target, met.to_owned()]
    }
}

const HEADS: [&str; 7] = ["figure", "unit", "minimum", "median", "maximum", "target", ""];

/// Everything that was measured.
pub(super) struct Report {
    machine: Vec<(&'static str, String)>,
    pub(super) rows: Vec<Row>,
    /// Sentences below the table.
    pub(super) notes: Vec<String>,
    /// The generator's answer to `bytes`.
    pub(super) bytes: Option<Value>,
    /// Bytes of a body in it.
    pub(super) body: usize,
}

impl Report {
    pub(super) fn new(machine: Vec<(&'static str, String)>) -> Self {
        Report { machine, rows: Vec::new(), notes: Vec::new(), bytes: None, body: 0 }
    }

    /// The rows of a case that carries messages, and whose limit it shows.
    pub(super) fn messages(&mut self, name: &str, target: Option<Target>, answers: Vec<Value>) {
        if answers.is_empty() {
            return;
        }
        let all = |pointer: &str| -> Vec<f64> {
            answers.iter().filter_map(|answer| answer.pointer(pointer)?.as_f64()).collect()
        };
        let rates = answers.iter().map(forwarded).collect();
        let mut row = Row::new(name, "msg/s", rates);
        row.target = target;
        self.rows.push(row);
        for (what, unit, pointer) in [
            ("PUBACK, median", "ms", "/ack_ms/p50"),
            ("PUBACK, 99th percentile", "ms", "/ack_ms/p99"),
            ("delivery, 99th percentile", "ms", "/delivery_ms/p99"),
            ("the server's CPU", "cores", "/server_cpu"),
            ("the generator's CPU", "cores", "/generator_cpu"),
        ] {
            self.rows.push(Row::new(&format!("– {what}"), unit, all(pointer)));
        }
        let per_message =
            |answer: &Value| Some(answer["server_cpu"].as_f64()? * 1e6 / forwarded(answer).max(1.0));
        let micros = answers.iter().filter_map(per_message).collect();
        self.rows.push(Row::new("– the server's CPU for one message", "µs", micros));
        let sum = |pointer| all(pointer).into_iter().sum::<f64>();
        let lost = sum("/acked") - sum("/delivered");
        if lost != 0.0 || sum("/missed") != 0.0 {
            self.notes.push(format!(
                "{name}: {lost} acknowledged messages did not arrive, {} were overtaken.",
                sum("/missed")
            ));
        }
        if sum("/repeated") > 0.0 {
            self.notes.push(format!("{name}: {} messages arrived more than once.", sum("/repeated")));
        }
        let cores = std::thread::available_parallelism().map_or(1.0, |cores| cores.get() as f64);
        let (server, own) =
            (middle(all("/server_cpu")).unwrap_or(0.0), middle(all("/generator_cpu")).unwrap_or(0.0));
        if own > 0.9 {
            self.notes.push(format!(
                "{name}: the generator's one thread was busy ({own:.2} cores): the server may do more."
            ));
        } else if server + own > 0.95 * cores {
            self.notes.push(format!(
                "{name}: the machine was full; of {cores} cores the server had {server:.2}, the generator {own:.2}."
            ));
        }
    }

    /// For the terminal.
    pub(super) fn table(&self) -> String {
        let mut rows: Vec<[String; 7]> = vec![HEADS.map(str::to_owned)];
        rows.extend(self.rows.iter().map(Row::cells));
        let mut text = aligned(&rows);
        self.notes.iter().for_each(|note| text.push_str(&format!("{note}\n")));
        if let Some(bytes) = &self.bytes {
            text.push('\n');
            text.push_str(&aligned(&weights(bytes)));
            text.push_str(BYTES);
            text.push('\n');
        }
        text
    }

    /// For docs/bench.
    pub(super) fn markdown(&self, command: &str) -> String {
        let mut text = format!(
            "# The first whole way, measured\n\nWritten by `{command}`, on loopback, release build, \
             policies/bench.toml, SQLite with WAL and synchronous=FULL. Server and generator share the machine's \
             cores. Rounds go in turns through all cases; a figure's target is met by its median.\n\n"
        );
        for (what, value) in &self.machine {
            text.push_str(&format!("- {what}: {value}\n"));
        }
        text.push('\n');
        let rows: Vec<[String; 7]> = self.rows.iter().map(Row::cells).collect();
        text.push_str(&marked(&HEADS.map(str::to_owned), &rows));
        if !self.notes.is_empty() {
            text.push('\n');
            self.notes.iter().for_each(|note| text.push_str(&format!("- {note}\n")));
        }
        if let Some(bytes) = &self.bytes
            && let Some((head, rows)) = weights(bytes).split_first()
        {
            text.push_str(&format!("\n## Bytes on the wire (A15), body of {} bytes\n\n", self.body));
            text.push_str(&marked(head, rows));
            text.push_str(&format!("\n{BYTES}\n"));
        }
        text
    }
}

const BYTES: &str = "Payload bytes of TCP, counted by a proxy: TLS records are in it, headers are not. In brackets with \
    IPv4 and TCP headers (52 bytes a segment with timestamps): each segment with payload, one acknowledgement \
    at the end, and for a sign-in the three segments that open the connection (172 bytes). A message is counted at both ends: from \
    the publisher with its PUBACK, and to the recipient with the recipient's. Resumed: by session ticket.";

/// The table of the generator's answer to `bytes`.
fn weights(bytes: &Value) -> Vec<[String; 7]> {
    let heads = ["MQTT, link", "sign-in", "resumed", "QoS 0 in", "QoS 0 out", "QoS 1 in", "QoS 1 out"];
    let mut rows = vec![heads.map(str::to_owned)];
    for case in bytes["cases"].as_array().into_iter().flatten() {
        let at = |pointer: &str, opening: f64| {
            case.pointer(pointer).map_or_else(String::new, |value| weight(value, opening))
        };
        let name = |key: &str| case[key].as_str().unwrap_or_default();
        rows.push([
            format!("{}, {}", name("mqtt"), name("link")),
            at("/sign_in", 172.0),
            at("/sign_in_resumed", 172.0),
            at("/qos0/publisher", 0.0),
            at("/qos0/recipient", 0.0),
            at("/qos1/publisher", 0.0),
            at("/qos1/recipient", 0.0),
        ]);
    }
    rows
}

/// Payload bytes both ways, and in brackets with headers.
fn weight(value: &Value, opening: f64) -> String {
    let of = |key: &str| value[key].as_f64();
    match (of("up"), of("down"), of("segments")) {
        (Some(up), Some(down), Some(segments)) => {
            format!("{:.0} ({:.0})", up + down, up + down + opening + 52.0 * (segments + 1.0))
        }
        _ => "–".to_owned(),
    }
}

/// What is both acknowledged and delivered, a second.
fn forwarded(answer: &Value) -> f64 {
    let of = |key: &str| answer[key].as_f64().unwrap_or(0.0);
    of("acked_per_sec").min(of("delivered_per_sec"))
}

/// One run in one line.
pub(super) fn in_short(answer: &Value) -> String {
    let of = |pointer: &str| answer.pointer(pointer).and_then(Value::as_f64).unwrap_or(f64::NAN);
    format!(
        "{}/s acknowledged, {}/s delivered; PUBACK p50 {:.1} ms, p99 {:.1} ms; cores: server {:.2}, generator {:.2}",
        number(of("/acked_per_sec")),
        number(of("/delivered_per_sec")),
        of("/ack_ms/p50"),
        of("/ack_ms/p99"),
        of("/server_cpu"),
        of("/generator_cpu"),
    )
}

fn told(met: bool) -> &'static str {
    if met { "met" } else { "MISSED" }
}

/// `12,345`, `123.4`, `1.23`.
pub(crate) fn number(value: f64) -> String {
    if value < 0.0 {
        return format!("-{}", number(-value));
    }
    if value < 10.0 {
        return format!("{value:.2}");
    }
    if value < 1_000.0 {
        return format!("{value:.1}");
    }
    let whole = format!("{value:.0}");
    let mut grouped = String::new();
    for (at, digit) in whole.chars().enumerate() {
        if at > 0 && (whole.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

fn aligned(rows: &[[String; 7]]) -> String {
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let mut text = String::new();
    for row in rows {
        for (column, cell) in row.iter().enumerate() {
            let pad = " ".repeat(width(column).saturating_sub(cell.chars().count()));
            if column < 1 {
                text.push_str(&format!("{cell}{pad}"));
            } else {
                text.push_str(&format!("  {pad}{cell}"));
            }
        }
        text.truncate(text.trim_end().len());
        text.push('\n');
    }
    text
}

fn marked(head: &[String; 7], rows: &[[String; 7]]) -> String {
    let line = |cells: &[String; 7]| format!("| {} |\n", cells.join(" | "));
    let mut text = line(head);
    text.push_str("|---|---|---:|---:|---:|---:|---|\n");
    rows.iter().for_each(|row| text.push_str(&line(row)));
    text
}
