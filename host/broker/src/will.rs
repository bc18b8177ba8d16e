//! Wills: kept by the session, handed to the server when they fall due.
//!
//! The broker publishes no will by itself: the server runs it through rights, classification and
//! storage first, like any other message.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

use crate::session::SessionKey;
use crate::topic::TopicName;
use crate::wire::{PublishProperties, QoS};

/// A will, as its CONNECT gave it.
#[derive(Clone)]
pub struct Will {
    /// Will topic.
    pub topic: TopicName,
    /// Will payload.
    pub payload: Bytes,
    /// Will QoS.
    pub qos: QoS,
    /// Will retain.
    pub retain: bool,
    /// Will Delay Interval in seconds.
    pub delay_secs: u32,
    /// Properties to publish it with; its expiry interval counts from its publication.
    pub properties: PublishProperties,
    /// The server's own facts about who set it, handed back untouched: what rights it had cannot be
    /// asked any more when the link is gone.
    pub context: Option<Arc<dyn Any + Send + Sync>>,
}

impl fmt::Debug for Will {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Will")
            .field("topic", &self.topic)
            .field("qos", &self.qos)
            .field("retain", &self.retain)
            .field("delay_secs", &self.delay_secs)
            .finish_non_exhaustive()
    }
}

/// A will that is to be published now [MQTT-3.1.2-8].
#[derive(Clone, Debug)]
pub struct DueWill {
    /// Whose it is.
    pub key: Arc<SessionKey>,
    /// What it says.
    pub will: Will,
}
