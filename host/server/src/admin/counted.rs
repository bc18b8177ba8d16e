//! Everything that /metrics shows: one table, of which the HELP and TYPE lines and docs/operate/metrics.md are made.
//! Labels are of fixed sets, or names that the operator gave (plugins): no peer can make a series.

use std::fmt::Write;

use metrics::Label;

/// What a metric does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only rises, until the process ends.
    Counter,
    /// Rises and falls.
    Gauge,
}

use Kind::{Counter, Gauge};

/// A metric.
pub struct Metric {
    /// As it is on the page.
    pub name: &'static str,
    /// What it does.
    pub kind: Kind,
    /// Its labels with all their values; none where the values are names.
    pub labels: &'static [(&'static str, &'static [&'static str])],
    /// What it counts, in one line.
    pub help: &'static str,
}

const fn metric(name: &'static str, kind: Kind, help: &'static str) -> Metric {
    Metric { name, kind, labels: &[], help }
}

const fn labelled(
    name: &'static str,
    kind: Kind,
    labels: &'static [(&'static str, &'static [&'static str])],
    help: &'static str,
) -> Metric {
    Metric { name, kind, labels, help }
}

const TRANSPORTS: (&str, &[&str]) = ("transport", &["plain", "tls"]);
const OF_PLUGIN: &[(&str, &[&str])] = &[("role", &[]), ("plugin", &[])];
const OF_PART: &[(&str, &[&str])] = &[("role", &[]), ("plugin", &[]), ("part", &[])];

