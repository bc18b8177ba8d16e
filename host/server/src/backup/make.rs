//! Making a backup of a server that serves: everything is copied aside first, as of one moment, and sent from there.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use bytes::Bytes;
use postern_store::{Database, StoreError};
use tempfile::TempDir;
use tokio::sync::mpsc;

use super::{ACTIVATIONS, COMPONENTS, FILES, FORMAT, KEYS, MANIFEST, Manifest, Packed, summed};
use crate::{
    clock,
    plugins::{Digest, PluginError, Record},
};

/// Where the copies are while they are sent: below the data folder, on the same disk.
const ASIDE: &str = ".postern-backup-";

/// Bytes of an archive on their way at once.
const CHUNK: usize = 256 << 10;
const CHUNKS: usize = 8;

/// Why there is no backup.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// A database could not be copied.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A file could not be.
    #[error("{}: {error}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why not.
        error: io::Error,
    },
    /// The record of activations cannot be read.
    #[error(transparent)]
    Plugins(#[from] PluginError),
    /// The copies would take what the server itself needs.
    #[error("{}: the copies need {needed} MiB and {MARGIN} besides, and {free} MiB are free", path.display())]
    NoRoom {
        /// The data folder.
        path: PathBuf,
        /// MiB.
        needed: u64,
        /// MiB.
        free: u64,
    },
}

/// MiB that are left to the server that goes on writing meanwhile.
const MARGIN: u64 = 64;

/// Copies of everything, until dropped.
pub struct Copies {
    folder: TempDir,
    manifest: Manifest,
}

impl Copies {
    /// Copies a data folder that is in use; its `keys` only when they are asked for.
    /// One backup at a time: what another left, which was killed, is removed.
    ///
    /// # Errors
    /// The disk's, or the database's; nothing is left.
    pub async fn make(data: &Path, database: &Database, keys: bool) -> Result<Self, BackupError> {
        remove_leftovers(data);
        refuse_without_room(data, database)?;
        let made_at = clock::now().0;
        let folder = tempfile::Builder::new().prefix(ASIDE).tempdir_in(data);
        let folder = folder.map_err(|error| BackupError::File { path: data.to_owned(), error })?;
        let databases = database.copy_to(folder.path()).await?;
        let (from, to) = (data.to_owned(), folder.path().to_owned());
        let files = tokio::task::spawn_blocking(move || {
            copy_files(&from, &to, keys)?;
            packed(&to).map_err(|error| BackupError::File { path: to, error })
        });
        let files =
            files.await.map_err(|e| BackupError::File { path: data.to_owned(), error: e.into() })??;
        let version = env!("CARGO_PKG_VERSION").to_owned();
        Ok(Copies { folder, manifest: Manifest { format: FORMAT, version, made_at, databases, files } })
    }

    /// Sends the archive in pieces, removes the copies, and gives back the turn. An error ends the stream.
    pub fn send(self, turn: impl Send + 'static) -> mpsc::Receiver<io::Result<Bytes>> {
        let (to, pieces) = mpsc::channel(CHUNKS);
        tokio::task::spawn_blocking(move || {
            let mut writer = Pieces { to, piece: Vec::with_capacity(CHUNK) };
            let sent = self.write(&mut writer);
            // Before the stream ends: who makes the next backup finds neither.
            drop((self, turn));
            if let Err(error) = sent {
                // Whoever asked may be gone.
                let _ = writer.to.blocking_send(Err(error));
            }
        });
        pieces
    }

    fn write(&self, to: &mut Pieces) -> io::Result<()> {
        let mut archive = tar::Builder::new(to);
        let manifest = serde_json::to_vec_pretty(&self.manifest)?;
        let entry = |bytes: u64| {
            let mut header = tar::Header::new_gnu();
            header.set_size(bytes);
            header.set_mode(0o600);
            header.set_mtime(self.manifest.made_at / 1_000);
            header
        };
        archive.append_data(&mut entry(manifest.len() as u64), MANIFEST, &*manifest)?;
        for file in &self.manifest.files {
            let content = File::open(self.folder.path().join(&file.path))?;
            archive.append_data(&mut entry(file.bytes), &file.path, content)?;
        }
        archive.into_inner()?.flush()
    }
}

