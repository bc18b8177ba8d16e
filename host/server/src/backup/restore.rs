//! Putting a backup into an empty data folder: all of it, checked, or nothing.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, BufReader},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};
use postern_store::Database;

use super::{DATABASE, KEYS, Manifest, Packed, Summing};
use crate::{
    config::Config,
    datadir::{DataDir, folder_of},
    plugins::Record,
};

/// Restores an archive into the data folder that a config names.
///
/// # Errors
/// The folder holds something, the archive is damaged or of a newer release: nothing is changed then.
pub fn run(archive: &Path, config: &Config) -> anyhow::Result<Manifest> {
    let named = || archive.display().to_string();
    let mut file = BufReader::new(File::open(archive).with_context(named)?);
    let manifest = Manifest::read(&mut file).with_context(named)?;
    let database = Database::file_of(&config.store_url).map_err(|e| config.error("store.url", e))?;
    match (&database, manifest.databases) {
        (Some(_), false) => {
            bail!("{}: its databases were on PostgreSQL, but store.url names a file", named())
        }
        (None, true) => bail!("{}: has SQLite databases, but store.url names PostgreSQL", named()),
        _ => {}
    }
    refuse_what_is_in_use(config, database.as_deref())?;
    let data = DataDir::open(&config.data)?;

    let aside = tempfile::Builder::new().prefix("restore-").tempdir_in(data.path());
    let aside = aside.with_context(|| data.path().display().to_string())?;
    unpack(archive, &manifest, aside.path()).with_context(named)?;
    let restored = aside.path().join(DATABASE);
    if manifest.databases {
        Database::check(&format!("sqlite:{}", restored.display())).with_context(named)?;
    }
    Record::read(&DataDir::activations_of(aside.path())).with_context(named)?;

    let mut places: BTreeMap<PathBuf, PathBuf> = BTreeMap::new();
    for entry in fs::read_dir(aside.path())? {
        let entry = entry?;
        places.insert(entry.path(), data.path().join(entry.file_name()));
    }
    if let Some(place) = database {
        places.insert(restored.clone(), place);
    }
    // A server that finds the rest without database or keys would make new ones. And the database, which may go to
    // another disk, is what may fail: before anything else is in its place.
    let mut places: Vec<_> = places.into_iter().collect();
    places.sort_by_key(|(from, _)| (*from != restored, !KEYS.iter().any(|key| from.ends_with(key))));
    for (from, to) in &places {
        put(from, to).with_context(|| to.display().to_string())?;
    }
    Ok(manifest)
}

/// What may stand in a data folder that counts as empty, beside the config and the policy.
const ALLOWED: [&str; 2] = ["lock", "lost+found"];

fn refuse_what_is_in_use(config: &Config, database: Option<&Path>) -> anyhow::Result<()> {
    let same = |path: &Path, other: &Path| {
        path.canonicalize().ok().zip(other.canonicalize().ok()).is_some_and(|(a, b)| a == b)
    };
    let ours = |path: &Path| {
        let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
        ALLOWED.contains(&name)
            || same(path, &config.policy)
            || config.file.as_deref().is_some_and(|file| same(path, file))
    };
    match fs::read_dir(&config.data) {
        Ok(entries) => {
            let mut entries = entries.flatten().map(|entry| entry.path());
            if let Some(path) = entries.find(|path| !ours(path)) {
                bail!(
                    "{}: a backup is restored into an empty data folder only, and this is there",
                    path.display()
                );
            }
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound => {}
        Err(e) => return Err(e).with_context(|| config.data.display().to_string()),
    }
    // What SQLite keeps beside a file is part of it: a log that was left there would be played into what is restored.
    let beside = |suffix| database.map(|file| beside(file, suffix));
    match ["", "-wal", "-shm", "-journal"].into_iter().filter_map(beside).find(|file| file.exists()) {
        Some(file) => bail!("{}: of the database's files, this is there already", file.display()),
        None => Ok(()),
    }
}

fn beside(file: &Path, suffix: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// Writes the files of an archive below a folder, mode 0600; all that the manifest has, as it has them, and no other.
fn unpack(archive: &Path, manifest: &Manifest, to: &Path) -> anyhow::Result<()> {
    let mut missing: BTreeMap<&str, &Packed> =
        manifest.files.iter().map(|file| (file.path.as_str(), file)).collect();
    let mut archive = tar::Archive::new(BufReader::new(File::open(archive)?));
    // The first is the manifest.
    for entry in archive.entries()?.skip(1) {
        let entry = entry.context("it is cut short or damaged")?;
        let path = entry.path()?.to_string_lossy().into_owned();
        let Some(file) = missing.remove(path.as_str()) else { bail!("{path:?} is not in its list") };
        // A sparse entry of a few bytes could fill the disk.
        if !entry.header().entry_type().is_file() || entry.size() != file.bytes {
            bail!("{path}: damaged, it is not as long as its list says");
        }
        let at = to.join(&file.path);
        if let Some(folder) = at.parent() {
            DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        }
        let mut written = OpenOptions::new().create_new(true).write(true).mode(0o600).open(&at)?;
        let mut content = Summing::new(entry);
        io::copy(&mut content, &mut written).with_context(|| path.clone())?;
        written.sync_all()?;
        let (bytes, sha256) = content.end();
        if bytes < file.bytes {
            bail!("it is cut short, in {path}");
        }
        if sha256 != file.sha256 {
            bail!("{path}: damaged, its SHA-256 is another");
        }
    }
    match missing.keys().next() {
        Some(path) => bail!("it is cut short: {path} is missing"),
        None => Ok(()),
    }
}

/// Moves what was checked to its place, whole or not at all; the database may be on another disk.
fn put(from: &Path, to: &Path) -> io::Result<()> {
    match fs::rename(from, to) {
        Err(e) if e.kind() == io::ErrorKind::CrossesDevices => copy_whole(from, to)?,
        done => done?,
    }
    File::open(folder_of(to))?.sync_all()
}

fn copy_whole(from: &Path, to: &Path) -> io::Result<()> {
    let mut file = tempfile::Builder::new().prefix(".restore-").tempfile_in(folder_of(to))?;
    io::copy(&mut File::open(from)?, &mut file)?;
    file.as_file().sync_all()?;
    file.persist_noclobber(to).map(drop).map_err(|e| e.error)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_copy_to_another_disk_is_whole_and_over_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        fs::write(&from, "all of it").unwrap();
        copy_whole(&from, &to).unwrap();
        assert_eq!(fs::read(&to).unwrap(), b"all of it");
        assert_eq!(fs::metadata(&to).unwrap().permissions().mode() & 0o777, 0o600);
        let refused = copy_whole(&from, &to).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2, "nothing else is left");
    }
}
