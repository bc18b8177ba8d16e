//! A terminal's days, counted. Pure.

use std::ops::Add;

use anyhow::Result;

/// Seconds of a day.
const DAY: f64 = 86_400.0;
/// Days that are counted, after those of learning.
const COUNTED: f64 = 30.0;
/// See [`COUNTED`].
const LEARNING: f64 = 3.0;
/// Commands of a burst, and seconds between two of them, on average.
const BURST: (f64, f64) = (5.0, 300.0);

/// What things weigh, bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Prices {
    pub(crate) keep_alive_secs: f64,
    pub(crate) ping_plain: f64,
    pub(crate) ping_tls: f64,
    /// To TLS and back.
    pub(crate) switch: f64,
}

/// How commands come.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Arrivals {
    /// Each whenever it likes.
    Random,
    /// Several within minutes, and then none for long.
    Bursts,
}

impl Arrivals {
    pub(crate) const ALL: [Arrivals; 2] = [Arrivals::Random, Arrivals::Bursts];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Arrivals::Random => "random",
            Arrivals::Bursts => "bursts",
        }
    }

    /// Seconds of all commands, in order; always the same for the same arguments.
    pub(crate) fn times(self, a_day: f64, seed: u64) -> Vec<f64> {
        let mut chance = Chance(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ a_day.to_bits());
        let mut times = Vec::new();
        let mut at = 0.0;
        let end = (LEARNING + COUNTED) * DAY;
        while at < end {
            match self {
                Arrivals::Random => {
                    at += chance.pause(DAY / a_day);
                    times.push(at);
                }
                Arrivals::Bursts => {
                    at += chance.pause(DAY / a_day * BURST.0);
                    let mut next = at;
                    times.push(next);
                    // One more with a chance that makes so many on average.
                    while chance.share() < 1.0 - 1.0 / BURST.0 {
                        next += chance.pause(BURST.1);
                        times.push(next);
                    }
                }
            }
        }
        times.retain(|at| *at < end);
        times.sort_unstable_by(f64::total_cmp);
        times
    }
}

/// Random numbers that are the same in every run.
struct Chance(u64);

impl Chance {
    /// Above 0, up to 1.
    fn share(&mut self) -> f64 {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((mixed ^ (mixed >> 31)) >> 11) as f64 / (1_u64 << 53) as f64 + f64::EPSILON
    }

    /// Exponential, with this mean.
    fn pause(&mut self, mean: f64) -> f64 {
        -self.share().min(1.0).ln() * mean
    }
}

/// Bytes of the counted days: pings and switches, which is all that the ways differ in.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Ways {
    /// Always on TLS.
    pub(crate) tls: f64,
    /// To TLS for each command, and back at once.
    pub(crate) each_time: f64,
    /// To TLS for a command, and back after the plugin's period.
    pub(crate) policy: f64,
    /// Days on TLS by the policy.
    pub(crate) tls_days: f64,
    pub(crate) days: f64,
}

impl Ways {
    /// The policy's bytes over those of the better of the two others, as a share of them.
    pub(crate) fn over(self) -> f64 {
        self.policy / self.tls.min(self.each_time) - 1.0
    }
}

impl Add for Ways {
    type Output = Ways;

    fn add(self, other: Ways) -> Ways {
        Ways {
            tls: self.tls + other.tls,
            each_time: self.each_time + other.each_time,
            policy: self.policy + other.policy,
            tls_days: self.tls_days + other.tls_days,
            days: self.days + other.days,
        }
    }
}

/// Counts a terminal's days. `period`: how long it may stay after the last of these commands.
pub(crate) fn simulate(
    times: &[f64],
    prices: &Prices,
    mut period: impl FnMut(&[f64]) -> Result<f64>,
) -> Result<Ways> {
    let (from, to) = (LEARNING * DAY, (LEARNING + COUNTED) * DAY);
    let pings = (to - from) / prices.keep_alive_secs;
    let counted = times.iter().filter(|at| (from..to).contains(*at)).count() as f64;
    let (mut on_tls, mut switches) = (0.0, 0.0);
    // Until when it stays on TLS.
    let mut until = f64::MIN;
    for (number, &at) in times.iter().enumerate() {
        if at >= to {
            break;
        }
        let is_new = at >= until;
        if is_new && at >= from {
            switches += 1.0;
        }
        until = at + period(times.get(..=number).unwrap_or_default())?;
        let next = times.get(number + 1).copied().unwrap_or(to).min(to);
        on_tls += (until.min(next) - at.max(from)).max(0.0);
    }
    let plain = pings * prices.ping_plain;
    let dearer = (prices.ping_tls - prices.ping_plain) / prices.keep_alive_secs;
    Ok(Ways {
        tls: pings * prices.ping_tls,
        each_time: plain + counted * prices.switch,
        policy: plain + on_tls * dearer + switches * prices.switch,
        tls_days: on_tls / DAY,
        days: COUNTED,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRICES: Prices =
        Prices { keep_alive_secs: 60.0, ping_plain: 160.0, ping_tls: 204.0, switch: 3_700.0 };

    #[test]
    fn commands_come_as_often_as_they_should() {
        for arrivals in Arrivals::ALL {
            for rate in [1.0, 20.0] {
                let many: usize = (0..40).map(|seed| arrivals.times(rate, seed).len()).sum();
                let a_day = many as f64 / 40.0 / 33.0;
                assert!((0.8..1.25).contains(&(a_day / rate)), "{arrivals:?} {rate}: {a_day}");
            }
        }
        assert_eq!(Arrivals::Random.times(5.0, 1), Arrivals::Random.times(5.0, 1));
    }

    #[test]
    fn who_stays_for_ever_pays_dear_pings_and_who_goes_at_once_pays_switches() {
        let times: Vec<f64> = (1..330).map(|n| f64::from(n) * DAY / 10.0).collect();
        let goes = simulate(&times, &PRICES, |_| Ok(0.0)).unwrap();
        assert_eq!(goes.policy, goes.each_time);
        assert_eq!(goes.tls, 30.0 * 1_440.0 * 204.0);
        assert_eq!(goes.each_time, 30.0 * (1_440.0 * 160.0 + 10.0 * 3_700.0));
        let stays = simulate(&times, &PRICES, |_| Ok(1e9)).unwrap();
        assert!((stays.policy - stays.tls).abs() < 1.0, "{stays:?}");
        assert!((stays.tls_days - 30.0).abs() < 1e-6);
        assert!(goes.over() == 0.0 && stays.over() > 0.0);
    }

    #[test]
    fn a_stay_that_is_cut_by_the_beginning_counts_in_part() {
        let stay = simulate(&[2.9 * DAY], &PRICES, |_| Ok(0.2 * DAY)).unwrap();
        assert!((stay.tls_days - 0.1).abs() < 1e-9, "{stay:?}");
        assert_eq!(stay.each_time, 30.0 * 1_440.0 * 160.0, "its switch was before");
    }
}
