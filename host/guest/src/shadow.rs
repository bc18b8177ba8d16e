//! A candidate in the shadow of what serves: it gets copies of live calls, its answers are compared and not
//! used. It runs on a thread of its own, with what time the others leave it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::call::CallError;
use crate::engine::give_way;
use crate::plugin::Plugin;
use crate::policy::Role;
use crate::slot::{ActivateError, Slots};
use crate::watch::{Call, Observed, Watching};

/// Differences that are kept.
const SAMPLE: usize = 20;
/// How soon it notices that it is to end.
const LOOK: Duration = Duration::from_millis(100);
/// Bytes of a difference that are kept.
const LONGEST: usize = 500;

/// What was found so far.
#[derive(Clone, Debug, Default)]
pub struct Findings {
    /// Calls that were compared.
    pub compared: u64,
    /// Those that were answered alike.
    pub alike: u64,
    /// Calls of the candidate that gave no answer.
    pub failed: u64,
    /// Calls that were not looked at, because the machine had other work.
    pub shed: u64,
    /// Time of the calls of what serves, of those that were compared.
    pub served_took: Duration,
    /// Time of the candidate's.
    pub took: Duration,
    /// The last differences, one line each.
    pub differences: Vec<String>,
}

/// A candidate in the shadow; dropped, it ends.
pub struct Shadow {
    /// The candidate.
    pub plugin: Arc<Plugin>,
    findings: Arc<Mutex<(Findings, VecDeque<String>)>>,
    stop: Arc<AtomicBool>,
}

impl Shadow {
    /// Puts a candidate into the shadow of the pure roles that it fills and `slots` serve.
    ///
    /// # Errors
    ///
    /// It does not fill a role that it says it fills, or the system gives no thread.
    pub fn begin(plugin: Arc<Plugin>, slots: &Slots, every: u64) -> Result<Shadow, ActivateError> {
        let candidate = Slots::aside();
        let findings: Arc<Mutex<(Findings, VecDeque<String>)>> = Arc::default();
        let stop = Arc::new(AtomicBool::new(false));
        let candidate = Arc::new(candidate);
        // Made first: what fails on the way ends what has begun.
        let shadow = Shadow { plugin: plugin.clone(), findings: findings.clone(), stop: stop.clone() };
        for role in plugin.roles().iter().copied().filter(|role| role.is_pure()) {
            candidate.activate(role, plugin.clone())?;
            let Some(watch) = slots.watch(role) else { continue };
            let watching = watch.begin(every);
            let (candidate, findings, stop) = (candidate.clone(), findings.clone(), stop.clone());
            let run = move || {
                give_way();
                compare(&candidate, &watching, &findings, &stop);
            };
            let began = thread::Builder::new().name("postern-shadow".into()).spawn(run);
            if began.is_err() {
                return Err(ActivateError::Alone(role));
            }
        }
        Ok(shadow)
    }

    /// What was found so far.
    pub fn findings(&self) -> Findings {
        let held = self.findings.lock();
        Findings { differences: held.1.iter().cloned().collect(), ..held.0.clone() }
    }

    /// Whether a role can be shadowed: its calls have no effect.
    pub const fn covers(role: Role) -> bool {
        role.is_pure()
    }
}

impl Drop for Shadow {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn compare(
    candidate: &Slots,
    watching: &Watching,
    findings: &Mutex<(Findings, VecDeque<String>)>,
    stop: &AtomicBool,
) {
    // Another role's thread counts into the same findings.
    let mut told = 0;
    let mut count_shed = |found: &mut Findings| {
        let dropped = watching.dropped();
        found.shed += dropped - told;
        told = dropped;
    };
    while !stop.load(Ordering::Relaxed) {
        let Some(observed) = watching.next(Instant::now() + LOOK) else {
            count_shed(&mut findings.lock().0);
            continue;
        };
        let began = Instant::now();
        let outcome = ask(candidate, &observed);
        let took = began.elapsed();
        let mut held = findings.lock();
        let (found, differences) = &mut *held;
        count_shed(found);
        found.compared += 1;
        found.served_took += observed.took;
        found.took += took;
        match outcome {
            Outcome::Alike => found.alike += 1,
            Outcome::Differs(mut line) => {
                line.truncate(line.floor_char_boundary(LONGEST));
                if differences.len() == SAMPLE {
                    differences.pop_front();
                }
                differences.push_back(line);
            }
            Outcome::Failed => found.failed += 1,
        }
    }
}

enum Outcome {
    Alike,
    Differs(String),
    Failed,
}

/// What the candidate answers to the same question.
fn ask(candidate: &Slots, observed: &Observed) -> Outcome {
    match &observed.call {
        Call::Classify(message, served) => {
            weigh(message.topic.clone(), served, candidate.classify().classify(&message.facts()))
        }
        Call::Decide(facts, served) => {
            let about = format!("{} for {}", facts.command_class, facts.terminal);
            weigh(about, served, candidate.encrypt().decide(facts.clone()))
        }
        Call::IdlePeriod(history, served) => {
            weigh(history.terminal.clone(), served, candidate.encrypt().idle_period(history.clone()))
        }
    }
}

fn weigh<T, E>(about: String, served: &Result<T, E>, answer: Result<T, CallError<E>>) -> Outcome
where
    T: PartialEq + std::fmt::Debug,
    E: PartialEq + std::fmt::Debug,
{
    let answer = match answer {
        Ok(answer) => Ok(answer),
        Err(CallError::Answer(error)) => Err(error),
        Err(CallError::Down(_)) => return Outcome::Failed,
    };
    if answer == *served {
        return Outcome::Alike;
    }
    Outcome::Differs(format!("{about}: serves {served:?}, the candidate {answer:?}"))
}
