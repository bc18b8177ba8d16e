//! What the actors count and time, written down line by line while the soak runs.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde_json::{Value, json};

/// Texts of faults that are kept.
const TEXTS: usize = 50;

/// Counters and latencies by name.
pub(crate) struct Watch {
    pub(crate) begun: Instant,
    counts: Mutex<BTreeMap<&'static str, u64>>,
    /// Microseconds since the line before.
    took: Mutex<BTreeMap<&'static str, Vec<u32>>>,
    faults: Mutex<Vec<String>>,
}

impl Watch {
    pub(crate) fn new() -> Self {
        let (counts, took, faults) = Default::default();
        Watch { begun: Instant::now(), counts, took, faults }
    }

    /// One more of them.
    pub(crate) fn count(&self, what: &'static str) {
        self.add(what, 1);
    }

    /// So many more.
    pub(crate) fn add(&self, what: &'static str, many: u64) {
        if let Ok(mut counts) = self.counts.lock() {
            *counts.entry(what).or_default() += many;
        }
    }

    /// How many there are.
    pub(crate) fn counted(&self, what: &str) -> u64 {
        self.counts.lock().ok().and_then(|counts| counts.get(what).copied()).unwrap_or(0)
    }

    /// It took so long.
    pub(crate) fn took(&self, what: &'static str, time: Duration) {
        if let Ok(mut took) = self.took.lock() {
            took.entry(what).or_default().push(u32::try_from(time.as_micros()).unwrap_or(u32::MAX));
        }
    }

    /// Something that must not be.
    pub(crate) fn fault(&self, who: &str, error: &anyhow::Error) {
        self.count("faults");
        let text = format!("{:.1} s: {who}: {error:#}", self.begun.elapsed().as_secs_f64());
        if let Ok(mut faults) = self.faults.lock()
            && faults.len() < TEXTS
        {
            faults.push(text);
        }
    }

    /// Microseconds since the beginning, to stamp a message with.
    pub(crate) fn micros(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// The time since such a stamp.
    pub(crate) fn since(&self, micros: u64) -> Duration {
        self.begun.elapsed().saturating_sub(Duration::from_micros(micros))
    }

    /// Appends a line about the time since the line before.
    pub(crate) fn write(&self, file: &mut File) -> Result<()> {
        let took = self.took.lock().map(|mut took| std::mem::take(&mut *took)).unwrap_or_default();
        let ms: BTreeMap<_, _> = took.into_iter().map(|(what, micros)| (what, quantiles(micros))).collect();
        let counts = self.counts.lock().map(|counts| counts.clone()).unwrap_or_default();
        let line = json!({ "at": self.begun.elapsed().as_secs_f64(), "counts": counts, "ms": ms });
        writeln!(file, "{line}").and_then(|()| file.flush()).context("the samples")
    }

    /// All counters, and the first faults in words.
    pub(crate) fn report(&self) -> Value {
        let counts = self.counts.lock().map(|counts| counts.clone()).unwrap_or_default();
        let faults = self.faults.lock().map(|faults| faults.clone()).unwrap_or_default();
        json!({ "counts": counts, "faults": faults })
    }
}

/// An empty file for lines.
pub(crate) fn file(path: &Path) -> Result<File> {
    File::create(path).with_context(|| path.display().to_string())
}

/// Milliseconds: median, 99th percentile and maximum.
fn quantiles(mut micros: Vec<u32>) -> Value {
    micros.sort_unstable();
    let at = |percent: usize| {
        let last = micros.len().saturating_sub(1);
        micros.get((micros.len() * percent / 100).min(last)).map(|&micros| f64::from(micros) / 1e3)
    };
    json!({ "n": micros.len(), "p50": at(50), "p99": at(99), "max": at(100) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_tells_of_the_time_since_the_one_before() {
        let path = std::env::temp_dir().join(format!("postern-watch-{}", std::process::id()));
        let (watch, mut out) = (Watch::new(), file(&path).unwrap());
        (1..=100).for_each(|ms| watch.took("ack", Duration::from_millis(ms)));
        watch.count("sent");
        watch.write(&mut out).unwrap();
        watch.add("sent", 2);
        watch.write(&mut out).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::remove_file(path).unwrap();
        let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines[0]["ms"]["ack"], json!({ "n": 100, "p50": 51.0, "p99": 100.0, "max": 100.0 }));
        assert_eq!(lines[1]["ms"], json!({}));
        assert_eq!((&lines[0]["counts"]["sent"], &lines[1]["counts"]["sent"]), (&json!(1), &json!(3)));
    }
}
