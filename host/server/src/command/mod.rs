//! Encrypt on demand: from a request to its result, while the terminal stays on plain TCP and comes in
//! through TLS when it must (B1 to B14).
//!
//! [`ask`] (HTTPS, MQTT) → [`accept`] (rights, policy, floor → saved) → [`serve`]: what waits for a
//! terminal, on the link that it has now → [`deliver`] (checked again, authenticated, written) or
//! [`instruct`] (signed: come in through TLS) → [`query`] after its reconnect → [`serve`] again →
//! [`result`] → [`told`]: the requester hears of every step. [`idle`]: nothing came for a while, so it
//! is told to go back. [`cancel`]: taken back before it was sent.
//!
//! The state of a command is in the store and nowhere else: a node that is killed takes up there.

pub mod accept;
mod account;
pub mod ask;
pub mod cancel;
mod crash;
mod decide;
mod deliver;
mod expire;
mod format;
mod idle;
mod instruct;
pub mod keys;
mod links;
pub mod pace;
mod query;
mod result;
mod serve;
pub mod state;
mod told;

use std::sync::Arc;

use postern_broker::Broker;
use postern_bus::Bus;
use postern_guest::Slots;
use tokio_util::task::TaskTracker;

use crate::{
    audit::Audit,
    config::Limits,
    control::{ingest::Ingest, people::People, push::Push},
    policy::InForce,
};

pub use account::{AccountView, Socket};
pub use expire::{look_after, run as expire};
pub use links::Links;

/// When to look again after the store or a plugin was down, in ms.
const RETRY: u64 = 5_000;

/// What the journeys of commands need.
pub struct Commands {
    /// All commands.
    pub store: postern_store::Commands,
    /// The roles encrypt and token.
    pub slots: Arc<Slots>,
    /// Who asks.
    pub people: Arc<People>,
    /// To links.
    pub broker: Arc<Broker>,
    /// To the node that has the terminal's link.
    pub bus: Bus,
    /// What the requester is told passes classify (A12).
    pub push: Push,
    /// The way into the requester's inbox.
    pub ingest: Ingest,
    /// Every switch of transport is written down (rule 10).
    pub audit: Audit,
    /// Signs instructions.
    pub signer: keys::Signer,
    /// Which command classes travel on TLS whatever a plugin says (rule 2).
    pub policy: InForce,
    /// Bounds.
    pub limits: Limits,
    /// The end of the node waits for what is under way.
    pub tasks: TaskTracker,
    /// Terminals with a link to this node, and what they are due.
    pub links: Links,
    /// Spreads instructions to many terminals.
    pub pace: pace::Pace,
}
