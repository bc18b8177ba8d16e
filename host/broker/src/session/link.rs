//! The handle of one live link.

use std::sync::Arc;
use std::task::Waker;

use parking_lot::MutexGuard;

use super::{Flow, Mailbox, Session, SessionKey, Wakes, wake_all};
use crate::broker::Core;
use crate::journal::Mark;
use crate::time::Timestamp;
use crate::topic::TopicFilter;
use crate::wire::{Packet, ReasonCode, Version};

/// One live attachment of a session, with what its CONNECT said.
///
/// When a newer link takes the session over, this one becomes inert: its calls change nothing but
/// the outcome of a QoS 2 publish that it had begun, and `drain` says why.
#[derive(Debug)]
pub struct Link {
    pub(super) core: Arc<Core>,
    pub(super) session: Arc<Session>,
    /// Which attachment of the session.
    pub(super) number: u32,
    pub(super) version: Version,
    pub(super) problem_information: bool,
    pub(super) max_packet_size: u32,
}

impl Link {
    /// Whose session it is.
    pub fn key(&self) -> &Arc<SessionKey> {
        &self.session.key
    }

    pub(crate) fn number(&self) -> u32 {
        self.number
    }

    /// Protocol version.
    pub fn version(&self) -> Version {
        self.version
    }

    /// The largest packet the client takes, in bytes.
    pub fn max_packet_size(&self) -> u32 {
        self.max_packet_size
    }

    pub(crate) fn session(&self) -> &Arc<Session> {
        &self.session
    }

    pub(crate) fn session_id(&self) -> u64 {
        self.session.id
    }

    /// Whether this link still has the session.
    pub fn is_attached(&self) -> bool {
        self.session.mailbox.lock().link == self.number
    }

    /// Seconds the session outlives this link; `u32::MAX` for ever. A DISCONNECT must not raise it
    /// from 0 (5.0, section 3.14.2.2.2).
    pub fn session_expiry_secs(&self) -> u32 {
        self.session.flow.lock().expiry_secs
    }

    /// The filters the session is subscribed to, so that the server can check rights again when a
    /// session is resumed or a grant has changed.
    pub fn subscriptions(&self) -> Vec<TopicFilter> {
        self.session.flow.lock().subscriptions.keys().cloned().collect()
    }

    /// What this link writes from now on waits until the journal is settled so far.
    pub(crate) fn wait_for(&self, mark: Mark) {
        if mark != Mark::default() {
            self.session.mailbox.lock().wait_for(mark);
        }
    }

    /// Puts a control packet in order behind those before it, and wakes the link.
    ///
    /// Over the client's Maximum Packet Size it loses its user properties and reason string; a
    /// client that did not ask for problem information gets neither [MQTT-3.1.2-29].
    pub fn send(&self, mut packet: Packet) {
        if !self.problem_information {
            strip(&mut packet);
        }
        let mut wakes = Wakes::new();
        {
            let mut mailbox = self.session.mailbox.lock();
            if mailbox.link == self.number {
                mailbox.send(&packet, self.max_packet_size, &self.core.limits, &mut wakes);
            }
        }
        wake_all(wakes);
    }

    /// Ends this link: `drain` says `closing` with this reason. What waits for it stays with the
    /// session.
    pub fn disconnect(&self, reason: ReasonCode) {
        let mut wakes = Wakes::new();
        if let Some(mut mailbox) = self.mailbox() {
            mailbox.close(reason, &mut wakes);
        }
        wake_all(wakes);
    }

    /// Registers who is to be woken when there is something to do: [`Link::drain`] would write or
    /// say `closing`, or [`Link::feed_wants`] would ask. If that is so already, it is woken at once.
    ///
    /// A waker serves once: until it is registered again nobody wakes it, so a hundred messages in
    /// a row cost one wake.
    pub fn register(&self, waker: &Waker) {
        // The link is about to rest: what a burst needed is given back.
        if let Some(mut flow) = self.flow() {
            flow.rest();
        }
        {
            let mut mailbox = self.session.mailbox.lock();
            if mailbox.link == self.number && !mailbox.is_ready(&self.core.limits) {
                mailbox.rest();
                match &mut mailbox.waker {
                    Some(former) if former.will_wake(waker) => {}
                    slot => *slot = Some(waker.clone()),
                }
                return;
            }
        }
        waker.wake_by_ref();
    }

    /// When the link was attached.
    pub fn connected_at(&self) -> Timestamp {
        self.session.flow.lock().since
    }

    /// The mailbox, while this link has the session.
    pub(super) fn mailbox(&self) -> Option<MutexGuard<'_, Mailbox>> {
        let mailbox = self.session.mailbox.lock();
        (mailbox.link == self.number).then_some(mailbox)
    }

    /// The flow, while this link has the session.
    pub(super) fn flow(&self) -> Option<MutexGuard<'_, Flow>> {
        let flow = self.session.flow.lock();
        (flow.link == self.number).then_some(flow)
    }
}

impl Flow {
    fn rest(&mut self) {
        self.inflight.rest();
        if self.taken.is_empty() && self.taken.capacity() > 4 {
            self.taken = std::collections::VecDeque::new();
        }
    }
}

impl Mailbox {
    fn rest(&mut self) {
        self.queue.rest();
        self.receipts.rest();
    }
}

/// Takes out what only a client that asked for problem information may get.
fn strip(packet: &mut Packet) {
    let (reason_string, user_properties) = match packet {
        Packet::PubAck(p) | Packet::PubRec(p) | Packet::PubRel(p) | Packet::PubComp(p) => {
            (&mut p.reason_string, &mut p.user_properties)
        }
        Packet::SubAck(p) | Packet::UnsubAck(p) => (&mut p.reason_string, &mut p.user_properties),
        Packet::Auth(p) => (&mut p.reason_string, &mut p.user_properties),
        _ => return,
    };
    *reason_string = None;
    *user_properties = Vec::new();
}
