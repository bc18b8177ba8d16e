//! The bus within one process: a table of readers.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::BusError;
use crate::queue::{Inlet, Reply, Request, Requests, Subscription, queue};

#[derive(Default)]
pub(crate) struct Local {
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    groups: HashMap<String, Vec<Group>>,
    subscribers: HashMap<String, Vec<Inlet<Bytes>>>,
}

/// Servers of one subject of which one gets each request.
struct Group {
    name: String,
    members: Vec<Inlet<Request>>,
    /// Whose turn it is.
    next: usize,
}

impl Group {
    /// The member whose turn it is; None when all have left.
    fn pick(&mut self) -> Option<Inlet<Request>> {
        self.members.retain(Inlet::is_open);
        self.next = self.next.wrapping_add(1);
        self.members.get(self.next % self.members.len().max(1)).cloned()
    }
}

impl Local {
    pub(crate) async fn request(
        &self,
        subject: &str,
        payload: Bytes,
        timeout: Duration,
    ) -> Result<Bytes, BusError> {
        let picked: Vec<_> = match self.table.lock().groups.get_mut(subject) {
            Some(groups) => groups.iter_mut().filter_map(Group::pick).collect(),
            None => Vec::new(),
        };
        let (sender, answer) = oneshot::channel();
        let reply = Reply::Local(Arc::new(Mutex::new(Some(sender))));
        let mut served = false;
        for member in picked {
            served |= member.put(Request { payload: payload.clone(), reply: reply.clone() });
        }
        if !served {
            return Err(BusError::NoResponder);
        }
        drop(reply);
        match tokio::time::timeout(timeout, answer).await {
            Ok(Ok(answer)) => Ok(answer),
            // All who were asked have dropped the request: no answer will come.
            Ok(Err(_)) | Err(_) => Err(BusError::Timeout),
        }
    }

    pub(crate) fn serve(&self, subject: String, name: &str) -> Requests {
        let (inlet, outlet) = queue(&subject);
        let mut table = self.table.lock();
        let groups = table.groups.entry(subject).or_default();
        match groups.iter_mut().find(|group| group.name == name) {
            Some(group) => group.members.push(inlet),
            None => groups.push(Group { name: name.to_owned(), members: vec![inlet], next: 0 }),
        }
        Requests(outlet)
    }

    pub(crate) fn publish(&self, subject: &str, payload: &Bytes) {
        // Under the lock, so that all readers see two publishers' messages in one order.
        if let Some(subscribers) = self.table.lock().subscribers.get_mut(subject) {
            subscribers.retain(|subscriber| subscriber.put(payload.clone()));
        }
    }

    pub(crate) fn subscribe(&self, subject: String) -> Subscription {
        let (inlet, outlet) = queue(&subject);
        let mut table = self.table.lock();
        let subscribers = table.subscribers.entry(subject).or_default();
        subscribers.retain(Inlet::is_open);
        subscribers.push(inlet);
        Subscription(outlet)
    }
}
