//! The plots of the report: which figures are drawn, over commands a day.

use super::curves::{Curve, plot};
use super::figures::Mode;
use super::page::{Page, number};
use super::parts::{KEEP_ALIVES, RATES};

impl Page<'_> {
    /// Files and what is in them, as far as it was measured.
    pub(super) fn plots(&self) -> Vec<(&'static str, String)> {
        let curves = |value: &dyn Fn(Mode, usize) -> Option<f64>| -> Vec<Curve> {
            let curve = |mode: Mode| Curve {
                name: mode.name().to_owned(),
                colour: mode.colour(),
                dashed: false,
                points: RATES.iter().filter_map(|rate| Some((*rate as f64, value(mode, *rate)?))).collect(),
            };
            Mode::ALL.into_iter().map(curve).collect()
        };
        let day = |what: &'static str| {
            move |mode: Mode, rate: usize| self.of(&format!("day {what} {mode:?} {rate}"))
        };
        let mut bytes = curves(&day("bytes"));
        let policy = |rate: &usize| {
            let own = self.of(&format!("policy policy random {} {rate}", KEEP_ALIVES[0]))?;
            // The scaled day has the commands too.
            Some((*rate as f64, own + *rate as f64 * self.of("bytes there")?))
        };
        bytes.push(Curve {
            name: "on demand by the policy, counted".to_owned(),
            colour: "#8a5fa8",
            dashed: true,
            points: RATES.iter().filter_map(policy).collect(),
        });
        let mut latency = curves(&day("p50"));
        latency.extend(curves(&day("p99")).into_iter().map(|curve| Curve {
            name: format!("{}, p99", curve.name),
            dashed: true,
            ..curve
        }));
        let all = [
            (
                "encrypt-memory.svg",
                "Memory of a terminal",
                "KiB of RssAnon",
                curves(&|mode, rate| self.kib(mode, rate)),
            ),
            ("encrypt-bytes.svg", "Bytes of a terminal and day", "bytes, IPv4", bytes),
            (
                "encrypt-cpu.svg",
                "The server's CPU for a terminal's day",
                "ms",
                curves(&|mode, rate| self.cpu_of(mode, rate as f64)),
            ),
            (
                "encrypt-latency.svg",
                "Asked to executed in the scaled day",
                "ms, median (dashed: 99th percentile)",
                latency,
            ),
        ];
        all.into_iter()
            .filter_map(|(name, title, unit, curves)| Some((name, plot(title, unit, &curves, number)?)))
            .collect()
    }
}