/// All of them, in the order of the page.
pub const METRICS: &[Metric] = &[
    metric(
        "postern_ready",
        Gauge,
        "Whether /readyz says yes: database, bus, a plugin in every role, and no stop; 0 or 1",
    ),
    metric("postern_clients_connected", Gauge, "MQTT clients that are connected"),
    metric("postern_sessions", Gauge, "Sessions, connected or kept for their clients"),
    metric("postern_subscriptions", Gauge, "Subscriptions of all sessions"),
    metric("postern_retained_messages", Gauge, "Retained messages"),
    metric("postern_packets_received_total", Counter, "MQTT packets from clients"),
    metric("postern_packets_sent_total", Counter, "MQTT packets to clients"),
    metric("postern_bytes_received_total", Counter, "Bytes of MQTT packets from clients"),
    metric("postern_bytes_sent_total", Counter, "Bytes of MQTT packets to clients"),
    metric("postern_messages_received_total", Counter, "Messages that clients published"),
    metric(
        "postern_messages_sent_total",
        Counter,
        "Messages sent to subscribers and addressees, repeats included",
    ),
    metric(
        "postern_messages_redelivered_total",
        Counter,
        "Messages sent again because a session was resumed",
    ),
    metric("postern_messages_unrouted_total", Counter, "Messages that nobody had subscribed to"),
    labelled(
        "postern_messages_dropped_total",
        Counter,
        &[("why", &["queue-full", "offline", "expired", "too-large", "retained-limit"])],
        "Messages that a session, or the retained ones, did not take",
    ),
    metric("postern_takeovers_total", Counter, "Links ended because their client connected again"),
    metric(
        "postern_slow_readers_total",
        Counter,
        "Times that a link had to be waited for because its client reads slowly",
    ),
    metric(
        "postern_sessions_expired_total",
        Counter,
        "Sessions that ended because their client did not come back in time",
    ),
    metric(
        "postern_sessions_kept_rows_total",
        Counter,
        "Rows written or removed to keep sessions over a restart",
    ),
    metric("postern_sessions_kept_errors_total", Counter, "Failed attempts to write them"),
    metric(
        "postern_publish_held_total",
        Counter,
        "Times that a link was read no further because it was over its rate",
    ),
    labelled(
        "postern_refused_total",
        Counter,
        &[(
            "reason",
            &[
                "admin-token",
                "bad-credentials",
                "by-rule",
                "client-id",
                "closed",
                "command-right",
                "commands-waiting",
                "connections-before-sign-in",
                "connections-per-address",
                "expired",
                "foreign-origin",
                "handshake-failed",
                "handshake-timeout",
                "http-busy",
                "http-requests-per-address",
                "keep-alive",
                "login-challenge",
                "login-host",
                "login-rate",
                "logins-busy",
                "malformed-packet",
                "not-allowed",
                "packet-too-large",
                "payload-format",
                "protocol-error",
                "renewal-rate",
                "switch-rate",
                "too-slow",
                "topic",
                "unavailable",
                "wrong-group",
            ],
        )],
        "What was refused, of connections, packets, requests and commands",
    ),
    labelled(
        "postern_logins_total",
        Counter,
        &[("outcome", &["ok", "denied", "too-many", "unavailable"]), ("by", &["password", "key"])],
        "Logins over HTTPS",
    ),
    labelled(
        "postern_sign_in_denied_total",
        Counter,
        &[("why", &["bad-credentials", "expired", "replayed", "misplaced", "anonymous"])],
        "Sign-ins over MQTT that the token plugin denied",
    ),
    metric("postern_tokens_issued_total", Counter, "Tokens given to devices that logged in"),
    metric("postern_tokens_renewed_total", Counter, "Tokens renewed"),
    metric("postern_tokens_revoked_total", Counter, "Tokens revoked"),
    metric("postern_argon2_total", Counter, "Password hashes computed"),
    labelled(
        "postern_tls_handshakes_total",
        Counter,
        &[("kind", &["full", "resumed"])],
        "TLS handshakes of MQTT links, WebSockets included",
    ),
    metric(
        "postern_store_refused_total",
        Counter,
        "Stored messages that the store plugin refused, or that were not committed",
    ),
    metric(
        "postern_store_duplicates_total",
        Counter,
        "Stored messages that came again, and were stored once",
    ),
    metric("postern_store_purged_total", Counter, "Expired entries removed from the host's key-value table"),
    metric(
        "postern_classify_fallback_total",
        Counter,
        "Messages classed by their topic's prefix while the classify plugin was down",
    ),
    labelled(
        "postern_commands_total",
        Counter,
        &[(
            "state",
            &["accepted", "waiting", "sent", "acknowledged", "done", "failed", "unknown", "cancelled"],
        )],
        "Commands to terminals that came to a state: accepted from a requester, reported by the terminal, or taken back",
    ),
    metric("postern_command_refused_total", Counter, "Reports of terminals that fit no command of theirs"),
    labelled(
        "postern_instructions_total",
        Counter,
        &[("to", &["plain", "tls"])],
        "Instructions to reconnect that were sent to terminals",
    ),
    labelled("postern_terminals", Gauge, &[TRANSPORTS], "Terminals that are connected"),
    labelled(
        "postern_terminal_seconds_total",
        Counter,
        &[TRANSPORTS],
        "Time of all terminals on this transport, in seconds",
    ),
    labelled(
        "postern_terminal_bytes_total",
        Counter,
        &[TRANSPORTS],
        "Bytes of terminals' links as the network carries them, handshakes included",
    ),
    labelled(
        "postern_terminal_switches_total",
        Counter,
        &[("to", &["plain", "tls"])],
        "Times that a terminal came in on the other transport",
    ),
    metric(
        "postern_terminal_switch_bytes_total",
        Counter,
        "Bytes that those switches took, handshakes included",
    ),
    metric(
        "postern_terminal_bytes_spared_total",
        Counter,
        "Bytes of TLS records that plain links have spared terminals",
    ),
    metric("postern_plugin_activations_total", Counter, "Activations of a plugin, promotions included"),
    metric("postern_plugin_rollbacks_total", Counter, "Rollbacks, by operators or on probation"),
    labelled(
        "postern_reloads_total",
        Counter,
        &[("what", &["certificate", "policy"]), ("outcome", &["applied", "refused"])],
        "Reloads of a file that had changed, by SIGHUP, by the file itself, or by postern reload",
    ),
    labelled(
        "postern_reload_refused",
        Gauge,
        &[("what", &["certificate", "policy"])],
        "1 while the file is wrong and what served before serves on",
    ),
    metric(
        "postern_certificate_expires_seconds",
        Gauge,
        "When the certificate that serves ends, in seconds since the epoch",
    ),
    labelled(
        "postern_plugin_calls_total",
        Counter,
        &[("role", &[]), ("plugin", &[]), ("outcome", &[])],
        "Calls of plugins; outcome is ok, error (the answer no), trapped, slow, busy, recovering, nonsense, failed or unavailable",
    ),
    labelled(
        "postern_plugin_call_seconds_bucket",
        Counter,
        &[("role", &[]), ("plugin", &[]), ("le", &[])],
        "Calls that took at most so many seconds, for histogram_quantile; of classify and encrypt one call in 64 is timed",
    ),
    labelled(
        "postern_plugin_cpu_microseconds_total",
        Counter,
        OF_PLUGIN,
        "CPU time of calls, in microseconds, from those that were timed",
    ),
    labelled(
        "postern_plugin_generation",
        Gauge,
        OF_PART,
        "Number of the generation that serves; part is all or canary",
    ),
    labelled("postern_plugin_instances", Gauge, OF_PART, "Instances, at work or idle"),
    labelled("postern_plugin_idle_instances", Gauge, OF_PART, "Instances that wait for a call"),
    labelled("postern_plugin_queue", Gauge, OF_PART, "Calls that wait for an instance"),
    labelled("postern_plugin_memory_bytes", Gauge, OF_PART, "Linear memory of all instances, in bytes"),
    labelled("postern_plugin_peak_memory_bytes", Gauge, OF_PART, "The most that it has been, in bytes"),
    labelled(
        "postern_plugin_log_dropped_total",
        Counter,
        &[("plugin", &[])],
        "Log lines beyond what a plugin may write",
    ),
    labelled(
        "postern_plugin_http_total",
        Counter,
        &[("plugin", &[]), ("outcome", &["answered", "failed"])],
        "HTTP requests of plugins; of those that are granted http",
    ),
];