/// The archive's bytes, gathered into pieces.
struct Pieces {
    to: mpsc::Sender<io::Result<Bytes>>,
    piece: Vec<u8>,
}

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.piece.extend_from_slice(bytes);
        if self.piece.len() >= CHUNK {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let piece = std::mem::replace(&mut self.piece, Vec::with_capacity(CHUNK));
        self.to.blocking_send(Ok(piece.into())).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

/// A disk that a backup fills refuses the server's own writes.
fn refuse_without_room(data: &Path, database: &Database) -> Result<(), BackupError> {
    // One that is not there, or is removed meanwhile, has no size.
    let bytes = |path: &Path| fs::metadata(path).map_or(0, |about| about.len());
    let components = fs::read_dir(data.join(COMPONENTS)).into_iter().flatten().flatten();
    let components: u64 = components.map(|entry| bytes(&entry.path())).sum();
    let files: u64 = FILES.iter().map(|name| bytes(&data.join(name))).sum();
    let needed = (database.copied_bytes()? + components + files) >> 20;
    let failed = |error: rustix::io::Errno| BackupError::File { path: data.to_owned(), error: error.into() };
    let disk = rustix::fs::statvfs(data).map_err(failed)?;
    let free = disk.f_bavail.saturating_mul(disk.f_frsize) >> 20;
    if free < needed + MARGIN {
        return Err(BackupError::NoRoom { path: data.to_owned(), needed, free });
    }
    Ok(())
}

fn remove_leftovers(data: &Path) {
    let Ok(entries) = fs::read_dir(data) else { return };
    for entry in entries.flatten().filter(|entry| entry.file_name().to_string_lossy().starts_with(ASIDE)) {
        if let Err(error) = fs::remove_dir_all(entry.path()) {
            tracing::warn!(folder = %entry.path().display(), %error, "left by a backup that was cut off");
        }
    }
}

fn copy_files(from: &Path, to: &Path, keys: bool) -> Result<(), BackupError> {
    for name in FILES.into_iter().chain(KEYS.into_iter().filter(|_| keys)) {
        copy(&from.join(name), &to.join(name))?;
    }
    // An activation beside us may forget components that its predecessor named.
    for attempt in 1.. {
        copy_activations(from, to)?;
        let record = Record::read(&to.join(ACTIVATIONS))?;
        let file = |digest: &Digest| Path::new(COMPONENTS).join(format!("{digest}.wasm"));
        let mut missing = record.digests();
        missing.retain(|digest| !to.join(file(digest)).exists());
        if !missing.is_empty() && attempt < ATTEMPTS {
            continue;
        }
        if let Some(digest) = record.serving().intersection(&missing).next() {
            let why = "it is missing, and activations.json names it as what serves";
            let error = io::Error::new(io::ErrorKind::NotFound, why);
            return Err(BackupError::File { path: from.join(file(digest)), error });
        }
        // The server starts without it, and warns of it, too.
        for digest in &missing {
            tracing::warn!(file = %file(digest).display(), "missing; a plugin cannot be gone back to");
        }
        break;
    }
    Ok(())
}

/// Copies of the record until one is of the same moment as the components beside it.
const ATTEMPTS: u32 = 3;

fn copy_activations(from: &Path, to: &Path) -> Result<(), BackupError> {
    let _ = fs::remove_file(to.join(ACTIVATIONS));
    copy(&from.join(ACTIVATIONS), &to.join(ACTIVATIONS))?;
    let failed = |path: &Path, error| BackupError::File { path: path.to_owned(), error };
    let (from, to) = (from.join(COMPONENTS), to.join(COMPONENTS));
    DirBuilder::new().recursive(true).mode(0o700).create(&to).map_err(|e| failed(&to, e))?;
    let entries = match fs::read_dir(&from) {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(failed(&from, e)),
    };
    for entry in entries.flatten().filter(|entry| entry.path().extension().is_some_and(|end| end == "wasm")) {
        let to = to.join(entry.file_name());
        if !to.exists() {
            copy(&entry.path(), &to)?;
        }
    }
    Ok(())
}

/// Copies a file as it is now, mode 0600; one that is not there is left out.
fn copy(from: &Path, to: &Path) -> Result<(), BackupError> {
    let failed = |error| BackupError::File { path: from.to_owned(), error };
    let file = match File::open(from) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(failed(e)),
    };
    // The audit log may grow meanwhile.
    let bytes = file.metadata().map_err(failed)?.len();
    let mut copy = OpenOptions::new().create_new(true).write(true).mode(0o600).open(to).map_err(failed)?;
    io::copy(&mut file.take(bytes), &mut copy).map(drop).map_err(failed)
}

/// All files below a folder, by path.
fn packed(folder: &Path) -> io::Result<Vec<Packed>> {
    let (mut found, mut folders) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(at) = folders.pop() {
        for entry in fs::read_dir(at)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let (bytes, sha256) = summed(&path)?;
            let below = path.strip_prefix(folder).map_err(io::Error::other)?;
            found.push(Packed { path: below.to_string_lossy().into_owned(), bytes, sha256 });
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(found)
}
