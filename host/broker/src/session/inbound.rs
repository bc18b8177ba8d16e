//! Publishes from the client: aliases, Receive Maximum, and QoS 2 taken once.

use hashbrown::HashMap;

use super::{Link, Mailbox, Wakes, wake_all};
use crate::alias;
use crate::journal::Change;
use crate::wire::{Ack, Packet, PacketId, Publish, QoS, ReasonCode, Text, Version};

/// What to do with a publish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begin {
    /// Handle it, then [`Link::finish_publish`].
    New,
    /// A repeat of a QoS 2 publish that is being handled or was: do not handle it, but call
    /// [`Link::finish_publish`] with `Success` in its turn, so that acknowledgements keep their
    /// order [MQTT-4.6.0-3].
    Duplicate,
}

/// The client's publishes that are not finished.
#[derive(Debug, Default)]
pub(super) struct Receipts {
    /// Those of this link that count against the server's Receive Maximum.
    in_progress: u32,
    /// QoS 2, over links [MQTT-4.3.3-10].
    exactly_once: Option<Box<HashMap<PacketId, Receipt>>>,
}

#[derive(Debug)]
struct Receipt {
    /// The link that handles it, or did.
    handler: u32,
    /// The link whose Receive Maximum it counts against.
    counted: u32,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Being handled.
    Handling,
    /// Being handled for a link that is gone, while its successor waits for the outcome.
    Awaited,
    /// PUBREC was sent; PUBREL is waited for.
    Received,
    /// Refused for a link that is gone, whose successor has begun a repeat and is to tell the client
    /// in that one's turn.
    Refused(ReasonCode),
}

impl Receipt {
    /// Whether this link, which is not the one that handles it, has begun a repeat of it.
    fn is_repeated_by(&self, link: u32) -> bool {
        self.counted == link && self.handler != link
    }
}

impl Receipts {
    /// A new link: its Receive Maximum starts full.
    pub(super) fn begin_link(&mut self) {
        self.in_progress = 0;
    }

    /// Gives memory back.
    pub(super) fn rest(&mut self) {
        if self.exactly_once.as_ref().is_some_and(|map| map.is_empty()) {
            self.exactly_once = None;
        }
    }

    fn get(&mut self, id: PacketId) -> Option<&mut Receipt> {
        self.exactly_once.as_mut()?.get_mut(&id)
    }

    fn remove(&mut self, id: PacketId, link: u32) {
        let removed = self.exactly_once.as_mut().and_then(|map| map.remove(&id));
        if removed.is_some_and(|receipt| receipt.counted == link) {
            self.in_progress = self.in_progress.saturating_sub(1);
        }
    }

    /// Those that an earlier process has taken [MQTT-4.3.3-10].
    pub(super) fn restore(&mut self, received: &[PacketId]) {
        if received.is_empty() {
            return;
        }
        let known = self.exactly_once.get_or_insert_default();
        known.extend(
            received.iter().map(|id| (*id, Receipt { handler: 0, counted: 0, stage: Stage::Received })),
        );
    }

    /// QoS 2 publishes known.
    pub(super) fn len(&self) -> usize {
        self.exactly_once.as_ref().map_or(0, |map| map.len())
    }

    /// A link is gone that will finish nothing any more: what it was handling counts as not
    /// received, and the client will send it again. True when its successor `current` waits for one
    /// of them, or will in its turn.
    pub(super) fn abandon(&mut self, link: u32, current: u32) -> bool {
        let Some(map) = &mut self.exactly_once else { return false };
        let mut awaited = false;
        map.retain(|_, receipt| {
            let lost = receipt.handler == link && matches!(receipt.stage, Stage::Handling | Stage::Awaited);
            awaited |= lost && (receipt.stage == Stage::Awaited || receipt.is_repeated_by(current));
            !lost
        });
        awaited
    }
}

