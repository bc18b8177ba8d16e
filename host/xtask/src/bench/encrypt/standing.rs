//! What was to be reached, and what was.

use super::figures::{Figures, Mode};
use crate::bench::goal::Goal;

/// All that were measured.
pub(super) fn goals(figures: &Figures) -> Vec<Goal> {
    let ratio = |of: Mode| Some(figures.median("kib after")? / figures.median(&format!("kib idle {of:?}"))?);
    let pings = ["crowd ping plain max", "crowd ping tls max"].iter().filter_map(|name| figures.max(name));
    let slowest = pings.fold(None, |most: Option<f64>, ms| Some(most.map_or(ms, |most| most.max(ms))));
    let percent = figures.max("policy over").map(|share| share * 100.0);
    let all = [
        ("memory on demand at 1 command a day, against always TLS in Postern", ratio(Mode::Tls), "×", 0.45),
        (
            "memory on demand at 1 command a day, against always TLS in mosquitto",
            ratio(Mode::MosquittoTls),
            "×",
            1.0 / 6.0,
        ),
        ("bytes of 30 days by the policy, over the better way at the worst rate", percent, "%", 2.0),
        (
            "accepted to executed over a resumed handshake, median",
            figures.median("accepted p50 resumed"),
            "ms",
            10.0,
        ),
        (
            "accepted to executed over a resumed handshake, 99th percentile",
            figures.median("accepted p99 resumed"),
            "ms",
            50.0,
        ),
        ("everybody at once: commands lost", figures.sum("crowd lost"), "", 0.0),
        ("everybody at once: commands executed twice", figures.sum("crowd twice"), "", 0.0),
        ("everybody at once: the slowest ping of another link", slowest, "ms", 1_000.0),
    ];
    all.into_iter().filter_map(|(what, value, unit, bound)| Goal::new(what, value, unit, bound)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_measured_is_not_judged() {
        let mut figures = Figures::default();
        assert!(goals(&figures).is_empty());
        figures.add("accepted p50 resumed", Some(12.0));
        figures.add("crowd lost", Some(0.0));
        let met: Vec<bool> = goals(&figures).iter().map(Goal::is_met).collect();
        assert_eq!(met, [false, true]);
    }
}
