//! What the control unit itself pushes passes classify too (A12).

use std::sync::Arc;

use postern_broker::{Message, Timestamp};
use postern_guest::{
    CallError, Slots,
    roles::{
        classify::{Class, ClassifyError, Facts, Origin},
        types::{Relation, Transport},
    },
};
use tracing::warn;

use super::presence::status_message;

/// Makes messages of the control unit.
#[derive(Clone)]
pub struct Push {
    slots: Arc<Slots>,
}

impl Push {
    /// Pushes pass this classify role.
    pub fn new(slots: Arc<Slots>) -> Self {
        Push { slots }
    }

    /// A presence message; None when the classify role refuses it, is down, or says that it is no
    /// status: presence is not worth a fallback.
    pub fn status(&self, user: &str, online: bool, since: Timestamp, now: Timestamp) -> Option<Arc<Message>> {
        let mut message = status_message(user, online, since, now)?;
        let facts = Facts {
            topic: &message.topic,
            payload: &message.payload,
            qos: message.qos as u8,
            retain: false,
            origin: Origin::ControlUnit,
            transport: Transport::Tls,
            sender: None,
            relation: Relation::Unrelated,
            now: now.0,
        };
        match self.slots.classify().classify(&facts) {
            Ok(verdict) if verdict.class == Class::Status || verdict.class == Class::Other => {
                if let Some(payload) = verdict.payload {
                    message.payload = payload.into();
                }
                Some(Arc::new(message))
            }
            Ok(verdict) => {
                warn!(class = ?verdict.class, "classify calls a status message something else, not pushed");
                None
            }
            Err(CallError::Answer(ClassifyError::Refused(why) | ClassifyError::Unavailable(why))) => {
                warn!(why, "classify refused a status message");
                None
            }
            Err(CallError::Down(down)) => {
                warn!(%down, "classify is down, status not pushed");
                None
            }
        }
    }
}
