//! When a plugin that keeps failing is left alone, and when it is tried again.

use std::ops::Deref;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// Faults in a row that open the breaker.
const FAULTS: u32 = 5;
/// They count only while each is this close to the one before.
const WINDOW: Duration = Duration::from_secs(10);
/// First pause; doubled each time the probing call fails too.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// Longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// The pure state machine. Time is an argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Calls go through; this many faults in a row, the last at the given time.
    Closed { faults: u32, last: Option<Instant> },
    /// No calls until the given time.
    Open { until: Instant, pause: Duration },
    /// One call is trying whether the plugin works again.
    Probing { pause: Duration },
    /// The operator lets no call through.
    Paused,
}

/// What `State::admit` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Admission {
    Go,
    Probe,
    Wait,
}

impl State {
    const CLOSED: State = State::Closed { faults: 0, last: None };

    fn admit(&mut self, now: Instant) -> Admission {
        match *self {
            State::Closed { .. } => Admission::Go,
            State::Open { until, pause } if now >= until => {
                *self = State::Probing { pause };
                Admission::Probe
            }
            State::Open { .. } | State::Probing { .. } | State::Paused => Admission::Wait,
        }
    }

    fn fault(&mut self, now: Instant, probe: bool) {
        match *self {
            State::Closed { faults, last } => {
                let near = last.is_some_and(|last| now.saturating_duration_since(last) <= WINDOW);
                let faults = if near { faults.saturating_add(1) } else { 1 };
                *self = if faults >= FAULTS {
                    State::Open { until: now + FIRST_PAUSE, pause: FIRST_PAUSE }
                } else {
                    State::Closed { faults, last: Some(now) }
                };
            }
            State::Probing { pause } if probe => {
                let pause = (pause * 2).min(LONGEST_PAUSE);
                *self = State::Open { until: now + pause, pause };
            }
            // A call from before the opening: known already.
            State::Open { .. } | State::Probing { .. } | State::Paused => {}
        }
    }

    fn success(&mut self, probe: bool) {
        match self {
            State::Closed { .. } => *self = State::CLOSED,
            State::Probing { .. } if probe => *self = State::CLOSED,
            // A call from before the opening says nothing about the plugin now.
            State::Open { .. } | State::Probing { .. } | State::Paused => {}
        }
    }
}

/// A breaker shared by a pool's calls. While the plugin is well a call costs one atomic load.
#[derive(Debug)]
pub(crate) struct Breaker {
    /// Whether `state` is anything but closed without faults.
    troubled: AtomicBool,
    state: Mutex<State>,
}

impl Breaker {
    pub(crate) fn new() -> Breaker {
        Breaker { troubled: AtomicBool::new(false), state: Mutex::new(State::CLOSED) }
    }

    /// Lets a call through, or not. Every admitted call must be reported, which [`Admitted`] sees to.
    #[inline]
    pub(crate) fn admit<B: Deref<Target = Breaker>>(breaker: B) -> Option<Admitted<B>> {
        let probe = if breaker.troubled.load(Ordering::Acquire) {
            match breaker.state.lock().admit(Instant::now()) {
                Admission::Go => false,
                Admission::Probe => true,
                Admission::Wait => return None,
            }
        } else {
            false
        };
        Some(Admitted { breaker, probe })
    }

    /// Whether calls are kept from the plugin now.
    pub(crate) fn is_open(&self) -> bool {
        self.troubled.load(Ordering::Acquire) && !matches!(*self.state.lock(), State::Closed { .. })
    }

    /// Lets no call through, or all again.
    pub(crate) fn pause(&self, paused: bool) {
        self.update(|state| match (paused, *state) {
            (true, _) => *state = State::Paused,
            (false, State::Paused) => *state = State::CLOSED,
            (false, _) => {}
        });
    }

    /// Whether the operator lets no call through.
    pub(crate) fn is_paused(&self) -> bool {
        self.troubled.load(Ordering::Acquire) && matches!(*self.state.lock(), State::Paused)
    }

    fn update(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.state.lock();
        change(&mut state);
        self.troubled.store(*state != State::CLOSED, Ordering::Release);
    }
}

/// One admitted call. Dropped unreported, a probing call counts as failed (its caller went away, and
/// nobody knows), any other as nothing.
#[derive(Debug)]
pub(crate) struct Admitted<B: Deref<Target = Breaker>> {
    breaker: B,
    probe: bool,
}

