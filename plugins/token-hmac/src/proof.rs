//! The sign-in proof; docs/protocol/sign-in.md has it byte by byte for clients. Here is what they do not
//! see:
//!
//! ```text
//! proof key    = HKDF(master key "token", info = "postern token v1" 00 ‖ token id)   given at login
//! bearer       = base64url(HMAC(HKDF(proof key, info = "bearer"), token id))
//! ```

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

use crate::{bindings::postern::host::types::Transport, host::Key};

/// Of the format; the first byte of a proof and the first field of every MAC.
pub const VERSION: u8 = 1;
/// The method of MQTT 5 enhanced authentication.
pub const AUTH_METHOD: &str = "POSTERN-PROOF";

const MAC_BYTES: usize = 32;
const NONCE_BYTES: usize = 32;
/// What a challenge's random part is long.
pub const CHALLENGE_RANDOM: u32 = NONCE_BYTES as u32;

/// A decoded proof.
#[derive(Debug, PartialEq, Eq)]
pub struct Proof {
    /// Greater each time.
    pub counter: u64,
    /// Milliseconds since 1970 by the server's clock, as far as the client knows it.
    pub time: u64,
    /// The MAC over it and its surroundings.
    pub mac: [u8; MAC_BYTES],
}

/// What a CONNECT's password turned out to be.
#[derive(Debug, PartialEq, Eq)]
pub enum Password {
    /// A proof.
    Proof(Proof),
    /// A bearer: the HMAC that it must equal.
    Bearer(Vec<u8>),
    /// Neither.
    Unknown,
}

/// Whom and what a MAC binds: the same token for another device, transport or listener fails.
#[derive(Clone, Copy, Debug)]
pub struct Binding<'a> {
    /// Token id.
    pub token_id: &'a str,
    /// Client id of the CONNECT.
    pub client_id: &'a str,
    /// How the link's bytes travel.
    pub transport: Transport,
    /// The listener's stable name.
    pub listener: &'a str,
}

/// Tells proof and bearer apart by their decoded lengths.
#[must_use]
pub fn decode_password(password: &[u8]) -> Password {
    let Ok(bytes) = URL_SAFE_NO_PAD.decode(password) else { return Password::Unknown };
    if bytes.len() == MAC_BYTES {
        return Password::Bearer(bytes);
    }
    decode_proof(&bytes).map_or(Password::Unknown, Password::Proof)
}

fn decode_proof(bytes: &[u8]) -> Option<Proof> {
    let (version, rest) = bytes.split_first_chunk::<1>()?;
    let (counter, rest) = rest.split_first_chunk()?;
    let (time, mac) = rest.split_first_chunk()?;
    (*version == [VERSION]).then_some(())?;
    Some(Proof {
        counter: u64::from_be_bytes(*counter),
        time: u64::from_be_bytes(*time),
        mac: mac.try_into().ok()?,
    })
}

/// The bytes that a proof's MAC is over.
#[must_use]
pub fn proof_message(binding: Binding<'_>, counter: u64, time: u64) -> Vec<u8> {
    fields(&[
        &[VERSION],
        binding.token_id.as_bytes(),
        binding.client_id.as_bytes(),
        transport_name(binding.transport).as_bytes(),
        binding.listener.as_bytes(),
        &counter.to_be_bytes(),
        &time.to_be_bytes(),
    ])
}

/// The bytes that the answer to a challenge is the MAC of.
#[must_use]
pub fn answer_message(binding: Binding<'_>, challenge: &[u8]) -> Vec<u8> {
    fields(&[
        &[VERSION],
        b"auth",
        binding.token_id.as_bytes(),
        binding.client_id.as_bytes(),
        transport_name(binding.transport).as_bytes(),
        binding.listener.as_bytes(),
        challenge,
    ])
}

/// Fields with their lengths before them: no two lists of fields give the same bytes.
fn fields(fields: &[&[u8]]) -> Vec<u8> {
    let mut message = Vec::with_capacity(fields.iter().map(|field| 4 + field.len()).sum());
    for field in fields {
        // No field comes near 4 GiB: the longest is an MQTT string.
        let length = u32::try_from(field.len()).unwrap_or(u32::MAX);
        message.extend_from_slice(&length.to_be_bytes());
        message.extend_from_slice(field);
    }
    message
}

fn transport_name(transport: Transport) -> &'static str {
    match transport {
        Transport::Plain => "plain",
        Transport::Tls => "tls",
    }
}

/// A challenge made at `now`.
#[must_use]
pub fn challenge(random: &[u8], now: u64) -> Vec<u8> {
    [random, &now.to_be_bytes()].concat()
}

/// When a challenge was made; none if it is not one of ours.
#[must_use]
pub fn challenge_time(challenge: &[u8]) -> Option<u64> {
    let (nonce, time) = challenge.split_at_checked(NONCE_BYTES)?;
    debug_assert_eq!(nonce.len(), NONCE_BYTES);
    time.try_into().ok().map(u64::from_be_bytes)
}

/// The key that a token's holder gets.
pub fn proof_key<K: Key>(master: &K, token_id: &str) -> K {
    master.derive(&[b"postern token v1\0", token_id.as_bytes()].concat())
}

/// The key that proofs and answers are made with.
pub fn sign_in_key<K: Key>(proof_key: &K) -> K {
    proof_key.derive(b"sign-in")
}

/// The password for standard clients on TLS.
pub fn bearer<K: Key>(proof_key: &K, token_id: &str) -> String {
    URL_SAFE_NO_PAD.encode(proof_key.derive(b"bearer").hmac(token_id.as_bytes()))
}

/// Whether `mac` is what [`bearer`] encodes.
pub fn bearer_fits<K: Key>(proof_key: &K, token_id: &str, mac: &[u8]) -> bool {
    proof_key.derive(b"bearer").verify(token_id.as_bytes(), mac)
}

/// A token id out of random bytes.
#[must_use]
pub fn token_id(random: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(random)
}
