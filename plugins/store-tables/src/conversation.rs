//! Which conversation a message belongs to, for each who gets it.
//!
//! An inbox row carries its conversation's key, so that history passes over other conversations' rows
//! without reading their messages: a conversation that never was costs the pages of the inbox' rows, a
//! hundred of them on each, and not a page for every message. An index of its own would cost each recipient
//! of each message one more page to write. Rows written by a generation that knew no keys have none (NULL);
//! for them, and where two keys are the same, the message decides.

use crate::bindings::exports::postern::store::messages::{Address, Class, Conversation, Message};

/// The key of what belongs to no conversation, as an instant message to everyone.
const NONE: i64 = 0;

/// `marker.kind` and `marker.name`.
pub(crate) fn spelled(conversation: &Conversation) -> (i64, &str) {
    match conversation {
        Conversation::With(user) => (0, user),
        Conversation::Group(group) => (1, group),
        Conversation::Notifications => (2, ""),
    }
}

/// `inbox.conversation`: the same for the same conversation, on every node and in every version. FNV-1a.
pub(crate) fn key(conversation: &Conversation) -> i64 {
    let (kind, name) = spelled(conversation);
    key_of(kind, name)
}

fn key_of(kind: i64, name: &str) -> i64 {
    let hash = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    kind.to_le_bytes().into_iter().chain(name.bytes()).fold(0xcbf2_9ce4_8422_2325, hash).cast_signed()
}

/// The keys of one message for those who get it.
pub(crate) struct Keys {
    /// The sender's place among the recipients: to him it is a conversation with whom he wrote to.
    sender_at: Option<usize>,
    of_sender: i64,
    of_others: i64,
}

impl Keys {
    pub(crate) fn of(message: &Message) -> Self {
        let (of_sender, of_others) = match (&message.class, &message.to) {
            (Class::Notification, _) => {
                let key = key(&Conversation::Notifications);
                (key, key)
            }
            (Class::Instant, Address::User(user)) => (key_of(0, user), key_of(0, &message.sender)),
            (Class::Instant, Address::Group(group)) => {
                let key = key_of(1, group);
                (key, key)
            }
            (Class::Instant, Address::Everyone) => (NONE, NONE),
        };
        let sender_at = message.recipients.iter().position(|recipient| *recipient == message.sender);
        Keys { sender_at, of_sender, of_others }
    }

    /// For the recipient at this place.
    pub(crate) fn at(&self, place: usize) -> i64 {
        if self.sender_at == Some(place) { self.of_sender } else { self.of_others }
    }
}
