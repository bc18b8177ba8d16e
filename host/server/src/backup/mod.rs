//! `postern backup` and `postern restore`: what of a data folder is taken along. The server copies it aside while it
//! serves ([`make`]) and sends it as one archive; [`restore`] puts that into an empty data folder.

pub mod make;
pub mod restore;

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

use ring::digest::{Context, SHA256};
use serde::{Deserialize, Serialize};

/// This release's archives. A later format is refused.
const FORMAT: u32 = 1;

/// The first entry of an archive: what it holds.
const MANIFEST: &str = "backup.json";

/// The host's database in an archive, wherever the config has it.
const DATABASE: &str = "postern.db";

/// Bytes of the longest manifest that is read.
pub const MAX_MANIFEST: u64 = 16 << 20;

/// What an archive holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    format: u32,
    /// Version of the program that made it.
    pub version: String,
    /// When it was begun, in ms since the Unix epoch.
    pub made_at: u64,
    /// Whether the databases are in it; false: they are on a PostgreSQL server.
    pub databases: bool,
    /// The files, with their paths below the data folder.
    pub files: Vec<Packed>,
}

/// A file of an archive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Packed {
    /// Below the data folder.
    pub path: String,
    /// Its size.
    pub bytes: u64,
    /// SHA-256 of its content, in hex.
    pub sha256: String,
}

impl Manifest {
    /// Reads an archive's.
    ///
    /// # Errors
    /// It is no archive of ours, or one of a later format.
    pub fn read(archive: impl Read) -> io::Result<Self> {
        let mut archive = tar::Archive::new(archive);
        let first = archive.entries()?.next().ok_or_else(no_backup)?.map_err(|_| no_backup())?;
        Manifest::of(first)
    }

    fn of(entry: tar::Entry<'_, impl Read>) -> io::Result<Self> {
        if entry.path()? != Path::new(MANIFEST) {
            return Err(no_backup());
        }
        // Of a later format perhaps, with keys that are not known here.
        let value: serde_json::Value =
            serde_json::from_reader(entry.take(MAX_MANIFEST)).map_err(|_| no_backup())?;
        match value.get("format").and_then(serde_json::Value::as_u64) {
            Some(format) if format == u64::from(FORMAT) => {}
            Some(format) => {
                let what =
                    format!("a backup of format {format}, this release knows {FORMAT}: use a newer release");
                return Err(io::Error::other(what));
            }
            None => return Err(no_backup()),
        }
        let manifest: Manifest = serde_json::from_value(value).map_err(|_| no_backup())?;
        let odd = manifest.files.iter().find(|file| !is_ours(&file.path));
        match odd {
            Some(file) => Err(io::Error::other(format!("{:?} is nothing that a backup holds", file.path))),
            None => Ok(manifest),
        }
    }

    /// Whether the master key is in it; a config may have it instead.
    pub fn has_master_key(&self) -> bool {
        self.files.iter().any(|file| file.path == "master.key")
    }

    /// Bytes of all files.
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }
}

fn no_backup() -> io::Error {
    io::Error::other("not a backup made by `postern backup`")
}

/// Files of the data folder itself that are taken along where they are there. Not the compiled plugins, which are made
/// anew, and not the locks.
const FILES: [&str; 4] = ["node", "audit.log", "development-ca.pem", "development-cert.pem"];
/// Those that are taken along only when they are asked for (rule 11).
const KEYS: [&str; 2] = ["master.key", "development-key.pem"];
const ACTIVATIONS: &str = "activations.json";
const COMPONENTS: &str = "components";

/// Whether a backup holds such a path. Whoever can write a backup could otherwise put anything into the data folder: a
/// policy, or machine code in the place of a compiled plugin.
fn is_ours(path: &str) -> bool {
    let stem = |folder: &str, end: &str| path.strip_prefix(folder)?.strip_prefix('/')?.strip_suffix(end);
    let is_digest = |name: &str| name.len() == 64 && name.bytes().all(|b| b.is_ascii_hexdigit());
    FILES.contains(&path)
        || KEYS.contains(&path)
        || [ACTIVATIONS, DATABASE].contains(&path)
        || stem("plugins", ".db").is_some_and(postern_store::is_plugin_name)
        || stem(COMPONENTS, ".wasm").is_some_and(is_digest)
}

/// Reads to the end, and tells how much it was and its SHA-256 in hex.
struct Summing<R> {
    from: R,
    sum: Context,
    bytes: u64,
}

impl<R: Read> Summing<R> {
    fn new(from: R) -> Self {
        Summing { from, sum: Context::new(&SHA256), bytes: 0 }
    }

    fn end(self) -> (u64, String) {
        let sum = self.sum.finish();
        (self.bytes, sum.as_ref().iter().map(|byte| format!("{byte:02x}")).collect())
    }
}

impl<R: Read> Read for Summing<R> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let read = self.from.read(to)?;
        self.sum.update(to.get(..read).unwrap_or_default());
        self.bytes += read as u64;
        Ok(read)
    }
}

/// Size and SHA-256 of a file.
fn summed(file: &Path) -> io::Result<(u64, String)> {
    let mut reading = Summing::new(File::open(file)?);
    io::copy(&mut reading, &mut io::sink())?;
    Ok(reading.end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_backup_holds_is_restored() {
        let component = format!("components/{}.wasm", "0a".repeat(32));
        for path in ["master.key", "activations.json", "postern.db", "plugins/store-sql.db", &component] {
            assert!(is_ours(path), "{path}");
        }
        for path in [
            "",
            "/etc/passwd",
            "../x",
            "plugins/../../x.db",
            "plugins/../x.db",
            "./node",
            "policy.toml",
            "postern.toml",
            "plugin-cache/a.cwasm",
            "components/a.wasm",
            "admin.sock",
        ] {
            assert!(!is_ours(path), "{path}");
        }
    }
}
