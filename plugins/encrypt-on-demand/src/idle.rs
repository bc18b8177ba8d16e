//! How long a terminal stays on TLS after a command that needed it (B9). Pure.
//!
//! While it waits there, each ping weighs more than on TCP; a switch there and back weighs as much as
//! many pings. For commands that come at random this has one break-even rate,
//!
//! ```text
//! C* = (86400 / K) · ΔP / S     commands a day: K keep alive, ΔP the dearer ping, S a switch
//! ```
//!
//! above which staying is cheaper, and below which going back at once is. Commands do not come at
//! random: they come in bursts, and then not for days. So the formula is applied to what did come: the
//! period chosen is the one that would have weighed least over the pauses between the last commands. Where
//! that is to stay through all of them, longer pauses will come: the terminal then stays on until it has
//! spent as much as the switch that staying saves.

use crate::bindings::exports::postern::encrypt::policy::History;

/// The smallest and the largest period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Seconds.
    pub least_secs: u32,
    /// Seconds.
    pub most_secs: u32,
}

impl Default for Bounds {
    /// Half a minute, so that what follows a command finds the terminal still there; and a week, which
    /// is as good as always.
    fn default() -> Self {
        Bounds { least_secs: 30, most_secs: 7 * 86_400 }
    }
}

impl Bounds {
    /// Seconds that the terminal stays.
    #[must_use]
    pub fn period(self, history: &History) -> u32 {
        let pauses = pauses(history);
        let dearer = history.ping_bytes_tls.saturating_sub(history.ping_bytes_plain);
        if dearer == 0 || history.keep_alive_secs == 0 {
            return self.most_secs; // to wait costs nothing
        }
        let per_sec = f64::from(dearer) / f64::from(history.keep_alive_secs);
        let weight = |period: u32| -> f64 {
            let period = f64::from(period);
            let of = |pause: &Pause| {
                let switched = pause.secs > period;
                per_sec * pause.secs.min(period)
                    + if switched { f64::from(history.switch_bytes) } else { 0.0 }
            };
            pauses.iter().map(of).sum()
        };
        // A period between two pauses is worth less than the one that just covers the smaller of them.
        let covering = pauses.iter().filter(|pause| pause.over).map(|pause| pause.secs.ceil());
        let longest = covering.clone().fold(0.0, f64::max);
        let candidates = covering.map(|secs| self.bounded(secs)).chain([self.most_secs]);
        let least = |best, next| if weight(next) < weight(best) { next } else { best };
        let best = candidates.fold(self.least_secs, least);
        if longest == 0.0 || f64::from(best) < longest {
            return best;
        }
        // Of n pauses the next one is longer with a chance of 1 in n + 1: often, for who gets many commands.
        self.bounded(longest + f64::from(history.switch_bytes) / per_sec)
    }

    fn bounded(self, secs: f64) -> u32 {
        // As large as it may be, it still fits.
        secs.clamp(self.least_secs.into(), self.most_secs.into()) as u32
    }
}

/// Between one command and the next.
struct Pause {
    secs: f64,
    /// The last one lasts until now at least.
    over: bool,
}