impl Link {
    /// Takes a publish in: gives it its topic if an alias stood for it, and counts it.
    ///
    /// # Errors
    /// The reason to end the link with: `TopicAliasInvalid`, `ProtocolError`,
    /// `ReceiveMaximumExceeded` [MQTT-3.3.4-9] (MQTT 5 only: an older client cannot know the limit,
    /// so read no further while [`Link::publishes_in_progress`] is at it), `SessionTakenOver`.
    pub fn begin_publish(&self, publish: &mut Publish) -> Result<Begin, ReasonCode> {
        if publish.topic_alias.is_some() || publish.topic.is_empty() {
            self.resolve_alias(publish)?;
        }
        let (QoS::AtLeastOnce | QoS::ExactlyOnce, Some(id)) = (publish.qos, publish.packet_id) else {
            return Ok(Begin::New);
        };
        let mut mailbox = self.mailbox().ok_or(ReasonCode::SessionTakenOver)?;
        let receipts = &mut mailbox.receipts;
        let limit = u32::from(self.core.limits.receive_maximum);
        let over = self.version == Version::V5 && receipts.in_progress >= limit;
        if publish.qos == QoS::ExactlyOnce
            && let Some(receipt) = receipts.get(id)
        {
            if receipt.counted == self.number {
                return Ok(Begin::Duplicate);
            }
            if over {
                return Err(ReasonCode::ReceiveMaximumExceeded);
            }
            receipt.counted = self.number;
            receipts.in_progress += 1;
            return Ok(Begin::Duplicate);
        }
        if over {
            return Err(ReasonCode::ReceiveMaximumExceeded);
        }
        receipts.in_progress += 1;
        if publish.qos == QoS::ExactlyOnce {
            let receipt = Receipt { handler: self.number, counted: self.number, stage: Stage::Handling };
            receipts.exactly_once.get_or_insert_default().insert(id, receipt);
        }
        Ok(Begin::New)
    }

    /// The client's publishes that are not finished, as its Receive Maximum counts them.
    pub fn publishes_in_progress(&self) -> u32 {
        self.mailbox().map_or(0, |mailbox| mailbox.receipts.in_progress)
    }

    /// Acknowledges a publish: PUBACK or PUBREC is queued and the link woken. A reason of 0x80 or
    /// more releases the packet identifier. MQTT 3.x has no way to refuse: then nothing is sent,
    /// the identifier is released, and the link should be closed so that the client sends it again.
    pub fn finish_publish(&self, id: PacketId, qos: QoS, reason: ReasonCode, reason_string: Option<Text>) {
        let mut wakes = Wakes::new();
        {
            let mut mailbox = self.session.mailbox.lock();
            let mailbox = &mut *mailbox;
            let current = mailbox.link == self.number;
            let tell = match qos {
                QoS::AtMostOnce => None,
                QoS::AtLeastOnce if current => {
                    mailbox.receipts.in_progress = mailbox.receipts.in_progress.saturating_sub(1);
                    Some(reason)
                }
                QoS::AtLeastOnce => None,
                QoS::ExactlyOnce => self.finish_exactly_once(mailbox, id, reason),
            };
            let unspeakable = |reason: ReasonCode| reason.is_error() && mailbox.version != Some(Version::V5);
            if tell.is_some_and(unspeakable) {
                if !current || tell != Some(reason) {
                    // Nobody but its successor, which has not judged it, can end the link for it.
                    mailbox.close(ReasonCode::UnspecifiedError, &mut wakes);
                }
            } else if let Some(reason) = tell {
                let reason = told(reason);
                let reason_string = reason_string.filter(|_| self.problem_information && current);
                let ack = Ack { reason_string, ..Ack::new(id, reason) };
                let packet = if qos == QoS::AtLeastOnce { Packet::PubAck(ack) } else { Packet::PubRec(ack) };
                mailbox.send(&packet, self.max_packet_size, &self.core.limits, &mut wakes);
            }
        }
        wake_all(wakes);
    }

