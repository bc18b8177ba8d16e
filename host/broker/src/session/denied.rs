//! What a session must not get by any subscription, however wide it is.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use parking_lot::Mutex;

use super::{Link, Wakes, wake_all};
use crate::queue::Via;
use crate::topic::{TopicFilter, TopicName};

/// Filters whose topics are kept from a session. Most have none, and are asked for every message.
#[derive(Debug, Default)]
pub(crate) struct Denied {
    some: AtomicBool,
    filters: Mutex<Arc<Vec<TopicFilter>>>,
}

impl Denied {
    /// Whether messages of `topic` are kept from the session.
    pub(crate) fn has(&self, topic: &TopicName) -> bool {
        self.some.load(Relaxed) && self.filters.lock().iter().any(|filter| filter.matches(topic))
    }

    fn set(&self, filters: &Arc<Vec<TopicFilter>>) {
        *self.filters.lock() = Arc::clone(filters);
        self.some.store(!filters.is_empty(), Relaxed);
    }
}

impl Link {
    /// Keeps messages whose topic one of `filters` matches from this session, whatever it subscribes to;
    /// from now on, and those that wait. It holds while the session sleeps, until it is set anew. What the
    /// server itself delivers (feeds, pushes) is not concerned. The list is shared, not copied: many
    /// links have the same.
    pub fn deny(&self, filters: &Arc<Vec<TopicFilter>>) {
        self.session.denied.set(filters);
        if filters.is_empty() {
            return;
        }
        let Some(mut flow) = self.flow() else { return };
        let Some(mut mailbox) = self.mailbox() else { return };
        mailbox.queue.put_back(std::mem::take(&mut flow.taken));
        mailbox.queue.split_off(|item| {
            matches!(item.via, Via::Feed { .. }) || !self.session.denied.has(&item.message.topic)
        });
        let mut wakes = Wakes::new();
        flow.look_again(&mut mailbox, &mut wakes);
        drop((mailbox, flow));
        wake_all(wakes);
    }
}
