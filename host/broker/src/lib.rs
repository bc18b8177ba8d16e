//! The MQTT core: packets, topics, sessions, routing. Pure: no socket, no clock; time is an argument.
//!
//! One connection, read top to bottom:
//!
//! ```text
//! bytes in   wire::Decoder → Packet
//! CONNECT    Broker::open → Opened { link, will of a displaced link, … }
//! PUBLISH    Link::begin_publish (alias, Receive Maximum, QoS 2 once: session/inbound)
//!            → the server's rights, class, store
//!            → Broker::publish or publish_stored (retained, router → session/mailbox, feed)
//!            → Link::finish_publish (PUBACK, PUBREC)
//! SUBSCRIBE  the server's rights → Link::subscribe (session/subscribe → router, retained)
//! bytes out  Link::drain (session/drain: control packets, redelivery, queue; inflight, alias)
//!            acknowledged by Link::puback … (session/outbound)
//! stored     Link::start_feed, feed_wants, feed_page, take_cursor (session/feeding, feed)
//! kept       Broker::poll_changes → the server's tables → settle; Broker::restore (journal)
//! the end    Link::close → DueWill; Broker::tick → sessions that expired, wills that are due
//! ```
//!
//! The pump of a link: handle what was read, `drain` until there is no `more`, ask `feed_wants`,
//! then `register` its waker and rest.

pub mod alias;
mod broker;
mod feed;
mod inflight;
pub mod journal;
mod limits;
mod message;
mod queue;
mod retained;
mod router;
mod session;
mod stats;
#[cfg(test)]
mod tests;
mod time;
pub mod topic;
mod will;
pub mod wire;

pub use broker::{Broker, Restored, SessionInfo};
pub use feed::Cursor;
pub use limits::Limits;
pub use message::Message;
pub use router::Options as SubscriptionOptions;
pub use session::{Begin, Close, Drained, Link, Open, Opened, Requested, SessionKey};
pub use stats::{Counter, Stats};
pub use time::Timestamp;
pub use will::{DueWill, Will};
