//! The role *store*: what is stored and how (`postern:store`; A10).

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use postern_store::Access;
use wasmtime::component::{ComponentType, Instance, Lift, Lower};

use crate::call::{CallError, Refusal};
use crate::policy::Role;
use crate::pool::{Asked, Face, interface_func};
use crate::serving::Slot;
use crate::state::State;

/// The greatest seq: the databases' integers go no further.
const MOST_SEQ: u64 = i64::MAX.unsigned_abs();

/// The stored classes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, ComponentType, Lift, Lower)]
#[component(enum)]
#[repr(u8)]
pub enum Class {
    /// A notification.
    #[component(name = "notification")]
    Notification,
    /// An instant message.
    #[component(name = "instant")]
    Instant,
}

/// Whom a message is for.
#[derive(Clone, Debug, PartialEq, Eq, ComponentType, Lower)]
#[component(variant)]
pub enum Address {
    /// One user.
    #[component(name = "user")]
    User(String),
    /// A group by name.
    #[component(name = "group")]
    Group(String),
    /// Everyone.
    #[component(name = "everyone")]
    Everyone,
}

/// A message to store.
#[derive(Clone, Debug, PartialEq, Eq, ComponentType, Lower)]
#[component(record)]
pub struct Message {
    /// The sender's own id for it, unique per sender: 1 to 64 bytes.
    pub id: String,
    /// Its class.
    pub class: Class,
    /// The user who sent it.
    pub sender: String,
    /// The device it came from: it is not sent back there.
    #[component(name = "sender-device")]
    pub sender_device: String,
    /// Whom it is for.
    pub to: Address,
    /// The topic it is delivered on.
    pub topic: String,
    /// The payload.
    pub body: Bytes,
    /// MQTT 5 properties to deliver with it, encoded; empty for none.
    pub properties: Bytes,
    /// In ms since the Unix epoch.
    #[component(name = "sent-at")]
    pub sent_at: u64,
    /// In ms since the Unix epoch; none never expires.
    #[component(name = "expires-at")]
    pub expires_at: Option<u64>,
    /// Everyone who gets it, sorted, each once; the messages of a group share its members.
    pub recipients: Arc<Vec<String>>,
}

/// A recipient's place for a message.
#[derive(Clone, Debug, PartialEq, Eq, ComponentType, Lift)]
#[component(record)]
pub struct Place {
    /// The user.
    pub recipient: String,
    /// 1, 2, 3, … for each recipient, without gaps.
    pub seq: u64,
}

/// What became of one message of a batch.
#[derive(Clone, Debug, PartialEq, Eq, ComponentType, Lift)]
#[component(variant)]
pub enum Saved {
    /// Stored; a place for each recipient, in their order.
    #[component(name = "stored")]
    Stored(Vec<Place>),
    /// The sender's message of this id is stored already.
    #[component(name = "duplicate")]
    Duplicate,
    /// Not stored; the text goes to an MQTT 5 sender as reason string.
    #[component(name = "refused")]
    Refused(String),
}

/// Why nothing was stored or read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, ComponentType, Lift)]
#[component(variant)]
pub enum StoreError {
    /// Refuse it as temporary.
    #[component(name = "unavailable")]
    #[error("unavailable: {0}")]
    Unavailable(String),
}

impl Refusal for StoreError {
    fn is_unavailable(&self) -> bool {
        matches!(self, StoreError::Unavailable(_))
    }
}

/// A stored message in a recipient's inbox.
#[derive(Clone, Debug, PartialEq, Eq, ComponentType, Lift)]
#[component(record)]
pub struct Delivery {
    /// Its place in the inbox.
    pub seq: u64,
    /// The sender's id for it.
    pub id: String,
    /// Its class.
    pub class: Class,
    /// The user who sent it.
    pub sender: String,
    /// The device it came from.
    #[component(name = "sender-device")]
    pub sender_device: String,
    /// The topic it is delivered on.
    pub topic: String,
    /// The payload.
    pub body: Bytes,
    /// MQTT 5 properties, encoded; empty for none.
    pub properties: Bytes,
    /// In ms since the Unix epoch.
    #[component(name = "sent-at")]
    pub sent_at: u64,
    /// In ms since the Unix epoch.
    #[component(name = "expires-at")]
    pub expires_at: Option<u64>,
}

