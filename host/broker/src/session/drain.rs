//! What goes out: control packets, then what was in flight on an earlier link, then the queue.

use std::sync::atomic::Ordering::Relaxed;

use bytes::BytesMut;

use super::{Flow, Link};
use crate::broker::Core;
use crate::inflight::{self, Resend};
use crate::journal::{Mark, Stage};
use crate::message::Message;
use crate::queue::{Cost, Queued, Via};
use crate::time::Timestamp;
use crate::wire::{
    Ack, Packet, PacketId, PublishHeader, QoS, ReasonCode, encode, encode_publish, publish_len,
};

/// How many stored messages may be done behind one that is not: the cursor keeps each of them.
const UNSETTLED: usize = 4_096;

/// What [`Link::drain`] left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Drained {
    /// There is more to write: call again when this is on its way.
    pub more: bool,
    /// The link has to end for this reason; a DISCONNECT is the caller's to write.
    pub closing: Option<ReasonCode>,
    /// What `out` holds may be written when the journal is settled so far.
    pub mark: Mark,
}

impl Drained {
    fn taken_over() -> Self {
        Drained { closing: Some(ReasonCode::SessionTakenOver), ..Drained::default() }
    }
}

/// How far one message got.
enum Written {
    /// It is on the wire.
    Yes,
    /// Larger than the client takes, or not to be encoded: as if it had been sent [MQTT-3.1.2-25].
    TooLarge,
}

/// What one `drain` has done, for counters that are bumped once at its end.
#[derive(Default)]
struct Tally {
    /// Control packets.
    packets: u64,
    messages: u64,
    bytes: u64,
    redelivered: u64,
    /// What left the queue, written or dropped.
    left: Cost,
    feed_messages: usize,
    feed_bytes: usize,
    /// What was recorded of it must be safe before it is written.
    mark: Mark,
    /// Nothing more can be written until the client acknowledges, or the store answers.
    blocked: bool,
}

impl Link {
    /// Writes what may go now, appending to `out`: all control packets, then messages in order as
    /// far as the client's Receive Maximum lets them, until `out` has grown by `max_bytes` or the
    /// message that passes it. Only the link's task calls this.
    pub fn drain(&self, out: &mut BytesMut, max_bytes: usize, now: Timestamp) -> Drained {
        let Some(mut flow) = self.flow() else {
            return Drained::taken_over();
        };
        let flow = &mut *flow;
        let start = out.len();
        let packets;
        let leaving;
        {
            let Some(mut mailbox) = self.mailbox() else {
                return Drained::taken_over();
            };
            if out.is_empty() && out.capacity() == 0 {
                std::mem::swap(out, &mut mailbox.control);
            } else {
                out.extend_from_slice(&mailbox.control);
            }
            mailbox.control = BytesMut::new();
            packets = u64::from(std::mem::take(&mut mailbox.control_packets));
            if mailbox.closing.is_some() {
                return Drained { more: false, closing: mailbox.closing, mark: mailbox.mark };
            }
            leaving = mailbox.leaving.is_some();
            if flow.taken.is_empty() && !leaving {
                mailbox.queue.swap_into(&mut flow.taken);
            }
        }
        let mut tally = Tally { packets, ..Tally::default() };
        let end = start.saturating_add(max_bytes.max(1));
        self.resend(flow, out, end, now, &mut tally);
        if leaving {
            tally.blocked = out.len() < end;
        } else {
            self.write_queue(flow, out, end, now, &mut tally);
        }
        self.settle(flow, tally)
    }

