//! Compiled plugins on disk, so that a start does not compile.
//!
//! A file is `MAGIC ‖ MAC ‖ artifact`. Its name is the SHA-256 of the source, wasmtime's version and
//! the engine's settings; the MAC, under a key of the keyring, covers name and artifact. So someone
//! who can write the folder but lacks the master key can make a plugin compile again, and no more.

use std::fs::{DirBuilder, File, OpenOptions};
use std::hash::{Hash, Hasher};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use ring::digest::{self, SHA256};
use wasmtime::Engine;

use crate::keyring::{Key, hex};
use crate::native::Vouched;

/// Begins every file; counts this format's versions.
const MAGIC: &[u8; 8] = b"PSTNCW\x00\x01";
const MAC_LEN: usize = 32;
/// Files larger than this are not read: compiled code of the largest component is below.
const MOST_BYTES: u64 = 1 << 30;

/// The folder of compiled plugins.
pub(crate) struct Cache {
    folder: PathBuf,
    key: Key,
    /// Digest of what else the compiled code depends on.
    compiler: [u8; 32],
    writes: AtomicU64,
}

/// SHA-256 of a component's bytes.
pub(crate) fn source_digest(source: &[u8]) -> [u8; 32] {
    sha256(&[source])
}

impl Cache {
    /// Uses the folder, made when missing.
    pub(crate) fn open(folder: &Path, engine: &Engine, key: Key) -> io::Result<Cache> {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        let mut settings = Collected(Vec::new());
        // Hashes wasmtime's version, the compiler's settings and the machine's features.
        engine.precompile_compatibility_hash().hash(&mut settings);
        let compiler = sha256(&[&settings.0]);
        Ok(Cache { folder: folder.to_owned(), key, compiler, writes: AtomicU64::new(0) })
    }

    /// The compiled form of the component with this digest, if it is here and authentic.
    pub(crate) fn get(&self, source: &[u8; 32]) -> Option<Vouched> {
        let name = self.name(source);
        let path = self.folder.join(&name);
        let bytes = match read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "cannot read the compiled plugin");
                return None;
            }
        };
        let artifact = self.authenticate(&name, bytes);
        if artifact.is_none() {
            tracing::warn!(path = %path.display(), "compiled plugin is not this host's work: refused");
        }
        artifact
    }

    /// Keeps the compiled form. A cache that cannot be written costs time at the next start, and
    /// nothing else.
    pub(crate) fn put(&self, source: &[u8; 32], artifact: &Vouched) {
        let name = self.name(source);
        let path = self.folder.join(&name);
        if let Err(error) = self.write(&name, &path, artifact.bytes()) {
            tracing::warn!(path = %path.display(), %error, "cannot keep the compiled plugin");
        }
    }

    fn name(&self, source: &[u8; 32]) -> String {
        hex(&sha256(&[source, &self.compiler])) + ".cwasm"
    }

    fn authenticate(&self, name: &str, mut bytes: Vec<u8>) -> Option<Vouched> {
        let (mac, artifact) = bytes.strip_prefix(MAGIC)?.split_at_checked(MAC_LEN)?;
        self.key.verify(&covered(name, artifact), mac).then(|| {
            let artifact = bytes.split_off(MAGIC.len() + MAC_LEN);
            Vouched::new(artifact)
        })
    }

    fn write(&self, name: &str, path: &Path, artifact: &[u8]) -> io::Result<()> {
        let n = self.writes.fetch_add(1, Ordering::Relaxed);
        let tmp = self.folder.join(format!(".{name}.{}.{n}", std::process::id()));
        let _ = std::fs::remove_file(&tmp); // of a process that was killed and had our id
        let written = (|| {
            let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&tmp)?;
            file.write_all(MAGIC)?;
            file.write_all(&self.key.hmac(&covered(name, artifact)))?;
            file.write_all(artifact)?;
            std::fs::rename(&tmp, path)
        })();
        if written.is_err() {
            let _ = std::fs::remove_file(&tmp);
        }
        written
    }
}

/// What the MAC covers: the digest of the artifact stands for it, to keep the copy small.
fn covered(name: &str, artifact: &[u8]) -> Vec<u8> {
    [name.as_bytes(), &sha256(&[artifact])].concat()
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MOST_BYTES).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let mut context = digest::Context::new(&SHA256);
    for part in parts {
        context.update(part);
    }
    let mut bytes = [0; 32];
    bytes.copy_from_slice(context.finish().as_ref());
    bytes
}

/// Takes what is hashed as it is, to be digested properly.
struct Collected(Vec<u8>);

impl Hasher for Collected {
    fn write(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    fn finish(&self) -> u64 {
        0 // nobody asks: the bytes are what we want
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn cache(folder: &Path, key: u8) -> Cache {
        Cache::open(folder, &Engine::default(), Key::new([key; 32])).unwrap()
    }

    fn only_file(folder: &Path) -> PathBuf {
        let mut files: Vec<_> =
            std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert_eq!(files.len(), 1, "{files:?}");
        files.remove(0)
    }

    #[test]
    fn what_was_kept_is_found_and_private() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("cache");
        let kept = cache(&folder, 1);
        assert!(kept.get(&[1; 32]).is_none());
        kept.put(&[1; 32], &Vouched::new(b"native".to_vec()));
        assert_eq!(cache(&folder, 1).get(&[1; 32]).unwrap().bytes(), b"native");
        assert!(kept.get(&[2; 32]).is_none());
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&folder), mode(&only_file(&folder))), (0o700, 0o600));
    }

    #[test]
    fn nothing_but_our_own_work_is_taken() {
        let folder = tempfile::tempdir().unwrap();
        let ours = cache(folder.path(), 1);
        ours.put(&[1; 32], &Vouched::new(b"native code".to_vec()));
        let path = only_file(folder.path());
        let good = std::fs::read(&path).unwrap();

        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1;
            std::fs::write(&path, &bad).unwrap();
            assert!(ours.get(&[1; 32]).is_none(), "byte {at} changed");
        }
        for len in 0..good.len() {
            std::fs::write(&path, &good[..len]).unwrap();
            assert!(ours.get(&[1; 32]).is_none(), "cut to {len}");
        }
        std::fs::write(&path, &good).unwrap();
        assert!(ours.get(&[1; 32]).is_some());
        assert!(cache(folder.path(), 2).get(&[1; 32]).is_none(), "another master key");

        // One authentic file in the place of another's.
        std::fs::write(path.with_file_name(ours.name(&[2; 32])), &good).unwrap();
        assert!(ours.get(&[2; 32]).is_none(), "moved");
    }
}
