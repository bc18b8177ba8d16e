//! What happens, told as it happens.

use std::sync::Arc;

use serde::Serialize;

use crate::message::{CommandId, Outcome, Transport};
use crate::rules::Reason;

/// One thing that happened. As JSON, an object whose `event` is the name in kebab-case.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
#[allow(missing_docs)] // each field is named for what it holds
pub enum Event {
    /// The server gave a token for the provisioned credential.
    LoggedIn { user: String, instruction_keys: usize },
    /// CONNACK. `resumed`: the TLS session went on, without certificates.
    SignedIn { transport: Transport, resumed: Option<bool> },
    /// The query is on its way.
    QuerySent { transport: Transport },
    /// PUBACK of the query.
    QueryTaken { transport: Transport },
    /// An instruction came. `to` and `seq` are absent where nobody vouches for them.
    Instruction {
        to: Option<Transport>,
        seq: Option<u64>,
        transport: Transport,
        followed: bool,
        reason: Option<Reason>,
    },
    /// A command came. `id` and `class` are absent where nobody vouches for them.
    Command {
        id: Option<CommandId>,
        class: Option<String>,
        transport: Transport,
        executed: bool,
        reason: Option<Reason>,
    },
    /// A result is on its way.
    Result { id: CommandId, outcome: Outcome, transport: Transport },
    /// A result waits for TLS.
    ResultKept { id: CommandId, outcome: Outcome },
    /// PUBACK of a result. Not taken: the server never will, and it is dropped.
    ResultReported { id: CommandId, outcome: Outcome, taken: bool },
    /// PUBACK of a query or result with another failure: it is tried again.
    NotTaken { what: &'static str, why: String },
    /// A new token is on disk.
    TokenRenewed { expires_at: u64, instruction_keys: Option<usize> },
    /// No new token; the old one stays.
    RenewalFailed { why: String },
    /// The link that was signed in is gone.
    Disconnected { transport: Transport, why: String },
    /// CONNACK with a refusal.
    Refused { transport: Transport, why: String },
    /// No login or no link.
    Failed { what: &'static str, why: String },
    /// A wait before the next attempt.
    BackOff { ms: u64 },
    /// What the actor did.
    Acted { what: String },
}

/// Where events go.
#[derive(Clone)]
pub struct Events(Arc<dyn Fn(&Event) + Send + Sync>);

impl Events {
    /// Each event is given to `to`, from any task.
    pub fn new(to: impl Fn(&Event) + Send + Sync + 'static) -> Self {
        Events(Arc::new(to))
    }

    /// Tells one.
    pub fn tell(&self, event: &Event) {
        (self.0)(event);
    }
}
