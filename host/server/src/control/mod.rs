//! The control unit: what is stored and pushed, in three classes (A10 to A14), and what the groups
//! ask each other over the bus (A4).
//!
//! messages in: [`ingest`] (group commit, delivery in commit order)
//! sign-in: [`welcome`] → [`presence`], [`cursors`], the feed
//! over the bus: [`wire`] (every message), [`ask`], [`tokens`], [`history`], [`people`], [`heard`]

pub mod ask;
pub mod convert;
pub mod cursors;
pub mod heard;
pub mod history;
pub mod ids;
pub mod incoming;
pub mod ingest;
pub mod people;
pub mod presence;
pub mod purge;
pub mod push;
pub mod room;
pub mod saving;
pub mod stored;
pub mod tokens;
pub mod topics;
pub mod welcome;
pub mod wire;
