//! The proof of a CONNECT and the answer to a challenge: knowledge of the token's key, without the key.
//! docs/protocol/sign-in.md has both byte by byte.

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

/// The key for sign-in only: commands have another one.
fn sign_in_key(proof_key: &[u8]) -> Result<hmac::Key, ProofError> {
    let derived = hkdf::Salt::new(hkdf::HKDF_SHA256, &[]).extract(proof_key);
    let okm = derived.expand(&[b"sign-in"], hmac::HMAC_SHA256).map_err(|_| ProofError::Key)?;
    Ok(okm.into())
}

/// Every field with its length before it, so that no two lists of fields have the same bytes.
pub fn fields(fields: &[&[u8]]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for field in fields {
        bytes.extend_from_slice(&u32::try_from(field.len()).unwrap_or(u32::MAX).to_be_bytes());
        bytes.extend_from_slice(field);
    }
    bytes
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn vectors() -> Value {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/protocol/sign-in-vectors.json");
        serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap()
    }

    fn signing<'a>(keys: &'a Value, of: &'a Value) -> Signing<'a> {
        let text = |key: &str| of[key].as_str().unwrap_or("0");
        Signing {
            token_id: keys["token_id"].as_str().unwrap(),
            client_id: text("client_id"),
            transport: text("transport"),
            listener: text("listener"),
            counter: text("counter").parse().unwrap(),
            time_ms: text("proof_time_ms").parse().unwrap(),
        }
    }

    #[test]
    fn a8_proofs_are_those_of_the_published_vectors() {
        let vectors = vectors();
        let (keys, proofs) = (&vectors["keys"], vectors["proofs"].as_array().unwrap());
        assert!(!proofs.is_empty());
        for expected in proofs {
            let key = keys["proof_key_base64url"].as_str().unwrap();
            assert_eq!(proof(key, signing(keys, expected)).unwrap(), expected["password"]);
        }
    }

    #[test]
    fn a8_answers_are_those_of_the_published_vectors() {
        let vectors = vectors();
        let (keys, answers) = (&vectors["keys"], vectors["answers"].as_array().unwrap());
        assert!(!answers.is_empty());
        for expected in answers {
            assert_eq!(expected["method"], AUTH_METHOD);
            let challenge = bytes(&expected["challenge_hex"]);
            let key = keys["proof_key_base64url"].as_str().unwrap();
            let answer = answer(key, signing(keys, expected), &challenge).unwrap();
            assert_eq!(answer, bytes(&expected["answer_data_hex"]));
        }
    }

    #[test]
    fn a8_a_key_that_is_none_makes_no_proof() {
        let vectors = vectors();
        let signing = signing(&vectors["keys"], &vectors["proofs"][0]);
        for key in ["", "AAAA", "not base64url!"] {
            assert!(proof(key, signing).is_err());
        }
    }

    fn bytes(hex: &Value) -> Vec<u8> {
        let pairs = hex.as_str().unwrap().as_bytes().chunks(2);
        pairs.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
    }
}
