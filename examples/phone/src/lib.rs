//! What a device has to do to log in and sign in, as a small library.
//!
//! ```text
//! Api::login        POST /v1/login over TLS → token, profile, directory, brokers        (A5, A6, A7)
//! Device::proof     counter to disk, then HMAC under a key derived from the token's     (A8)
//! sign_in::options  CONNECT with user name = token id, password = proof
//! ```
//!
//! The bytes of a proof are described in docs/protocol and held by docs/protocol/sign-in-vectors.json.

mod api;
mod device;
mod proof;
pub mod sign_in;

pub use api::{Api, ApiError, Broker, History, Login, Message, Person, Profile, Token};
pub use device::Device;
pub use proof::{AUTH_METHOD, ProofError, Signing, answer, fields, proof};

/// Milliseconds since 1970-01-01T00:00:00Z by this machine's clock.
pub fn now_ms() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
