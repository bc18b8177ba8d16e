//! The feed as the link's task drives it: start, pages, cursor. The rules are in `crate::feed`.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use super::mailbox::has_room;
use super::{Flow, Link, Mailbox, Wakes, wake_all};
use crate::feed::{Cursor, Gate, Tracker};
use crate::message::Message;
use crate::queue::{Queued, Via};
use crate::wire::QoS;

impl Link {
    /// Starts the feed of this device's user on this link, from `cursor`, or from where the session
    /// is if that is further. A message is delivered in the lower of its own QoS and `qos`.
    pub fn start_feed(&self, cursor: Cursor, qos: QoS) {
        let mut wakes = Wakes::new();
        if let Some(mut flow) = self.flow() {
            let flow = &mut *flow;
            let fresh = flow.tracker.is_none();
            let tracker = flow.tracker.get_or_insert_default();
            if fresh || cursor.watermark > tracker.watermark() {
                **tracker = Tracker::new(cursor);
                flow.inflight.forget_stored(tracker.watermark());
            }
            flow.feeding = true;
            flow.inflight.resend_from_start();
            if let Some(mut mailbox) = self.mailbox() {
                let gate = mailbox.gate.get_or_insert_with(|| Box::new(Gate::new(0)));
                if !gate.is_started() {
                    gate.stop(tracker.watermark());
                }
                gate.start(qos);
                self.session.fed.store(true, Relaxed);
                self.session.keep_feed(&self.core, &mut mailbox);
                mailbox.wake(&mut wakes);
            }
        }
        wake_all(wakes);
    }

    /// Changes the QoS of what the feed delivers from now on.
    pub fn set_feed_qos(&self, qos: QoS) {
        if let Some(mut mailbox) = self.mailbox()
            && let Some(gate) = &mut mailbox.gate
        {
            gate.qos = qos;
        }
    }

    /// Stops the feed on this link; it may start again later and misses nothing.
    pub fn stop_feed(&self) {
        let mut wakes = Wakes::new();
        if let Some(mut flow) = self.flow()
            && let Some(mut mailbox) = self.mailbox()
        {
            flow.suspend_feed(&mut mailbox);
            flow.look_again(&mut mailbox, &mut wakes);
        }
        wake_all(wakes);
    }

    /// After which sequence number a page of stored messages is needed. Once told it is not told
    /// again until [`Link::feed_page`] or [`Link::feed_failed`]. To be asked after every `drain`.
    pub fn feed_wants(&self) -> Option<u64> {
        // Nearly always level: one short lock.
        self.mailbox()?.gate.as_ref()?.wants()?;
        let flow = self.flow()?;
        let mut mailbox = self.mailbox()?;
        let gate = mailbox.gate.as_mut()?;
        let after = gate.wants()?;
        if !has_room(gate, &self.core.limits) && !flow.inflight.waits_for_store() {
            return None;
        }
        gate.asked();
        Some(after)
    }

    /// The page that [`Link::feed_wants`] asked for: stored messages in ascending order, each with
    /// whether this very device sent it. What is missing up to the last one is done: it expired or
    /// was purged. `end` when there was nothing beyond it when the page was read.
    pub fn feed_page(&self, page: Vec<(u64, Arc<Message>, bool)>, end: bool) {
        let mut wakes = Wakes::new();
        if let Some(mut flow) = self.flow()
            && let Some(mut mailbox) = self.mailbox()
        {
            flow.take_page(&mut mailbox, page, end);
            if flow.blocked {
                flow.blocked = false;
                mailbox.blocked = false;
            }
            mailbox.more = true;
            mailbox.wake(&mut wakes);
        }
        wake_all(wakes);
    }

    /// The page could not be had: it may be asked for again. The caller waits a while first.
    pub fn feed_failed(&self) {
        if let Some(mut mailbox) = self.mailbox()
            && let Some(gate) = &mut mailbox.gate
        {
            gate.page_failed();
        }
    }

    /// The cursor, if it has moved since it was last taken. To be taken before `close` too.
    pub fn take_cursor(&self) -> Option<Cursor> {
        self.flow()?.tracker.as_mut()?.take_changed()
    }
}

impl Flow {
    fn take_page(&mut self, mailbox: &mut Mailbox, page: Vec<(u64, Arc<Message>, bool)>, end: bool) {
        let (Some(gate), Some(tracker)) = (&mut mailbox.gate, &mut self.tracker) else { return };
        if !gate.is_asked() {
            return; // of an earlier link
        }
        // Live messages from before the feed fell behind have not met the tracker yet.
        for seq in self.taken.iter().chain(mailbox.queue.iter()).filter_map(Queued::seq) {
            tracker.on_its_way(seq);
        }
        for (seq, message, own) in page {
            if !gate.page_item(seq) {
                continue;
            }
            let done = own || tracker.is_done(seq);
            tracker.on_its_way(seq);
            let size = message.size();
            let qos = gate.qos.min(message.qos);
            let queued = Queued::new(&message, Via::Feed { seq, done }, qos, false);
            if let Some(queued) = self.inflight.fill(seq, queued) {
                gate.add(size);
                mailbox.queue.push(queued);
            }
        }
        let covered = gate.page_end(end, tracker.greatest_above());
        self.inflight.forget_stored(if end { u64::MAX } else { covered });
        self.inflight.resend_from_start();
        tracker.covered(covered);
    }

    /// Something was taken out of the queue from within: what waits behind it may be written now.
    pub(super) fn look_again(&mut self, mailbox: &mut Mailbox, wakes: &mut Wakes) {
        let blocked = std::mem::take(&mut self.blocked) | std::mem::take(&mut mailbox.blocked);
        // What is in flight no longer waits for what the feed would bring before it.
        let unsent = self.inflight.has_unsent(self.feeding);
        mailbox.more |= unsent;
        if blocked || unsent {
            mailbox.wake(wakes);
        }
    }

    /// Lets go of all that the store has; it comes again when the feed starts again.
    pub(super) fn suspend_feed(&mut self, mailbox: &mut Mailbox) {
        self.feeding = false;
        let (Some(tracker), Some(gate)) = (&mut self.tracker, &mut mailbox.gate) else { return };
        mailbox.queue.put_back(std::mem::take(&mut self.taken));
        mailbox.queue.split_off(|item| item.seq().is_none());
        self.inflight.let_stored_go();
        tracker.restart();
        gate.stop(tracker.watermark());
    }
}