    /// What the client is told now, if anything.
    fn finish_exactly_once(
        &self,
        mailbox: &mut Mailbox,
        id: PacketId,
        reason: ReasonCode,
    ) -> Option<ReasonCode> {
        let link = mailbox.link;
        let current = link == self.number;
        let receipt = mailbox.receipts.get(id)?;
        match receipt.stage {
            Stage::Received => return current.then_some(ReasonCode::Success),
            Stage::Refused(refused) => {
                if current {
                    mailbox.receipts.remove(id, link);
                }
                return current.then_some(refused);
            }
            // A repeat, of what a link that is gone is still handling: its outcome is the answer.
            Stage::Handling if receipt.handler != self.number => {
                receipt.stage = Stage::Awaited;
                return None;
            }
            Stage::Awaited if receipt.handler != self.number => return None,
            Stage::Handling | Stage::Awaited => {}
        }
        // Without a link there is nobody to tell: the next one would hear it as the answer to what it sends.
        let tell = current || (receipt.stage == Stage::Awaited && link != 0);
        receipt.stage = Stage::Received;
        if reason.is_error() && !tell && receipt.is_repeated_by(link) {
            receipt.stage = Stage::Refused(reason);
        } else if reason.is_error() {
            mailbox.receipts.remove(id, link);
        } else {
            // PUBREC says that it is known from now on.
            mailbox.note_first(&self.core, |session| Change::Received(session, id));
        }
        tell.then_some(reason)
    }

    /// PUBREL: PUBCOMP is queued [MQTT-4.3.3-11], with 0x92 for an unknown identifier.
    ///
    /// # Errors
    /// `ProtocolError` when PUBREC was not sent yet.
    pub fn pubrel(&self, ack: &Ack) -> Result<(), ReasonCode> {
        let mut wakes = Wakes::new();
        if let Some(mut mailbox) = self.mailbox() {
            let reason = match mailbox.receipts.get(ack.packet_id).map(|receipt| receipt.stage) {
                Some(Stage::Received) => ReasonCode::Success,
                Some(Stage::Handling | Stage::Awaited | Stage::Refused(_)) => {
                    return Err(ReasonCode::ProtocolError);
                }
                None => ReasonCode::PacketIdentifierNotFound,
            };
            mailbox.receipts.remove(ack.packet_id, self.number);
            if reason == ReasonCode::Success {
                // PUBCOMP frees the identifier: it must not be taken for a repeat after a restart.
                mailbox.note_first(&self.core, |session| Change::Forgotten(session, ack.packet_id));
            }
            let packet = Packet::PubComp(Ack::new(ack.packet_id, reason));
            mailbox.send(&packet, self.max_packet_size, &self.core.limits, &mut wakes);
        }
        wake_all(wakes);
        Ok(())
    }

    fn resolve_alias(&self, publish: &mut Publish) -> Result<(), ReasonCode> {
        let mut flow = self.flow().ok_or(ReasonCode::SessionTakenOver)?;
        let maximum = if self.version == Version::V5 { self.core.limits.topic_aliases_in } else { 0 };
        flow.aliases_in.get_or_insert_with(|| Box::new(alias::Inbound::new(maximum))).resolve(publish)
    }
}

/// PUBACK and PUBREC know only some reasons (5.0, tables 3-4 and 3-5); a client ends the link over
/// any other.
fn told(reason: ReasonCode) -> ReasonCode {
    match reason {
        ReasonCode::Success
        | ReasonCode::NoMatchingSubscribers
        | ReasonCode::UnspecifiedError
        | ReasonCode::NotAuthorized
        | ReasonCode::TopicNameInvalid
        | ReasonCode::PacketIdentifierInUse
        | ReasonCode::QuotaExceeded
        | ReasonCode::PayloadFormatInvalid => reason,
        reason if reason.is_error() => ReasonCode::ImplementationSpecificError,
        _ => ReasonCode::Success,
    }
}
