//! Random choices from a seed, so that two runs make the same ones.

use std::time::Duration;

/// A stream of numbers (`splitmix64`).
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Dice(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// 0 up to `end`, without it.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        let end = u64::try_from(end).unwrap_or(u64::MAX).max(1);
        usize::try_from(self.next() % end).unwrap_or(0)
    }

    /// One of them.
    pub(crate) fn one<T: Copy>(&mut self, of: &[T]) -> Option<T> {
        of.get(self.below(of.len())).copied()
    }

    /// A time between two.
    pub(crate) fn between(&mut self, from: Duration, to: Duration) -> Duration {
        from + to.saturating_sub(from).mul_f64(self.below(10_000) as f64 / 10_000.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_makes_the_same_choices() {
        let (mut one, mut other, mut third) = (Dice::new(1), Dice::new(1), Dice::new(2));
        let all = |dice: &mut Dice| (0..1_000).map(|_| dice.below(10)).collect::<Vec<_>>();
        let first = all(&mut one);
        assert_eq!(first, all(&mut other));
        assert_ne!(first, all(&mut third));
        assert!((0..10).all(|face| first.iter().filter(|at| **at == face).count() > 60));
        let (from, to) = (Duration::from_secs(1), Duration::from_secs(2));
        assert!((0..100).all(|_| (from..to).contains(&one.between(from, to))));
        assert_eq!(one.one::<u8>(&[]), None);
    }
}
