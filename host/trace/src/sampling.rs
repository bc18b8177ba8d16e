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

/// Traces a second that peers may have, for `sampled` is a flag that anybody can set.
const BY_PEERS: u32 = 100;

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

/// Whether one is traced of which a peer wants it.
pub(crate) fn wanted() -> bool {
    static WINDOW: Mutex<Option<(Instant, u32)>> = Mutex::new(None);
    TRACER.get().is_some() && count(&mut WINDOW.lock(), Instant::now())
}

fn count(window: &mut Option<(Instant, u32)>, now: Instant) -> bool {
    let (since, taken) = window.get_or_insert((now, 0));
    if now.saturating_duration_since(*since) >= Duration::from_secs(1) {
        (*since, *taken) = (now, 0);
    }
    *taken += 1;
    *taken <= BY_PEERS
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
    fn peers_have_so_many_a_second() {
        let (mut window, now) = (None, Instant::now());
        assert_eq!((0..500).filter(|_| count(&mut window, now)).count(), 100);
        assert!(count(&mut window, now + Duration::from_secs(1)));
    }
}
