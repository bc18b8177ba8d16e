//! The bytes of what serves, under the data folder and named by their digest: the plugin folder may change
//! or vanish, and what was activated is still there after a restart.

use std::{
    collections::BTreeSet,
    fs::{self, DirBuilder},
    io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

use ring::digest::{SHA256, digest};

use crate::datadir::write_whole;

/// SHA-256 of a component, as 64 hex digits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest(String);

impl Digest {
    /// From its bytes.
    pub fn new(bytes: &[u8; 32]) -> Self {
        Digest(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
    }

    /// Of a component.
    pub fn of(source: &[u8]) -> Self {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest(&SHA256, source).as_ref());
        Digest::new(&bytes)
    }
}

impl TryFrom<String> for Digest {
    type Error = String;

    // A name of a file is made of it.
    fn try_from(text: String) -> Result<Self, String> {
        if text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
            Ok(Digest(text))
        } else {
            Err(format!("{text:?} is no SHA-256 in hex"))
        }
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> String {
        digest.0
    }
}

impl std::fmt::Display for Digest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// The folder of components.
#[derive(Clone, Debug)]
pub struct Kept {
    folder: PathBuf,
}

impl Kept {
    /// In this folder, made at first need.
    pub fn new(folder: PathBuf) -> Self {
        Kept { folder }
    }

    /// Where a component is, if it is kept.
    pub fn path(&self, digest: &Digest) -> PathBuf {
        self.folder.join(format!("{digest}.wasm"))
    }

    /// Keeps a component.
    ///
    /// # Errors
    /// The disk's; it is not kept then, whole or in part.
    pub fn put(&self, digest: &Digest, source: &[u8]) -> io::Result<()> {
        let path = self.path(digest);
        if fs::read(&path).is_ok_and(|known| known == source) {
            return Ok(());
        }
        DirBuilder::new().recursive(true).mode(0o700).create(&self.folder)?;
        let written = write_whole(&path, source, 0o600);
        if written.is_err() {
            let _ = fs::remove_file(path.with_extension("wasm.new"));
        }
        written
    }

    /// Forgets what is not among `needed`. What cannot be removed is tried again next time.
    pub fn forget_others(&self, needed: &BTreeSet<Digest>) {
        let Ok(entries) = fs::read_dir(&self.folder) else { return };
        for path in entries.flatten().map(|entry| entry.path()) {
            if !needed.iter().any(|digest| self.path(digest) == path) {
                let _ = fs::remove_file(path);
            }
        }
    }
}

/// Whether the bytes are still those that were kept: what serves is what was checked.
///
/// # Errors
/// One line: the file is missing or altered.
pub fn check(path: &Path, digest: &Digest, source: &[u8]) -> Result<(), String> {
    if Digest::of(source) == *digest {
        return Ok(());
    }
    Err(format!("{}: not what was activated (its SHA-256 is another)", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_whole_and_what_is_not_needed_goes() {
        let home = tempfile::tempdir().unwrap();
        let kept = Kept::new(home.path().join("components"));
        let [one, two] = [b"one", b"two"].map(|source| (Digest::of(source), source));
        for (digest, source) in [&one, &two] {
            kept.put(digest, *source).unwrap();
            kept.put(digest, *source).unwrap();
            assert!(check(&kept.path(digest), digest, *source).is_ok());
        }
        fs::write(kept.path(&one.0), "cut").unwrap();
        kept.put(&one.0, one.1).unwrap();
        assert_eq!(fs::read(kept.path(&one.0)).unwrap(), one.1, "mended");
        kept.forget_others(&BTreeSet::from([two.0.clone()]));
        assert!(!kept.path(&one.0).exists() && kept.path(&two.0).exists());
        assert!(check(&kept.path(&two.0), &two.0, b"other").unwrap_err().contains("not what was activated"));
        assert!(Digest::try_from("../../etc/passwd".to_owned()).is_err());
    }
}
