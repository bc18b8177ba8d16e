//! What the journeys of a broker node share.

use std::sync::Arc;

use postern_broker::{Broker, wire::Text};
use postern_bus::Bus;
use postern_guest::Slots;
use tokio_util::task::TaskTracker;

use crate::{
    command::Commands,
    config::Limits,
    control::{cursors::Cursors, ids::AssignedIds, ingest::Ingest, people::People, presence::Presence},
    mqtt::{live::Live, rights::Compilations},
    policy::InForce,
};

/// A node that holds the broker role.
pub struct Node {
    /// The roles.
    pub slots: Arc<Slots>,
    /// Sessions and routing.
    pub broker: Arc<Broker>,
    /// To the other group and the other nodes.
    pub bus: Bus,
    /// The way into the store.
    pub ingest: Ingest,
    /// Commands to terminals.
    pub commands: Arc<Commands>,
    /// What the directory says.
    pub people: Arc<People>,
    /// Who is online.
    pub presence: Arc<Presence>,
    /// How far devices have read.
    pub cursors: Arc<Cursors>,
    /// What links may do.
    pub rights: Compilations,
    /// Live links by token.
    pub live: Live,
    /// Ids given to messages that came without.
    pub ids: AssignedIds,
    /// Links and wills: what the end of the node waits for.
    pub tasks: TaskTracker,
    /// Bounds.
    pub limits: Limits,
    /// Where clients are to turn when the node stops.
    pub server_reference: Option<Text>,
    /// Policy: every message is of class *other*.
    pub all_other: bool,
    /// What happens when classify is down (C6).
    pub policy: InForce,
    /// Whether the hooks are asked at all.
    #[cfg(feature = "bench-bypass")]
    pub hooks: crate::bypass::Hooks,
}
