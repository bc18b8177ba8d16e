//! Instructions to many terminals at once are spread (rule 8): each comes back with a handshake.

use parking_lot::Mutex;
use ring::rand::{SecureRandom, SystemRandom};

/// A fixed number a second; those that come in a crowd get a time, with jitter.
pub struct Pace {
    per_second: u64,
    /// When the next one may go, in microseconds since the Unix epoch.
    next: Mutex<u64>,
}

impl Pace {
    /// So many a second, and as many at once.
    pub fn new(per_second: u32) -> Self {
        Pace { per_second: u64::from(per_second).max(1), next: Mutex::new(0) }
    }

    /// Milliseconds that an instruction waits for its turn; 0 when there is no crowd.
    pub fn wait(&self, now: u64) -> u64 {
        let (now, step) = (now.saturating_mul(1_000), 1_000_000 / self.per_second);
        let mut next = self.next.lock();
        *next = (*next).max(now) + step;
        let ahead = (*next - now).saturating_sub(1_000_000) / 1_000;
        ahead + jitter(ahead / 2)
    }
}

/// Up to `most`, at random.
pub fn jitter(most: u64) -> u64 {
    let mut bytes = [0; 8];
    // Without random bytes they go without jitter.
    let _ = SystemRandom::new().fill(&mut bytes);
    u64::from_be_bytes(bytes) % (most + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crowd_is_spread_and_one_goes_at_once() {
        let pace = Pace::new(100);
        let waits: Vec<u64> = (0..1_000).map(|_| pace.wait(50_000)).collect();
        assert!(waits[..100].iter().all(|wait| *wait == 0), "a second's worth goes at once");
        assert!((8_000..=14_000).contains(&waits[999]), "{}", waits[999]);
        assert_eq!(pace.wait(90_000), 0);
    }
}
