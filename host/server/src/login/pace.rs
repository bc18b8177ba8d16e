//! How often something may happen for one key. Pure: time is an argument.

use std::{collections::HashMap, hash::Hash, mem, net::IpAddr, time::Duration};

/// Keys that are remembered at once, in each of two generations.
const REMEMBERED: usize = 50_000;
/// A full allowance comes back in this time.
const PERIOD_MS: u64 = 60_000;

/// An allowance of so many a minute for every key, all of which may be used at once. (The generic
/// cell rate algorithm, ITU-T I.371: one number per key.)
#[derive(Debug)]
pub struct Pace<K> {
    /// Milliseconds that one use costs.
    cost_ms: u64,
    /// Until when the allowance of a key is used up. A key whose time is past has all of it, so a
    /// generation older than the period can be forgotten whole.
    young: HashMap<K, u64>,
    old: HashMap<K, u64>,
    turned_at_ms: u64,
    remembered: usize,
}

impl<K: Hash + Eq> Pace<K> {
    /// An allowance of `per_minute`, at least 1.
    pub fn per_minute(per_minute: u32) -> Self {
        let cost_ms = (PERIOD_MS / u64::from(per_minute.max(1))).max(1);
        Pace { cost_ms, young: HashMap::new(), old: HashMap::new(), turned_at_ms: 0, remembered: REMEMBERED }
    }

    /// Uses the allowance of `key` once.
    ///
    /// # Errors
    /// It is used up; how long until there is some again.
    pub fn take(&mut self, key: K, now_ms: u64) -> Result<(), Duration> {
        // By time nothing is lost; by number the keys used longest ago are forgotten, for a flood of
        // names must not fill the memory.
        if now_ms.saturating_sub(self.turned_at_ms) >= PERIOD_MS || self.young.len() >= self.remembered {
            self.old = mem::take(&mut self.young);
            self.turned_at_ms = now_ms;
        }
        let until = self.young.get(&key).or_else(|| self.old.get(&key)).copied().unwrap_or_default();
        let next = until.max(now_ms) + self.cost_ms;
        let over = next.saturating_sub(now_ms + PERIOD_MS);
        if over > 0 {
            return Err(Duration::from_millis(over));
        }
        self.young.insert(key, next);
        Ok(())
    }
}

/// Addresses that count as one: an IPv6 customer has a whole /64.
pub fn neighbourhood(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6((u128::from(v6) & !u128::from(u64::MAX)).into()),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_allowance_is_used_up_and_comes_back() {
        let mut pace = Pace::per_minute(3);
        for _ in 0..3 {
            assert_eq!(pace.take("a", 1_000), Ok(()));
        }
        assert_eq!(pace.take("a", 1_000), Err(Duration::from_secs(20)));
        assert_eq!(pace.take("b", 1_000), Ok(()));
        assert_eq!(pace.take("a", 20_999), Err(Duration::from_millis(1)));
        assert_eq!(pace.take("a", 21_000), Ok(()));
        assert_eq!(pace.take("a", 21_000), Err(Duration::from_secs(20)));
        for _ in 0..3 {
            assert_eq!(pace.take("a", 200_000), Ok(()));
        }
    }

    #[test]
    fn refused_attempts_do_not_prolong_the_wait() {
        let mut pace = Pace::per_minute(1);
        assert_eq!(pace.take("a", 0), Ok(()));
        for now in 1..60 {
            assert_eq!(pace.take("a", now * 1_000), Err(Duration::from_secs(60 - now)));
        }
        assert_eq!(pace.take("a", 60_000), Ok(()));
    }

    #[test]
    fn the_turn_of_a_generation_forgets_nobody_who_waits() {
        let mut pace = Pace::per_minute(2);
        assert_eq!(pace.take(7, 59_000), Ok(()));
        assert_eq!(pace.take(7, 59_000), Ok(()));
        assert_eq!(pace.take(7, 61_000), Err(Duration::from_secs(28)));
        assert_eq!(pace.take(7, 88_000), Err(Duration::from_secs(1)));
    }

    #[test]
    fn a_flood_of_names_does_not_grow_the_memory() {
        let mut pace = Pace::per_minute(2);
        pace.remembered = 100;
        for key in 0..10_000 {
            assert_eq!(pace.take(key, 5), Ok(()));
        }
        assert!(pace.young.len() + pace.old.len() <= 200);
    }

    #[test]
    fn an_ipv6_network_counts_as_one() {
        let at = |text: &str| neighbourhood(text.parse().unwrap());
        assert_eq!(at("2001:db8:1:2:3::4"), at("2001:db8:1:2:ffff::1"));
        assert_ne!(at("2001:db8:1:2::1"), at("2001:db8:1:3::1"));
        assert_eq!(at("::ffff:192.0.2.1"), at("192.0.2.1"));
    }
}