impl<B: Deref<Target = Breaker>> Admitted<B> {
    #[inline]
    pub(crate) fn success(mut self) {
        if self.breaker.troubled.load(Ordering::Acquire) {
            self.breaker.update(|state| state.success(self.probe));
        }
        self.probe = false;
    }

    pub(crate) fn fault(mut self) {
        self.breaker.update(|state| state.fault(Instant::now(), self.probe));
        self.probe = false;
    }
}

impl<B: Deref<Target = Breaker>> Drop for Admitted<B> {
    fn drop(&mut self) {
        if self.probe {
            self.breaker.update(|state| state.fault(Instant::now(), true));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opened(now: Instant) -> State {
        let mut state = State::CLOSED;
        for _ in 0..FAULTS {
            assert_eq!(state.admit(now), Admission::Go);
            state.fault(now, false);
        }
        state
    }

    #[test]
    fn faults_in_a_row_open_it_and_a_good_probe_closes_it() {
        let now = Instant::now();
        let mut state = opened(now);
        assert_eq!(state.admit(now), Admission::Wait);
        let then = now + FIRST_PAUSE;
        assert_eq!(state.admit(then), Admission::Probe);
        assert_eq!(state.admit(then), Admission::Wait, "one probe at a time");
        state.success(true);
        assert_eq!(state, State::CLOSED);
    }

    #[test]
    fn a_success_between_and_old_faults_do_not_count() {
        let now = Instant::now();
        let mut state = State::CLOSED;
        for _ in 0..3 * FAULTS {
            state.fault(now, false);
            state.success(false);
        }
        assert_eq!(state.admit(now), Admission::Go);
        for n in 0..3 * FAULTS {
            state.fault(now + (WINDOW + Duration::from_millis(1)) * n, false);
        }
        assert!(matches!(state, State::Closed { faults: 1, .. }));
    }

    #[test]
    fn pauses_grow_to_a_bound_while_probes_fail() {
        let mut now = Instant::now();
        let mut state = opened(now);
        let mut pauses = Vec::new();
        for _ in 0..12 {
            let State::Open { until, pause } = state else { panic!("{state:?}") };
            pauses.push(pause);
            now = until;
            assert_eq!(state.admit(now), Admission::Probe);
            state.fault(now, true);
        }
        assert_eq!(pauses[..3], [FIRST_PAUSE, FIRST_PAUSE * 2, FIRST_PAUSE * 4]);
        assert_eq!(pauses[11], LONGEST_PAUSE);
    }

    #[test]
    fn calls_from_before_the_opening_change_nothing() {
        let now = Instant::now();
        let mut state = opened(now);
        let before = state;
        state.success(false);
        state.fault(now, false);
        assert_eq!(state, before);
        assert_eq!(state.admit(now + FIRST_PAUSE), Admission::Probe);
        state.success(false);
        assert!(matches!(state, State::Probing { .. }));
    }

    #[test]
    fn a_pause_lasts_until_it_is_ended() {
        let breaker = Breaker::new();
        breaker.pause(true);
        assert!(Breaker::admit(&breaker).is_none() && breaker.is_paused());
        breaker.update(|state| state.success(true));
        breaker.update(|state| state.fault(Instant::now(), true));
        assert!(breaker.is_paused(), "calls under way change nothing");
        breaker.pause(false);
        Breaker::admit(&breaker).unwrap().success();
        assert!(!breaker.is_paused() && !breaker.is_open());
    }

    #[test]
    fn a_probe_that_is_given_up_counts_as_failed() {
        let breaker = Breaker::new();
        *breaker.state.lock() = State::Open { until: Instant::now(), pause: FIRST_PAUSE };
        breaker.troubled.store(true, Ordering::Release);
        let probe = Breaker::admit(&breaker).unwrap();
        assert!(Breaker::admit(&breaker).is_none() && breaker.is_open());
        drop(probe);
        assert!(matches!(*breaker.state.lock(), State::Open { pause, .. } if pause == FIRST_PAUSE * 2));
    }

    #[test]
    fn a_well_breaker_is_untroubled_again_after_one_success() {
        let breaker = Breaker::new();
        Breaker::admit(&breaker).unwrap().fault();
        assert!(breaker.troubled.load(Ordering::Acquire) && !breaker.is_open());
        Breaker::admit(&breaker).unwrap().success();
        assert!(!breaker.troubled.load(Ordering::Acquire));
    }
}
