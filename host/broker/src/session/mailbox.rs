//! Where others put in what a session is to get, and who is woken for it.

use std::sync::Arc;
use std::task::Waker;

use bytes::BytesMut;
use parking_lot::MutexGuard;
use smallvec::SmallVec;

use super::Session;
use super::inbound::Receipts;
use super::keeping::Keep;
use crate::broker::Core;
use crate::feed::{Gate, Pass};
use crate::journal::Mark;
use crate::limits::Limits;
use crate::message::Message;
use crate::queue::{Cost, Queue, Queued, Via};
use crate::wire::{Packet, QoS, ReasonCode, Version};

/// What is left when the locks are released: links to wake, and how far the journal has to be settled
/// before the cause of it all may be acknowledged.
#[derive(Debug, Default)]
pub(crate) struct Wakes {
    pub(super) wakers: SmallVec<[Waker; 4]>,
    pub(crate) mark: Mark,
}

impl Wakes {
    pub(crate) fn new() -> Self {
        Wakes::default()
    }

    /// Something was recorded.
    pub(crate) fn recorded(&mut self, mark: Mark) {
        self.mark = self.mark.max(mark);
    }
}

/// The half that anybody may put something into.
#[derive(Debug, Default)]
pub(crate) struct Mailbox {
    /// Number of the link that is attached; 0 for none.
    pub(super) link: u32,
    pub(super) version: Option<Version>,
    /// The session is over: nothing is taken in any more.
    pub(super) ended: bool,
    /// The link has been told that nothing of the queue can be written now: what comes in is no
    /// reason to wake it.
    pub(super) blocked: bool,
    /// The link has had the queue below half its limits: from then on a full queue means a slow
    /// reader, and not one that has just come back to a long one.
    pub(super) kept_up: bool,
    /// The link holds something that can be written.
    pub(super) more: bool,
    pub(super) closing: Option<ReasonCode>,
    /// The link is to close for this when nothing is in flight any more, and begins nothing meanwhile.
    pub(super) leaving: Option<ReasonCode>,
    pub(super) waker: Option<Waker>,
    /// Control packets, encoded, in order.
    pub(super) control: BytesMut,
    /// How many those are.
    pub(super) control_packets: u32,
    pub(crate) queue: Queue,
    pub(super) gate: Option<Box<Gate>>,
    pub(super) receipts: Receipts,
    /// Of a session that persists.
    pub(super) keep: Option<Box<Keep>>,
    /// What the link writes has to wait until the journal is settled so far.
    pub(super) mark: Mark,
}

impl Mailbox {
    pub(super) fn wake(&mut self, wakes: &mut Wakes) {
        wakes.wakers.extend(self.waker.take());
    }

    /// Ends the link with `reason`; the first reason stays. False when there is none.
    pub(crate) fn close(&mut self, reason: ReasonCode, wakes: &mut Wakes) -> bool {
        if self.link == 0 {
            return false;
        }
        self.closing.get_or_insert(reason);
        self.wake(wakes);
        true
    }

    /// Has the link end with `reason` when nothing is in flight any more. False when there is none.
    pub(crate) fn leave(&mut self, reason: ReasonCode, wakes: &mut Wakes) -> bool {
        if self.link == 0 {
            return false;
        }
        self.leaving.get_or_insert(reason);
        self.more = true;
        self.wake(wakes);
        true
    }

    /// Looks whether the link keeps up with what comes in.
    pub(super) fn note_pace(&mut self, limits: &Limits) {
        let load = self.queue.load();
        self.kept_up |= load.messages <= limits.queued_messages / 2 && load.bytes <= limits.queued_bytes / 2;
    }

    /// What `SessionInfo` tells: messages here, the load, and publishes of QoS 2 not finished.
    pub(crate) fn figures(&self) -> (usize, Cost, usize) {
        (self.queue.len(), self.queue.load(), self.receipts.len())
    }

    /// Puts a control packet in order behind those before it.
    pub(super) fn send(&mut self, packet: &Packet, max_packet_size: u32, limits: &Limits, wakes: &mut Wakes) {
        let version = self.version.unwrap_or(Version::V311);
        if self.control.len() > limits.queued_control_bytes {
            self.close(ReasonCode::QuotaExceeded, wakes);
            return;
        }
        // What cannot be encoded at all is dropped as if it had been sent [MQTT-3.1.2-25].
        let _ = crate::wire::encode_within(packet, version, max_packet_size, &mut self.control);
        self.control_packets += 1;
        self.wake(wakes);
    }

