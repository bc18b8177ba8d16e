//! What the rules need of the host, so that tests can put themselves in its place.

/// A secret of 32 bytes that the host keeps.
pub trait Key: Sized {
    /// HMAC-SHA-256.
    fn hmac(&self, message: &[u8]) -> Vec<u8>;
    /// Whether `mac` is the HMAC of `message`, in constant time.
    fn verify(&self, message: &[u8], mac: &[u8]) -> bool;
    /// HKDF-SHA-256 with an empty salt.
    #[must_use]
    fn derive(&self, info: &[u8]) -> Self;
}

/// Keys, random bytes and the durable map. Times are ms since 1970; errors are the host's text.
#[allow(clippy::missing_errors_doc)] // said above
pub trait Host {
    /// The host's handles.
    type Key: Key;
    /// The key that all tokens' keys are derived from.
    fn master_key(&self) -> Result<Self::Key, String>;
    /// `count` bytes fit for ids.
    fn random(&self, count: u32) -> Vec<u8>;
    /// `kv.get`.
    fn get(&self, key: &str) -> Result<Option<Vec<u8>>, String>;
    /// `kv.set`.
    fn set(&self, key: &str, value: &[u8], expires_at: u64) -> Result<(), String>;
    /// `kv.delete`.
    fn delete(&self, key: &str) -> Result<(), String>;
    /// `kv.advance`.
    fn advance(&self, key: &str, to: u64, expires_at: u64) -> Result<bool, String>;
    /// `kv.keys`.
    fn keys(&self, prefix: &str, after: Option<&str>, limit: u32) -> Result<Vec<String>, String>;
}
