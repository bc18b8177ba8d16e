//! The role *classify*: what a message means (`postern:classify`; A12, A16). A plain function call on
//! the thread that has the message.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use wasmtime::component::{Instance, Linker};
use wasmtime::{Store, StoreContextMut};

use self::bindings::exports::postern::classify::classify as wit;
use super::types::{Profile, Relation, Transport};
use crate::call::{CallError, Refusal};
use crate::canary::Who;
use crate::inspect::WIT_VERSION;
use crate::policy::Role;
use crate::pool::{Face, Warm};
use crate::serving::Slot;
use crate::state::State;
use crate::watch::{Call, Message, Watch};

/// Generated from `wit/classify`, borrowing what it is given. The types of `postern:host/types` are
/// the host's own, so that the facts need no conversion.
#[allow(missing_docs, unreachable_pub)]
mod bindings {
    wasmtime::component::bindgen!({
        path: ["../../wit/host", "../../wit/classify"],
        inline: "
            package postern:classify-face;
            world classify-face { export postern:classify/classify@0.1.0; }
        ",
        ownership: Borrowing { duplicate_if_necessary: false },
        with: { "postern:host/types": crate::roles::borrowed::types },
    });
}

/// The interface through which a rule asks for more about the sender, without its version.
pub(crate) const SENDER_INTERFACE: &str = "postern:classify/sender";

/// Links what only this role may import: answers about the sender of the message at hand, who is
/// nobody outside a call.
pub(crate) fn add_sender_to_linker(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    let mut sender = linker.instance(&format!("{SENDER_INTERFACE}@{WIT_VERSION}"))?;
    sender.func_wrap("client-id", |store: StoreContextMut<'_, State>, (): ()| {
        let sender = store.data().sender.as_ref();
        Ok((sender.map_or_else(String::new, |sender| sender.client_id.clone()),))
    })?;
    sender.func_wrap("profile", |store: StoreContextMut<'_, State>, (): ()| {
        Ok((store.data().sender.as_ref().and_then(|sender| sender.profile.clone()),))
    })
}

/// The class of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Class {
    /// Pushed information, stored.
    Notification,
    /// Presence.
    Status,
    /// A message from user to user, stored.
    Instant,
    /// Remote control.
    Command,
    /// Ordinary MQTT: never stored by the store role.
    Other,
}

/// Who sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Origin {
    /// A client.
    Client,
    /// The control unit pushes.
    ControlUnit,
}

/// What rules may ask about the sender of the message at hand, through `postern:classify/sender`. The
/// user id alone is among the [`Facts`].
#[derive(Clone, Debug, Default)]
pub struct SenderFacts {
    /// The sender's client id.
    pub client_id: String,
    /// The sender's profile; none for anonymous clients.
    pub profile: Option<Profile>,
}

impl SenderFacts {
    /// The sender.
    #[inline]
    pub fn who(&self) -> Who<'_> {
        Who {
            user: self.profile.as_ref().map(|profile| profile.user.as_str()),
            client: Some(&self.client_id),
        }
    }
}

/// What is known of a message. Borrows everything: nothing is copied but into the guest.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// Topic name.
    pub topic: &'a str,
    /// Its body.
    pub payload: &'a [u8],
    /// 0, 1 or 2.
    pub qos: u8,
    /// The RETAIN flag.
    pub retain: bool,
    /// Who sends.
    pub origin: Origin,
    /// How the sender's link travels.
    pub transport: Transport,
    /// Who sends, shared by all messages of a link; none for the control unit.
    pub sender: Option<&'a Arc<SenderFacts>>,
    /// What the addressee is to the sender.
    pub relation: Relation,
    /// In ms since the Unix epoch.
    pub now: u64,
}

impl<'a> Facts<'a> {
    #[inline]
    fn who(&self) -> Who<'a> {
        self.sender.map_or(Who::HOST, |sender| sender.who())
    }
}

/// What a message means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Its class.
    pub class: Class,
    /// A body to put in place of the message's own.
    pub payload: Option<Vec<u8>>,
    /// This very verdict holds for every message of this sender to this topic, whatever its body,
    /// until the next generation. Not of use for stored classes, which depend on the directory.
    pub holds: bool,
}

