//! The keys that instructions are signed with (rule 4), and their rotation.
//!
//! They are derived from the master key and a number in the config, `keys.instruction`. Raising it by
//! one is the rotation: terminals know the key in use, the one before it and the one to come.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use postern_guest::Keyring;
use ring::{
    digest,
    signature::{Ed25519KeyPair, KeyPair},
};

use crate::control::wire::InstructionKey;

/// Said before what is signed, so that a signature is good for nothing else.
const CONTEXT: &[u8] = b"postern instruction";

/// The key in use.
pub struct Signer {
    pair: Ed25519KeyPair,
    announced: Vec<InstructionKey>,
}

/// The key material was refused; it never is.
#[derive(Debug, thiserror::Error)]
#[error("keys.instruction: no signing key can be derived")]
pub struct NoKey;

impl Signer {
    /// The key of this number, and its neighbours.
    ///
    /// # Errors
    /// When the crypto library takes none of our seeds.
    pub fn new(keyring: &Keyring, number: u32) -> Result<Self, NoKey> {
        let around = [number.checked_sub(1), Some(number), number.checked_add(1)];
        let announced = around
            .into_iter()
            .flatten()
            .map(|number| Ok(announce(&pair(keyring, number)?)))
            .collect::<Result<_, NoKey>>()?;
        Ok(Signer { pair: pair(keyring, number)?, announced })
    }

    /// One key without neighbours.
    #[cfg(test)]
    pub fn from_seed(seed: &[u8; 32]) -> Result<Self, NoKey> {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).map_err(|_| NoKey)?;
        Ok(Signer { pair, announced: Vec::new() })
    }

    /// What terminals are told: the key in use, the one before it and the one to come.
    pub fn announced(&self) -> &[InstructionKey] {
        &self.announced
    }

    /// The id of the key in use.
    pub fn id(&self) -> [u8; 4] {
        id(self.pair.public_key().as_ref())
    }

    /// Signs an instruction: 64 bytes.
    pub fn sign(&self, instruction: &[u8]) -> Vec<u8> {
        self.pair.sign(&[CONTEXT, instruction].concat()).as_ref().to_vec()
    }
}

fn pair(keyring: &Keyring, number: u32) -> Result<Ed25519KeyPair, NoKey> {
    let seed = keyring.key(&format!("instruction/{number}"));
    Ed25519KeyPair::from_seed_unchecked(seed.expose()).map_err(|_| NoKey)
}

fn id(public_key: &[u8]) -> [u8; 4] {
    let hash = digest::digest(&digest::SHA256, public_key);
    let mut id = [0; 4];
    id.copy_from_slice(hash.as_ref().get(..4).unwrap_or(&[0; 4]));
    id
}

fn announce(pair: &Ed25519KeyPair) -> InstructionKey {
    let public_key = pair.public_key().as_ref();
    InstructionKey {
        id: URL_SAFE_NO_PAD.encode(id(public_key)),
        public_key: URL_SAFE_NO_PAD.encode(public_key),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_rotate_with_an_overlap() {
        let keyring = Keyring::from_material(&"07".repeat(32), "test").unwrap();
        let [old, new] = [3, 4].map(|number| Signer::new(&keyring, number).unwrap());
        assert_eq!(old.announced().len(), 3);
        assert_eq!(old.announced()[1..], new.announced()[..2], "the next is known before it is used");
        assert_eq!(new.announced()[1].id, URL_SAFE_NO_PAD.encode(new.id()));
        assert_eq!(Signer::new(&keyring, 0).unwrap().announced().len(), 2);
    }
}
