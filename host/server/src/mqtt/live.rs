//! What the live links of this node have signed in with: revocation ends them, renewal lets them stay
//! (A8, rule 1).
//!
//! A [`SignIn`] is held by its link and by its will, which may be published long after the link is
//! gone; it is found by its token, by the tokens renewed from that, and by the login they came of.

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use parking_lot::Mutex;
use postern_broker::{Broker, Link, SessionKey, wire::ReasonCode};

use crate::control::wire::RevokeTokens;

/// Revocations remembered for links that are signing in meanwhile.
const REMEMBERED: usize = 4_096;
/// Tokens by which one sign-in is found: its login, and the last of those it was renewed by.
const NAMES: usize = 8;

/// All sign-ins that something of this node still rests on.
#[derive(Default)]
pub struct Live {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Default)]
struct Inner {
    by_name: HashMap<String, Vec<Weak<SignIn>>>,
    /// The last revocations.
    ended: VecDeque<RevokeTokens>,
    /// How many there have been.
    count: u64,
}

/// A moment between revocations.
#[derive(Clone, Copy, Debug)]
pub struct Moment(u64);

/// The token was revoked while its link was signing in.
#[derive(Debug)]
pub struct RevokedMeanwhile;

/// What a link has signed in with.
pub struct SignIn {
    key: Arc<SessionKey>,
    /// The login that the token came of, the token, and what it was renewed by; none for an anonymous client.
    names: Mutex<VecDeque<String>>,
    /// The token itself, whatever it was renewed by since.
    token_id: Option<Box<str>>,
    /// Milliseconds since 1970; `u64::MAX` for never.
    expires_at: AtomicU64,
    ended: AtomicBool,
    link: Mutex<Weak<Link>>,
    live: Arc<Mutex<Inner>>,
}

impl SignIn {
    /// The token that it signed in with; none for an anonymous client.
    pub fn token_id(&self) -> Option<&str> {
        self.token_id.as_deref()
    }

    /// When it ends unless it is renewed, in milliseconds since 1970; `u64::MAX` for never.
    pub fn expires_at(&self) -> u64 {
        self.expires_at.load(Ordering::Relaxed)
    }

    /// Whether its holder may still speak at `now`, in milliseconds since 1970.
    pub fn is_good(&self, now: u64) -> bool {
        !self.ended.load(Ordering::SeqCst) && now < self.expires_at()
    }

    /// The link that has been opened for it, to be ended with it: at once, if it was revoked since.
    pub fn attach(&self, link: &Arc<Link>, broker: &Broker) {
        *self.link.lock() = Arc::downgrade(link);
        if self.ended.load(Ordering::SeqCst) {
            self.disconnect(broker);
        }
    }

    /// Its link has signed in again with something else.
    pub fn detach(&self) {
        *self.link.lock() = Weak::new();
    }

    fn end(&self, broker: &Broker) {
        self.ended.store(true, Ordering::SeqCst);
        self.disconnect(broker);
    }

    fn disconnect(&self, broker: &Broker) {
        // A session that somebody has taken over by another login is his.
        let link = self.link.lock().upgrade();
        if link.is_some_and(|link| link.is_attached()) {
            broker.disconnect(&self.key, ReasonCode::NotAuthorized);
        }
    }
}

impl Drop for SignIn {
    fn drop(&mut self) {
        let own: *const SignIn = self;
        let mut inner = self.live.lock();
        for name in self.names.get_mut() {
            inner.forget(name, own);
        }
    }
}

impl Live {
    /// Now; to be taken before a token is judged.
    pub fn moment(&self) -> Moment {
        Moment(self.inner.lock().count)
    }

