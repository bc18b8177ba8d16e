//! Signed plugins: an Ed25519 signature in a custom section at the end of the component, over all that comes
//! before it. It says who vouches for the bytes; what they may do is the policy's.

use std::str::FromStr;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use serde::Deserialize;

use crate::reason::Reason;

/// The section's name.
const SECTION: &[u8] = b"postern-signature";
/// Of public keys and signatures, in bytes.
const KEY_LEN: usize = 32;
const SIGNATURE_LEN: usize = 64;
/// The section: its id, its length in one byte of LEB128, the length of its name, name, key, signature.
const LEN: usize = 3 + SECTION.len() + KEY_LEN + SIGNATURE_LEN;
const BODY_LEN: usize = LEN - 2;

/// Who may sign: an Ed25519 public key.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct SignerKey([u8; KEY_LEN]);

impl FromStr for SignerKey {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bytes = URL_SAFE_NO_PAD.decode(text.trim()).ok().and_then(|bytes| bytes.try_into().ok());
        bytes.map(SignerKey).ok_or_else(|| format!("`{text}` is no Ed25519 key: 43 characters of base64url"))
    }
}

impl TryFrom<String> for SignerKey {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl std::fmt::Display for SignerKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&URL_SAFE_NO_PAD.encode(self.0))
    }
}

/// Signs a component, in place of a signature that it has.
pub fn sign(component: &[u8], pair: &Ed25519KeyPair) -> Vec<u8> {
    let bare = split(component).map_or(component, |(bare, ..)| bare);
    let mut signed = bare.to_vec();
    // All lengths are below 128: one byte of LEB128 each.
    signed.extend([0, u8::try_from(BODY_LEN).unwrap_or(0), u8::try_from(SECTION.len()).unwrap_or(0)]);
    signed.extend(SECTION);
    signed.extend(pair.public_key().as_ref());
    signed.extend(pair.sign(bare).as_ref());
    signed
}

/// The public key of a pair, as policies list it.
pub fn signer_of(pair: &Ed25519KeyPair) -> SignerKey {
    let mut bytes = [0; KEY_LEN];
    bytes.copy_from_slice(pair.public_key().as_ref());
    SignerKey(bytes)
}

/// Whether one of `signers` has signed the component.
pub(crate) fn check(component: &[u8], signers: &[SignerKey]) -> Result<(), Reason> {
    let Some((bare, key, signature)) = split(component) else { return Err(Reason::Unsigned) };
    let Some(signer) = signers.iter().find(|signer| signer.0 == key) else {
        return Err(Reason::Signer(URL_SAFE_NO_PAD.encode(key)));
    };
    UnparsedPublicKey::new(&ED25519, signer.0).verify(bare, signature).map_err(|_| Reason::Signature)
}

/// What was signed, by which key, and the signature.
fn split(component: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let (bare, section) = component.split_at_checked(component.len().checked_sub(LEN)?)?;
    let (head, rest) = section.split_at_checked(3)?;
    let is_ours = head == [0, u8::try_from(BODY_LEN).ok()?, u8::try_from(SECTION.len()).ok()?];
    let (key, signature) = rest.strip_prefix(SECTION)?.split_at_checked(KEY_LEN)?;
    is_ours.then_some((bare, key, signature))
}

#[cfg(test)]
mod tests {
    use ring::rand::SystemRandom;

    use super::*;

    fn pair() -> Ed25519KeyPair {
        let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        Ed25519KeyPair::from_pkcs8(document.as_ref()).unwrap()
    }

    #[test]
    fn only_what_a_listed_key_has_signed_is_taken() {
        let (ours, other) = (pair(), pair());
        let signers = [signer_of(&ours)];
        assert_eq!(signers[0].to_string().parse(), Ok(signers[0].clone()));
        let component = wat::parse_str("(component (core module (func)))").unwrap();
        assert_eq!(check(&component, &signers), Err(Reason::Unsigned));
        let signed = sign(&component, &ours);
        assert_eq!(check(&signed, &signers), Ok(()));
        assert_eq!(sign(&signed, &ours), signed, "once");
        assert!(matches!(check(&sign(&component, &other), &signers), Err(Reason::Signer(_))));
        for at in 0..signed.len() {
            let mut altered = signed.clone();
            altered[at] ^= 1;
            assert!(check(&altered, &signers).is_err(), "byte {at}");
        }
        let engine = wasmtime::Engine::default();
        assert!(wasmtime::component::Component::new(&engine, &signed).is_ok(), "still a component");
    }

    #[test]
    fn what_is_short_has_no_signature() {
        for len in 0..LEN + 2 {
            assert_eq!(check(&vec![0; len], &[]), Err(Reason::Unsigned));
        }
        assert!("short".parse::<SignerKey>().is_err());
    }
}
