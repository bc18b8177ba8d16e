//! All sessions, by key and by owner.

use std::sync::Arc;

use hashbrown::{HashMap, HashTable};
use std::hash::{BuildHasher, RandomState};

use crate::session::{Session, SessionKey};
use crate::time::Timestamp;
use crate::wire::{Text, Version};

/// All sessions.
#[derive(Debug, Default)]
pub(super) struct Registry {
    /// By key, which the session itself holds.
    sessions: HashTable<Arc<Session>>,
    owners: HashMap<Text, Vec<Arc<Session>>>,
    hasher: RandomState,
}

impl Registry {
    pub(super) fn find(&self, key: &SessionKey) -> Option<&Arc<Session>> {
        self.sessions.find(self.hasher.hash_one(key), |session| *session.key == *key)
    }

    /// Takes in a session whose key is not there yet.
    pub(super) fn insert(&mut self, session: &Arc<Session>) {
        let Registry { sessions, owners, hasher } = self;
        let hash = hasher.hash_one(&*session.key);
        sessions.insert_unique(hash, Arc::clone(session), |session| hasher.hash_one(&*session.key));
        if let Some(owner) = &session.key.owner {
            owners.entry(owner.clone()).or_default().push(Arc::clone(session));
        }
    }

    pub(super) fn remove(&mut self, session: &Session) {
        let hash = self.hasher.hash_one(&*session.key);
        if let Ok(entry) = self.sessions.find_entry(hash, |other| other.id == session.id) {
            entry.remove();
        }
        if let Some(owner) = &session.key.owner
            && let Some(devices) = self.owners.get_mut(owner)
        {
            devices.retain(|device| device.id != session.id);
            if devices.is_empty() {
                self.owners.remove(owner);
            }
        }
    }

    /// The sessions of a user's devices.
    pub(super) fn of_owner(&self, user: &str) -> &[Arc<Session>] {
        self.owners.get(user).map_or(&[], Vec::as_slice)
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Arc<Session>> {
        self.sessions.iter()
    }
}

/// A session as the operator sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionInfo {
    /// Whose it is.
    pub key: Arc<SessionKey>,
    /// Whether it has a link.
    pub connected: bool,
    /// Protocol version of its link, or of the last one.
    pub version: Version,
    /// Number of subscriptions.
    pub subscriptions: usize,
    /// Messages that wait, those of the feed included.
    pub queued_messages: usize,
    /// What counts of them against the limit, in bytes.
    pub queued_bytes: usize,
    /// Messages of QoS 1 and 2 on their way to the client.
    pub inflight: usize,
    /// Publishes of QoS 2 from the client that are not finished.
    pub inbound_exactly_once: usize,
    /// Seconds it outlives its link; `u32::MAX` for ever.
    pub expiry_secs: u32,
    /// When the link came; for a session without link, when the last one went.
    pub since: Timestamp,
    /// When it ends, if it has no link.
    pub ends_at: Option<Timestamp>,
}

impl SessionInfo {
    pub(super) fn of(session: &Session) -> Self {
        let flow = session.flow.lock();
        let (waiting, load, exactly_once) = session.mailbox.lock().figures();
        SessionInfo {
            key: Arc::clone(&session.key),
            connected: flow.link != 0,
            version: flow.version,
            subscriptions: flow.subscriptions.len(),
            queued_messages: waiting + flow.taken(),
            queued_bytes: load.bytes,
            inflight: flow.inflight.len(),
            inbound_exactly_once: exactly_once,
            expiry_secs: flow.expiry_secs,
            since: flow.since,
            ends_at: if flow.link == 0 { flow.ends_at() } else { None },
        }
    }
}
