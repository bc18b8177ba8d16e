//! Sessions coming and going, as the registry sees it.

use std::sync::Arc;

use super::Core;
use super::registry::Registry;
use crate::journal::Change;
use crate::message::Message;
use crate::session::{Close, Ended, Flow, Open, Opened, Session, Wakes, wake_all};
use crate::time::Timestamp;
use crate::will::DueWill;
use crate::wire::QoS;

impl Core {
    pub(super) fn open(self: &Arc<Self>, mut open: Open, now: Timestamp) -> Opened {
        let mut wakes = Wakes::new();
        let mut ended = None;
        let mut will = None;
        let _whole = self.journal.together();
        let mut registry = self.registry.write();
        let former = registry.find(&open.key).cloned();
        let resumed = former.and_then(|session| {
            let mut flow = session.flow.lock();
            let displaced = flow.link != 0;
            if displaced {
                session.detach(self, &mut flow, now, &mut wakes);
                flow.start_will(now);
                self.stats.takeovers.add(1);
                self.stats.connected.sub(1);
            }
            let over = open.clean_start || flow.ends_at().is_some_and(|at| at <= now);
            will = flow.take_due_will(now, over).map(|will| session.due(will));
            if over {
                ended = Some(self.end(&mut registry, &session, &mut flow));
                return None;
            }
            drop(flow);
            Some(session)
        });
        let session_present = resumed.is_some();
        let session = resumed.unwrap_or_else(|| {
            let session = Arc::new(Session::new(Arc::clone(&open.key), self.next_id()));
            registry.insert(&session);
            self.stats.sessions.add(1);
            session
        });
        let mut flow = session.flow.lock();
        self.timers.lock().set(&session, &mut flow.timer, None);
        open.clean_start = false;
        let link = session.attach(self, &mut flow, open, now);
        let session_expiry_secs = flow.expiry_secs;
        drop(flow);
        drop(registry);
        self.stats.connected.add(1);
        self.stats.connections.add(1);
        let cursor = ended.and_then(|ended| self.bury(ended, &mut wakes));
        link.wait_for(wakes.mark); // CONNACK says that the former session is gone
        wake_all(wakes);
        Opened { link, session_present, session_expiry_secs, will, cursor }
    }

    /// Ends a link, if `number` still is its session's.
    pub(crate) fn close(
        &self,
        session: &Arc<Session>,
        number: u32,
        how: Close,
        now: Timestamp,
    ) -> Option<DueWill> {
        let mut wakes = Wakes::new();
        let mut ended = None;
        let _whole = self.journal.together();
        let mut registry = self.registry.write();
        let mut flow = session.flow.lock();
        session.mailbox.lock().abandon(number, &mut wakes);
        let mut will = None;
        if flow.link == number {
            self.stats.connected.sub(1);
            session.detach(self, &mut flow, now, &mut wakes);
            match how {
                Close::Normal { session_expiry_secs } => {
                    flow.drop_will();
                    flow.change_expiry(session_expiry_secs, &self.limits);
                }
                Close::WithWill { session_expiry_secs } => {
                    flow.change_expiry(session_expiry_secs, &self.limits);
                }
                Close::Lost => {}
            }
            flow.start_will(now);
            let over = flow.expiry_secs == 0;
            will = flow.take_due_will(now, over).map(|will| session.due(will));
            if over {
                ended = Some(self.end(&mut registry, session, &mut flow));
            } else {
                session.keep_without_link(self, &flow);
                let deadline = flow.next_deadline();
                self.timers.lock().set(session, &mut flow.timer, deadline);
            }
        }
        drop(flow);
        drop(registry);
        if let Some(ended) = ended {
            self.bury(ended, &mut wakes);
        }
        wake_all(wakes);
        will
    }

    pub(super) fn tick(&self, now: Timestamp) -> Vec<DueWill> {
        let mut wills = Vec::new();
        let mut wakes = Wakes::new();
        let due = self.timers.lock().due(now);
        for session in due {
            let _whole = self.journal.together();
            let mut registry = self.registry.write();
            let mut flow = session.flow.lock();
            if flow.link != 0 || flow.ended {
                continue; // it came back in the meantime
            }
            let over = flow.ends_at().is_some_and(|at| at <= now);
            wills.extend(flow.take_due_will(now, over).map(|will| session.due(will)));
            if over {
                self.stats.sessions_expired.add(1);
                let ended = self.end(&mut registry, &session, &mut flow);
                drop(flow);
                drop(registry);
                self.bury(ended, &mut wakes);
            } else {
                session.keep_no_will(self);
                let deadline = flow.next_deadline();
                self.timers.lock().set(&session, &mut flow.timer, deadline);
            }
        }
        wake_all(wakes);
        self.expire_retained(now);
        wills
    }

    fn expire_retained(&self, now: Timestamp) {
        if self.retained.read().next_expiry().is_some_and(|at| at <= now) {
            let mut retained = self.retained.write();
            let before = retained.len();
            for topic in retained.expire(now) {
                self.keep_retained(&Arc::new(Message::new(topic, "", QoS::AtMostOnce, now)));
            }
            self.stats.retained.change(before, retained.len());
        }
    }

    /// Ends a session without link. [`Core::bury`] does the rest outside the registry's lock.
    fn end(&self, registry: &mut Registry, session: &Arc<Session>, flow: &mut Flow) -> Ended {
        registry.remove(session);
        self.timers.lock().set(session, &mut flow.timer, None);
        self.stats.sessions.sub(1);
        session.end(flow)
    }

    /// Takes an ended session's subscriptions out, one by one: what others hold does not matter.
    fn bury(&self, ended: Ended, wakes: &mut Wakes) -> Option<crate::feed::Cursor> {
        for filter in &ended.filters {
            self.router.write().unsubscribe(&ended.session, filter);
        }
        self.stats.subscriptions.sub(ended.filters.len() as u64);
        self.hand_on(ended.orphans, wakes);
        if ended.kept {
            wakes.recorded(self.journal.record(Change::Ended(ended.session.id)));
        }
        ended.cursor
    }
}
