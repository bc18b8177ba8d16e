//! A message on its way into the store, and to whom it goes once it is there.

use std::sync::Arc;

use postern_broker::{Link, Message};
use postern_guest::roles::store;
use postern_trace::Work;

/// What a message counts for beside its body and properties: names, topic, the message itself.
const OVERHEAD: usize = 512;

/// A message on its way into the store.
pub struct Incoming {
    /// What the store role is given.
    pub stored: store::Message,
    /// What is delivered once it is stored.
    pub delivery: Delivery,
}

/// A message to deliver.
pub struct Delivery {
    /// The message.
    pub message: Arc<Message>,
    /// The link that it came from: it is not sent back there. None for a will.
    pub from: Option<Arc<Link>>,
    /// What it is known by.
    pub work: Work,
}

impl Delivery {
    /// A message of what this thread works at.
    pub fn new(message: Message, from: Option<Arc<Link>>) -> Self {
        Delivery { message: Arc::new(message), from, work: Work::now() }
    }
}

impl Incoming {
    /// What it counts for while it waits.
    pub fn cost(&self) -> usize {
        // The body is the message's own.
        self.delivery.message.size() + self.stored.properties.len() + OVERHEAD
    }
}
