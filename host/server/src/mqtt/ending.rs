//! The end of a live link: who ended it, and what the peer, the session and the others are told.

use std::{future::poll_fn, time::Duration};

use postern_broker::{
    Close,
    wire::{Disconnect, Packet, ReasonCode, Text, Version},
};
use postern_trace::Work;
use tracing::{debug, info};

use super::{framed::End, link::Pump};
use crate::{clock, refuse::Refusal};

/// How long a peer may take to read its last packet, and the journal to settle what it says.
pub(super) const FAREWELL: Duration = Duration::from_secs(2);

/// Why a link ends.
#[derive(Debug)]
pub enum Ending {
    /// DISCONNECT from the client.
    Left(Close),
    /// The network or the peer is gone.
    Gone,
    /// Refused, for what is named; an MQTT 5 peer is told why.
    Refused(Refusal, Work),
}

impl Pump {
    /// DISCONNECT from the client. One that would prolong a session which was to end with its link is
    /// none (MQTT 5, section 3.14.2.2.2), and spares no will.
    pub(super) fn disconnect(&mut self, disconnect: &Disconnect) {
        if !self.outlives && disconnect.session_expiry.is_some_and(|secs| secs > 0) {
            let what = "DISCONNECT raises the session expiry interval from zero";
            return self.refuse(Refusal::Packet(ReasonCode::ProtocolError, what));
        }
        let close = match disconnect.reason {
            ReasonCode::DisconnectWithWill => {
                Close::WithWill { session_expiry_secs: disconnect.session_expiry }
            }
            _ if disconnect.reason.is_error() => {
                Close::WithWill { session_expiry_secs: disconnect.session_expiry }
            }
            _ => Close::Normal { session_expiry_secs: disconnect.session_expiry },
        };
        self.ending = Some(Box::new(Ending::Left(close)));
    }

    /// Ends the link with a refusal.
    pub(super) fn refuse(&mut self, refusal: Refusal) {
        refusal.count();
        if self.ending.is_none() {
            self.ending = Some(Box::new(Ending::Refused(refusal, Work::now())));
        }
    }

    /// Its input has ended.
    pub(super) fn end(&mut self, end: End) {
        match end {
            End::Gone(e) => {
                debug!(peer = %self.origin.peer, error = %e, "link gone");
                self.ending.get_or_insert_with(|| Box::new(Ending::Gone));
            }
            End::Refused(fault) => self.refuse(fault.into()),
        }
    }

    /// DISCONNECT, with the instruction that the link is closed for, if it is (rule 4).
    fn farewell(&self, refusal: &Refusal) -> Disconnect {
        let mut farewell = Disconnect {
            reason: refusal.disconnect_code(),
            reason_string: Some(Text::from(refusal.told())),
            ..Disconnect::default()
        };
        if let (ReasonCode::UseAnotherServer, Some(profile)) = (farewell.reason, &self.sender.profile)
            && let Some(instruction) = self.node.commands.links.redirect_of(&profile.user, &self.link)
        {
            farewell.user_properties.push((Text::from("postern-instruction"), Text::from(instruction)));
        } else if farewell.reason == ReasonCode::UseAnotherServer {
            farewell.server_reference.clone_from(&self.node.server_reference);
        }
        farewell
    }

    fn log_end(&self, refusal: &Refusal, work: Work) {
        let _work = work.enter();
        let (listener, refusal) = (self.origin.listener.as_str(), refusal.logged());
        info!(peer = %self.origin.peer, listener, refusal, "link ended");
    }

    /// Tells the peer, ends the session's attachment, publishes the will, notes who left.
    pub async fn finish(mut self: Box<Self>) {
        self.node.ingest.room().forget(self.origin.link);
        let settled = poll_fn(|cx| self.node.broker.poll_settled(cx, self.mark));
        if tokio::time::timeout(FAREWELL, settled).await.is_err() {
            // It would acknowledge what may not be there after a restart.
            self.conn.forget_unsent();
        }
        let close = match self.ending.take().map(|ending| *ending) {
            Some(Ending::Left(close)) => close,
            Some(Ending::Refused(refusal, work)) => {
                self.log_end(&refusal, work);
                if self.version == Version::V5 {
                    let farewell = self.farewell(&refusal);
                    let farewell = Packet::Disconnect(farewell);
                    let told = self.conn.send(&farewell, Version::V5);
                    let _ = tokio::time::timeout(FAREWELL, told).await;
                }
                if refusal.ends_sign_in() {
                    // The will was to be said by one who may speak: it is dropped, the session stays.
                    Close::Normal { session_expiry_secs: None }
                } else {
                    Close::Lost
                }
            }
            Some(Ending::Gone) | None => Close::Lost,
        };
        self.note_cursor();
        if let Some(profile) = &self.sender.profile {
            self.node.commands.links.left(&profile.user, &self.link);
        }
        let due = self.link.close(close, clock::now());
        if self.node.broker.session(&self.sender.key).is_none() {
            self.node.ids.forget(&self.sender.key);
        }
        if let Some(due) = due {
            super::will::publish(self.node.clone(), due);
        }
        if let Some(feed) = self.feed.take() {
            feed.leave(&self.node, &self.link).await;
        }
        let _ = tokio::time::timeout(FAREWELL, self.conn.finish()).await;
        if self.node.broker.is_draining() {
            // In the middle of what it sends it is to learn why.
            let _ = tokio::time::timeout(FAREWELL, self.conn.linger()).await;
        }
    }
}
