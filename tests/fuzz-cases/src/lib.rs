//! Fuzzing: what each target of tests/fuzz does with its bytes.
//!
//! A case takes any bytes and panics when a rule is broken. libFuzzer calls it (tests/fuzz), and so
//! do stable tests with the corpora and some random bytes (tests/replay.rs).
//!
//! ```text
//! decode    bytes of a peer, in any pieces → packets → the same bytes → the same packets
//! encode    any packet → bytes within the peer's limit → the packet
//! topics    names and filters: the trees against rules of our own
//! sessions  operations on three clients' sessions, against a model of what they must get
//! feed      a user's stored messages to two devices: none skipped, none doubled
//! sign_in   whoever has no key signs in nowhere; topics and records of any text
//! ```
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a harness: a panic is what it is for"
)]

mod client;
mod decode;
mod encode;
mod feed;
mod script;
mod sessions;
mod sign_in;
mod topics;

/// One fuzz target.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// The name of its binary in tests/fuzz and of its folder in tests/fuzz/corpus.
    pub name: &'static str,
    /// Takes any bytes.
    pub run: fn(&[u8]),
}

/// All of them.
pub const CASES: [Case; 6] = [
    Case { name: "decode", run: decode::run },
    Case { name: "encode", run: encode::run },
    Case { name: "topics", run: topics::run },
    Case { name: "sessions", run: sessions::run },
    Case { name: "feed", run: feed::run },
    Case { name: "sign_in", run: sign_in::run },
];

/// The case of this name.
///
/// # Panics
/// When there is none.
pub fn case(name: &str) -> Case {
    *CASES.iter().find(|case| case.name == name).expect("a case of this name")
}

/// Prints the operations of a run that panics.
struct Shown<'a, T: std::fmt::Debug>(&'a T);

impl<T: std::fmt::Debug> Drop for Shown<'_, T> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{:?}", self.0);
        }
    }
}
