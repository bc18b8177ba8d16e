//! How fast the messages of one link are applied: by number and by bytes, with a second's worth at once.
//! What is too fast waits and is not lost: the link is read no further meanwhile.

use std::time::Duration;

use tokio::time::Instant;

use crate::config::Limits;

/// What may come at once, as the time that it makes up for.
const AT_ONCE: Duration = Duration::from_secs(1);

/// The generic cell rate algorithm, as for logins: one moment says it all.
#[derive(Debug)]
pub struct Pace {
    per_message: Duration,
    per_byte_nanos: f64,
    /// Until when the allowance is used up.
    until: Option<Instant>,
    held_until: Option<Instant>,
}

impl Pace {
    /// What the config sets; none when it sets no bound.
    pub fn of(limits: &Limits) -> Option<Box<Self>> {
        let per = |rate: u32| if rate == 0 { 0.0 } else { 1e9 / f64::from(rate) };
        let (message, byte) = (per(limits.publish_per_sec), per(limits.publish_bytes_per_sec));
        (message > 0.0 || byte > 0.0).then(|| {
            Box::new(Pace {
                per_message: Duration::from_nanos(message as u64),
                per_byte_nanos: byte,
                until: None,
                held_until: None,
            })
        })
    }

    /// Takes one message of so many bytes; false when it has to wait.
    pub fn take(&mut self, bytes: usize, now: Instant) -> bool {
        let until = self.until.map_or(now, |until| until.max(now));
        if until > now + AT_ONCE {
            if self.held_until.is_none() {
                metrics::counter!("postern_publish_held_total").increment(1);
            }
            self.held_until = Some(until - AT_ONCE);
            return false;
        }
        let by_bytes = Duration::from_nanos((bytes as f64 * self.per_byte_nanos) as u64);
        self.until = Some(until + self.per_message.max(by_bytes));
        true
    }

    /// Until when a message has to wait, if one does.
    pub fn held_until(&self) -> Option<Instant> {
        self.held_until
    }

    /// Whether one that waited may go on.
    pub fn resume(&mut self, now: Instant) -> bool {
        let over = self.held_until.is_some_and(|at| at <= now);
        if over {
            self.held_until = None;
        }
        over
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pace(publish_per_sec: u32, publish_bytes_per_sec: u32) -> Option<Box<Pace>> {
        Pace::of(&Limits { publish_per_sec, publish_bytes_per_sec, ..Limits::default() })
    }

    #[test]
    fn a_seconds_worth_at_once_and_then_at_the_rate() {
        assert!(pace(0, 0).is_none());
        let start = Instant::now();
        for (mut pace, bytes) in [(pace(10, 0).unwrap(), 1), (pace(0, 1_000).unwrap(), 100)] {
            let taken = (0..100).take_while(|_| pace.take(bytes, start)).count();
            assert!((10..=11).contains(&taken), "{taken}");
            let at = pace.held_until().unwrap();
            assert!(at > start && at <= start + Duration::from_millis(101));
            assert!(!pace.resume(start) && pace.resume(at) && pace.held_until().is_none());
            assert!(pace.take(bytes, at) && !pace.take(bytes, at));
            let later = at + Duration::from_secs(60);
            let taken = (0..100).take_while(|_| pace.take(bytes, later)).count();
            assert!((10..=11).contains(&taken), "no more for having waited: {taken}");
        }
    }

    #[test]
    fn one_message_that_is_larger_than_the_rate_is_only_slow() {
        let mut pace = pace(0, 1_000).unwrap();
        let start = Instant::now();
        assert!(pace.take(5_000, start) && !pace.take(1, start));
        assert_eq!(pace.held_until(), Some(start + Duration::from_secs(4)));
    }
}
