//! The series that are judged: what was sampled, in windows, with what each may grow.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::fit::{Fit, line, middle};
use super::samples::Sample;

/// Windows of a run.
pub(crate) const WINDOWS: usize = 120;
/// The first part of a run is its warm-up: so many windows.
pub(crate) const WARM_UP: usize = WINDOWS / 6;

/// Of a line of the generator: latencies since the line before.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Line {
    /// Seconds since the load began.
    pub(crate) at: f64,
    /// Milliseconds.
    pub(crate) ms: BTreeMap<String, Quantiles>,
}

/// Of some latencies.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Quantiles {
    pub(crate) p50: Option<f64>,
    pub(crate) p99: Option<f64>,
}

/// How much a series may grow within the run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Bound {
    /// Of its level.
    Percent(f64),
    /// In its unit.
    Most(f64),
    /// Not the server's: shown beside what is.
    Control,
}

impl Bound {
    /// In the series' unit.
    pub(crate) fn at(self, level: f64) -> f64 {
        match self {
            Bound::Percent(percent) => level.abs() * percent / 100.0,
            Bound::Most(most) => most,
            Bound::Control => f64::INFINITY,
        }
    }
}

/// One series.
#[derive(Clone, Debug)]
pub(crate) struct Series {
    pub(crate) key: &'static str,
    pub(crate) name: &'static str,
    pub(crate) unit: &'static str,
    pub(crate) bound: Bound,
    /// Time, as a share of the run, and value: one for each window.
    pub(crate) points: Vec<(f64, f64)>,
}

/// What was found of a series.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Verdict {
    /// Time in runs: the slope is the growth within this one.
    pub(crate) fit: Fit,
    /// What it may grow.
    pub(crate) bound: f64,
}

impl Verdict {
    /// Surely within its bound; or within its bound as far as one can see, and as likely to shrink.
    pub(crate) fn passes(&self) -> bool {
        self.fit.high <= self.bound || (self.fit.slope <= self.bound && self.fit.low <= 0.0)
    }
}

impl Series {
    /// The line through what came after the warm-up; None with too little of it.
    pub(crate) fn verdict(&self) -> Option<Verdict> {
        let from = WARM_UP as f64 / WINDOWS as f64;
        let points: Vec<_> = self.points.iter().copied().filter(|(at, _)| *at >= from).collect();
        let fit = line(&points)?;
        Some(Verdict { fit, bound: self.bound.at(fit.level) })
    }
}

/// A share of the run that stands for a window, if the moment is in one.
fn window(at: f64, secs: f64) -> Option<usize> {
    let window = (at / secs * WINDOWS as f64).floor();
    (0.0..WINDOWS as f64).contains(&window).then_some(window as usize)
}

fn middle_of(window: usize) -> f64 {
    (window as f64 + 0.5) / WINDOWS as f64
}

/// Everything that is judged, of a run of so many seconds.
pub(crate) fn all(samples: &[Sample], lines: &[Line], secs: f64) -> Vec<Series> {
    let mut all = Vec::new();
    let mut add = |key, name, unit, bound, points: Vec<(f64, f64)>| {
        // What the program at hand does not tell has no points.
        if !points.is_empty() {
            all.push(Series { key, name, unit, bound, points });
        }
    };
    let vital = |value: &dyn Fn(&Sample) -> Option<f64>| medians(samples, secs, value);
    let metric = |name: &'static str| vital(&|sample| sample.metrics.get(name).copied());
    let mib = |kib: f64| kib / 1024.0;
    add("rss", "resident memory", "MiB", Bound::Percent(5.0), vital(&|s| Some(mib(s.rss_kib))));
    add("anon", "of it heap and stacks", "MiB", Bound::Percent(5.0), vital(&|s| Some(mib(s.anon_kib))));
    let allocated = metric("postern_memory_allocated_bytes");
    let allocated = allocated.into_iter().map(|(at, bytes)| (at, bytes / f64::from(1 << 20))).collect();
    add("allocated", "allocated", "MiB", Bound::Percent(5.0), allocated);
    add("descriptors", "open descriptors", "", Bound::Percent(5.0), vital(&|s| Some(s.descriptors)));
    add("files", "of them no sockets", "", Bound::Most(0.5), vital(&|s| Some(s.files)));
    add("threads", "threads", "", Bound::Percent(5.0), vital(&|s| Some(s.threads)));
    add("cpu", "CPU", "cores", Bound::Percent(10.0), rates(samples, secs, |s| s.cpu_secs, |s| s.at));
    add("clients", "clients connected", "", Bound::Percent(10.0), metric("postern_clients_connected"));
    add("sessions", "sessions", "", Bound::Percent(10.0), metric("postern_sessions"));
    add("subscriptions", "subscriptions", "", Bound::Percent(10.0), metric("postern_subscriptions"));
    add("retained", "retained messages", "", Bound::Percent(10.0), metric("postern_retained_messages"));
    let wal = vital(&|s| Some(s.bytes("-wal") / f64::from(1 << 20)));
    add("wal", "write-ahead logs", "MiB", Bound::Percent(10.0), wal);
    let quantile =
        |what: &'static str, value: fn(&Quantiles) -> Option<f64>| latency(lines, secs, what, value);
    let p50 = |q: &Quantiles| q.p50;
    let p99 = |q: &Quantiles| q.p99;
    let (often, seldom) = (Bound::Percent(20.0), Bound::Percent(33.0));
    add("stored50", "stored QoS 1 to PUBACK, p50", "ms", often, quantile("stored_ack", p50));
    add("stored99", "stored QoS 1 to PUBACK, p99", "ms", seldom, quantile("stored_ack", p99));
    add("came99", "stored QoS 1 to recipient, p99", "ms", seldom, quantile("stored_delivery", p99));
    add("flow50", "plain QoS 1 to PUBACK, p50", "ms", often, quantile("flow_ack", p50));
    add("flow99", "plain QoS 1 to PUBACK, p99", "ms", seldom, quantile("flow_ack", p99));
    add("flowcame99", "plain QoS 1 to subscriber, p99", "ms", seldom, quantile("flow_delivery", p99));
    add("http50", "HTTP request, p50", "ms", often, quantile("http", p50));
    add("http99", "HTTP request, p99", "ms", seldom, quantile("http", p99));
    add("signin50", "handshake and sign-in, p50", "ms", often, quantile("sign_in", p50));
    add(
        "nobody50",
        "history of a conversation that never was, p50",
        "ms",
        Bound::Control,
        quantile("http_nobody", p50),
    );
    add("late99", "control: a clock's lateness, p99", "ms", Bound::Control, quantile("lateness", p99));
    let sync = vital(&|s| Some(s.sync_micros / 1e3));
    add("sync", "control: 4 KiB and fdatasync", "ms", Bound::Control, sync);
    all
}

