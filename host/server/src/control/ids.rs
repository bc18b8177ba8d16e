//! Ids for messages whose sender gave none.
//!
//! A QoS 1 message that is sent again with DUP in a resumed session must be stored once (decision 11),
//! so the id that its first sending got is kept under its packet identifier.

use std::collections::HashMap;

use parking_lot::Mutex;
use postern_broker::{SessionKey, wire::PacketId};
use ulid::Ulid;

/// Packet identifiers remembered per session: those of messages that were in flight together.
const PER_SESSION: usize = 1_024;

/// Ids by session and packet identifier.
#[derive(Default)]
pub struct AssignedIds {
    sessions: Mutex<HashMap<SessionKey, HashMap<PacketId, String>>>,
}

impl AssignedIds {
    /// The id of a message: the one it got before when this is a repeat, else a new one.
    pub fn assign(&self, key: &SessionKey, packet: PacketId, dup: bool) -> String {
        let mut sessions = self.sessions.lock();
        if !sessions.contains_key(key) {
            sessions.insert(key.clone(), HashMap::new());
        }
        let Some(ids) = sessions.get_mut(key) else { return Ulid::new().to_string() };
        if dup && let Some(known) = ids.get(&packet) {
            return known.clone();
        }
        if ids.len() >= PER_SESSION {
            ids.clear();
        }
        let id = Ulid::new().to_string();
        ids.insert(packet, id.clone());
        id
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
        let ids = AssignedIds::default();
        let key = SessionKey { owner: Some(Text::from("alice")), client_id: Text::from("phone") };
        let one = PacketId::MIN;
        let first = ids.assign(&key, one, false);
        assert_eq!(ids.assign(&key, one, true), first);
        assert_ne!(ids.assign(&key, one, false), first);
        ids.forget(&key);
        assert_ne!(ids.assign(&key, one, true), first);
    }

    #[test]
    fn nothing_is_kept_of_sessions_that_are_gone() {
        let ids = AssignedIds::default();
        let key =
            |client: &str| SessionKey { owner: Some(Text::from("alice")), client_id: Text::from(client) };
        let kept = ids.assign(&key("kept"), PacketId::MIN, false);
        let gone = ids.assign(&key("gone"), PacketId::MIN, false);
        ids.retain(|session| *session == key("kept"));
        assert_eq!(ids.assign(&key("kept"), PacketId::MIN, true), kept);
        assert_ne!(ids.assign(&key("gone"), PacketId::MIN, true), gone);
    }
}
