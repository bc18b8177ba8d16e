//! The last lines that each plugin has logged, and the host about it: for the operator who asks.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;
use tokio::sync::Notify;

/// Lines of one plugin that are kept.
const LINES: usize = 1_000;
/// Plugins whose lines are kept.
const PLUGINS: usize = 200;

/// How much a line matters; in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs)] // as in `postern:host/log`
pub enum LogLevel {
    Debug,
    Info,
    Warn,
    Error,
}

impl LogLevel {
    /// As it is written.
    pub const fn name(self) -> &'static str {
        match self {
            LogLevel::Debug => "debug",
            LogLevel::Info => "info",
            LogLevel::Warn => "warn",
            LogLevel::Error => "error",
        }
    }
}

impl std::str::FromStr for LogLevel {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let all = [LogLevel::Debug, LogLevel::Info, LogLevel::Warn, LogLevel::Error];
        let found = all.into_iter().find(|level| level.name() == text);
        found.ok_or_else(|| format!("`{text}` is no level: use debug, info, warn or error"))
    }
}

/// One line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// Greater than that of all before it, of the same plugin.
    pub seq: u64,
    /// In ms since the Unix epoch.
    pub at: u64,
    /// How much it matters.
    pub level: LogLevel,
    /// What it says.
    pub text: String,
    /// The request or packet that it was written for, or several, separated by spaces.
    pub id: Option<String>,
}

/// The last lines of one plugin, all generations together.
#[derive(Default)]
pub(crate) struct Lines {
    kept: Mutex<VecDeque<LogLine>>,
    came: Notify,
}

impl Lines {
    pub(crate) fn push(&self, level: LogLevel, text: String) {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let at = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
        let id = postern_trace::ids().map(|ids| ids.to_string());
        let mut kept = self.kept.lock();
        let seq = kept.back().map_or(1, |last| last.seq + 1);
        if kept.len() == LINES {
            kept.pop_front();
        }
        kept.push_back(LogLine { seq, at, level, text, id });
        drop(kept);
        self.came.notify_waiters();
    }

    fn after(&self, seq: u64, least: LogLevel) -> Vec<LogLine> {
        let kept = self.kept.lock();
        kept.iter().filter(|line| line.seq > seq && line.level >= least).cloned().collect()
    }
}

/// The last lines of all plugins.
#[derive(Default)]
pub struct PluginLogs(Mutex<HashMap<String, Arc<Lines>>>);

impl PluginLogs {
    /// Those of one plugin. One too many is written nowhere.
    pub(crate) fn of(&self, plugin: &str) -> Arc<Lines> {
        let mut all = self.0.lock();
        if all.len() >= PLUGINS && !all.contains_key(plugin) {
            return Arc::default();
        }
        all.entry(plugin.to_owned()).or_default().clone()
    }

    /// Lines of a plugin after `seq` that matter at least so much, oldest first; None when it never was loaded.
    pub fn after(&self, plugin: &str, seq: u64, least: LogLevel) -> Option<Vec<LogLine>> {
        let lines = self.0.lock().get(plugin)?.clone();
        Some(lines.after(seq, least))
    }

    /// The same; when there are none, waits for some.
    pub async fn next(&self, plugin: &str, seq: u64, least: LogLevel) -> Option<Vec<LogLine>> {
        let lines = self.0.lock().get(plugin)?.clone();
        loop {
            let came = lines.came.notified();
            tokio::pin!(came);
            came.as_mut().enable(); // a line between the look and the wait wakes it
            let found = lines.after(seq, least);
            if !found.is_empty() {
                return Some(found);
            }
            came.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn lines_are_kept_to_a_bound_and_waited_for() {
        let logs = Arc::new(PluginLogs::default());
        assert!(logs.after("p", 0, LogLevel::Debug).is_none());
        let lines = logs.of("p");
        for n in 0..LINES + 10 {
            let level = if n % 2 == 0 { LogLevel::Info } else { LogLevel::Error };
            lines.push(level, n.to_string());
        }
        let found = logs.after("p", 0, LogLevel::Debug).unwrap();
        assert_eq!((found.len(), &*found[0].text), (LINES, "10"));
        assert_eq!(logs.after("p", 0, LogLevel::Error).unwrap().len(), LINES / 2);
        let last = found.last().unwrap().seq;
        assert!(logs.after("p", last, LogLevel::Debug).unwrap().is_empty());
        let waits = tokio::spawn({
            let logs = logs.clone();
            async move { logs.next("p", last, LogLevel::Warn).await }
        });
        lines.push(LogLevel::Info, "not this".to_owned());
        lines.push(LogLevel::Warn, "this".to_owned());
        assert_eq!(waits.await.unwrap().unwrap()[0].text, "this");
    }
}
