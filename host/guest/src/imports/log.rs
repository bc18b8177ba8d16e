//! `postern:host/log`: lines for the operator, no more than the policy grants.

use std::time::Instant;

use metrics::Counter;
use parking_lot::Mutex;
use wasmtime::component::{HasData, Linker};

use super::bindings::postern::host::log;
use crate::plugin_log::LogLevel;
use crate::state::{Granted, State};

/// Bytes of a line that are kept.
const LINE_LEN: usize = 1_024;

/// How many lines a plugin may log: a bucket that fills at the granted rate and holds a second's.
pub(crate) struct LogBudget {
    per_sec: f64,
    bucket: Mutex<Bucket>,
    dropped: Counter,
}

struct Bucket {
    lines: f64,
    filled: Instant,
    /// Lines dropped since the last that went through.
    dropped: u64,
}

impl LogBudget {
    pub(crate) fn new(plugin: &str, lines_per_sec: u32, now: Instant) -> LogBudget {
        LogBudget {
            per_sec: f64::from(lines_per_sec),
            bucket: Mutex::new(Bucket { lines: f64::from(lines_per_sec), filled: now, dropped: 0 }),
            dropped: metrics::counter!("postern_plugin_log_dropped_total", "plugin" => plugin.to_owned()),
        }
    }

    /// Takes one line: `Some` with the number dropped before it, or none when the budget is spent.
    pub(crate) fn take(&self, now: Instant) -> Option<u64> {
        let mut bucket = self.bucket.lock();
        let secs = now.saturating_duration_since(bucket.filled).as_secs_f64();
        bucket.lines = (bucket.lines + secs * self.per_sec).min(self.per_sec);
        bucket.filled = now;
        if bucket.lines < 1.0 {
            bucket.dropped += 1;
            self.dropped.increment(1);
            return None;
        }
        bucket.lines -= 1.0;
        Some(std::mem::take(&mut bucket.dropped))
    }
}

pub(crate) struct LogView<'a> {
    granted: &'a Granted,
}

impl HasData for LogView<'static> {
    type Data<'a> = LogView<'a>;
}

impl log::Host for LogView<'_> {
    fn write(&mut self, level: log::Level, message: String) {
        let plugin = self.granted.plugin.as_str();
        let Some(dropped) = self.granted.log.take(Instant::now()) else { return };
        if dropped > 0 {
            tracing::warn!(target: "postern::plugin", plugin, dropped, "log lines over the granted volume");
        }
        let line = clean(&message);
        let level = match level {
            log::Level::Debug => LogLevel::Debug,
            log::Level::Info => LogLevel::Info,
            log::Level::Warn => LogLevel::Warn,
            log::Level::Error => LogLevel::Error,
        };
        match level {
            LogLevel::Debug => tracing::debug!(target: "postern::plugin", plugin, "{line}"),
            LogLevel::Info => tracing::info!(target: "postern::plugin", plugin, "{line}"),
            LogLevel::Warn => tracing::warn!(target: "postern::plugin", plugin, "{line}"),
            LogLevel::Error => tracing::error!(target: "postern::plugin", plugin, "{line}"),
        }
        self.granted.lines.push(level, line);
    }
}

/// The line cut to its length, without what could forge other lines or drive a terminal.
fn clean(message: &str) -> String {
    let kept = message.get(..message.floor_char_boundary(LINE_LEN)).unwrap_or_default();
    kept.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

pub(crate) fn add_to_linker(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    log::add_to_linker::<State, LogView<'static>>(linker, |state| LogView { granted: &state.granted })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn lines_over_the_rate_are_dropped_and_counted() {
        let now = Instant::now();
        let budget = LogBudget::new("p", 2, now);
        assert_eq!(budget.take(now), Some(0));
        assert_eq!(budget.take(now), Some(0));
        assert_eq!(budget.take(now), None);
        assert_eq!(budget.take(now), None);
        assert_eq!(budget.take(now + Duration::from_millis(500)), Some(2));
        assert_eq!(budget.take(now + Duration::from_millis(500)), None);
        let later = now + Duration::from_secs(60);
        assert_eq!(budget.take(later), Some(1), "a rest gives one second's lines, not a minute's");
        assert_eq!(budget.take(later), Some(0));
        assert_eq!(budget.take(later), None);
        assert_eq!(LogBudget::new("mute", 0, now).take(later), None);
    }

    #[test]
    fn lines_are_cut_and_made_harmless() {
        assert_eq!(clean("a\nb\u{1b}[31m"), "a b [31m");
        assert_eq!(clean(&"é".repeat(600)).len(), 1_024);
    }
}
