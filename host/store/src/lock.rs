//! One process per SQLite folder: two that share one would each believe to be its only writer.

use std::fs::{File, OpenOptions, TryLockError};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::StoreError;

/// Name of the lock file in the data folder. It stays when the process ends; the lock does not.
const LOCK_FILE: &str = "store.lock";

/// Held while the database is open; the system releases it when the process dies, however it dies.
#[derive(Debug)]
pub(crate) struct Lock {
    _files: Vec<File>,
}

impl Lock {
    /// Locks the data folder, and the folder of the database file where it is another one.
    ///
    /// # Errors
    /// [`StoreError::InUse`] when another process (or another `Database` of this one) holds it.
    pub(crate) fn take(data: &Path, file: &Path) -> Result<Self, StoreError> {
        let mut files = vec![lock(&data.join(LOCK_FILE), data)?];
        let beside = file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        if !same_folder(data, beside) {
            let mut name = file.as_os_str().to_owned();
            name.push(".lock");
            files.push(lock(&PathBuf::from(name), file)?);
        }
        Ok(Self { _files: files })
    }
}

fn same_folder(a: &Path, b: &Path) -> bool {
    match (a.canonicalize(), b.canonicalize()) {
        (Ok(a), Ok(b)) => a == b,
        _ => false,
    }
}

fn lock(path: &Path, what: &Path) -> Result<File, StoreError> {
    let failed = |error: &std::io::Error| StoreError::open(path.display().to_string(), error);
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map_err(|error| failed(&error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::InUse { path: what.to_owned() }),
        Err(TryLockError::Error(error)) => Err(failed(&error)),
    }
}
