//! Retained messages: the last one of each topic that was published with RETAIN.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::limits::Limits;
use crate::message::Message;
use crate::session::SessionKey;
use crate::time::Timestamp;
use crate::topic::{NameTree, TopicName};

/// A retained message and who published it.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    pub(crate) message: Arc<Message>,
    /// For No Local [MQTT-3.8.3-3].
    pub(crate) publisher: Option<Arc<SessionKey>>,
}

/// All retained messages.
#[derive(Debug, Default)]
pub(crate) struct Retained {
    names: NameTree<Kept>,
    /// What they count for.
    bytes: usize,
    /// Those that expire, the next one first.
    expiring: BTreeSet<(Timestamp, TopicName)>,
}

impl Retained {
    /// Keeps `message`, or, when its payload is empty, forgets its topic [MQTT-3.3.1-5, 3.3.1-6,
    /// 3.3.1-7]. False when the limits do not let it in: then the topic keeps what it had.
    pub(crate) fn set(
        &mut self,
        message: &Arc<Message>,
        publisher: Option<Arc<SessionKey>>,
        limits: &Limits,
    ) -> bool {
        if message.payload.is_empty() {
            self.remove(&message.topic);
            return true;
        }
        let former = self.names.get(message.topic.as_str()).map(|kept| kept.message.size());
        let bytes = self.bytes.saturating_sub(former.unwrap_or(0)).saturating_add(message.size());
        if (former.is_none() && self.names.len() >= limits.retained_messages) || bytes > limits.retained_bytes
        {
            return false;
        }
        self.bytes = bytes;
        let kept = Kept { message: Arc::clone(message), publisher };
        if let Some(former) = self.names.insert(&message.topic, kept) {
            self.forget_expiry(&former.message);
        }
        if let Some(at) = message.expires_at {
            self.expiring.insert((at, message.topic.clone()));
        }
        true
    }

    fn remove(&mut self, topic: &TopicName) {
        if let Some(former) = self.names.remove(topic.as_str()) {
            self.bytes = self.bytes.saturating_sub(former.message.size());
            self.forget_expiry(&former.message);
        }
    }

    fn forget_expiry(&mut self, message: &Message) {
        if let Some(at) = message.expires_at {
            self.expiring.remove(&(at, message.topic.clone()));
        }
    }

    /// Calls `each` for every message that matches `filter` (without `$share/GROUP/`) and has not
    /// expired.
    pub(crate) fn for_each(&self, filter: &str, now: Timestamp, mut each: impl FnMut(&Kept)) {
        self.names.for_each_matching(filter, |kept| {
            if !kept.message.is_expired(now) {
                each(kept);
            }
        });
    }

    /// Drops what has expired, and tells its topics.
    pub(crate) fn expire(&mut self, now: Timestamp) -> Vec<TopicName> {
        let mut dropped = Vec::new();
        while let Some((at, topic)) = self.expiring.pop_first() {
            if at > now {
                self.expiring.insert((at, topic));
                break;
            }
            if let Some(former) = self.names.remove(topic.as_str()) {
                self.bytes = self.bytes.saturating_sub(former.message.size());
            }
            dropped.push(topic);
        }
        dropped
    }

    /// When the next one expires.
    pub(crate) fn next_expiry(&self) -> Option<Timestamp> {
        self.expiring.first().map(|(at, _)| *at)
    }

    pub(crate) fn len(&self) -> usize {
        self.names.len()
    }
}