/// Which conversation of a user.
#[derive(Clone, Debug, PartialEq, Eq, ComponentType, Lift, Lower)]
#[component(variant)]
pub enum Conversation {
    /// With a user.
    #[component(name = "with")]
    With(String),
    /// In a group.
    #[component(name = "group")]
    Group(String),
    /// The notifications.
    #[component(name = "notifications")]
    Notifications,
}

/// How far a conversation is read.
#[derive(Clone, Debug, PartialEq, Eq, ComponentType, Lift, Lower)]
#[component(record)]
pub struct Marker {
    /// The conversation.
    pub conversation: Conversation,
    /// Everything up to this seq of the user's inbox is read.
    pub seq: u64,
}

type Fn<P, T> = Asked<P, T, StoreError>;

/// User, conversation, before, limit.
type HistoryQuery = (String, Option<Conversation>, Option<u64>, u32);

/// The functions in one instance.
pub(crate) struct Funcs {
    save: Fn<(Arc<[Message]>,), Vec<Saved>>,
    inbox: Fn<(String, u64, u32), Vec<Delivery>>,
    head: Fn<(String,), u64>,
    history: Fn<HistoryQuery, Vec<Delivery>>,
    mark_read: Fn<(String, Marker), ()>,
    markers: Fn<(String,), Vec<Marker>>,
}

impl Face for Funcs {
    const ROLE: Role = Role::Store;

    fn bind(store: &mut wasmtime::Store<State>, instance: &Instance) -> wasmtime::Result<Self> {
        const MESSAGES: &str = "postern:store/messages";
        Ok(Funcs {
            save: interface_func(store, instance, MESSAGES, "save")?,
            inbox: interface_func(store, instance, MESSAGES, "inbox")?,
            head: interface_func(store, instance, MESSAGES, "head")?,
            history: interface_func(store, instance, MESSAGES, "history")?,
            mark_read: interface_func(store, instance, MESSAGES, "mark-read")?,
            markers: interface_func(store, instance, MESSAGES, "markers")?,
        })
    }
}

/// The role *store*.
#[derive(Default)]
pub struct Store {
    pub(crate) slot: Slot<Funcs>,
}

impl Store {
    /// Stores a batch. `Ok` means committed: acknowledge after it, not before (A10). One entry for
    /// each message, in order.
    ///
    /// # Errors
    ///
    /// [`StoreError`] from the plugin, or no answer: nothing of the batch is stored. (A commit that
    /// took too long, [`crate::Down::Failed`], may yet have happened.)
    pub async fn save(&self, batch: impl Into<Arc<[Message]>>) -> Result<Vec<Saved>, CallError<StoreError>> {
        let batch = batch.into();
        let asked = (batch.clone(),);
        self.slot
            .checked(
                "store.save",
                Access::Write,
                |funcs| &funcs.save,
                asked,
                |saved| is_answer(&batch, saved),
            )
            .await
    }

    /// Up to `limit` messages of a user's inbox after `after`, in order.
    ///
    /// # Errors
    ///
    /// [`StoreError`] from the plugin, or no answer.
    pub async fn inbox(
        &self,
        user: &str,
        after: u64,
        limit: u32,
    ) -> Result<Vec<Delivery>, CallError<StoreError>> {
        let asked = (user.to_owned(), after, limit);
        self.slot
            .checked(
                "store.inbox",
                Access::Read,
                |funcs| &funcs.inbox,
                asked,
                |page| is_page(page, after, limit),
            )
            .await
    }

    /// The greatest seq given in a user's inbox, 0 when empty.
    ///
    /// # Errors
    ///
    /// [`StoreError`] from the plugin, or no answer.
    pub async fn head(&self, user: &str) -> Result<u64, CallError<StoreError>> {
        self.slot.read("store.head", |funcs| &funcs.head, (user.to_owned(),)).await
    }

    /// Up to `limit` messages before `before` (none: from the newest), newest first, in one
    /// conversation or in all.
    ///
    /// # Errors
    ///
    /// [`StoreError`] from the plugin, or no answer.
    pub async fn history(
        &self,
        user: &str,
        conversation: Option<Conversation>,
        before: Option<u64>,
        limit: u32,
    ) -> Result<Vec<Delivery>, CallError<StoreError>> {
        self.slot
            .read("store.history", |funcs| &funcs.history, (user.to_owned(), conversation, before, limit))
            .await
    }

