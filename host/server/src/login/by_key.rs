//! Logins by a key pair (rule 12): challenges, and what a terminal signs.
//! docs/protocol/sign-in.md has both byte by byte.
//!
//! A challenge is its own record: whoever has the master key can tell that it is ours and in time. What
//! is remembered is that it was taken, in the store, so that of all nodes one takes it, once (decisions 25
//! and 26 of ARCHITECTURE.md).

use axum::{Json, extract::State};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use postern_guest::{Key, Keyring, Signed, roles::login::Attempt};
use postern_store::{Database, Kv, SqlError};
use ring::rand::{SecureRandom, SystemRandom};
use serde::Serialize;
use tracing::{debug, info, warn};

use super::{Ctx, Kind, Problem};
use crate::{clock, listen::tls::Certificates};

/// Said before what is signed, so that a signature is good for nothing else.
const CONTEXT: &[u8] = b"postern login";
/// Version of challenge and message.
const VERSION: u8 = 1;
/// How long a challenge is good.
const GOOD_MS: u64 = 60_000;
/// How long it is remembered beyond that: the clocks of two nodes differ.
const SKEW_MS: u64 = 60_000;
/// Random bytes of a challenge.
const RANDOM: usize = 16;
/// Version, time of expiry, random bytes: what the MAC covers.
const COVERED: usize = 1 + 8 + RANDOM;
/// Bytes of a challenge.
const CHALLENGE: usize = COVERED + 32;
/// Bytes of an Ed25519 signature.
const SIGNATURE: usize = 64;

/// What a request brings in place of a password; of the right lengths, and not judged yet.
#[derive(Debug)]
pub(super) struct Answer {
    challenge: [u8; CHALLENGE],
    signature: [u8; SIGNATURE],
}

impl Answer {
    /// Reads the members of a request.
    pub(super) fn read(challenge: &str, signature: &str) -> Result<Self, Problem> {
        let wrong = |what| move || Problem::detailed(Kind::Invalid, what);
        Ok(Answer {
            challenge: bytes(challenge).ok_or_else(wrong("challenge must be what the server gave"))?,
            signature: bytes(signature).ok_or_else(wrong("signature must be 64 bytes in base64url"))?,
        })
    }
}

fn bytes<const N: usize>(text: &str) -> Option<[u8; N]> {
    // Bounded before it is decoded: a body may be long.
    let fits = text.len() == (N * 4).div_ceil(3);
    URL_SAFE_NO_PAD.decode(text).ok().filter(|_| fits)?.try_into().ok()
}

/// A challenge as it is given out.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Challenge {
    challenge: String,
    /// Milliseconds since 1970, by this server's clock.
    expires_at: u64,
}

/// `GET /v1/login/challenge`.
pub(super) async fn challenge(State(ctx): State<Ctx>) -> Result<Json<Challenge>, Problem> {
    let Some(role) = &ctx.role else { return Err(Kind::WrongServer.into()) };
    let mut random = [0; RANDOM];
    SystemRandom::new().fill(&mut random).map_err(|_| Problem::from(Kind::Internal))?;
    Ok(Json(role.keys.give(random, clock::now().0)))
}

/// Why an answer is not looked at any further.
#[derive(Debug, thiserror::Error)]
enum Refused {
    #[error("the challenge is not one of this server's")]
    Foreign,
    #[error("the challenge has expired: ask for another")]
    Expired,
    #[error("the challenge was used already: ask for another")]
    Taken,
    #[error("the request's Host is no name of this server's certificate")]
    Host,
    #[error("store: {0}")]
    Store(#[from] SqlError),
}

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Self {
        let reason = match &refused {
            Refused::Store(error) => {
                warn!(%error, "login by key");
                return Kind::Unavailable.into();
            }
            Refused::Host => "login-host",
            Refused::Foreign | Refused::Expired | Refused::Taken => "login-challenge",
        };
        metrics::counter!("postern_refused_total", "reason" => reason).increment(1);
        // It tells nothing about users: these are not looked at yet.
        Problem::detailed(Kind::LoginDenied, refused)
    }
}

/// Gives challenges and takes them back, on a node that holds the login role.
pub struct KeyLogins {
    key: Key,
    taken: Kv,
    certificates: Certificates,
}

impl KeyLogins {
    /// All nodes of the same master key and store are one in this.
    pub fn new(keyring: &Keyring, database: &Database, certificates: Certificates) -> Self {
        KeyLogins { key: keyring.key("login-challenge"), taken: database.kv("login/challenge"), certificates }
    }

    fn give(&self, random: [u8; RANDOM], now_ms: u64) -> Challenge {
        let expires_at = now_ms + GOOD_MS;
        let mut challenge = [&[VERSION][..], &expires_at.to_be_bytes(), &random].concat();
        challenge.extend(self.key.hmac(&challenge));
        Challenge { challenge: URL_SAFE_NO_PAD.encode(challenge), expires_at }
    }

    /// Takes the challenge of an answer: it is used up, whatever becomes of the attempt. What was signed
    /// is bound to `host`, the name that the request calls us by, which must be one of ours: so a
    /// signature that another server has asked for, under its own name, is worth nothing here.
    pub(super) async fn take(
        &self,
        answer: Answer,
        attempt: &Attempt,
        host: &str,
    ) -> Result<Signed, Problem> {
        let Answer { challenge, signature } = answer;
        let user = &attempt.user;
        if let Err(refused) = self.taken_once(&challenge, attempt.now, host).await {
            info!(address = attempt.address, why = %refused, "login by key refused");
            debug!(user, "login by key refused");
            return Err(refused.into());
        }
        Ok(Signed::new(message(&challenge, user, &attempt.client_id, host), signature.to_vec()))
    }

    async fn taken_once(&self, challenge: &[u8], now_ms: u64, host: &str) -> Result<(), Refused> {
        let (covered, mac) = challenge.split_at_checked(COVERED).ok_or(Refused::Foreign)?;
        if !self.key.verify(covered, mac) {
            return Err(Refused::Foreign);
        }
        let (head, random) = covered.split_at_checked(COVERED - RANDOM).ok_or(Refused::Foreign)?;
        let Some((&[VERSION], expires_at)) = head.split_at_checked(1) else { return Err(Refused::Foreign) };
        let expires_at = expires_at.iter().fold(0, |number, byte| number << 8 | u64::from(*byte));
        if now_ms >= expires_at {
            return Err(Refused::Expired);
        }
        if !self.certificates.are_for(host) {
            return Err(Refused::Host);
        }
        let forgotten_at = Some(expires_at.saturating_add(SKEW_MS));
        let first = self.taken.advance(&URL_SAFE_NO_PAD.encode(random), 1, forgotten_at, now_ms).await?;
        if first { Ok(()) } else { Err(Refused::Taken) }
    }
}

/// What is signed: every field with its length before it, so that no two lists of fields have the same
/// bytes.
fn message(challenge: &[u8], user: &str, client_id: &str, host: &str) -> Vec<u8> {
    let host = host.to_ascii_lowercase();
    let fields = [&[VERSION][..], challenge, user.as_bytes(), client_id.as_bytes(), host.as_bytes()];
    let mut message = CONTEXT.to_vec();
    for field in fields {
        message.extend(u32::try_from(field.len()).unwrap_or(u32::MAX).to_be_bytes());
        message.extend(field);
    }
    message
}

#[cfg(test)]
mod tests;
