//! What time makes due on a live link: its end for silence or for want of a token, and the next message of
//! one that publishes too fast.

use std::{
    task::{Context, Poll},
    time::Duration,
};

use postern_broker::{Timestamp, wire::Packet};
use tokio::time::Instant;

use super::link::Pump;
use crate::refuse::Refusal;

impl Pump {
    /// Waits for what time makes due: the end of the link, or a message that may be applied again.
    pub(super) fn poll_timer(&mut self, cx: &mut Context<'_>, now: Timestamp) -> Poll<()> {
        loop {
            let end = self.next_deadline(now);
            let times = [end.as_ref().map(|(at, _)| *at), self.held_until()];
            let Some(deadline) = times.into_iter().flatten().min() else {
                self.timer = None;
                return Poll::Pending;
            };
            if deadline <= Instant::now() && self.ending.is_none() {
                // What was under way is finished; the next poll ends the link, or goes on with it.
                if let Some((_, refusal)) = end.filter(|(at, _)| *at <= deadline) {
                    self.refuse(refusal);
                }
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            if self.ending.is_some() {
                return Poll::Pending; // a commit that is under way wakes us
            }
            let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
            // A timer that goes off early is set anew; one that is late is what it costs to leave
            // it alone at every packet.
            if timer.deadline() > deadline || timer.is_elapsed() {
                timer.as_mut().reset(deadline);
            }
            if timer.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
        }
    }

    fn next_deadline(&self, now: Timestamp) -> Option<(Instant, Refusal)> {
        // Who is not read cannot be heard.
        let heard_of = self.keep_alive.filter(|_| self.held_until().is_none());
        let silence =
            heard_of.map(|ms| (self.heard + Duration::from_millis(ms.get().into()), Refusal::KeepAlive));
        let expiry = match self.signed_in.as_ref().map_or(u64::MAX, |s| s.expires_at()) {
            u64::MAX => None,
            at => Some((Instant::now() + Duration::from_millis(at.saturating_sub(now.0)), Refusal::Expired)),
        };
        match (silence, expiry) {
            (Some(a), Some(b)) => Some(if a.0 <= b.0 { a } else { b }),
            (a, b) => a.or(b),
        }
    }

    /// Whether the next packet is a message that comes too fast: it waits, and what comes behind it.
    pub(super) fn is_held(&mut self) -> bool {
        let (Some(pace), Some(Packet::Publish(publish))) = (&mut self.pace, self.backlog.front()) else {
            return false;
        };
        !pace.take(publish.topic.len() + publish.payload.len(), Instant::now())
    }

    fn held_until(&self) -> Option<Instant> {
        self.pace.as_ref()?.held_until()
    }

    /// Before what waits is applied: what was held may go on.
    pub(super) fn resume(&mut self) {
        if self.pace.as_mut().is_some_and(|pace| pace.resume(Instant::now())) {
            self.heard = Instant::now();
        }
    }
}
