//! The proof of a CONNECT (rule 1 of the security rules): knowledge of the token's key, without the key.
//!
//! ```text
//! password = base64url( 0x01 ‖ counter, 8 bytes ‖ time in ms, 8 bytes ‖ MAC, 32 bytes )   no padding
//! MAC      = HMAC-SHA-256( sign-in key, field* )      field = length, 4 bytes ‖ bytes
//! fields   = 0x01, token id, client id, "plain" | "tls", listener name, counter, time
//! sign-in key = HKDF-SHA-256( proof key, no salt, info "sign-in" ), 32 bytes
//! ```
//! All numbers are big-endian. MQTT 5 clients may instead answer a challenge (AUTH method
//! [`AUTH_METHOD`], first data the token id):
//!
//! ```text
//! answer = HMAC-SHA-256( sign-in key, field* )
//! fields = 0x01, "auth", token id, client id, "plain" | "tls", listener name, challenge
//! ```

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::{hkdf, hmac};

/// The method of enhanced authentication.
pub const AUTH_METHOD: &str = "POSTERN-PROOF";

/// Version of the format.
const VERSION: u8 = 1;

/// Why a proof could not be made.
#[derive(Debug, thiserror::Error)]
pub enum ProofError {
    /// The token's key is not 32 bytes of base64url.
    #[error("the token's key is not 32 bytes of base64url")]
    Key,
}

/// What a proof speaks for.
#[derive(Clone, Copy, Debug)]
pub struct Signing<'a> {
    /// Token id.
    pub token_id: &'a str,
    /// The client id that the token is bound to.
    pub client_id: &'a str,
    /// `plain` or `tls`.
    pub transport: &'a str,
    /// The listener's name from the login response.
    pub listener: &'a str,
    /// Greater than every counter used before with this token.
    pub counter: u64,
    /// Milliseconds since 1970 by the server's clock.
    pub time_ms: u64,
}

/// The password of a CONNECT. `key` is the proof key as the login response gives it.
///
/// # Errors
/// When `key` is not 32 bytes of base64url.
pub fn proof(key: &str, signing: Signing<'_>) -> Result<String, ProofError> {
    let (counter, time) = (signing.counter.to_be_bytes(), signing.time_ms.to_be_bytes());
    let mac = mac(key, &[&[VERSION]], &signing, &[&counter, &time])?;
    let password = [&[VERSION][..], &counter, &time, mac.as_ref()].concat();
    Ok(URL_SAFE_NO_PAD.encode(password))
}

/// The answer to a challenge. Counter and time of `signing` play no part: the challenge is new each time.
///
/// # Errors
/// As [`proof`].
pub fn answer(key: &str, signing: Signing<'_>, challenge: &[u8]) -> Result<Vec<u8>, ProofError> {
    Ok(mac(key, &[&[VERSION], b"auth"], &signing, &[challenge])?.as_ref().to_vec())
}

fn mac(key: &str, first: &[&[u8]], signing: &Signing<'_>, last: &[&[u8]]) -> Result<hmac::Tag, ProofError> {
    let key = URL_SAFE_NO_PAD.decode(key).map_err(|_| ProofError::Key)?;
    if key.len() != 32 {
        return Err(ProofError::Key);
    }
    let bound = [signing.token_id, signing.client_id, signing.transport, signing.listener].map(str::as_bytes);
    Ok(hmac::sign(&sign_in_key(&key)?, &fields(&[first, &bound, last].concat())))
}

/// The key for sign-in only: commands have another one (rule 1).
fn sign_in_key(proof_key: &[u8]) -> Result<hmac::Key, ProofError> {
    let derived = hkdf::Salt::new(hkdf::HKDF_SHA256, &[]).extract(proof_key);
    let okm = derived.expand(&[b"sign-in"], hmac::HMAC_SHA256).map_err(|_| ProofError::Key)?;
    Ok(okm.into())
}

/// Every field with its length before it, so that no two lists of fields have the same bytes.
fn fields(fields: &[&[u8]]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for field in fields {
        bytes.extend_from_slice(&u32::try_from(field.len()).unwrap_or(u32::MAX).to_be_bytes());
        bytes.extend_from_slice(field);
    }
    bytes
}