    /// A token was found good, having been asked at or after `since`. `names` are the login it came of
    /// and its own.
    ///
    /// # Errors
    /// When it was revoked since.
    pub fn sign_in(
        &self,
        names: impl IntoIterator<Item = String>,
        key: &Arc<SessionKey>,
        expires_at: Option<u64>,
        since: Moment,
    ) -> Result<Arc<SignIn>, RevokedMeanwhile> {
        let mut distinct: VecDeque<String> = VecDeque::new();
        for name in names {
            if !distinct.contains(&name) {
                distinct.push_back(name);
            }
        }
        let mut inner = self.inner.lock();
        if inner.ended_since(since, &distinct, key) {
            return Err(RevokedMeanwhile);
        }
        let signed_in = Arc::new(SignIn {
            key: key.clone(),
            token_id: distinct.back().map(|name| name.as_str().into()),
            names: Mutex::new(distinct.clone()),
            expires_at: AtomicU64::new(expires_at.unwrap_or(u64::MAX)),
            ended: AtomicBool::new(false),
            link: Mutex::default(),
            live: self.inner.clone(),
        });
        for name in distinct {
            inner.by_name.entry(name).or_default().push(Arc::downgrade(&signed_in));
        }
        Ok(signed_in)
    }

    /// Ends the links of tokens, users or devices, and what they left to be said.
    pub fn end(&self, which: &RevokeTokens, broker: &Broker) {
        // Let go of after the lock: the last one to hold a sign-in takes the lock to forget it.
        let found = {
            let mut inner = self.inner.lock();
            inner.remember(which.clone());
            match which {
                RevokeTokens::Token { id } => inner.named(id),
                _ => inner.all(),
            }
        };
        let names = VecDeque::new();
        for signed_in in &found {
            if matches!(which, RevokeTokens::Token { .. }) || concerns(which, &names, &signed_in.key) {
                signed_in.end(broker);
            }
        }
        match which {
            RevokeTokens::Token { .. } => {}
            RevokeTokens::User { user } => {
                broker.disconnect_user(user, ReasonCode::NotAuthorized);
            }
            RevokeTokens::Device { user, client_id } => {
                broker.disconnect(&SessionKey::new(Some(user), client_id), ReasonCode::NotAuthorized);
            }
        }
    }

    /// Links of `old` may stay until the new token expires, and end when either is revoked.
    pub fn renew(&self, old: &str, new: &str, expires_at: u64) {
        let mut inner = self.inner.lock();
        let found = inner.named(old);
        for signed_in in &found {
            signed_in.expires_at.store(expires_at, Ordering::Relaxed);
            let mut names = signed_in.names.lock();
            if names.iter().any(|name| name == new) {
                continue;
            }
            // The first is the login's, and stays.
            if names.len() >= NAMES
                && let Some(oldest) = names.remove(1)
            {
                inner.forget(&oldest, Arc::as_ptr(signed_in));
            }
            names.push_back(new.to_owned());
            inner.by_name.entry(new.to_owned()).or_default().push(Arc::downgrade(signed_in));
        }
        drop(inner);
    }
}

impl Inner {
    fn remember(&mut self, which: RevokeTokens) {
        if self.ended.len() >= REMEMBERED {
            self.ended.pop_front();
        }
        self.ended.push_back(which);
        self.count += 1;
    }

    /// Whether a revocation since then concerns it. What is not remembered may have.
    fn ended_since(&self, since: Moment, names: &VecDeque<String>, key: &SessionKey) -> bool {
        let fresh = usize::try_from(self.count - since.0).unwrap_or(usize::MAX);
        let Some(known) = self.ended.len().checked_sub(fresh) else { return true };
        self.ended.iter().skip(known).any(|which| concerns(which, names, key))
    }

    fn named(&self, name: &str) -> Vec<Arc<SignIn>> {
        self.by_name.get(name).into_iter().flatten().filter_map(Weak::upgrade).collect()
    }

    fn all(&self) -> Vec<Arc<SignIn>> {
        self.by_name.values().flatten().filter_map(Weak::upgrade).collect()
    }

    fn forget(&mut self, name: &str, which: *const SignIn) {
        if let Some(found) = self.by_name.get_mut(name) {
            found.retain(|signed_in| !std::ptr::eq(signed_in.as_ptr(), which));
            if found.is_empty() {
                self.by_name.remove(name);
            }
        }
    }
}

