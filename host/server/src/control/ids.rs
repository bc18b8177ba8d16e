//! Ids for messages whose sender gave none.
//!
//! A QoS 1 message that is sent again with DUP in a resumed session must be stored once (decision 11),
//! so the id that its first sending got is kept under its packet identifier.

use std::collections::{HashMap, VecDeque};

use parking_lot::Mutex;
use postern_broker::{SessionKey, wire::PacketId};
use ulid::Ulid;

/// Ids by session and packet identifier, as many of each session as it may have in flight: a client sends again only
/// what it has had no acknowledgement of.
pub struct AssignedIds {
    per_session: usize,
    sessions: Mutex<HashMap<SessionKey, Assigned>>,
}

/// The newest last; a packet identifier that came again stands for its newest.
type Assigned = VecDeque<(PacketId, Ulid)>;

impl AssignedIds {
    /// For sessions that may have so many messages in flight.
    pub fn new(in_flight: u16) -> Self {
        AssignedIds { per_session: usize::from(in_flight).max(1), sessions: Mutex::default() }
    }

    /// The id of a message: the one it got before when this is a repeat, else a new one.
    pub fn assign(&self, key: &SessionKey, packet: PacketId, dup: bool) -> String {
        let mut sessions = self.sessions.lock();
        if !sessions.contains_key(key) {
            sessions.insert(key.clone(), Assigned::new());
        }
        let Some(ids) = sessions.get_mut(key) else { return Ulid::new().to_string() };
        if dup && let Some((_, known)) = ids.iter().rev().find(|(of, _)| *of == packet) {
            return known.to_string();
        }
        if ids.len() >= self.per_session {
            ids.pop_front();
        }
        let id = Ulid::new();
        ids.push_back((packet, id));
        id.to_string()
    }

    /// The session begins anew or is gone.
    pub fn forget(&self, key: &SessionKey) {
        self.sessions.lock().remove(key);
    }

    /// Forgets the sessions that are gone.
    pub fn retain(&self, is_there: impl Fn(&SessionKey) -> bool) {
        self.sessions.lock().retain(|key, _| is_there(key));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use postern_broker::wire::Text;

    #[test]
    fn a10_a_repeat_keeps_its_id_and_a_new_message_gets_another() {
        let ids = AssignedIds::new(10);
        let key = SessionKey { owner: Some(Text::from("alice")), client_id: Text::from("phone") };
        let one = PacketId::MIN;
        let first = ids.assign(&key, one, false);
        assert_eq!(ids.assign(&key, one, true), first);
        assert_ne!(ids.assign(&key, one, false), first);
        ids.forget(&key);
        assert_ne!(ids.assign(&key, one, true), first);
    }

    #[test]
    fn a10_what_is_in_flight_keeps_its_id_however_much_came_before() {
        let ids = AssignedIds::new(3);
        let key = SessionKey { owner: None, client_id: Text::from("phone") };
        let packet = |n: u16| PacketId::new(n).unwrap();
        let given: Vec<_> = (1..=7).map(|n| ids.assign(&key, packet(n), false)).collect();
        for n in 5..=7 {
            assert_eq!(ids.assign(&key, packet(n), true), given[usize::from(n) - 1]);
        }
        assert_ne!(ids.assign(&key, packet(4), true), given[3], "it was acknowledged");
        let again = ids.assign(&key, packet(7), false);
        assert_eq!(ids.assign(&key, packet(7), true), again, "the newest of its name");
    }

    #[test]
    fn nothing_is_kept_of_sessions_that_are_gone() {
        let ids = AssignedIds::new(10);
        let key =
            |client: &str| SessionKey { owner: Some(Text::from("alice")), client_id: Text::from(client) };
        let kept = ids.assign(&key("kept"), PacketId::MIN, false);
        let gone = ids.assign(&key("gone"), PacketId::MIN, false);
        ids.retain(|session| *session == key("kept"));
        assert_eq!(ids.assign(&key("kept"), PacketId::MIN, true), kept);
        assert_ne!(ids.assign(&key("gone"), PacketId::MIN, true), gone);
    }
}
