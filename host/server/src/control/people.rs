//! What the dynamic group knows of people: asked of the static group over the bus (A4), and kept for
//! a short while, so that a message costs no question.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use postern_bus::Bus;
use postern_guest::roles::types::Relation;

use super::{
    ask::ask,
    wire::{Denied, FindHolder, FindPerson, GroupMembers, Partner, PersonAndPartners, Profile},
};

/// How long an answer is believed; `directory.changed` on the bus ends it at once.
const BELIEVED: Duration = Duration::from_secs(30);
/// Entries of either kind before the oldest half is forgotten.
const KEPT: usize = 100_000;

/// Broadcast: somebody's account, group or partner changed.
pub const CHANGED: &str = "directory.changed";

/// A cache in front of the directory.
pub struct People {
    bus: Bus,
    persons: Mutex<HashMap<String, Known<Profile>>>,
    senders: Mutex<HashMap<String, Known<PersonAndPartners>>>,
    groups: Mutex<HashMap<String, Known<Vec<String>>>>,
}

type Known<T> = (Instant, Option<Arc<T>>);

impl People {
    /// An empty cache.
    pub fn new(bus: Bus) -> Self {
        People { bus, persons: Mutex::default(), senders: Mutex::default(), groups: Mutex::default() }
    }

    /// What is known now of a user: outer None when it has to be asked.
    pub fn known_person(&self, user: &str) -> Option<Option<Arc<Profile>>> {
        known(&self.persons, user)
    }

    /// What is known now of a user who sends, with the partners: outer None when it has to be asked.
    pub fn known_sender(&self, user: &str) -> Option<Option<Arc<PersonAndPartners>>> {
        known(&self.senders, user)
    }

    /// What is known now of a group's members: outer None when it has to be asked.
    pub fn known_members(&self, group: &str) -> Option<Option<Arc<Vec<String>>>> {
        known(&self.groups, group)
    }

    /// A user's profile; None when there is no such user.
    ///
    /// # Errors
    /// When no login server answers.
    pub async fn person(&self, user: &str) -> Result<Option<Arc<Profile>>, Denied> {
        if let Some(known) = self.known_person(user) {
            return Ok(known);
        }
        let found = ask(&self.bus, &FindPerson { user: user.to_owned() }).await?.map(Arc::new);
        keep(&self.persons, user, found.clone());
        Ok(found)
    }

    /// A user who sends, as the directory says now; what the token says is from the login. None when
    /// there is no such user.
    ///
    /// # Errors
    /// When no login server answers.
    pub async fn sender(&self, user: &str) -> Result<Option<Arc<PersonAndPartners>>, Denied> {
        if let Some(known) = self.known_sender(user) {
            return Ok(known);
        }
        let found = ask(&self.bus, &FindHolder { user: user.to_owned() }).await?.map(Arc::new);
        keep(&self.senders, user, found.clone());
        Ok(found)
    }

    /// A group's members, sorted; `*` is everyone. None when there is no such group.
    ///
    /// # Errors
    /// When no login server answers.
    pub async fn members(&self, group: &str) -> Result<Option<Arc<Vec<String>>>, Denied> {
        if let Some(known) = self.known_members(group) {
            return Ok(known);
        }
        let found = ask(&self.bus, &GroupMembers { group: group.to_owned() }).await?.map(Arc::new);
        keep(&self.groups, group, found.clone());
        Ok(found)
    }

    /// Forgets everything: the directory changed.
    pub fn forget(&self) {
        self.persons.lock().clear();
        self.senders.lock().clear();
        self.groups.lock().clear();
    }
}

fn known<T>(map: &Mutex<HashMap<String, Known<T>>>, key: &str) -> Option<Option<Arc<T>>> {
    let map = map.lock();
    let (since, value) = map.get(key)?;
    (since.elapsed() < BELIEVED).then(|| value.clone())
}

fn keep<T>(map: &Mutex<HashMap<String, Known<T>>>, key: &str, value: Option<Arc<T>>) {
    let mut map = map.lock();
    if map.len() >= KEPT {
        // Senders can name users who do not exist; the map must not grow with their fancy.
        let half = BELIEVED / 2;
        map.retain(|_, (since, _)| since.elapsed() < half);
        if map.len() >= KEPT {
            map.clear();
        }
    }
    map.insert(key.to_owned(), (Instant::now(), value));
}

/// What `addressee` is to `sender` (A12), from the two profiles and the sender's partners.
pub fn relation(sender: &Profile, partners: &[Partner], addressee: &Profile) -> Relation {
    if sender.user == addressee.user {
        Relation::Same
    } else if sender.org == addressee.org {
        Relation::Internal
    } else {
        let partner = partners.iter().find(|p| p.org == addressee.org);
        partner.map_or(Relation::Unrelated, |p| p.relation.into())
    }
}
