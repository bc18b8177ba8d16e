//! The role *encrypt*: which commands must travel encrypted (`postern:encrypt`; B3).

use std::sync::Arc;
use std::time::Instant;

use wasmtime::Store;
use wasmtime::component::{ComponentType, Instance, Lift, Lower, TypedFunc};

use super::types::Transport;
use crate::call::{CallError, Refusal};
use crate::canary::Who;
use crate::policy::Role;
use crate::pool::{Face, Warm, interface_func};
use crate::serving::Slot;
use crate::state::State;
use crate::watch::{Call, Watch};

/// What is known of a command.
#[derive(Clone, Debug, PartialEq, Eq, ComponentType, Lower)]
#[component(record)]
pub struct Facts {
    /// The terminal it is for.
    pub terminal: String,
    /// Who asks.
    pub requester: String,
    /// Such as `remote-control`, `diagnosis` or `info`.
    #[component(name = "command-class")]
    pub command_class: String,
    /// Classes of the operations that will follow it.
    #[component(name = "follow-ups")]
    pub follow_ups: Vec<String>,
    /// The terminal's live link; none when it is offline.
    pub link: Option<Transport>,
    /// Commands that needed TLS in the last 24 hours.
    #[component(name = "recent-secure-commands")]
    pub recent_secure_commands: u32,
    /// In ms since the Unix epoch.
    pub now: u64,
}

/// What a terminal's links carry and cost: its own keep alive and commands, and estimates of what they weigh.
#[derive(Clone, Debug, PartialEq, Eq, ComponentType, Lower)]
#[component(record)]
pub struct History {
    /// The terminal.
    pub terminal: String,
    /// Between two pings; 0 when it sends none.
    #[component(name = "keep-alive-secs")]
    pub keep_alive_secs: u16,
    /// A ping and its answer on the wire, in bytes.
    #[component(name = "ping-bytes-plain")]
    pub ping_bytes_plain: u32,
    /// The same on TLS.
    #[component(name = "ping-bytes-tls")]
    pub ping_bytes_tls: u32,
    /// A switch to TLS and back, in bytes.
    #[component(name = "switch-bytes")]
    pub switch_bytes: u32,
    /// When commands that need TLS came, oldest first, in ms since the Unix epoch.
    #[component(name = "secure-commands")]
    pub secure_commands: Vec<u64>,
    /// In ms since the Unix epoch.
    pub now: u64,
}

/// What is to be done with a command. The host's must-encrypt floor stands above it.
#[derive(Clone, Debug, PartialEq, Eq, ComponentType, Lift)]
#[component(variant)]
pub enum Decision {
    /// Send it on the current link (B6, B7).
    #[component(name = "send-now")]
    SendNow,
    /// Save it, then instruct the terminal to come in through TLS (B5).
    #[component(name = "save-and-instruct")]
    SaveAndInstruct,
    /// Save it until the terminal comes (B13); no encryption is needed.
    #[component(name = "save")]
    Save,
    /// Refuse; the text goes to the requester.
    #[component(name = "refuse")]
    Refuse(String),
}

/// Why there was no decision.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, ComponentType, Lift)]
#[component(variant)]
pub enum EncryptError {
    /// The rules cannot be had now: refuse as temporary.
    #[component(name = "unavailable")]
    #[error("unavailable: {0}")]
    Unavailable(String),
}

impl Refusal for EncryptError {
    fn is_unavailable(&self) -> bool {
        matches!(self, EncryptError::Unavailable(_))
    }
}

/// The functions in one instance.
pub(crate) struct Funcs {
    decide: TypedFunc<(Facts,), (Result<Decision, EncryptError>,)>,
    idle_period: TypedFunc<(History,), (Result<u32, EncryptError>,)>,
}

impl Face for Funcs {
    const ROLE: Role = Role::Encrypt;

    fn bind(store: &mut Store<State>, instance: &Instance) -> wasmtime::Result<Self> {
        const POLICY: &str = "postern:encrypt/policy";
        Ok(Funcs {
            decide: interface_func(store, instance, POLICY, "decide")?,
            idle_period: interface_func(store, instance, POLICY, "idle-period")?,
        })
    }
}

/// The role *encrypt*.
#[derive(Default)]
pub struct Encrypt {
    pub(crate) slot: Slot<Funcs>,
    pub(crate) watch: Arc<Watch>,
}

impl Encrypt {
    /// Decides how a command travels, on the calling thread and without waiting.
    ///
    /// # Errors
    ///
    /// [`EncryptError`] from the plugin, or no answer: refuse then.
    pub fn decide(&self, facts: Facts) -> Result<Decision, CallError<EncryptError>> {
        let watched = self.watch.began();
        let (terminal, asked) = (facts.terminal.clone(), watched.map(|_| facts.clone()));
        let answer = self.slot.call("encrypt.decide", who(&terminal), |warm: &mut Warm<Funcs>| {
            Ok(warm.face.decide.call(&mut warm.store, (facts,))?.0)
        });
        if let Some(asked) = asked {
            self.note(watched, &answer, |answer| Call::Decide(asked.clone(), answer));
        }
        answer
    }

    /// How many seconds a terminal stays on TLS after the last command that needs it (B9), on the calling
    /// thread and without waiting.
    ///
    /// # Errors
    ///
    /// [`EncryptError`] from the plugin, or no answer: let it stay, and ask again.
    pub fn idle_period(&self, history: History) -> Result<u32, CallError<EncryptError>> {
        let watched = self.watch.began();
        let (terminal, asked) = (history.terminal.clone(), watched.map(|_| history.clone()));
        let answer = self.slot.call("encrypt.idle-period", who(&terminal), |warm: &mut Warm<Funcs>| {
            Ok(warm.face.idle_period.call(&mut warm.store, (history,))?.0)
        });
        if let Some(asked) = asked {
            self.note(watched, &answer, |answer| Call::IdlePeriod(asked.clone(), answer));
        }
        answer
    }

    /// Shows a call to those who watch, if the plugin answered.
    fn note<T: Clone>(
        &self,
        watched: Option<Instant>,
        answer: &Result<T, CallError<EncryptError>>,
        call: impl Fn(Result<T, EncryptError>) -> Call,
    ) {
        let Some(began) = watched else { return };
        let answer = match answer {
            Ok(answer) => Ok(answer.clone()),
            Err(CallError::Answer(error)) => Err(error.clone()),
            Err(CallError::Down(_)) => return,
        };
        self.watch.answered(began, 0, || call(answer.clone()));
    }
}

fn who(terminal: &str) -> Who<'_> {
    Who { user: Some(terminal), client: Some(terminal) }
}