fn medians(samples: &[Sample], secs: f64, value: &dyn Fn(&Sample) -> Option<f64>) -> Vec<(f64, f64)> {
    let mut windows: BTreeMap<usize, Vec<f64>> = BTreeMap::new();
    for sample in samples {
        if let (Some(window), Some(value)) = (window(sample.at, secs), value(sample)) {
            windows.entry(window).or_default().push(value);
        }
    }
    let point = |(window, values)| Some((middle_of(window), middle(values)?));
    windows.into_iter().filter_map(point).collect()
}

/// What grows, for each unit of something else that grows: from the last sample of a window to that of the next.
fn rates(
    samples: &[Sample],
    secs: f64,
    up: impl Fn(&Sample) -> f64,
    over: impl Fn(&Sample) -> f64,
) -> Vec<(f64, f64)> {
    let mut last: BTreeMap<usize, (f64, f64)> = BTreeMap::new();
    for sample in samples {
        if let Some(window) = window(sample.at, secs) {
            last.insert(window, (up(sample), over(sample)));
        }
    }
    let mut points = Vec::new();
    for ((_, before), (window, now)) in last.iter().zip(last.iter().skip(1)) {
        if now.1 > before.1 {
            points.push((middle_of(*window), (now.0 - before.0) / (now.1 - before.1)));
        }
    }
    points
}

fn latency(lines: &[Line], secs: f64, what: &str, value: fn(&Quantiles) -> Option<f64>) -> Vec<(f64, f64)> {
    let point = |line: &Line| {
        let half = secs / WINDOWS as f64 / 2.0;
        let window = window(line.at - half, secs)?;
        Some((middle_of(window), value(line.ms.get(what)?)?))
    };
    lines.iter().filter_map(point).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(value: impl Fn(usize) -> f64) -> Series {
        let points = (0..WINDOWS).map(|window| (middle_of(window), value(window))).collect();
        Series { key: "k", name: "n", unit: "MiB", bound: Bound::Percent(5.0), points }
    }

    #[test]
    fn a_leak_fails_and_a_warm_up_does_not() {
        let leak = series(|window| 100.0 + window as f64 / 10.0).verdict().unwrap();
        assert!(!leak.passes() && (leak.fit.slope - 12.0).abs() < 1e-6, "{leak:?}");
        let warm = series(|window| if window < WARM_UP { window as f64 } else { 100.0 }).verdict().unwrap();
        assert!(warm.passes() && warm.fit.slope == 0.0 && warm.bound == 5.0, "{warm:?}");
        let little = series(|window| 100.0 + window as f64 / 60.0).verdict().unwrap();
        assert!(little.passes(), "{little:?}");
        let falls = series(|window| 100.0 - window as f64 / 10.0).verdict().unwrap();
        assert!(falls.passes(), "{falls:?}");
    }

    #[test]
    fn rates_are_of_what_came_between_two_windows() {
        let sample = |at: f64| Sample {
            at,
            rss_kib: 0.0,
            anon_kib: 0.0,
            descriptors: 0.0,
            files: 0.0,
            threads: 0.0,
            sync_micros: 0.0,
            cpu_secs: at / 4.0,
            data: BTreeMap::new(),
            metrics: BTreeMap::new(),
        };
        let samples: Vec<_> = (0..1_200).map(|tenth| sample(f64::from(tenth) / 10.0)).collect();
        let cores = rates(&samples, 120.0, |s| s.cpu_secs, |s| s.at);
        assert_eq!(cores.len(), WINDOWS - 1);
        assert!(cores.iter().all(|(_, value)| (value - 0.25).abs() < 1e-9));
    }
}