/// Describes all, and shows those of fixed labels at 0 before anything is counted: a series that is not there cannot be
/// alerted on.
pub fn describe() {
    for metric in METRICS {
        let (name, help) = (metric.name, metric.help);
        match metric.kind {
            Counter => metrics::describe_counter!(name, help),
            Gauge => metrics::describe_gauge!(name, help),
        }
        for labels in metric.series() {
            match metric.kind {
                Counter => metrics::counter!(name, labels).absolute(0),
                Gauge => metrics::gauge!(name, labels).set(0.0),
            }
        }
    }
}

impl Metric {
    /// The labels of each series; none where a label's values are names.
    fn series(&self) -> Vec<Vec<Label>> {
        let mut series = vec![Vec::new()];
        for (label, values) in self.labels {
            let with = |labels: &Vec<Label>, value: &'static str| {
                let mut labels = labels.clone();
                labels.push(Label::from_static_parts(label, value));
                labels
            };
            series =
                series.iter().flat_map(|labels| values.iter().map(|value| with(labels, value))).collect();
        }
        series
    }
}

/// The page docs/operate/metrics.md.
pub fn markdown() -> String {
    let mut page = HEAD.to_owned();
    let _ = writeln!(
        page,
        "\n<!-- Made by `cargo xtask docs` of host/server/src/admin/counted.rs: change it there. -->\n"
    );
    page.push_str("| metric | type | labels | meaning |\n|---|---|---|---|\n");
    for metric in METRICS {
        let kind = if metric.kind == Counter { "counter" } else { "gauge" };
        let labels = metric.labels.iter().map(|(label, values)| match values {
            [] => format!("`{label}`"),
            values => format!("`{label}`: {}", values.join(", ")),
        });
        let labels = labels.collect::<Vec<_>>().join("; ");
        let _ = writeln!(page, "| `{}` | {kind} | {labels} | {} |", metric.name, metric.help);
    }
    page
}

const HEAD: &str = "\
# Metrics

`/metrics` on the listeners `health` (plain HTTP) and `admin` is in Prometheus' text format. Counters start at 0 with the
process. Labels have few values: those that stand here, or the names of plugins and roles. No client, user, topic or
message is ever in one.
";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::tests::is_committed;

    #[test]
    fn the_page_is_what_the_table_says() {
        is_committed("metrics.md", &markdown());
    }
}
