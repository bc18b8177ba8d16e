//! Terminals that have a link to this node, and what time makes due for them.
//!
//! A link is a terminal's from its first query on: phones and PCs cost nothing here.

use std::{
    collections::{BTreeMap, HashMap, HashSet, VecDeque},
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, Ordering},
    },
};

use parking_lot::Mutex;
use postern_broker::Link;
use postern_guest::{Key, roles::types::Transport};
use tokio::sync::{Notify, OnceCell};

use super::format::Query;

/// How far back switches count against the limit, in ms.
const HOUR: u64 = 3_600_000;

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
    /// Ids of what was written to this link since the last query. Held while one looks what waits, so that
    /// two who look do not both send it.
    pub sent: tokio::sync::Mutex<HashSet<String>>,
    /// The instruction that it has not followed yet.
    pub order: Mutex<Option<Order>>,
    /// When its time on TLS is over, in ms since the Unix epoch; `u64::MAX` for not yet.
    pub idle_at: AtomicU64,
}

/// An instruction, and when to repeat it.
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
    /// For a DISCONNECT that carries it.
    pub redirect: Option<String>,
}

/// All of them.
#[derive(Default)]
pub struct Links {
    by_user: Mutex<HashMap<String, Arc<Terminal>>>,
    /// By time, and in the order in which they were asked for.
    due: Mutex<BTreeMap<(u64, u64), Weak<Terminal>>>,
    numbers: AtomicU64,
    /// Something is due earlier than what was first.
    pub earlier: Notify,
    /// When each terminal was instructed within the last hour.
    switches: Mutex<HashMap<String, VecDeque<u64>>>,
}

impl Links {
    /// The live link of a terminal.
    pub fn of(&self, user: &str) -> Option<Arc<Terminal>> {
        self.by_user.lock().get(user).filter(|terminal| terminal.link.is_attached()).cloned()
    }

    /// A terminal has asked what waits for it: on a new link, or again.
    pub fn came(
        &self,
        user: &str,
        link: &Arc<Link>,
        query: Query,
        new: impl FnOnce() -> Terminal,
    ) -> Arc<Terminal> {
        let mut by_user = self.by_user.lock();
        if let Some(known) = by_user.get(user).filter(|known| Arc::ptr_eq(&known.link, link)) {
            *known.query.lock() = query;
            return known.clone();
        }
        let terminal = Arc::new(new());
        by_user.insert(user.to_owned(), terminal.clone());
        terminal
    }

    /// A link has ended.
    pub fn left(&self, user: &str, link: &Arc<Link>) {
        let mut by_user = self.by_user.lock();
        if by_user.get(user).is_some_and(|known| Arc::ptr_eq(&known.link, link)) {
            by_user.remove(user);
        }
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
        terminal.order.lock().as_ref()?.redirect.clone()
    }

    /// Looks after a terminal at `at`, in ms since the Unix epoch.
    pub fn look_at(&self, at: u64, terminal: &Arc<Terminal>) {
        let number = self.numbers.fetch_add(1, Ordering::Relaxed);
        let mut due = self.due.lock();
        let first = due.first_key_value().is_none_or(|((first, _), _)| at < *first);
        due.insert((at, number), Arc::downgrade(terminal));
        if first {
            self.earlier.notify_one();
        }
    }

    /// Who is to be looked after by now, and when the next one is.
    pub fn due(&self, now: u64) -> (Vec<Arc<Terminal>>, Option<u64>) {
        let mut due = self.due.lock();
        let later = due.split_off(&(now + 1, 0));
        let ready = std::mem::replace(&mut *due, later);
        let next = due.first_key_value().map(|((at, _), _)| *at);
        (ready.into_values().filter_map(|terminal| terminal.upgrade()).collect(), next)
    }

    /// Counts a switch, while there were fewer than `most` within the hour; else tells when there is room
    /// again, in ms since the Unix epoch.
    pub fn switch(&self, user: &str, most: u32, now: u64) -> Result<(), u64> {
        let mut switches = self.switches.lock();
        if switches.len() >= 10_000 {
            switches.retain(|_, times| times.back().is_some_and(|last| last + HOUR > now));
        }
        let times = switches.entry(user.to_owned()).or_default();
        while times.front().is_some_and(|first| first + HOUR <= now) {
            times.pop_front();
        }
        match times.front() {
            Some(first) if times.len() >= usize::try_from(most).unwrap_or(usize::MAX) => Err(first + HOUR),
            _ => {
                times.push_back(now);
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn switches_are_counted_by_the_hour() {
        let links = Links::default();
        assert_eq!(links.switch("car", 2, 10), Ok(()));
        assert_eq!(links.switch("car", 2, 20), Ok(()));
        assert_eq!(links.switch("car", 2, 30), Err(10 + HOUR));
        assert_eq!(links.switch("truck", 2, 30), Ok(()));
        assert_eq!(links.switch("car", 2, 10 + HOUR), Ok(()));
    }
}
