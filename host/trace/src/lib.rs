//! What a piece of work is known by, from the request or packet that began it to the store: the id in
//! every log line, and, for the few that are sampled, the spans of a trace.
//!
//! ```text
//! work         the id, and which span is open: 32 bytes in a thread-local, put there for each poll
//! following    futures and batches that take it along
//! traceparent  how a peer says that what it asks for is part of a trace (W3C Trace Context)
//! sampling     which work is traced; without a collector none is, and asking costs one load
//! span         one step of a trace, ended when it is dropped
//! export       spans → bounded queue → OTLP over HTTP; an absent collector is told of once
//! ```
//!
//! Nothing here allocates or locks for work that is not sampled.

mod export;
mod following;
mod sampling;
mod span;
mod traceparent;
mod work;

pub use export::{Endpoint, Exporting, NoEndpoint, Settings, StartError, start};
pub use following::{Following, Step, batch, follow, step};
pub use sampling::By;
pub use span::{Said, Span, child, message, request};
pub use traceparent::Traceparent;
pub use work::{Entered, Ids, NoId, Work, ids, next_link, process};
