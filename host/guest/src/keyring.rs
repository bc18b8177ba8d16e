//! The master key and the keys derived from it (SECURITY.md, rule 11).

use std::fmt;
use std::fs::OpenOptions;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use ring::rand::{SecureRandom, SystemRandom};
use ring::{hkdf, hmac};
use zeroize::{Zeroize, Zeroizing};

/// Length of every key, in bytes.
pub(crate) const KEY_LEN: usize = 32;

/// Longest master key file that is read: 64 hex digits and white space fit well.
const MAX_FILE_LEN: u64 = 256;

/// Why there is no master key. Each is one line that names the file.
#[derive(Debug, thiserror::Error)]
pub enum KeyringError {
    /// The file cannot be read or made.
    #[error("master key {path}: {error}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
    /// Others than its owner may use the file.
    #[error("master key {path}: mode is {mode:04o}, so others can read it; run `chmod 600 {path}`")]
    Mode {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The file is not a regular file.
    #[error("master key {0}: is not a regular file")]
    NotAFile(PathBuf),
    /// The content is not a key.
    #[error("master key {0}: must hold 32 bytes, written as 64 hex digits or as base64")]
    Content(String),
    /// The operating system gave no random bytes.
    #[error("master key: the system gives no random bytes")]
    Random,
}

/// The master key. Everything secret that outlives the process is derived from it.
#[derive(Clone)]
pub struct Keyring {
    master: Key,
}

impl Keyring {
    /// Reads the master key from the file at `path`, which is made, mode 0600, when there is none.
    ///
    /// # Errors
    ///
    /// When the file cannot be read or made, when others may read it, or when it holds no key.
    pub fn open_or_create(path: &Path) -> Result<Keyring, KeyringError> {
        let io = |error| KeyringError::Io { path: path.to_owned(), error };
        match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
            Ok(mut file) => {
                let mut bytes = Zeroizing::new([0; KEY_LEN]);
                SystemRandom::new().fill(bytes.as_mut_slice()).map_err(|_| KeyringError::Random)?;
                let text = Zeroizing::new(hex(bytes.as_slice()) + "\n");
                let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_all());
                if let Err(error) = written {
                    // Half a key would be refused at the next start.
                    let _ = std::fs::remove_file(path);
                    return Err(io(error));
                }
                Ok(Keyring { master: Key::new(*bytes) })
            }
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Self::read(path),
            Err(error) => Err(io(error)),
        }
    }

    /// Reads the master key from the file at `path`.
    ///
    /// # Errors
    ///
    /// When the file cannot be read, when others may read it, or when it holds no key.
    pub fn read(path: &Path) -> Result<Keyring, KeyringError> {
        let io = |error| KeyringError::Io { path: path.to_owned(), error };
        let file = OpenOptions::new().read(true).open(path).map_err(io)?;
        let metadata = file.metadata().map_err(io)?; // of the open file: no race with a rename
        if !metadata.is_file() {
            return Err(KeyringError::NotAFile(path.to_owned()));
        }
        let mode = metadata.mode() & 0o7777;
        if mode & 0o077 != 0 {
            return Err(KeyringError::Mode { path: path.to_owned(), mode });
        }
        let mut text = Zeroizing::new(String::new());
        file.take(MAX_FILE_LEN)
            .read_to_string(&mut text)
            .map_err(|_| KeyringError::Content(path.display().to_string()))?;
        parse(&text).ok_or_else(|| KeyringError::Content(path.display().to_string()))
    }

    /// Takes the master key from text, such as an environment variable's; `origin` names it in the
    /// error.
    ///
    /// # Errors
    ///
    /// When the text is not 32 bytes as hex or base64.
    pub fn from_material(material: &str, origin: &str) -> Result<Keyring, KeyringError> {
        parse(material).ok_or_else(|| KeyringError::Content(origin.to_owned()))
    }

    /// The key called `name`: always the same for the same master key.
    pub fn key(&self, name: &str) -> Key {
        self.master.derive(format!("postern key {name}").as_bytes())
    }
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keyring(..)")
    }
}

/// A secret of 32 bytes, wiped when its last owner drops it.
#[derive(Clone)]
pub struct Key(Arc<Zeroizing<[u8; KEY_LEN]>>);

impl Key {
    /// Wraps the bytes of a key.
    pub fn new(mut bytes: [u8; KEY_LEN]) -> Key {
        let key = Key(Arc::new(Zeroizing::new(bytes)));
        bytes.zeroize();
        key
    }

    /// The bytes, for the host to hand to their one holder. Guests never get them.
    pub fn expose(&self) -> &[u8; KEY_LEN] {
        &self.0
    }

    /// HMAC-SHA-256 (RFC 2104) of `message`.
    pub fn hmac(&self, message: &[u8]) -> [u8; 32] {
        let tag = hmac::sign(&self.hmac_key(), message);
        let mut mac = [0; 32];
        mac.copy_from_slice(tag.as_ref());
        mac
    }

    /// Whether `mac` is this key's HMAC of `message`, in constant time.
    pub fn verify(&self, message: &[u8], mac: &[u8]) -> bool {
        hmac::verify(&self.hmac_key(), message, mac).is_ok()
    }

