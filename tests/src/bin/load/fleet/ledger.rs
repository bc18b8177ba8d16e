//! What was asked of the fleet and what came of it: times, and how often each command was executed.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// The link on which a command was executed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// Plain TCP.
    Plain,
    /// TLS, and the terminal was there before.
    There,
    /// TLS, resumed for this command.
    Resumed,
    /// TLS by a full handshake for this command.
    Full,
}

impl Way {
    const ALL: [(Way, &'static str); 4] =
        [(Way::Plain, "plain"), (Way::There, "there"), (Way::Resumed, "resumed"), (Way::Full, "full")];
}

/// One command.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Entry {
    pub(crate) group: usize,
    /// The request was written.
    pub(crate) asked: Option<Instant>,
    /// The server has said that it is saved.
    pub(crate) accepted: Option<Instant>,
    /// The server has said no.
    pub(crate) refused: bool,
    /// First executed.
    pub(crate) executed: Option<(Instant, Way)>,
    pub(crate) times: u32,
}

/// All commands of a run, by number.
pub(crate) struct Ledger(Mutex<Vec<Entry>>);

impl Ledger {
    pub(crate) fn new(entries: Vec<Entry>) -> Self {
        Ledger(Mutex::new(entries))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Vec<Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes one entry.
    pub(crate) fn note(&self, number: usize, change: impl FnOnce(&mut Entry)) {
        if let Some(entry) = self.lock().get_mut(number) {
            change(entry);
        }
    }

    /// When it was asked for.
    pub(crate) fn asked(&self, number: usize) -> Option<Instant> {
        self.lock().get(number)?.asked
    }

    /// Whether each has been executed or refused.
    pub(crate) fn is_settled(&self) -> bool {
        self.lock().iter().all(|entry| entry.refused || entry.executed.is_some())
    }
}

/// What came of a group's commands.
pub(crate) fn summary<'a>(entries: impl Iterator<Item = &'a Entry> + Clone) -> Value {
    let count = |is: fn(&Entry) -> bool| entries.clone().filter(|entry| is(entry)).count();
    let millis = |from: Option<Instant>, to: Option<Instant>| -> Option<f64> {
        // A command may be executed before its requester has the server's word.
        Some(to?.saturating_duration_since(from?).as_secs_f64() * 1e3)
    };
    let mut ways = serde_json::Map::new();
    for (way, name) in Way::ALL {
        let on_it = entries.clone().filter(|entry| entry.executed.is_some_and(|(_, on)| on == way));
        let done = |entry: &Entry| entry.executed.map(|(at, _)| at);
        let from_asked = quantiles(on_it.clone().filter_map(|entry| millis(entry.asked, done(entry))));
        if !from_asked.is_null() {
            let from_accepted = quantiles(on_it.filter_map(|entry| millis(entry.accepted, done(entry))));
            ways.insert(name.to_owned(), json!({ "asked": from_asked, "accepted": from_accepted }));
        }
    }
    json!({
        "commands": entries.clone().count(),
        "refused": count(|entry| entry.refused),
        "lost": count(|entry| !entry.refused && entry.executed.is_none()),
        "twice": count(|entry| entry.times > 1),
        "accept_ms": quantiles(entries.clone().filter_map(|entry| millis(entry.asked, entry.accepted))),
        "ways": ways,
    })
}

/// Seconds from the first request to the last execution.
pub(crate) fn span(entries: &[Entry]) -> Option<Duration> {
    let first = entries.iter().filter_map(|entry| entry.asked).min()?;
    let last = entries.iter().filter_map(|entry| entry.executed).map(|(at, _)| at).max()?;
    Some(last.saturating_duration_since(first))
}

/// Minimum, median, 99th percentile, maximum, mean and count; null without values.
pub(crate) fn quantiles(values: impl Iterator<Item = f64>) -> Value {
    let mut values: Vec<f64> = values.collect();
    values.sort_unstable_by(f64::total_cmp);
    let at =
        |share: f64| values.get(((values.len() as f64 * share) as usize).min(values.len().saturating_sub(1)));
    if values.is_empty() {
        return Value::Null;
    }
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    json!({ "n": values.len(), "min": at(0.0), "p50": at(0.5), "p99": at(0.99), "max": at(1.0), "mean": mean })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_lost_refused_or_done_twice_is_told() {
        let begun = Instant::now();
        let after = |millis| Some(begun + Duration::from_millis(millis));
        let asked = Entry { asked: Some(begun), accepted: after(3), ..Entry::default() };
        let done = |millis, way, times| Entry { executed: after(millis).map(|at| (at, way)), times, ..asked };
        let entries =
            [done(2, Way::There, 1), done(7, Way::Resumed, 2), asked, Entry { refused: true, ..asked }];
        let told = summary(entries.iter());
        assert_eq!((&told["lost"], &told["twice"], &told["refused"]), (&json!(1), &json!(1), &json!(1)));
        assert_eq!(told["ways"]["resumed"]["asked"]["p50"], json!(7.0));
        assert_eq!(told["ways"]["resumed"]["accepted"]["p50"], json!(4.0));
        assert_eq!(told["ways"]["there"]["accepted"]["p50"], json!(0.0), "before the server's word");
        assert_eq!(told["ways"].get("full"), None);
        assert_eq!(span(&entries), Some(Duration::from_millis(7)));
    }

    #[test]
    fn quantiles_of_few_and_of_many() {
        assert_eq!(quantiles([].into_iter()), Value::Null);
        let told = quantiles((1..=100).map(f64::from));
        assert_eq!((&told["min"], &told["p50"], &told["p99"]), (&json!(1.0), &json!(51.0), &json!(100.0)));
        assert_eq!((&told["max"], &told["n"]), (&json!(100.0), &json!(100)));
    }
}
