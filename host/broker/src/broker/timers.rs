//! When sessions without link need a look: to end, or to publish a delayed will.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::session::Session;
use crate::time::Timestamp;

/// One deadline for each session that has any; exact, so that a client that comes and goes leaves
/// nothing behind.
#[derive(Debug, Default)]
pub(super) struct Timers {
    due: BTreeMap<(Timestamp, u64), Arc<Session>>,
}

impl Timers {
    /// Moves a session's deadline; `held` is what the session remembers of it.
    pub(super) fn set(
        &mut self,
        session: &Arc<Session>,
        held: &mut Option<Timestamp>,
        at: Option<Timestamp>,
    ) {
        if *held == at {
            return;
        }
        if let Some(former) = held.take() {
            self.due.remove(&(former, session.id));
        }
        if let Some(at) = at {
            self.due.insert((at, session.id), Arc::clone(session));
        }
        *held = at;
    }

    pub(super) fn next(&self) -> Option<Timestamp> {
        self.due.first_key_value().map(|((at, _), _)| *at)
    }

    /// The sessions whose deadline has come. They stay in until their deadline is moved.
    pub(super) fn due(&self, now: Timestamp) -> Vec<Arc<Session>> {
        self.due.range(..=(now, u64::MAX)).map(|(_, session)| Arc::clone(session)).collect()
    }
}
