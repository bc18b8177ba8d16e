//! What a session that outlives its link tells the journal. A session costs nothing there until it
//! has something to keep: a subscription, a message, a QoS 2 publish, a will.

use std::num::NonZeroU32;
use std::sync::atomic::Ordering::Relaxed;

use super::{Flow, Mailbox, Session, Wakes};
use crate::broker::{Core, Restored};
use crate::inflight;
use crate::journal::{Body, Change, KeptMessage, KeptSession, KeptWill, Mark, Stage};
use crate::queue::{Queued, SubscriptionIds, Via};
use crate::time::Timestamp;
use crate::wire::QoS;

/// The journal's side of a session that persists.
#[derive(Debug)]
pub(super) struct Keep {
    id: u64,
    session: KeptSession,
    /// The journal knows the session.
    is_known: bool,
    /// The journal has a will of it.
    has_will: bool,
    /// The number of the last message kept.
    last: u64,
}

impl Keep {
    pub(super) fn new(id: u64, session: KeptSession, is_known: bool, has_will: bool, last: u64) -> Self {
        Keep { id, session, is_known, has_will, last }
    }

    /// Tells the journal of the session, if it has to know it now.
    fn introduce(&mut self, core: &Core) {
        if !self.is_known {
            self.is_known = true;
            core.journal.record(Change::Session(self.id, self.session.clone()));
        }
    }

    fn set_will(&mut self, core: &Core, will: Option<&super::KeptWill>) {
        if will.is_none() && !self.has_will {
            return;
        }
        self.introduce(core);
        self.has_will = will.is_some();
        let will = will.map(|kept| KeptWill { will: kept.will.clone(), due: kept.due });
        core.journal.record(Change::Will(self.id, will));
    }
}

impl Mailbox {
    /// Records a change of a session that persists; what its link writes from now on may have to
    /// wait for the mark.
    pub(super) fn note(&mut self, core: &Core, change: impl FnOnce(u64) -> Change) -> Mark {
        let Some(keep) = &mut self.keep else { return Mark::default() };
        keep.introduce(core);
        core.journal.record(change(keep.id))
    }

    /// The same, and the link's next packets wait for it.
    pub(super) fn note_first(&mut self, core: &Core, change: impl FnOnce(u64) -> Change) {
        let mark = self.note(core, change);
        self.wait_for(mark);
    }

    /// The link's next packets wait until the journal is settled so far.
    pub(super) fn wait_for(&mut self, mark: Mark) {
        self.mark = self.mark.max(mark);
    }

    /// A message for this session is about to be queued: keeps it, if it is worth that. Stored
    /// messages have their place already, pushes are of the moment.
    pub(super) fn keep(&mut self, core: &Core, item: &mut Queued, wakes: &mut Wakes) {
        if item.qos == QoS::AtMostOnce || matches!(item.via, Via::Feed { .. } | Via::Push) {
            return;
        }
        let Some(number) = self.next_number() else { return };
        item.number = number;
        let kept = item.kept();
        wakes.recorded(self.note(core, |id| Change::Queued(id, kept)));
    }

    /// A stored message goes out in QoS 2: its packet identifier has to be known after a restart.
    pub(super) fn keep_stored(&mut self, core: &Core, item: &mut Queued, serial: u64) -> Mark {
        let Some(number) = self.next_number() else { return Mark::default() };
        item.number = number;
        let kept = KeptMessage { stage: Stage::Sent(serial), ..item.kept() };
        self.note(core, |id| Change::Queued(id, kept))
    }

    fn next_number(&mut self) -> Option<u64> {
        let keep = self.keep.as_mut()?;
        keep.last += 1;
        Some(keep.last)
    }
}

impl Session {
    /// A link is attached: from now on the session persists, or it does no more.
    pub(super) fn keep_from_link(&self, core: &Core, flow: &Flow, mailbox: &mut Mailbox) {
        if !core.journal.is_on() {
            return;
        }
        if flow.expiry_secs == 0 {
            if mailbox.keep.take().is_some_and(|keep| keep.is_known) {
                core.journal.record(Change::Ended(self.id));
            }
            return;
        }
        self.update_keep(core, flow, mailbox, None);
    }

    /// The link is gone, and the session goes on without.
    pub(crate) fn keep_without_link(&self, core: &Core, flow: &Flow) {
        let mut mailbox = self.mailbox.lock();
        if mailbox.keep.is_some() {
            self.update_keep(core, flow, &mut mailbox, Some(flow.since));
        }
    }

