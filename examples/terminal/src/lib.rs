//! A terminal: stays on plain TCP, comes in through TLS when it is told to, executes commands once.
//! docs/protocol/encrypt-on-demand.md is what it follows.
//!
//! ```text
//! Terminal::run   log in → sign in on tcp → query → commands and instructions        terminal, link
//!   instruction   rules::follow  → number to disk → sign in on the other listener    rules, state
//!   command       rules::receive → journal: begun → Actor → journal: finished        rules, journal
//!   result        rules::may_report → PUBLISH → PUBACK → journal: reported           rules, journal
//! ```
//!
//! Before that, once, a terminal makes its own key pair ([`credential`]), and logs in by it.
//!
//! What is decided is decided in [`rules`], without I/O; [`message`] holds the bytes.

mod crash;
pub mod credential;
mod event;
pub mod journal;
pub mod keys;
mod link;
pub mod message;
pub mod rules;
mod serve;
pub mod state;
mod terminal;
#[cfg(test)]
mod tests;
mod trust;
mod work;

pub use crash::CRASH_POINTS;
pub use event::{Event, Events};
pub use terminal::{Provisioning, Terminal};
pub use work::Actor;

/// The length of a day, milliseconds.
const DAY_MS: u64 = 24 * 3600 * 1000;