    /// Whether there is a reason to call `drain` or `feed_wants`.
    pub(super) fn is_ready(&self, limits: &Limits) -> bool {
        self.closing.is_some()
            || self.more
            || !self.control.is_empty()
            || (!self.blocked && !self.queue.is_empty())
            || self.gate.as_ref().is_some_and(|gate| gate.wants().is_some() && has_room(gate, limits))
    }
}

/// Whether the feed's part of the queue is short enough to ask for more.
pub(super) fn has_room(gate: &Gate, limits: &Limits) -> bool {
    gate.queued <= limits.feed_queued / 4 && gate.queued_bytes <= limits.queued_bytes / 4
}

impl Session {
    /// Queues a message and says whether it was taken. What is not taken is counted.
    pub(crate) fn offer(&self, core: &Core, item: Queued, wakes: &mut Wakes) -> bool {
        self.offer_in(core, self.mailbox.lock(), item, wakes)
    }

    /// The same for one link only: whoever has the session by then gets nothing of it.
    pub(crate) fn offer_to(&self, core: &Core, link: u32, item: Queued, wakes: &mut Wakes) -> bool {
        let mailbox = self.mailbox.lock();
        mailbox.link == link && self.offer_in(core, mailbox, item, wakes)
    }

    fn offer_in(
        &self,
        core: &Core,
        mut mailbox: MutexGuard<'_, Mailbox>,
        mut item: Queued,
        wakes: &mut Wakes,
    ) -> bool {
        if mailbox.ended {
            return false;
        }
        let shared = matches!(item.via, Via::Shared(..));
        if mailbox.link == 0 && item.qos == QoS::AtMostOnce {
            // [MQTT-3.1.2-5 of 3.1.1] leaves QoS 0 for sleeping sessions to the server.
            core.stats.dropped_offline.add(u64::from(!shared));
            return false;
        }
        let Limits { queued_messages, queued_bytes, .. } = core.limits;
        let cost = item.cost();
        if mailbox.queue.is_full(cost, queued_messages, queued_bytes) {
            if item.qos != QoS::AtMostOnce {
                core.stats.dropped_queue_full.add(mailbox.queue.drop_qos0() as u64);
            }
            if mailbox.queue.is_full(cost, queued_messages, queued_bytes) {
                if shared {
                    return false;
                }
                core.stats.dropped_queue_full.add(1);
                if item.qos != QoS::AtMostOnce && mailbox.kept_up && mailbox.closing.is_none() {
                    core.stats.slow_readers.add(1);
                    mailbox.close(ReasonCode::QuotaExceeded, wakes);
                }
                return false;
            }
        }
        mailbox.keep(core, &mut item, wakes);
        mailbox.queue.push(item);
        if !mailbox.blocked {
            mailbox.wake(wakes);
        }
        true
    }

    /// A retained message for a new subscription: it refers to what is kept anyway, so that the
    /// queue may grow by as many as there are (`kept`).
    pub(crate) fn offer_retained(
        &self,
        core: &Core,
        mut item: Queued,
        kept: usize,
        wakes: &mut Wakes,
    ) -> bool {
        let mut mailbox = self.mailbox.lock();
        let room = mailbox.queue.len() < core.limits.queued_messages.saturating_add(kept);
        if room && !mailbox.ended {
            mailbox.keep(core, &mut item, wakes);
            mailbox.queue.push(item);
        } else {
            core.stats.dropped_queue_full.add(1);
        }
        room
    }

    /// A message just stored for this session's user, if it has a feed (A10, A14).
    pub(crate) fn offer_stored(
        &self,
        core: &Core,
        seq: u64,
        message: &Arc<Message>,
        own: bool,
        wakes: &mut Wakes,
    ) {
        let mut mailbox = self.mailbox.lock();
        let mailbox = &mut *mailbox;
        let Some(gate) = &mut mailbox.gate else { return };
        let room = gate.queued < core.limits.feed_queued && gate.queued_bytes <= core.limits.queued_bytes;
        match gate.live(seq, room) {
            Pass::Ignore => return,
            Pass::FallBehind => {}
            Pass::Queue => {
                gate.add(message.size());
                let qos = gate.qos.min(message.qos);
                let via = Via::Feed { seq, done: own };
                mailbox.queue.push(Queued::new(message, via, qos, false));
                if mailbox.blocked {
                    return;
                }
            }
        }
        mailbox.wake(wakes);
    }
}
