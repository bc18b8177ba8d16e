//! Which work is traced.

use std::cell::Cell;
use std::hash::{BuildHasher, RandomState};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use opentelemetry_sdk::trace::SdkTracer;
use parking_lot::Mutex;

/// Where spans go; unset without a collector.
static TRACER: OnceLock<SdkTracer> = OnceLock::new();
/// Of 2^32 pieces of work that nobody has said anything of, so many are traced.
static SHARE: AtomicU64 = AtomicU64::new(0);

/// Peers that may have traces: what one kind of them takes is not taken from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// Who asks by HTTP.
    Request,
    /// Who has signed in by MQTT.
    SignedIn,
    /// An anonymous client.
    Anonymous,
}

impl By {
    /// Traces a second, for `sampled` is a flag that anybody can set.
    const fn most(self) -> u32 {
        match self {
            By::Request | By::SignedIn => 100,
            By::Anonymous => 10,
        }
    }
}

/// From now on a share of all work is traced, 0 to 1.
pub(crate) fn set(tracer: SdkTracer, share: f64) {
    let _ = TRACER.set(tracer);
    let all = f64::from(u32::MAX) + 1.0;
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // 0 to 2^32
    SHARE.store((share.clamp(0.0, 1.0) * all) as u64, Ordering::Relaxed);
}

pub(crate) fn tracer() -> Option<&'static SdkTracer> {
    TRACER.get()
}

/// Draws whether a piece of work is traced that no peer has said anything of.
#[inline]
pub(crate) fn drawn() -> bool {
    let share = SHARE.load(Ordering::Relaxed);
    share != 0 && draw() < share
}

/// A second, and how many traces were taken in it.
type Window = Option<(Instant, u32)>;

/// Whether one is traced of which a peer wants it.
pub(crate) fn wanted(by: By) -> bool {
    static WINDOWS: Mutex<[Window; 3]> = Mutex::new([None; 3]);
    let mut windows = WINDOWS.lock();
    let [requests, signed_in, anonymous] = &mut *windows;
    let window = match by {
        By::Request => requests,
        By::SignedIn => signed_in,
        By::Anonymous => anonymous,
    };
    count(window, by.most(), Instant::now())
}

fn count(window: &mut Window, most: u32, now: Instant) -> bool {
    let (since, taken) = window.get_or_insert((now, 0));
    if now.saturating_duration_since(*since) >= Duration::from_secs(1) {
        (*since, *taken) = (now, 0);
    }
    *taken += 1;
    *taken <= most
}

/// 32 bits that are random enough to draw lots with (xorshift64*).
fn draw() -> u64 {
    thread_local! {
        static STATE: Cell<u64> = Cell::new(RandomState::new().hash_one(0_u8) | 1);
    }
    let mut state = STATE.get();
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    STATE.set(state);
    state.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lots_are_drawn_evenly() {
        let drawn = (0..100_000).filter(|_| draw() < 1 << 30).count();
        assert!((24_000..26_000).contains(&drawn), "{drawn} of 100,000 by a quarter");
    }

    #[test]
    fn anonymous_clients_take_nothing_from_others() {
        let taken = (0..10_000).filter(|_| wanted(By::Anonymous)).count();
        assert!((10..=20).contains(&taken), "{taken}: a second may have turned meanwhile");
        assert!(wanted(By::SignedIn) && wanted(By::Request));
    }

    #[test]
    fn peers_have_so_many_a_second() {
        let (mut window, now) = (None, Instant::now());
        assert_eq!((0..500).filter(|_| count(&mut window, 100, now)).count(), 100);
        assert!(count(&mut window, 100, now + Duration::from_secs(1)));
    }
}
