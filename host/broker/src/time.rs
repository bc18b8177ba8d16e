//! Time as an argument: the core has no clock of its own.

/// Milliseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// The moment `secs` seconds later; the end of time rather than an overflow.
    #[must_use]
    pub fn plus_secs(self, secs: u32) -> Self {
        Timestamp(self.0.saturating_add(u64::from(secs).saturating_mul(1000)))
    }

    /// Whole seconds from `now` until this moment, rounded up, so that what has not expired yet is
    /// never announced with 0 left.
    pub fn secs_after(self, now: Timestamp) -> u32 {
        u32::try_from(self.0.saturating_sub(now.0).div_ceil(1000)).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::Timestamp;

    #[test]
    fn remaining_time_is_rounded_up_and_never_negative() {
        assert_eq!(Timestamp(5000).secs_after(Timestamp(4999)), 1);
        assert_eq!(Timestamp(5000).secs_after(Timestamp(3000)), 2);
        assert_eq!(Timestamp(5000).secs_after(Timestamp(9000)), 0);
        assert_eq!(Timestamp(u64::MAX).plus_secs(9), Timestamp(u64::MAX));
    }
}