    /// Another key: HKDF-SHA-256 (RFC 5869) with an empty salt and this `info`.
    pub fn derive(&self, info: &[u8]) -> Key {
        let mut bytes = Zeroizing::new([0; KEY_LEN]);
        hkdf_sha256(&[], self.expose(), info, bytes.as_mut_slice());
        Key::new(*bytes)
    }

    fn hmac_key(&self) -> hmac::Key {
        hmac::Key::new(hmac::HMAC_SHA256, self.expose())
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(..)")
    }
}

/// HKDF-SHA-256 (RFC 5869). `out` may be up to 255 × 32 bytes, which all callers keep.
fn hkdf_sha256(salt: &[u8], secret: &[u8], info: &[u8], out: &mut [u8]) {
    struct Len(usize);
    impl hkdf::KeyType for Len {
        fn len(&self) -> usize {
            self.0
        }
    }
    let filled = hkdf::Salt::new(hkdf::HKDF_SHA256, salt)
        .extract(secret)
        .expand(&[info], Len(out.len()))
        .and_then(|okm| okm.fill(out));
    debug_assert!(filled.is_ok(), "HKDF output too long");
}

fn parse(text: &str) -> Option<Keyring> {
    let text = text.trim();
    let mut bytes = unhex(text).or_else(|| {
        [&STANDARD, &STANDARD_NO_PAD, &URL_SAFE_NO_PAD].iter().find_map(|engine| engine.decode(text).ok())
    })?;
    let key = <[u8; KEY_LEN]>::try_from(bytes.as_slice()).ok();
    bytes.zeroize();
    key.map(|key| Keyring { master: Key::new(key) })
}

/// Lower-case hex of `bytes`.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}"); // writing to a String cannot fail
        text
    })
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    if text.len() != 2 * KEY_LEN || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    text.as_bytes()
        .chunks(2)
        .map(|pair| std::str::from_utf8(pair).ok().and_then(|pair| u8::from_str_radix(pair, 16).ok()))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    /// RFC 5869, A.1 and A.3.
    #[test]
    fn hkdf_gives_the_vectors_of_rfc_5869() {
        let mut okm = [0; 42];
        let salt: Vec<u8> = (0x00..=0x0c).collect();
        let info: Vec<u8> = (0xf0..=0xf9).collect();
        hkdf_sha256(&salt, &[0x0b; 22], &info, &mut okm);
        assert_eq!(
            hex(&okm),
            "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865"
        );
        hkdf_sha256(&[], &[0x0b; 22], &[], &mut okm);
        assert_eq!(
            hex(&okm),
            "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8"
        );
    }

    /// RFC 4231, test case 2 (its key is shorter than ours; HMAC pads with zeros).
    #[test]
    fn hmac_gives_the_vector_of_rfc_4231() {
        let mut key = [0; KEY_LEN];
        key[..4].copy_from_slice(b"Jefe");
        let key = Key::new(key);
        let mac = key.hmac(b"what do ya want for nothing?");
        assert_eq!(hex(&mac), "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
        assert!(key.verify(b"what do ya want for nothing?", &mac));
        assert!(!key.verify(b"what do ya want for something?", &mac));
        assert!(!key.verify(b"what do ya want for nothing?", &mac[..31]));
    }

    #[test]
    fn a_new_master_key_is_private_and_found_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("master.key");
        let made = Keyring::open_or_create(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let read = Keyring::open_or_create(&path).unwrap();
        assert_eq!(made.key("proof").expose(), read.key("proof").expose());
        assert_ne!(made.key("proof").expose(), made.key("cache").expose());
        assert_eq!(format!("{made:?} {:?}", made.key("proof")), "Keyring(..) Key(..)");
    }

    #[test]
    fn hex_and_base64_name_the_same_key() {
        let bytes = [7; KEY_LEN];
        let a = Keyring::from_material(&hex(&bytes), "X").unwrap();
        let b = Keyring::from_material(&format!(" {}\n", STANDARD.encode(bytes)), "X").unwrap();
        assert_eq!(a.key("k").expose(), b.key("k").expose());
    }

    #[test]
    fn wide_modes_and_wrong_content_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("master.key");
        std::fs::write(&path, hex(&[7; KEY_LEN])).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        let error = Keyring::open_or_create(&path).unwrap_err().to_string();
        assert!(error.contains("0640") && error.contains("chmod 600"), "{error}");

        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        for wrong in ["", "abc", &hex(&[7; 31]), &"z".repeat(64)] {
            std::fs::write(&path, wrong).unwrap();
            let error = Keyring::open_or_create(&path).unwrap_err().to_string();
            assert!(error.contains("32 bytes") && !error.contains('\n'), "{error}");
        }
        let error = Keyring::from_material("short", "POSTERN_MASTER_KEY").unwrap_err().to_string();
        assert!(error.contains("POSTERN_MASTER_KEY"), "{error}");
        assert!(Keyring::open_or_create(&folder.path().join("no/such/folder")).is_err());
    }
}
