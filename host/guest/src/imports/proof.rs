//! `postern:host/proof`: Ed25519 in the host (RFC 8032).

use std::sync::Arc;

use ring::signature::{ED25519, UnparsedPublicKey};
use wasmtime::component::{HasData, Linker, Resource, ResourceTable};

use super::bindings::postern::host::proof;
use crate::keyring::hex;
use crate::state::State;

/// Length of a public key, in bytes.
const KEY_LEN: usize = 32;

/// What an unknown user's signature is checked with: the curve's base point. Whatever it says of a
/// signature, the answer is no.
const DECOY: [u8; KEY_LEN] = {
    let mut base = [0x66; KEY_LEN];
    base[0] = 0x58;
    base
};

/// The points whose order divides the cofactor 8, by their y, little-endian, without the sign of x; the
/// last two are 0 and 1 once more, written as they should not be. A signature under one of them can be
/// made without any private key.
const WEAK: [&str; 7] = [
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0100000000000000000000000000000000000000000000000000000000000000",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
];

/// Why bytes are no public key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAKey {
    /// Another length than that of an Ed25519 key.
    #[error("a public key is 32 bytes long")]
    Length,
    /// A key under which anybody can sign, such as 32 zeros.
    #[error("this public key is weak: anybody can sign for it")]
    Weak,
}

/// An Ed25519 public key that somebody holds the private key of, as far as its bytes can tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PublicKey([u8; KEY_LEN]);

impl PublicKey {
    /// Takes the bytes of a key.
    ///
    /// # Errors
    ///
    /// When they are none.
    pub fn from_bytes(bytes: &[u8]) -> Result<PublicKey, NotAKey> {
        let key: [u8; KEY_LEN] = bytes.try_into().map_err(|_| NotAKey::Length)?;
        let mut unsigned = key;
        if let Some(last) = unsigned.last_mut() {
            *last &= 0x7f; // the sign of x
        }
        if WEAK.contains(&hex(&unsigned).as_str()) { Err(NotAKey::Weak) } else { Ok(PublicKey(key)) }
    }

    /// The 32 bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// What somebody signed to log in, and the signature. Whether it fits the attempt is judged before.
#[derive(Clone)]
pub struct Signed(Arc<(Vec<u8>, Vec<u8>)>);

impl Signed {
    /// A message and its signature; of another length than 64 bytes it fits no key.
    pub fn new(message: Vec<u8>, signature: Vec<u8>) -> Signed {
        Signed(Arc::new((message, signature)))
    }

    /// One Ed25519 verification, whatever is stored.
    fn verify(&self, stored: Option<&[u8]>) -> bool {
        let real = stored.and_then(|bytes| PublicKey::from_bytes(bytes).ok());
        let (message, signature) = &*self.0;
        let key = real.map_or(DECOY, |key| key.0);
        UnparsedPublicKey::new(&ED25519, key).verify(message, signature).is_ok() && real.is_some()
    }
}

impl std::fmt::Debug for Signed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Signed(..)")
    }
}

pub(crate) struct ProofView<'a> {
    table: &'a mut ResourceTable,
}

impl HasData for ProofView<'static> {
    type Data<'a> = ProofView<'a>;
}

impl proof::Host for ProofView<'_> {}

impl proof::HostSigned for ProofView<'_> {
    fn verify(&mut self, signed: Resource<Signed>, public_key: Option<Vec<u8>>) -> wasmtime::Result<bool> {
        Ok(self.table.get(&signed)?.verify(public_key.as_deref()))
    }

    fn drop(&mut self, signed: Resource<Signed>) -> wasmtime::Result<()> {
        self.table.delete(signed)?;
        Ok(())
    }
}

pub(crate) fn add_to_linker(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    proof::add_to_linker::<State, ProofView<'static>>(linker, |state| ProofView { table: &mut state.table })
}

#[cfg(test)]
mod tests {
    use ring::signature::{Ed25519KeyPair, KeyPair};

    use super::*;

    #[test]
    fn a_signature_fits_its_key_and_message_only() {
        let [pair, other] = [7, 8].map(|seed| Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap());
        let signature = pair.sign(b"message").as_ref().to_vec();
        let (key, other) = (pair.public_key().as_ref(), other.public_key().as_ref());
        let signed = |message: &[u8], signature: &[u8]| Signed::new(message.to_vec(), signature.to_vec());
        assert!(signed(b"message", &signature).verify(Some(key)));
        assert!(!signed(b"massage", &signature).verify(Some(key)));
        assert!(!signed(b"message", &signature).verify(Some(other)));
        for stored in [None, Some(&b""[..]), Some(&key[1..]), Some(&[0; 32])] {
            assert!(!signed(b"message", &signature).verify(stored), "{stored:?}");
        }
        for length in [0, 63, 65] {
            assert!(
                !signed(b"message", &[signature.clone(), vec![0; 8]].concat()[..length]).verify(Some(key))
            );
        }
    }

    /// A signature that fits a key of order one or two whatever the message: R is the base point, S is 1.
    #[test]
    fn rule_12_a_key_under_which_anybody_can_sign_is_none() {
        let mut forged = [DECOY, [0; 32]].concat();
        forged[32] = 1;
        let identity = [&[1][..], &[0; 31]].concat();
        let library = UnparsedPublicKey::new(&ED25519, &identity);
        assert!(library.verify(b"message", &forged).is_ok(), "the library does not look at the key");
        assert!(!Signed::new(b"message".to_vec(), forged).verify(Some(&identity)));
        let mut negative = identity.clone();
        negative[31] |= 0x80;
        for weak in [identity, negative, vec![0; 32]] {
            assert_eq!(PublicKey::from_bytes(&weak), Err(NotAKey::Weak));
        }
        assert_eq!(PublicKey::from_bytes(&[7; 31]), Err(NotAKey::Length));
        assert!(PublicKey::from_bytes(&[7; 32]).is_ok());
    }
}
