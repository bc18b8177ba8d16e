//! What a client answers to the messages it was sent.

use super::{Flow, Link, Wakes, wake_all};
use crate::inflight::Acked;
use crate::journal::Stage;
use crate::wire::{Ack, Packet, ReasonCode};

impl Link {
    /// PUBACK. One for an unknown packet identifier is let pass: an earlier link may have got it.
    ///
    /// # Errors
    /// `ProtocolError` when that identifier waits for another packet.
    pub fn puback(&self, ack: &Ack) -> Result<(), ReasonCode> {
        self.acknowledged(|flow| flow.inflight.puback(ack.packet_id)).map(drop)
    }

    /// PUBREC: PUBREL is queued [MQTT-4.3.3-3], but for an error, which ends the flow
    /// [MQTT-4.3.3-4]; an unknown identifier is answered with PUBREL 0x92.
    ///
    /// # Errors
    /// As [`Link::puback`].
    pub fn pubrec(&self, ack: &Ack) -> Result<(), ReasonCode> {
        let error = ack.reason.is_error();
        let acked = self.acknowledged(|flow| flow.inflight.pubrec(ack.packet_id, error))?;
        let reason = match acked {
            Some(Acked::Owned { finished: false, .. }) => ReasonCode::Success,
            Some(Acked::Unknown) if !error => ReasonCode::PacketIdentifierNotFound,
            _ => return Ok(()),
        };
        self.send(Packet::PubRel(Ack::new(ack.packet_id, reason)));
        Ok(())
    }

    /// PUBCOMP, which ends the flow.
    ///
    /// # Errors
    /// As [`Link::puback`].
    pub fn pubcomp(&self, ack: &Ack) -> Result<(), ReasonCode> {
        self.acknowledged(|flow| flow.inflight.pubcomp(ack.packet_id)).map(drop)
    }

    fn acknowledged(&self, apply: impl FnOnce(&mut Flow) -> Acked) -> Result<Option<Acked>, ReasonCode> {
        let Some(mut flow) = self.flow() else { return Ok(None) };
        let acked = apply(&mut flow);
        match &acked {
            Acked::Unexpected => return Err(ReasonCode::ProtocolError),
            Acked::Unknown => {}
            Acked::Owned { seq, finished, serial, number } => {
                flow.done(*seq);
                if *finished {
                    self.session.kept_is_done(&self.core, *number);
                } else {
                    // PUBREL lets the client forget the message: it must not come again.
                    let mark = self.session.kept_is_at(&self.core, *number, Stage::Released(*serial));
                    if let Some(mut mailbox) = self.mailbox() {
                        mailbox.wait_for(mark);
                    }
                }
                if *finished {
                    // Never over where it began (section 4.9).
                    flow.quota = flow.window.min(flow.quota.saturating_add(1));
                }
                self.unblock(&mut flow);
            }
        }
        Ok(Some(acked))
    }

    /// Something may go again that had to wait.
    pub(super) fn unblock(&self, flow: &mut Flow) {
        if !std::mem::take(&mut flow.blocked) {
            return;
        }
        let mut wakes = Wakes::new();
        if let Some(mut mailbox) = self.mailbox() {
            mailbox.blocked = false;
            mailbox.more = true;
            mailbox.wake(&mut wakes);
        }
        wake_all(wakes);
    }
}