fn concerns(which: &RevokeTokens, names: &VecDeque<String>, key: &SessionKey) -> bool {
    match which {
        RevokeTokens::Token { id } => names.contains(id),
        RevokeTokens::User { user } => key.owner.as_deref() == Some(user.as_str()),
        RevokeTokens::Device { user, client_id } => {
            key.owner.as_deref() == Some(user.as_str()) && *key.client_id == **client_id
        }
    }
}

#[cfg(test)]
mod tests {
    use postern_broker::{Limits, Open, Timestamp, wire::Version};

    use super::*;

    fn key() -> Arc<SessionKey> {
        Arc::new(SessionKey::new(Some("alice"), "phone"))
    }

    fn sign_in(live: &Live, names: &[&str], since: Moment) -> Result<Arc<SignIn>, RevokedMeanwhile> {
        live.sign_in(names.iter().map(|n| (*n).to_owned()), &key(), Some(9), since)
    }

    fn token(id: &str) -> RevokeTokens {
        RevokeTokens::Token { id: id.to_owned() }
    }

    #[test]
    fn any_token_of_a_login_ends_it() {
        let broker = Broker::new(Limits::default());
        for ended in ["login", "first", "second"] {
            let live = Live::default();
            let signed_in = sign_in(&live, &["login", "first"], live.moment()).unwrap();
            live.renew("first", "second", 20);
            assert!(signed_in.is_good(19) && !signed_in.is_good(20));
            live.end(&token("another"), &broker);
            assert!(signed_in.is_good(1));
            live.end(&token(ended), &broker);
            assert!(!signed_in.is_good(1), "{ended}");
            drop(signed_in);
            assert!(live.inner.lock().by_name.is_empty());
        }
    }

    #[test]
    fn a_sign_in_remembers_its_login_and_forgets_old_renewals() {
        let live = Live::default();
        let signed_in = sign_in(&live, &["login", "t0"], live.moment()).unwrap();
        for n in 0..100 {
            live.renew(&format!("t{n}"), &format!("t{}", n + 1), 20);
        }
        assert_eq!(live.inner.lock().by_name.len(), NAMES);
        live.end(&token("login"), &Broker::new(Limits::default()));
        assert!(!signed_in.is_good(1));
    }

    #[test]
    fn what_is_revoked_while_it_is_judged_is_not_let_in() {
        let broker = Broker::new(Limits::default());
        let user = RevokeTokens::User { user: "alice".into() };
        let device = RevokeTokens::Device { user: "alice".into(), client_id: "phone".into() };
        for which in [token("login"), token("own"), user, device] {
            let live = Live::default();
            let asked = live.moment();
            live.end(&which, &broker);
            assert!(sign_in(&live, &["login", "own"], asked).is_err(), "{which:?}");
            assert!(sign_in(&live, &["login", "own"], live.moment()).is_ok(), "asked after it");
        }
        let live = Live::default();
        let asked = live.moment();
        (0..=REMEMBERED).for_each(|n| live.end(&token(&n.to_string()), &broker));
        assert!(sign_in(&live, &["own"], asked).is_err(), "nobody knows any more");
    }

    #[test]
    fn only_its_own_link_is_ended() {
        let (live, broker) = (Live::default(), Broker::new(Limits::default()));
        let now = Timestamp(1);
        let open = || Arc::new(broker.open(Open::new(key(), Version::V5), now).link);
        let former = sign_in(&live, &["former"], live.moment()).unwrap();
        let first = open();
        former.attach(&first, &broker);
        let later = sign_in(&live, &["later"], live.moment()).unwrap();
        let second = open();
        later.attach(&second, &broker);
        let mut out = bytes::BytesMut::new();
        live.end(&token("former"), &broker);
        assert_eq!(second.drain(&mut out, 1024, now).closing, None);
        live.end(&token("later"), &broker);
        assert_eq!(second.drain(&mut out, 1024, now).closing, Some(ReasonCode::NotAuthorized));
    }
}