    /// Writes again what an earlier link did not finish, in the original order
    /// [MQTT-4.4.0-1, 4.6.0-1].
    fn resend(&self, flow: &mut Flow, out: &mut BytesMut, end: usize, now: Timestamp, tally: &mut Tally) {
        while out.len() < end {
            let index = match flow.inflight.resend(flow.feeding) {
                Resend::Nothing => return,
                Resend::Waiting => break,
                Resend::At(index) => index,
            };
            let Some(entry) = flow.inflight.get(index) else { return };
            let id = entry.id();
            let queued = match &entry.stage {
                inflight::Stage::Publish(_) if flow.quota == 0 => break,
                inflight::Stage::Publish(queued) => queued.clone(),
                inflight::Stage::Stored { .. } => return,
                inflight::Stage::Release => {
                    let _ = encode(&Packet::PubRel(Ack::new(id, ReasonCode::Success)), self.version, out);
                    flow.inflight.mark_sent(index);
                    continue;
                }
            };
            match self.write(flow, &queued, Some(id), true, out, now) {
                Written::Yes => {
                    flow.quota -= 1;
                    flow.inflight.mark_sent(index);
                    tally.redelivered += 1;
                    tally.messages += 1;
                }
                Written::TooLarge => {
                    let number = flow.inflight.remove(index).map_or(0, |entry| entry.number);
                    self.session.kept_is_done(&self.core, number);
                    flow.done(queued.seq());
                    self.core.stats.dropped_too_large.add(1);
                }
            }
        }
        tally.blocked = out.len() < end;
    }

    fn write_queue(
        &self,
        flow: &mut Flow,
        out: &mut BytesMut,
        end: usize,
        now: Timestamp,
        tally: &mut Tally,
    ) {
        while out.len() < end && !tally.blocked {
            let Some(next) = flow.taken.front() else { return };
            if !flow.may_write(next, &self.core) {
                tally.blocked = true;
                return;
            }
            let Some(queued) = flow.taken.pop_front() else { return };
            tally.left(&queued);
            let start = out.len();
            self.write_first(flow, queued, out, now, tally);
            tally.bytes += (out.len() - start) as u64;
        }
    }

    /// Writes a message for the first time, or drops it.
    fn write_first(
        &self,
        flow: &mut Flow,
        mut queued: Queued,
        out: &mut BytesMut,
        now: Timestamp,
        tally: &mut Tally,
    ) {
        let stats = &self.core.stats;
        if let Via::Feed { seq, done } = queued.via {
            if let Some(tracker) = &mut flow.tracker {
                tracker.on_its_way(seq);
            }
            if done {
                return flow.done(Some(seq));
            }
        }
        if queued.message.is_expired(now) {
            stats.dropped_expired.add(1); // [MQTT-3.3.2-5]
            self.session.kept_is_done(&self.core, queued.number);
            return flow.done(queued.seq());
        }
        let id = (queued.qos != QoS::AtMostOnce).then(|| flow.inflight.next_id());
        match self.write(flow, &queued, id, false, out, now) {
            Written::Yes => tally.messages += 1,
            Written::TooLarge => {
                stats.dropped_too_large.add(1);
                self.session.kept_is_done(&self.core, queued.number);
                return flow.done(queued.seq());
            }
        }
        if id.is_some() {
            flow.quota -= 1;
            tally.mark = tally.mark.max(self.keep_sent(flow, &mut queued));
            flow.inflight.push(queued);
        } else {
            flow.done(queued.seq());
        }
    }

    /// Records that a message is on its way. In QoS 2 that must be safe before it is written: sent
    /// again after a restart it must have the same packet identifier, or the client takes it twice.
    fn keep_sent(&self, flow: &mut Flow, queued: &mut Queued) -> Mark {
        let serial = flow.inflight.next_serial();
        let exactly_once = queued.qos == QoS::ExactlyOnce;
        let mark = match queued.number {
            0 if exactly_once && queued.seq().is_some() => self
                .mailbox()
                .map_or(Mark::default(), |mut mailbox| mailbox.keep_stored(&self.core, queued, serial)),
            number => self.session.kept_is_at(&self.core, number, Stage::Sent(serial)),
        };
        if exactly_once { mark } else { Mark::default() }
    }