    /// Marks a conversation read up to `marker.seq`; never moves back.
    ///
    /// # Errors
    ///
    /// [`StoreError`] from the plugin, or no answer.
    pub async fn mark_read(&self, user: &str, marker: Marker) -> Result<(), CallError<StoreError>> {
        self.slot.write("store.mark-read", |funcs| &funcs.mark_read, (user.to_owned(), marker)).await
    }

    /// A user's read markers.
    ///
    /// # Errors
    ///
    /// [`StoreError`] from the plugin, or no answer.
    pub async fn markers(&self, user: &str) -> Result<Vec<Marker>, CallError<StoreError>> {
        self.slot.read("store.markers", |funcs| &funcs.markers, (user.to_owned(),)).await
    }
}

/// One entry for each message; a place for each recipient, in their order; the places of a recipient
/// one after the other.
fn is_answer(batch: &[Message], saved: &[Saved]) -> bool {
    let mut last: HashMap<&str, u64> = HashMap::new();
    saved.len() == batch.len()
        && batch.iter().zip(saved).all(|(message, saved)| match saved {
            Saved::Stored(places) => {
                places.len() == message.recipients.len()
                    && message.recipients.iter().zip(places).all(|(recipient, place)| {
                        let before = last.insert(recipient.as_str(), place.seq);
                        place.recipient == *recipient
                            && (1..=MOST_SEQ).contains(&place.seq)
                            && before.is_none_or(|before| before + 1 == place.seq)
                    })
            }
            Saved::Duplicate | Saved::Refused(_) => true,
        })
}

/// In order, after `after`, and no more than was asked for: who reads page by page would otherwise
/// miss messages or turn in circles.
fn is_page(page: &[Delivery], after: u64, limit: u32) -> bool {
    let is_rising = page.iter().scan(after, |last, delivery| {
        let rises = delivery.seq > *last;
        *last = delivery.seq;
        Some(rises)
    });
    u32::try_from(page.len()).is_ok_and(|len| len <= limit) && is_rising.into_iter().all(|rises| rises)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(recipients: &[&str]) -> Message {
        Message {
            id: "1".into(),
            class: Class::Instant,
            sender: "a".into(),
            sender_device: "d".into(),
            to: Address::Everyone,
            topic: "t".into(),
            body: Bytes::new(),
            properties: Bytes::new(),
            sent_at: 0,
            expires_at: None,
            recipients: Arc::new(recipients.iter().map(|&r| r.to_owned()).collect()),
        }
    }

    fn place(recipient: &str, seq: u64) -> Place {
        Place { recipient: recipient.into(), seq }
    }

    #[test]
    fn answers_that_do_not_fit_the_batch_are_nonsense() {
        let batch = [message(&["a", "b"]), message(&["c"])];
        let good = Saved::Stored(vec![place("a", 1), place("b", 7)]);
        assert!(is_answer(&batch, &[good.clone(), Saved::Duplicate]));
        assert!(!is_answer(&batch, std::slice::from_ref(&good)), "an entry is missing");
        assert!(!is_answer(&batch, &[good, Saved::Stored(vec![])]), "a place is missing");
        assert!(!is_answer(&batch, &[Saved::Duplicate, Saved::Stored(vec![place("d", 1)])]), "another's");
        assert!(!is_answer(&batch, &[Saved::Duplicate, Saved::Stored(vec![place("c", 0)])]), "from 1");
        let batch = [message(&["a"]), message(&["a"])];
        let answer = |first, second| {
            let stored = |seq| Saved::Stored(vec![place("a", seq)]);
            is_answer(&batch, &[stored(first), stored(second)])
        };
        assert!(answer(3, 4));
        assert!(!answer(3, 5) && !answer(3, 3) && !answer(3, 2) && !answer(3, u64::MAX));
    }

    #[test]
    fn pages_rise_and_keep_to_the_limit() {
        let delivery = |seq| Delivery {
            seq,
            id: String::new(),
            class: Class::Instant,
            sender: String::new(),
            sender_device: String::new(),
            topic: String::new(),
            body: Bytes::new(),
            properties: Bytes::new(),
            sent_at: 0,
            expires_at: None,
        };
        let page = |seqs: &[u64]| seqs.iter().map(|&seq| delivery(seq)).collect::<Vec<_>>();
        assert!(is_page(&page(&[]), 3, 2) && is_page(&page(&[4, 9]), 3, 2));
        assert!(!is_page(&page(&[3]), 3, 2) && !is_page(&page(&[5, 5]), 3, 2));
        assert!(!is_page(&page(&[4, 5, 6]), 3, 2));
    }
}
