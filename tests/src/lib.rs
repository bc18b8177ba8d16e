//! The harness: the real program on port 0, and everything that speaks to it.
//!
//! ```text
//! let postern = Postern::start(|c| c.role("token", "token-trap")).await;   settings → postern
//! let mut alice = postern.session("alice", "phone").await;                 person: login, sign-in
//! let mut peer = Peer::tcp(postern.address("tcp")).await;                   raw: packets and bytes
//! let wire = Wire::to(postern.address("tcp")).await;                        wire: records, cuts, delays
//! ```
//!
//! Nothing here sleeps: everything waits for an event, and gives up after [`PATIENCE`].
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::large_futures,
    reason = "a harness: whatever goes wrong ends the test, with its reason"
)]

mod by_key;
mod collector;
mod container;
mod disk;
mod http;
mod not_run;
mod person;
mod postern;
mod program;
mod raw;
mod services;
mod settings;
mod terminal;
mod wire;

pub use by_key::KeyPair;
pub use collector::{Collector, Trace};
pub use container::{Container, Podman};
pub use disk::SmallDisk;
pub use http::{Page, metric};
pub use not_run::not_run;
pub use person::{Device, Session, body, password};
pub use postern::{Postern, Refused};
pub use program::{Kind, Terminal, python};
pub use raw::{Peer, connect, publish, text};
pub use services::{Frozen, Nats, Postgres, Tap};
pub use settings::{Settings, guest_file};
pub use terminal::{ACKNOWLEDGED, Command, DONE, FAILED, Instruction, Requester, TCP, TLS, UNKNOWN};
pub use wire::Wire;

use std::path::PathBuf;
use std::time::Duration;

/// How long an event may take before the test gives it up. Only a bound for failures: generous,
/// because the machine may be busy.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Waits for `event`, and panics with `what` when it does not come.
pub async fn patiently<T>(what: &str, event: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, event).await {
        Ok(value) => value,
        Err(_) => panic!("gave up waiting for {what}"),
    }
}

/// The workspace's folder.
pub fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ is in the workspace").to_owned()
}

/// The program under test, built by `cargo xtask test` or `cargo build -p postern`.
pub fn program() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
    let program = target.join("debug/postern");
    assert!(program.exists(), "{} is missing: run `cargo build -p postern`", program.display());
    program
}
