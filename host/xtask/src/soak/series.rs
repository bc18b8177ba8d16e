//! The series that are judged: what was sampled, in windows, with what each may grow.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use super::fit::{Fit, line};
use super::samples::Sample;
use crate::bench::spread::middle;

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
    /// Of its level, in the windows in which the machine was ours: what takes time takes more when another has it.
    Timed(f64),
    /// Not judged, but shown beside what is: not the server's, or growing with what it keeps by design.
    Control,
}

impl Bound {
    /// In the series' unit.
    pub(crate) fn at(self, level: f64) -> f64 {
        match self {
            Bound::Percent(percent) | Bound::Timed(percent) => level.abs() * percent / 100.0,
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
    /// Those of them that are judged.
    pub(crate) judged: Vec<(f64, f64)>,
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
        let points: Vec<_> = self.judged.iter().copied().filter(|(at, _)| *at >= from).collect();
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

/// The windows in which another had the machine's processors or disk, by what does not ask the server: twice as
/// much of either as in the run's middle, and of processors more than [`STOLEN`].
pub(crate) fn disturbed(samples: &[Sample], secs: f64) -> BTreeSet<usize> {
    let stolen = stolen(samples, secs);
    let controls = [(stolen, STOLEN), (synced(samples, secs), 0.0)];
    let mut disturbed = BTreeSet::new();
    for (points, least) in controls {
        let usual = middle(points.iter().map(|(_, value)| *value).collect()).unwrap_or(0.0);
        let above = points.iter().filter(|(_, value)| *value > (2.0 * usual).max(least));
        disturbed.extend(above.filter_map(|(at, _)| window(*at, 1.0)));
    }
    disturbed
}

/// Cores that may be taken from the machine without a word: a twentieth of one with two.
const STOLEN: f64 = 0.1;

fn stolen(samples: &[Sample], secs: f64) -> Vec<(f64, f64)> {
    rates(samples, secs, |s| s.stolen_secs, |s| s.at)
}

fn synced(samples: &[Sample], secs: f64) -> Vec<(f64, f64)> {
    medians(samples, secs, &|s| Some(s.sync_micros / 1e3))
}

/// Everything that is judged, of a run of so many seconds.
pub(crate) fn all(samples: &[Sample], lines: &[Line], secs: f64, disturbed: &BTreeSet<usize>) -> Vec<Series> {
    let mut all = Vec::new();
    let mut add = |key, name, unit, bound, points: Vec<(f64, f64)>| {
        let calm = |at: f64| window(at, 1.0).is_none_or(|window| !disturbed.contains(&window));
        let judged = |(at, _): &(f64, f64)| !matches!(bound, Bound::Timed(_)) || calm(*at);
        let judged = points.iter().copied().filter(judged).collect();
        all.push(Series { key, name, unit, bound, points, judged });
    };
    let vital = |value: &dyn Fn(&Sample) -> Option<f64>| medians(samples, secs, value);
    let metric = |name: &'static str| vital(&|sample| sample.metrics.get(name).copied());
    let mib = |kib: f64| kib / 1024.0;
    add("rss", "resident memory", "MiB", Bound::Percent(5.0), vital(&|s| Some(mib(s.rss_kib))));
    add("anon", "of it heap and stacks", "MiB", Bound::Percent(5.0), vital(&|s| Some(mib(s.anon_kib))));
    add("descriptors", "open descriptors", "", Bound::Percent(5.0), vital(&|s| Some(s.descriptors)));
    add("files", "of them no sockets", "", Bound::Most(0.5), vital(&|s| Some(s.files)));
    add("threads", "threads", "", Bound::Percent(5.0), vital(&|s| Some(s.threads)));
    add("cpu", "CPU", "cores", Bound::Timed(10.0), rates(samples, secs, |s| s.cpu_secs, |s| s.at));
    add("clients", "clients connected", "", Bound::Percent(10.0), metric("postern_clients_connected"));
    add("sessions", "sessions", "", Bound::Percent(10.0), metric("postern_sessions"));
    add("subscriptions", "subscriptions", "", Bound::Percent(10.0), metric("postern_subscriptions"));
    add("retained", "retained messages", "", Bound::Percent(10.0), metric("postern_retained_messages"));
    let wal = vital(&|s| Some(s.bytes("-wal") / f64::from(1 << 20)));
    add("wal", "write-ahead logs", "MiB", Bound::Percent(10.0), wal);
    let written = rates(samples, secs, |s| s.written / 1024.0, |s| s.at);
    add("written", "written to disks", "KiB/s", Bound::Percent(10.0), written);
    let quantile =
        |what: &'static str, value: fn(&Quantiles) -> Option<f64>| latency(lines, secs, what, value);
    let p50 = |q: &Quantiles| q.p50;
    let p99 = |q: &Quantiles| q.p99;
    let (often, seldom) = (Bound::Timed(20.0), Bound::Timed(33.0));
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
    add("sync", "control: 4 KiB and fdatasync", "ms", Bound::Control, synced(samples, secs));
    add("stolen", "control: taken by other machines", "cores", Bound::Control, stolen(samples, secs));
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
        let points: Vec<_> = (0..WINDOWS).map(|window| (middle_of(window), value(window))).collect();
        Series {
            key: "k",
            name: "n",
            unit: "MiB",
            bound: Bound::Percent(5.0),
            judged: points.clone(),
            points,
        }
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

    fn sample(at: f64) -> Sample {
        Sample {
            at,
            rss_kib: 0.0,
            anon_kib: 0.0,
            descriptors: 0.0,
            files: 0.0,
            threads: 0.0,
            sync_micros: 0.0,
            cpu_secs: at / 4.0,
            stolen_secs: 0.0,
            written: 0.0,
            data: BTreeMap::new(),
            metrics: BTreeMap::new(),
        }
    }

    #[test]
    fn what_takes_time_is_judged_by_the_windows_in_which_the_machine_was_ours() {
        // For the last quarter of the run another has the disk, and for a moment before that a processor.
        let at = |second: i32| {
            let mut sample = sample(f64::from(second));
            sample.sync_micros = if second < 90 { 300.0 } else { 900.0 };
            sample.stolen_secs = if second < 60 { 0.0 } else { 0.5 };
            // Twice as much of it, all the same.
            sample.rss_kib = if second < 90 { 1024.0 } else { 2048.0 };
            sample
        };
        let samples: Vec<_> = (0..120).map(at).collect();
        let found = disturbed(&samples, 120.0);
        assert_eq!(found, (90..WINDOWS).chain([60]).collect());
        let all = all(&samples, &[], 120.0, &found);
        let judged = |key: &str| all.iter().find(|it| it.key == key).map(|it| it.judged.len()).unwrap();
        assert_eq!((judged("rss"), judged("cpu")), (WINDOWS, WINDOWS - 1 - 31));
        // What is not told is not passed over.
        let empty = all.iter().find(|it| it.key == "stored99").unwrap();
        assert!(empty.points.is_empty() && empty.verdict().is_none());
    }

    #[test]
    fn rates_are_of_what_came_between_two_windows() {
        let samples: Vec<_> = (0..1_200).map(|tenth| sample(f64::from(tenth) / 10.0)).collect();
        let cores = rates(&samples, 120.0, |s| s.cpu_secs, |s| s.at);
        assert_eq!(cores.len(), WINDOWS - 1);
        assert!(cores.iter().all(|(_, value)| (value - 0.25).abs() < 1e-9));
    }
}
