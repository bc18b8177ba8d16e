//! The data folder: what this node keeps, and the lock that keeps a second node out of it.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

/// What can be wrong with the data folder.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// Another process holds it.
    #[error("{0}: another postern runs on this data folder (key data)")]
    Taken(PathBuf),
    /// It cannot be used.
    #[error("{0}: {1} (key data)")]
    Unusable(PathBuf, io::Error),
}

/// The data folder of a running node; locked until dropped.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    /// The kernel drops the lock with the process, so a crash leaves none behind.
    _lock: File,
}

impl DataDir {
    /// Makes the folder when it is missing (mode 0700) and locks it.
    ///
    /// # Errors
    /// Another process has it, or it cannot be written.
    pub fn open(path: &Path) -> Result<Self, DataError> {
        let unusable = |path: &Path, e| DataError::Unusable(path.to_owned(), e);
        DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(|e| unusable(path, e))?;
        let file = path.join("lock");
        let lock = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&file);
        let lock = lock.map_err(|e| unusable(&file, e))?;
        match lock.try_lock() {
            Ok(()) => Ok(DataDir { path: path.to_owned(), _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(DataError::Taken(file)),
            Err(TryLockError::Error(e)) => Err(unusable(&file, e)),
        }
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The master key, from which all keys are derived (rule 11); mode 0600.
    pub fn master_key(&self) -> PathBuf {
        self.path.join("master.key")
    }

    /// This node's name among those that share a database, made at first need: it finds its sessions
    /// again by it.
    ///
    /// # Errors
    /// The file cannot be read or written.
    pub fn node_name(&self) -> Result<String, DataError> {
        let path = self.path.join("node");
        let unusable = |e| DataError::Unusable(path.clone(), e);
        match fs::read_to_string(&path) {
            Ok(name) if !name.trim().is_empty() => return Ok(name.trim().to_owned()),
            Ok(_) => {}
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(unusable(e)),
        }
        let name = ulid::Ulid::new().to_string();
        let file = OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&path);
        let mut file = file.map_err(unusable)?;
        file.write_all(name.as_bytes()).and_then(|()| file.sync_all()).map_err(unusable)?;
        Ok(name)
    }

    /// Precompiled plugins.
    pub fn plugin_cache(&self) -> PathBuf {
        self.path.join("plugin-cache")
    }

    /// The plugins that serve, or did before, by digest.
    pub fn components(&self) -> PathBuf {
        DataDir::components_of(&self.path)
    }

    /// The same before the folder is opened.
    pub fn components_of(data: &Path) -> PathBuf {
        data.join("components")
    }

    /// Which plugin was activated for which role.
    pub fn activations(&self) -> PathBuf {
        DataDir::activations_of(&self.path)
    }

    /// The same before the folder is opened.
    pub fn activations_of(data: &Path) -> PathBuf {
        data.join("activations.json")
    }

    /// Every admin act.
    pub fn audit_log(&self) -> PathBuf {
        self.path.join("audit.log")
    }

    /// The development certificate.
    pub fn development(&self) -> DevelopmentFiles {
        DevelopmentFiles::of(&self.path)
    }
}

/// The files of the development certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DevelopmentFiles {
    /// What clients are given to trust.
    pub ca: PathBuf,
    /// The server's certificate.
    pub certificate: PathBuf,
    /// Its key, mode 0600.
    pub key: PathBuf,
}

impl DevelopmentFiles {
    /// Those of a data folder.
    pub fn of(data: &Path) -> Self {
        DevelopmentFiles {
            ca: data.join("development-ca.pem"),
            certificate: data.join("development-cert.pem"),
            key: data.join("development-key.pem"),
        }
    }
}

/// Writes a file that is whole or not there: beside it first, synced, then renamed.
///
/// # Errors
/// The disk's.
pub fn write_whole(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let beside = path.with_file_name(name);
    // A leftover may have another mode, and `mode` is for new files only.
    match fs::remove_file(&beside) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    let mut file = OpenOptions::new().create_new(true).write(true).mode(mode).open(&beside)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&beside, path)?;
    File::open(folder_of(path))?.sync_all()
}

/// The folder that a file is in.
pub fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_data_folder_has_one_owner() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("data");
        let first = DataDir::open(&path).unwrap();
        let told = DataDir::open(&path).unwrap_err().to_string();
        assert!(told.contains("another postern") && told.contains("data/lock"), "{told}");
        drop(first);
        DataDir::open(&path).unwrap();
    }

    #[test]
    fn a_file_is_written_whole_and_private() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("k");
        fs::write(dir.path().join("k.new"), "leftover").unwrap();
        write_whole(&path, b"one", 0o600).unwrap();
        write_whole(&path, b"two", 0o600).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
}
