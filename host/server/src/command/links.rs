//! Terminals that have a link to this node, and what time makes due for them.
//!
//! A link is a terminal's from its first query on: phones and PCs cost nothing here.

use std::{
    collections::{BTreeMap, HashMap, HashSet, VecDeque},
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use parking_lot::Mutex;
use postern_broker::Link;
use postern_guest::{Key, roles::types::Transport};
use tokio::sync::{Notify, OnceCell};

use super::{
    account::{Accounts, Meter},
    format::Query,
};

/// How far back switches count against the limit, in ms.
const HOUR: u64 = 3_600_000;
/// How long a suspicion is written down once only, in ms.
const MINUTE: u64 = 60_000;

/// One live link of a terminal.
pub struct Terminal {
    /// The terminal's user id.
    pub user: String,
    /// The token by which the link signed in.
    pub token_id: String,
    /// The link.
    pub link: Arc<Link>,
    /// What it came in on.
    pub transport: Transport,
    /// What it said last.
    pub query: Mutex<Query>,
    /// What authenticates commands on this link.
    pub key: OnceCell<Key>,
    /// It has asked, and nobody has looked yet.
    pub asked: AtomicBool,
    /// Ids of what was written to this link since the last query. Held while one looks what waits, so that
    /// two who look do not both send it.
    pub sent: tokio::sync::Mutex<HashSet<String>>,
    /// The instruction that the link is closed with.
    pub redirect: Mutex<Option<String>>,
    /// When it is looked after next.
    pub due: Mutex<Option<(u64, u64)>>,
    /// When its time on TLS is over, in ms since the Unix epoch; `u64::MAX` for not yet.
    pub idle_at: AtomicU64,
    /// What it carries.
    pub meter: Mutex<Meter>,
}

/// An instruction that a terminal has not followed yet, and when to repeat it. It outlives the link: one
/// that cannot come in through TLS is not told so again at each return.
#[derive(Clone, Debug)]
pub struct Order {
    /// Where to.
    pub to: Transport,
    /// How often it was sent.
    pub times: u32,
    /// Not before this, in ms since the Unix epoch.
    pub again_at: u64,
    /// Its turn among many has been waited for.
    pub paced: bool,
}

/// All of them.
#[derive(Default)]
pub struct Links {
    by_user: Mutex<HashMap<String, Arc<Terminal>>>,
    /// What terminals were told and have not followed yet.
    pub orders: Mutex<HashMap<String, Order>>,
    /// By time, each terminal once, and in the order in which they were asked for.
    due: Mutex<BTreeMap<(u64, u64), Weak<Terminal>>>,
    numbers: AtomicU64,
    /// Something is due earlier than what was first.
    pub earlier: Notify,
    /// What was suspicious of which terminal, and when that was written down.
    suspects: Mutex<HashMap<String, u64>>,
    /// When each terminal was instructed within the last hour.
    switches: Mutex<HashMap<String, VecDeque<u64>>>,
    /// What links have carried.
    pub accounts: Accounts,
}

impl Links {
    /// The live link of a terminal.
    pub fn of(&self, user: &str) -> Option<Arc<Terminal>> {
        self.by_user.lock().get(user).filter(|terminal| terminal.link.is_attached()).cloned()
    }

    /// A terminal has asked what waits for it: on a new link, or again. None while another device of its
    /// user has a link: what one executes, the other must not.
    pub fn came(&self, new: Terminal) -> Option<Arc<Terminal>> {
        let mut by_user = self.by_user.lock();
        if let Some(known) = by_user.get(&new.user) {
            if Arc::ptr_eq(&known.link, &new.link) && known.token_id == new.token_id {
                *known.query.lock() = *new.query.lock();
                return Some(known.clone());
            }
            if known.link.is_attached() && known.link.key().client_id != new.link.key().client_id {
                return None;
            }
        }
        let terminal = Arc::new(new);
        if let Some(former) = by_user.insert(terminal.user.clone(), terminal.clone()) {
            self.forget_due(&former);
            if Arc::ptr_eq(&former.link, &terminal.link) {
                // It has signed in again: what its socket carried is counted once.
                std::mem::swap(&mut *former.meter.lock(), &mut *terminal.meter.lock());
            } else {
                self.accounts.ended(&former);
            }
        }
        Some(terminal)
    }

    /// A link has ended.
    pub fn left(&self, user: &str, link: &Arc<Link>) {
        let mut by_user = self.by_user.lock();
        if by_user.get(user).is_some_and(|known| Arc::ptr_eq(&known.link, link))
            && let Some(terminal) = by_user.remove(user)
        {
            self.forget_due(&terminal);
            self.accounts.ended(&terminal);
        }
    }

    /// All that are here.
    pub fn all(&self) -> Vec<Arc<Terminal>> {
        self.by_user.lock().values().cloned().collect()
    }

    /// Whether a terminal was told to come in through `transport`, and has not yet.
    pub fn is_ordered(&self, user: &str, transport: Transport) -> bool {
        self.orders.lock().get(user).is_some_and(|order| order.to == transport && order.times > 0)
    }

    fn forget_due(&self, terminal: &Terminal) {
        if let Some(key) = terminal.due.lock().take() {
            self.due.lock().remove(&key);
        }
    }

    /// A terminal is where it was told to be, or there is no reason any more.
    pub fn satisfied(&self, user: &str) {
        self.orders.lock().remove(user);
    }

    /// Whether this of this terminal was not written down within the last minute.
    pub fn first_in_a_while(&self, user: &str, what: &str, now: u64) -> bool {
        let mut suspects = self.suspects.lock();
        let last = suspects.entry(format!("{user} {what}")).or_default();
        let is_first = *last + MINUTE <= now;
        if is_first {
            *last = now;
        }
        is_first
    }

    /// Forgets what was told long ago to terminals that did not come back, and switches of an hour ago.
    pub fn tidy(&self, now: u64) {
        self.suspects.lock().retain(|_, at| *at + MINUTE > now);
        self.orders.lock().retain(|_, order| order.again_at + HOUR > now);
        self.switches.lock().retain(|_, times| times.back().is_some_and(|last| last + HOUR > now));
    }

    /// How many are here, on plain and on TLS.
    pub fn count(&self) -> (usize, usize) {
        let by_user = self.by_user.lock();
        let tls = by_user.values().filter(|terminal| terminal.transport == Transport::Tls).count();
        (by_user.len() - tls, tls)
    }

    /// The instruction that a link is closed with, if it is.
    pub fn redirect_of(&self, user: &str, link: &Arc<Link>) -> Option<String> {
        let by_user = self.by_user.lock();
        let terminal = by_user.get(user).filter(|known| Arc::ptr_eq(&known.link, link))?;
        terminal.redirect.lock().clone()
    }

    /// Looks after a terminal at `at`, in ms since the Unix epoch, or earlier, if it is to be looked after
    /// before anyway.
    pub fn look_at(&self, at: u64, terminal: &Arc<Terminal>) {
        let mut held = terminal.due.lock();
        if held.is_some_and(|(earlier, _)| earlier <= at) {
            return;
        }
        let key = (at, self.numbers.fetch_add(1, Ordering::Relaxed));
        let mut due = self.due.lock();
        if let Some(later) = held.replace(key) {
            due.remove(&later);
        }
        let first = due.first_key_value().is_none_or(|((first, _), _)| at < *first);
        due.insert(key, Arc::downgrade(terminal));
        if first {
            self.earlier.notify_one();
        }
    }

    /// Who is to be looked after by now, and when the next one is.
    pub fn due(&self, now: u64) -> (Vec<Arc<Terminal>>, Option<u64>) {
        let (ready, next) = {
            let mut due = self.due.lock();
            let later = due.split_off(&(now + 1, 0));
            let ready = std::mem::replace(&mut *due, later);
            (ready, due.first_key_value().map(|((at, _), _)| *at))
        };
        let ready: Vec<Arc<Terminal>> = ready.into_values().filter_map(|it| it.upgrade()).collect();
        ready.iter().for_each(|terminal| *terminal.due.lock() = None);
        (ready, next)
    }

    /// Whether a terminal was instructed less than `most` times within the hour; else when it may be again,
    /// in ms since the Unix epoch.
    pub fn may_switch(&self, user: &str, most: u32, now: u64) -> Result<(), u64> {
        let mut switches = self.switches.lock();
        let Some(times) = switches.get_mut(user) else { return Ok(()) };
        while times.front().is_some_and(|first| first + HOUR <= now) {
            times.pop_front();
        }
        match times.front() {
            Some(first) if times.len() >= usize::try_from(most).unwrap_or(usize::MAX) => Err(first + HOUR),
            _ => Ok(()),
        }
    }

    /// It was instructed.
    pub fn switched(&self, user: &str, now: u64) {
        self.switches.lock().entry(user.to_owned()).or_default().push_back(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn switches_are_counted_by_the_hour() {
        let links = Links::default();
        let switch = |user: &str, now| {
            links.may_switch(user, 2, now)?;
            links.switched(user, now);
            Ok(())
        };
        assert_eq!(switch("car", 10), Ok(()));
        assert_eq!(switch("car", 20), Ok(()));
        assert_eq!(switch("car", 30), Err(10 + HOUR));
        assert_eq!(switch("truck", 30), Ok(()));
        assert_eq!(switch("car", 10 + HOUR), Ok(()));
        links.tidy(11 + 2 * HOUR);
        assert!(links.switches.lock().is_empty());
    }
}
