//! The keys of commands and instructions.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::{hkdf, hmac};
use serde::{Deserialize, Serialize};

/// MACs commands and results; 32 bytes.
#[derive(Clone)]
pub struct CommandKey([u8; 32]);

impl CommandKey {
    /// HKDF-SHA256 of the token's proof key, 32 bytes, with empty salt and info `command`.
    pub fn derive(proof_key: &[u8; 32]) -> Self {
        struct Bytes32;
        impl hkdf::KeyType for Bytes32 {
            fn len(&self) -> usize {
                32
            }
        }
        let mut key = [0; 32];
        let extracted = hkdf::Salt::new(hkdf::HKDF_SHA256, &[]).extract(proof_key);
        let filled = extracted.expand(&[b"command"], Bytes32).and_then(|okm| okm.fill(&mut key));
        debug_assert!(filled.is_ok(), "32 bytes are never too many for HKDF");
        CommandKey(key)
    }

    /// As [`CommandKey::derive`], of the `key` that a login answers: base64url of 32 bytes. `None`: it is not.
    pub fn of_token(key: &str) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(key).ok()?;
        Some(Self::derive(&bytes.try_into().ok()?))
    }

    /// The key's bytes, for test vectors.
    pub fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    pub(crate) fn hmac(&self) -> hmac::Key {
        hmac::Key::new(hmac::HMAC_SHA256, &self.0)
    }
}

/// A key of the server's, as login and renewal answer it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstructionKey {
    /// base64url of 4 bytes.
    pub id: String,
    /// Ed25519, base64url of 32 bytes.
    pub public_key: String,
}

impl InstructionKey {
    /// A key from its bytes.
    pub fn new(id: [u8; 4], public_key: [u8; 32]) -> Self {
        InstructionKey { id: URL_SAFE_NO_PAD.encode(id), public_key: URL_SAFE_NO_PAD.encode(public_key) }
    }

    /// The public key of 32 bytes, if `id` is this key's.
    pub(crate) fn if_named(&self, id: [u8; 4]) -> Option<Vec<u8>> {
        let ours = URL_SAFE_NO_PAD.decode(&self.id).ok()?;
        let public = URL_SAFE_NO_PAD.decode(&self.public_key).ok()?;
        (ours == id && public.len() == 32).then_some(public)
    }
}
