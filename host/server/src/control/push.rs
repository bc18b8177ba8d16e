//! What the control unit itself pushes passes classify too (A12).

use std::sync::Arc;

use bytes::Bytes;
use postern_broker::{
    Message, Timestamp,
    topic::TopicName,
    wire::{QoS, Text},
};
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
        let message = status_message(user, online, since, now)?;
        self.judged(message, Class::Status, now).map(Arc::new)
    }

    /// A notification to a user; None as for [`Push::status`].
    pub fn notification(&self, user: &str, body: Bytes, now: Timestamp) -> Option<Message> {
        let topic = TopicName::new(Text::from(format!("note/u/{user}"))).ok()?;
        self.judged(Message::new(topic, body, QoS::AtLeastOnce, now), Class::Notification, now)
    }

    fn judged(&self, mut message: Message, promised: Class, now: Timestamp) -> Option<Message> {
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
        let what = if promised == Class::Status { "status" } else { "notification" };
        match self.slots.classify().classify(&facts) {
            Ok(verdict) if verdict.class == promised || verdict.class == Class::Other => {
                if let Some(payload) = verdict.payload {
                    message.payload = payload.into();
                }
                return Some(message);
            }
            Ok(verdict) => {
                warn!(class = ?verdict.class, "classify calls a {what} something else, not pushed")
            }
            Err(CallError::Answer(ClassifyError::Refused(why) | ClassifyError::Unavailable(why))) => {
                warn!(why, "classify refused a {what}");
            }
            Err(CallError::Down(down)) => warn!(%down, "classify is down, {what} not pushed"),
        }
        None
    }
}
