//! The answer: what was seen of the server, and of each group's day. Pure.

use serde_json::{Value, json};

use super::diary::{Diary, Sums};
use super::ledger::{Entry, quantiles, span, summary};
use super::{Request, Seen};

/// All of it, as JSON.
pub(super) fn answer(request: &Request, seen: &Seen, diaries: &[Diary], entries: &[Entry]) -> Value {
    let group = |at: usize| -> Value {
        let own = || diaries.iter().filter(move |diary| diary.group == at);
        let days = || own().filter_map(Diary::day);
        let of = |what: fn(&Sums) -> f64| quantiles(days().map(|day| what(&day)));
        json!({
            "wire_bytes": of(|day| day.carried.weight() as f64),
            "payload_bytes": of(|day| day.carried.bytes as f64),
            "segments": of(|day| day.carried.segments as f64),
            "pings": of(|day| day.pings as f64),
            "switches": of(|day| day.switches as f64),
            "full": of(|day| day.full as f64),
            "resumed": of(|day| day.resumed as f64),
            "tls_secs": of(|day| day.on_tls.as_secs_f64()),
            "ping_ms": quantiles(own().flat_map(|diary| &diary.pings_ms).map(|ms| f64::from(*ms))),
            "commands": summary(entries.iter().filter(move |entry| entry.group == at)),
        })
    };
    let terminals: usize = request.groups.iter().map(|group| group.terminals).sum();
    let broken: Vec<&Diary> = diaries.iter().filter(|diary| diary.broken + diary.odd > 0).collect();
    let during = seen.during.iter().map(|memory| memory.rss_anon_kib);
    json!({
        "terminals": terminals,
        "memory": { "before": seen.before, "idle": seen.idle, "after": seen.after, "during": quantiles(during) },
        "arrivals_per_sec": terminals as f64 / seen.arriving_secs.max(1e-3),
        "rest_cpu_secs": seen.rest_cpu_secs,
        "rest_pings": terminals as f64 * request.rest_secs * 1e3 / request.ping_millis as f64,
        "day_cpu_secs": seen.day_cpu_secs,
        "day_secs": seen.day_secs,
        "span_secs": span(entries).map(|span| span.as_secs_f64()),
        "groups": (0..request.groups.len()).map(group).collect::<Vec<_>>(),
        "broken": broken.iter().map(|diary| diary.broken).sum::<u64>(),
        "odd": broken.iter().map(|diary| diary.odd).sum::<u64>(),
        "why": broken.first().map(|diary| diary.why.as_str()),
    })
}
