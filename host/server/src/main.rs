//! `postern`: arguments → config → build → serve → drain; exit codes.
//!
//! The journeys, each readable from top to bottom:
//!
//! ```text
//! Login    listen/http → login/handler (role login) → bus → control/tokens (role token) → answer
//! CONNECT  listen/accept → listen/handshake → mqtt/connect → mqtt/auth (role token) → mqtt/rights
//!          → broker.open → mqtt/link → mqtt/feed → control/welcome
//! PUBLISH  mqtt/link → mqtt/receive → mqtt/publish (rights, role classify) → control/ingest (role store)
//!          or broker.publish → PUBACK
//! Command  command/ask → command/accept (role encrypt) → command/serve → deliver or instruct → query → result
//! Admin    cli → admin (unix socket) → slots, broker, bus; every act in audit
//! ```
//!
//! `serve` is the only wiring.

#![allow(unreachable_pub)] // a program: `pub` marks what other modules use

mod admin;
mod audit;
mod backup;
#[cfg(feature = "bench-bypass")]
mod bypass;
mod check;
mod cli;
mod clock;
mod command;
mod config;
mod control;
mod datadir;
mod drain;
mod listen;
mod logging;
mod login;
mod mqtt;
mod node;
mod plugins;
mod policy;
mod reference;
mod refuse;
mod reload;
mod serve;
mod signals;
mod tasks;

use std::process::ExitCode;

use clap::Parser;

/// Stored messages are many small allocations on two threads: glibc's malloc took a third of their CPU.
/// How many arenas it has stands in .cargo/config.toml.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// 0 done, 1 refused or failed; clap itself exits with 2 for wrong usage.
fn main() -> ExitCode {
    match cli::Cli::parse().run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            // One line: the causes follow each other.
            eprintln!("postern: {e:#}");
            ExitCode::FAILURE
        }
    }
}
