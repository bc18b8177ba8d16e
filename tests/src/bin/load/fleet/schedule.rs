//! Who is asked when. Pure.

use std::time::Duration;

/// A command to be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Asking {
    /// From the beginning.
    pub(crate) at: Duration,
    /// The terminal's number.
    pub(crate) car: usize,
    /// The group's number.
    pub(crate) group: usize,
}

/// Each terminal of a group gets its commands evenly over the time, each from another moment on, so that a
/// fleet is asked at an even rate. `groups`: terminals, and commands for each of them.
pub(crate) fn schedule(groups: &[(usize, usize)], over: Duration) -> Vec<Asking> {
    let mut all = Vec::new();
    let mut first = 0;
    for (group, &(terminals, commands)) in groups.iter().enumerate() {
        let step = over.div_f64(commands.max(1) as f64);
        for car in 0..terminals {
            let phase = step.mul_f64((car as f64 + 0.5) / terminals as f64);
            let at = |n: usize| step.mul_f64(n as f64) + phase;
            all.extend((0..commands).map(|n| Asking { at: at(n), car: first + car, group }));
        }
        first += terminals;
    }
    all.sort_by_key(|asking| asking.at);
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_gets_its_share_at_an_even_rate() {
        let over = Duration::from_secs(10);
        let all = schedule(&[(3, 0), (4, 5)], over);
        assert_eq!(all.len(), 20);
        assert!(all.iter().all(|asking| (3..7).contains(&asking.car) && asking.group == 1));
        assert!(all.iter().all(|asking| asking.at < over));
        let pauses = all.windows(2).map(|pair| (pair[1].at - pair[0].at).as_millis());
        assert!(pauses.into_iter().all(|pause| (499..=501).contains(&pause)), "{all:?}");
        let own: Vec<u128> = all.iter().filter(|a| a.car == 3).map(|a| a.at.as_millis()).collect();
        assert_eq!(own, [250, 2250, 4250, 6250, 8250]);
    }

    #[test]
    fn all_at_once() {
        assert!(schedule(&[(9, 1)], Duration::ZERO).iter().all(|asking| asking.at == Duration::ZERO));
    }
}