/// Why a message was not classified.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClassifyError {
    /// Refuse the message; the text goes to an MQTT 5 sender as reason string.
    #[error("refused: {0}")]
    Refused(String),
    /// The rules cannot be had now: the failure rule of the role applies.
    #[error("unavailable: {0}")]
    Unavailable(String),
}

/// The functions in one instance.
pub(crate) struct Funcs {
    world: bindings::ClassifyFace,
}

impl Face for Funcs {
    const ROLE: Role = Role::Classify;

    fn bind(store: &mut Store<State>, instance: &Instance) -> wasmtime::Result<Self> {
        Ok(Funcs { world: bindings::ClassifyFace::new(store, instance)? })
    }
}

/// The role *classify*.
#[derive(Default)]
pub struct Classify {
    pub(crate) slot: Slot<Funcs>,
    pub(crate) watch: Arc<Watch>,
}

impl Classify {
    /// Classifies a message, on the calling thread: under a microsecond of CPU when an instance is
    /// warm, and never waiting.
    ///
    /// # Errors
    ///
    /// [`ClassifyError`] from the plugin, or no answer: the failure rule of the role applies.
    #[inline]
    pub fn classify(&self, facts: &Facts<'_>) -> Result<Verdict, CallError<ClassifyError>> {
        let watched = self.watch.began();
        let answer = self.slot.call("classify.classify", facts.who(), |warm: &mut Warm<Funcs>| {
            warm.store.data_mut().sender = facts.sender.cloned();
            let answer =
                warm.face.world.postern_classify_classify().call_classify(&mut warm.store, facts.into());
            warm.store.data_mut().sender = None;
            answer
        });
        let answer = match answer {
            Ok(verdict) => Ok(verdict.into()),
            Err(CallError::Answer(error)) => Err(ClassifyError::from(error)),
            Err(CallError::Down(down)) => return Err(CallError::Down(down)),
        };
        if let Some(began) = watched {
            let copied = facts.topic.len() + facts.payload.len() + bytes_of(&answer);
            self.watch.answered(began, copied, || Call::Classify(Message::of(facts), answer.clone()));
        }
        answer.map_err(CallError::Answer)
    }

    /// The generation that serves this client, 0 when none does. A verdict that [holds](Verdict::holds) does
    /// so while this stays the same.
    #[inline]
    pub fn generation(&self, who: Who<'_>) -> u64 {
        self.slot.generation(who)
    }
}

/// What a copy of an answer holds beside its fixed size: a plugin may answer with a megabyte.
fn bytes_of(answer: &Result<Verdict, ClassifyError>) -> usize {
    match answer {
        Ok(verdict) => verdict.payload.as_ref().map_or(0, Vec::len),
        Err(ClassifyError::Refused(text) | ClassifyError::Unavailable(text)) => text.len(),
    }
}

impl<'a> From<&Facts<'a>> for wit::Facts<'a> {
    #[inline]
    fn from(facts: &Facts<'a>) -> Self {
        wit::Facts {
            topic: facts.topic,
            payload: facts.payload,
            qos: facts.qos,
            retain: facts.retain,
            origin: match facts.origin {
                Origin::Client => wit::Origin::Client,
                Origin::ControlUnit => wit::Origin::ControlUnit,
            },
            transport: facts.transport,
            sender: facts.sender.and_then(|sender| Some(sender.profile.as_ref()?.user.as_str())),
            relation: facts.relation,
            now: facts.now,
        }
    }
}

impl From<wit::Verdict> for Verdict {
    #[inline]
    fn from(verdict: wit::Verdict) -> Self {
        let class = match verdict.class {
            wit::Class::Notification => Class::Notification,
            wit::Class::Status => Class::Status,
            wit::Class::Instant => Class::Instant,
            wit::Class::Command => Class::Command,
            wit::Class::Other => Class::Other,
        };
        Verdict { class, payload: verdict.payload, holds: verdict.holds }
    }
}

impl Refusal for wit::ClassifyError {
    fn is_unavailable(&self) -> bool {
        matches!(self, wit::ClassifyError::Unavailable(_))
    }
}

impl From<wit::ClassifyError> for ClassifyError {
    fn from(error: wit::ClassifyError) -> Self {
        match error {
            wit::ClassifyError::Refused(text) => ClassifyError::Refused(text),
            wit::ClassifyError::Unavailable(text) => ClassifyError::Unavailable(text),
        }
    }
}
