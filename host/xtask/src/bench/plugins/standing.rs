//! What was to be reached, and what was.

use crate::bench::figures::Figures;
use crate::bench::goal::Goal;

/// All that were measured.
pub(super) fn goals(figures: &Figures) -> Vec<Goal> {
    let of = |name: &str| figures.median(name);
    let ratio = |over: &str, under: &str| Some(of(over)? / of(under)?);
    let slower = |with: &str, without: &str| Some((1.0 - of(with)? / of(without)?) * 100.0);
    let all = [
        ("swaps: clients disconnected", figures.sum("swaps ended"), "", 0.0),
        ("swaps: messages lost", figures.sum("swaps lost"), "", 0.0),
        ("swaps: messages doubled", figures.sum("swaps repeated"), "", 0.0),
        ("swaps: calls failed", figures.sum("swaps failed"), "", 0.0),
        (
            "swaps: 99th percentile of delivery, against quiet phases",
            ratio("swaps swaps delivery p99", "swaps quiet delivery p99"),
            "×",
            2.0,
        ),
        ("activate to the first message decided, median", of("activate decided socket p50"), "ms", 50.0),
        (
            "activate to the first message decided, slowest",
            figures.max("activate decided socket max"),
            "ms",
            50.0,
        ),
        ("the same by the command, median", of("activate decided command p50"), "ms", 50.0),
        (
            "compiling JavaScript: throughput that it takes, its fair share being a third",
            slower("compile full speed compiling acked_per_sec", "compile full speed quiet acked_per_sec"),
            "%",
            33.3,
        ),
        (
            "a shadow: CPU of the served path, its own thread included, at 2,000 messages a second",
            ratio("shadow light on server_cpu", "shadow light off server_cpu"),
            "×",
            1.05,
        ),
        (
            "a shadow, with a core to spare: median of delivery",
            ratio("shadow light on delivery p50", "shadow light off delivery p50"),
            "×",
            1.05,
        ),
        ("a trap", of("trap cost"), "µs", 100.0),
        (
            "a plugin that spins: until its breaker is open, slowest",
            figures.max("spin opened"),
            "ms",
            1_000.0,
        ),
        (
            "a plugin that spins, breaker open: 99th percentile of delivery, against a well one",
            ratio("spin open delivery p99", "spin well delivery p99"),
            "×",
            2.0,
        ),
        (
            "a plugin that spins, breaker open: 99th percentile of sign-ins, against a well one",
            ratio("spin open sign-in p99", "spin well sign-in p99"),
            "×",
            2.0,
        ),
        (
            "hooks on against off: stored messages, throughput that they take",
            slower("hooks stored, 100 → 100 on acked_per_sec", "hooks stored, 100 → 100 off acked_per_sec"),
            "%",
            10.0,
        ),
        (
            "hooks on against off: ordinary messages, throughput that they take",
            slower(
                "hooks ordinary, 100 → 100 on acked_per_sec",
                "hooks ordinary, 100 → 100 off acked_per_sec",
            ),
            "%",
            10.0,
        ),
        (
            "the same, asked about every message",
            slower(
                "hooks ordinary, 100 → 100 on, asked always acked_per_sec",
                "hooks ordinary, 100 → 100 off acked_per_sec",
            ),
            "%",
            10.0,
        ),
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
        figures.add("swaps quiet delivery p99", Some(4.0));
        figures.add("swaps swaps delivery p99", Some(9.0));
        figures.add("trap cost", Some(30.0));
        let met: Vec<bool> = goals(&figures).iter().map(Goal::is_met).collect();
        assert_eq!(met, [false, true]);
    }
}