    /// Encodes one PUBLISH.
    fn write(
        &self,
        flow: &mut Flow,
        queued: &Queued,
        packet_id: Option<PacketId>,
        dup: bool,
        out: &mut BytesMut,
        now: Timestamp,
    ) -> Written {
        let message: &Message = &queued.message;
        let topic = message.topic.as_str();
        let subscription_ids = queued.subscription_ids();
        let mut header = PublishHeader {
            dup,
            qos: queued.qos,
            retain: queued.retain,
            packet_id,
            alias: None,
            send_topic: true,
            subscription_ids: &subscription_ids,
            // [MQTT-3.3.2-6]
            message_expiry: message.expires_at.map(|at| at.secs_after(now)),
        };
        let fits = |header: &PublishHeader<'_>| {
            let (properties, limit) = (message.properties.as_deref(), self.max_packet_size as usize);
            limit == u32::MAX as usize
                || publish_len(header, topic, message.payload.len(), properties, self.version) <= limit
        };
        let choice = flow.aliases_out.as_mut().map(|aliases| aliases.choose(topic));
        if let Some(choice) = choice {
            (header.alias, header.send_topic) = (choice.alias, choice.send_topic);
            if choice.send_topic && !fits(&header) {
                header.alias = None; // without the alias it may just fit
            }
        }
        if !fits(&header)
            || encode_publish(
                &header,
                topic,
                &message.payload,
                message.properties.as_deref(),
                self.version,
                out,
            )
            .is_err()
        {
            return Written::TooLarge;
        }
        if let (Some(aliases), Some(choice), Some(_)) = (&mut flow.aliases_out, choice, header.alias) {
            aliases.sent(topic, choice);
        }
        Written::Yes
    }

    /// Tells the mailbox what is left, and the counters what was done.
    fn settle(&self, flow: &mut Flow, tally: Tally) -> Drained {
        let stats = &self.core.stats;
        stats.packets_out.add(tally.packets + tally.messages);
        stats.messages_out.add(tally.messages);
        stats.bytes_out.add(tally.bytes);
        stats.redelivered.add(tally.redelivered);
        let waiting = !flow.taken.is_empty() || flow.inflight.has_unsent(flow.feeding);
        flow.blocked = tally.blocked;
        let Some(mut mailbox) = self.mailbox() else {
            return Drained::taken_over();
        };
        mailbox.wait_for(tally.mark);
        mailbox.queue.written(tally.left);
        mailbox.note_pace(&self.core.limits);
        if let Some(gate) = &mut mailbox.gate {
            gate.take(tally.feed_messages, tally.feed_bytes);
        }
        mailbox.blocked = tally.blocked;
        mailbox.more = waiting && !tally.blocked;
        if let Some(reason) = mailbox.leaving
            && flow.inflight.len() == 0
            && mailbox.receipts.len() == 0
        {
            mailbox.closing.get_or_insert(reason);
        }
        let more = mailbox.is_writable();
        Drained { more, closing: mailbox.closing, mark: mailbox.mark }
    }
}

impl Tally {
    fn left(&mut self, queued: &Queued) {
        self.left.add(queued.cost());
        if matches!(queued.via, Via::Feed { .. }) {
            self.feed_messages += 1;
            self.feed_bytes += queued.message.size();
        }
    }
}

impl Flow {
    /// Whether the message at the head of the queue may go. What comes behind waits with it: the
    /// queue keeps one order for all.
    fn may_write(&self, next: &Queued, core: &Core) -> bool {
        if let Via::Feed { done, .. } = next.via {
            if done {
                return true;
            }
            if self.tracker.as_ref().is_some_and(|tracker| tracker.unsettled() >= UNSETTLED) {
                return false;
            }
        }
        next.qos == QoS::AtMostOnce
            || (self.quota > 0 && self.inflight.len() < usize::from(core.limits.inflight))
    }

    /// A stored message is done.
    pub(super) fn done(&mut self, seq: Option<u64>) {
        if let (Some(tracker), Some(seq)) = (&mut self.tracker, seq) {
            tracker.done(seq);
        }
    }
}

impl super::Mailbox {
    /// Whether `drain` would write something.
    fn is_writable(&self) -> bool {
        self.closing.is_some()
            || self.more
            || !self.control.is_empty()
            || (!self.blocked && !self.queue.is_empty())
    }
}

impl super::Session {
    pub(super) fn set_online(&self, online: bool) {
        self.online.store(online, Relaxed);
    }
}
