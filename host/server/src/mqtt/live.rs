//! The live links of this node by token: revocation ends them, renewal lets them stay (A8, rule 1).

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use parking_lot::Mutex;
use postern_broker::{Broker, SessionKey, wire::ReasonCode};

/// Revoked ids remembered for links that are between verification and registration.
const REMEMBERED: usize = 4_096;

/// When a link's token expires, in milliseconds since 1970; shared with renewals.
#[derive(Debug)]
pub struct Expiry(AtomicU64);

impl Expiry {
    /// `None` never expires.
    pub fn new(at: Option<u64>) -> Arc<Self> {
        Arc::new(Expiry(AtomicU64::new(at.unwrap_or(u64::MAX))))
    }

    /// Milliseconds since 1970; `u64::MAX` for never.
    pub fn at(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Takes a later or earlier time.
    pub fn set(&self, at: Option<u64>) {
        self.0.store(at.unwrap_or(u64::MAX), Ordering::Relaxed);
    }
}

/// Links by token.
#[derive(Default)]
pub struct Live {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    by_token: HashMap<String, Vec<Entry>>,
    revoked: VecDeque<String>,
}

struct Entry {
    key: SessionKey,
    expiry: Arc<Expiry>,
}

/// The token was revoked while its link was signing in.
#[derive(Debug)]
pub struct RevokedMeanwhile;

impl Live {
    /// Registers a link that has just signed in.
    ///
    /// # Errors
    /// When its token was revoked since it was verified.
    pub fn register(
        &self,
        token: &str,
        key: &SessionKey,
        expiry: &Arc<Expiry>,
    ) -> Result<(), RevokedMeanwhile> {
        let mut inner = self.inner.lock();
        if inner.revoked.iter().any(|t| t == token) {
            return Err(RevokedMeanwhile);
        }
        let entry = Entry { key: key.clone(), expiry: expiry.clone() };
        inner.by_token.entry(token.to_owned()).or_default().push(entry);
        Ok(())
    }

    /// Forgets a link that has ended.
    pub fn forget(&self, token: &str, expiry: &Arc<Expiry>) {
        let mut inner = self.inner.lock();
        // A renewal may have moved it to another token's entry.
        let moved =
            inner.by_token.get(token).is_none_or(|l| !l.iter().any(|e| Arc::ptr_eq(&e.expiry, expiry)));
        let token = if moved {
            let found = inner.by_token.iter().find(|(_, l)| l.iter().any(|e| Arc::ptr_eq(&e.expiry, expiry)));
            match found {
                Some((token, _)) => token.clone(),
                None => return,
            }
        } else {
            token.to_owned()
        };
        if let Some(links) = inner.by_token.get_mut(&token) {
            links.retain(|e| !Arc::ptr_eq(&e.expiry, expiry));
            if links.is_empty() {
                inner.by_token.remove(&token);
            }
        }
    }

    /// Ends the links of revoked tokens.
    pub fn revoke(&self, tokens: &[String], broker: &Broker) {
        let ended: Vec<Entry> = {
            let mut inner = self.inner.lock();
            for token in tokens {
                if inner.revoked.len() >= REMEMBERED {
                    inner.revoked.pop_front();
                }
                inner.revoked.push_back(token.clone());
            }
            tokens.iter().filter_map(|t| inner.by_token.remove(t)).flatten().collect()
        };
        for entry in ended {
            broker.disconnect(&entry.key, ReasonCode::NotAuthorized);
        }
    }

    /// Links of `old` may stay until the new token expires, and end when that is revoked.
    pub fn renew(&self, old: &str, new: &str, expires_at: u64) {
        let mut inner = self.inner.lock();
        let Some(links) = inner.by_token.remove(old) else { return };
        for entry in &links {
            entry.expiry.set(Some(expires_at));
        }
        inner.by_token.entry(new.to_owned()).or_default().extend(links);
    }
}