fn pauses(history: &History) -> Vec<Pause> {
    let secs = |from: u64, to: u64| to.saturating_sub(from) as f64 / 1000.0;
    let mut pauses: Vec<Pause> = history
        .secure_commands
        .windows(2)
        .filter_map(|pair| Some(Pause { secs: secs(*pair.first()?, *pair.last()?), over: true }))
        .collect();
    if let Some(last) = history.secure_commands.last() {
        pauses.push(Pause { secs: secs(*last, history.now), over: false });
    }
    pauses
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = 86_400;
    const BOUNDS: Bounds = Bounds { least_secs: 30, most_secs: 7 * 86_400 };

    /// Commands at these seconds; asked at the last of them.
    fn history(keep_alive_secs: u16, at: impl IntoIterator<Item = u64>) -> History {
        let all: Vec<u64> = at.into_iter().map(|secs| secs * 1000).collect();
        let secure_commands = all[all.len().saturating_sub(128)..].to_vec();
        let now = secure_commands.last().copied().unwrap_or_default();
        History {
            terminal: "car-1".into(),
            keep_alive_secs,
            ping_bytes_plain: 160,
            ping_bytes_tls: 204,
            switch_bytes: 3_700,
            secure_commands,
            now,
        }
    }

    fn every(secs: u64) -> impl Iterator<Item = u64> {
        (0..64).map(move |n| n * secs)
    }

    #[test]
    fn b9_the_period_is_the_break_even_formulas() {
        // K = 60 s: 17 a day; K = 240 s: 4 a day.
        for (keep_alive, a_day) in [(60, 17.1), (240, 4.28)] {
            let often = (DAY as f64 / (a_day * 1.1)) as u64;
            assert!(u64::from(BOUNDS.period(&history(keep_alive, every(often)))) >= often, "stays");
            let seldom = (DAY as f64 / (a_day * 0.9)) as u64;
            assert_eq!(BOUNDS.period(&history(keep_alive, every(seldom))), 30, "goes");
        }
    }

    #[test]
    fn b9_a_burst_is_waited_out_and_the_night_is_not() {
        // Five commands ten minutes apart, once a day.
        let at = (0..60).map(|n| (n / 5) * DAY + (n % 5) * 600);
        let period = BOUNDS.period(&history(60, at));
        assert!((600..1_200).contains(&period), "{period}");
    }

    #[test]
    fn b9_within_the_bounds_whatever_comes() {
        let narrow = Bounds { least_secs: 100, most_secs: 200 };
        assert_eq!(narrow.period(&history(60, [])), 100, "nothing is known yet");
        assert_eq!(narrow.period(&history(60, [0])), 100);
        assert_eq!(narrow.period(&history(60, every(1))), 200, "a longer pause is waited for");
        assert_eq!(narrow.period(&history(60, every(150))), 200);
        assert_eq!(narrow.period(&history(60, every(90_000))), 100);
        assert_eq!(narrow.period(&history(0, every(150))), 200, "no pings: to wait costs nothing");
        let mut backwards = history(60, [90, 50, 70]);
        backwards.now = 0;
        assert!((100..=200).contains(&narrow.period(&backwards)));
    }

    /// Bytes over what plain pings weigh, when the period is set after each command from the last 128.
    fn weigh(keep_alive: u16, at: &[u64], end: u64, learned: usize, fixed: Option<u32>) -> f64 {
        let mut sum = 0.0;
        for n in learned..at.len() {
            let history = history(keep_alive, at[..=n].iter().copied());
            let period = f64::from(fixed.unwrap_or_else(|| BOUNDS.period(&history)));
            let pause = at.get(n + 1).copied().unwrap_or(end).saturating_sub(at[n]) as f64;
            sum += pause.min(period) * 44.0 / f64::from(keep_alive);
            sum += if pause > period { 3_700.0 } else { 0.0 };
        }
        sum
    }

    #[test]
    fn b9_thirty_days_weigh_little_more_than_the_better_of_both_ways() {
        // Pseudo-random pauses (exponential, by inversion), at each rate of the benchmark and above.
        for (keep_alive, a_day) in [60, 240].into_iter().flat_map(|k| [1_u64, 5, 20, 50, 100].map(|n| (k, n)))
        {
            let mut seed = 0x9E37_79B9_7F4A_7C15_u64;
            let mut at = vec![0_u64];
            while at[at.len() - 1] < 33 * DAY {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let uniform = ((seed >> 11) as f64 + 1.0) / (1_u64 << 53) as f64;
                at.push(at[at.len() - 1] + (-uniform.ln() * DAY as f64 / a_day as f64) as u64);
            }
            let learned = at.iter().position(|secs| *secs > 3 * DAY).unwrap();
            let weigh = |fixed| weigh(keep_alive, &at, 33 * DAY, learned, fixed);
            let (ours, better) = (weigh(None), weigh(Some(u32::MAX)).min(weigh(Some(1))));
            // All traffic: plain pings weigh the most of it.
            let pings = 30.0 * DAY as f64 / f64::from(keep_alive) * 160.0;
            let over = (ours + pings) / (better + pings) - 1.0;
            assert!(over < 0.02, "{a_day} a day, K = {keep_alive} s: {:.1} % over", over * 100.0);
        }
    }
}