    fn update_keep(&self, core: &Core, flow: &Flow, mailbox: &mut Mailbox, left: Option<Timestamp>) {
        let session = KeptSession {
            key: self.key.clone(),
            version: flow.version,
            expiry_secs: flow.expiry_secs,
            left,
            has_feed: self.has_feed(),
        };
        match &mut mailbox.keep {
            Some(keep) => {
                keep.session = session;
                if keep.is_known {
                    core.journal.record(Change::Session(keep.id, keep.session.clone()));
                }
            }
            none => *none = Some(Box::new(Keep::new(self.id, session, false, false, 0))),
        }
        if let Some(keep) = &mut mailbox.keep {
            keep.set_will(core, flow.will.as_deref());
        }
    }

    /// Its will is published or dropped, and nothing else has changed.
    pub(crate) fn keep_no_will(&self, core: &Core) {
        if let Some(keep) = &mut self.mailbox.lock().keep {
            keep.set_will(core, None);
        }
    }

    /// The feed has started: who publishes has to know it after a restart too.
    pub(super) fn keep_feed(&self, core: &Core, mailbox: &mut Mailbox) {
        if let Some(keep) = &mut mailbox.keep
            && !keep.session.has_feed
        {
            keep.session.has_feed = true;
            if keep.is_known {
                core.journal.record(Change::Session(keep.id, keep.session.clone()));
            }
        }
    }

    /// The session is over. True when the journal has to be told.
    pub(super) fn stop_keeping(mailbox: &mut Mailbox) -> bool {
        mailbox.keep.take().is_some_and(|keep| keep.is_known)
    }

    /// A kept message of this number is done; 0 is none.
    pub(super) fn kept_is_done(&self, core: &Core, number: u64) {
        if number > 0 {
            core.journal.record(Change::Done(self.id, number));
        }
    }

    /// A kept message of this number has got so far.
    pub(super) fn kept_is_at(&self, core: &Core, number: u64, stage: Stage) -> Mark {
        if number == 0 {
            return Mark::default();
        }
        core.journal.record(Change::Moved(self.id, number, stage))
    }
}

impl Session {
    /// A session that was kept, without link.
    pub(crate) fn restore(&self, core: &Core, flow: &mut Flow, kept: Restored, now: Timestamp) {
        flow.version = kept.session.version;
        flow.expiry_secs = kept.session.expiry_secs;
        flow.since = kept.session.left.unwrap_or(now);
        flow.subscriptions = kept.subscriptions.into_iter().collect();
        flow.will = kept.will.map(|KeptWill { will, due }| Box::new(super::KeptWill { will, due }));
        if kept.session.left.is_none() {
            flow.start_will(now);
        }
        self.fed.store(kept.session.has_feed, Relaxed);

        let mut mailbox = self.mailbox.lock();
        mailbox.receipts.restore(&kept.received);
        let last = kept.messages.last().map_or(0, |message| message.number);
        let mut in_flight = Vec::new();
        for message in kept.messages {
            let (number, stage) = (message.number, message.stage);
            match (stage, restored_item(core, message)) {
                (Stage::Released(serial), _) => in_flight.push((serial, number, inflight::Stage::Release)),
                (Stage::Waiting, Some(Ok(item))) => mailbox.queue.push(item),
                (Stage::Sent(serial), Some(Ok(item))) => {
                    in_flight.push((serial, number, inflight::Stage::Publish(item)));
                }
                (Stage::Sent(serial), Some(Err((seq, qos)))) => {
                    in_flight.push((serial, number, inflight::Stage::Stored { seq, qos }));
                }
                // Its turn in a group that is gone; or stored, and the feed brings it.
                (Stage::Waiting, Some(Err(_)) | None) | (Stage::Sent(_), None) => {
                    self.kept_is_done(core, number);
                }
            }
        }
        flow.inflight.restore(in_flight);
        let session = KeptSession { left: Some(flow.since), ..kept.session };
        let mut keep = Keep::new(self.id, session, kept.session.left.is_some(), flow.will.is_some(), last);
        keep.introduce(core); // with the time at which its link was found gone
        mailbox.keep = Some(Box::new(keep));
    }
}

/// What is queued or in flight: a message, or the place of one that the store has. None when its
/// shared group is gone.
fn restored_item(core: &Core, kept: KeptMessage) -> Option<Result<Queued, (u64, QoS)>> {
    let message = match kept.body {
        Body::Stored(seq) => return Some(Err((seq, kept.qos))),
        Body::Message(message) => message,
    };
    let mut ids = kept.subscription_ids.iter().copied().map(NonZeroU32::new);
    let via = match &kept.shared {
        Some(filter) => Via::Shared(core.router.read().group(filter)?, ids.next().flatten()),
        None => Via::Plain(SubscriptionIds::from_all(ids)),
    };
    Some(Ok(Queued { number: kept.number, ..Queued::new(&message, via, kept.qos, kept.retain) }))
}
