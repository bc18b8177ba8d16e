//! `postern backup` of a running server, `postern restore` into an empty data folder.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufReader, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use anyhow::{Context, anyhow, bail};
use serde_json::json;

use super::{client::AdminClient, print};
use crate::{
    backup::{MAX_MANIFEST, Manifest, restore},
    config::Config,
    signals::Stop,
};

/// Has a server send a backup, and writes it, mode 0600, whole or not at all; `-` is stdout.
pub(super) async fn make(client: &AdminClient, file: &Path, with_keys: bool) -> anyhow::Result<()> {
    let what = if with_keys { "/v1/backup?keys=true" } else { "/v1/backup" };
    if file == Path::new("-") {
        let mut out = Beginning { of: io::stdout().lock(), kept: Vec::new() };
        client.download(what, &mut out).await?;
        return Manifest::read(&*out.kept).map(warn_of_postgres).map(drop).context("what was sent");
    }
    let named = || file.display().to_string();
    if file.symlink_metadata().is_ok() {
        bail!("{}: is there already, and is not written over", named());
    }
    let mut beside = file.as_os_str().to_owned();
    beside.push(".part");
    let beside = Path::new(&beside);
    let mut stop = Stop::catch().context("signals")?;
    let mut part = OpenOptions::new().create_new(true).write(true).mode(0o600).open(beside);
    let part = part.as_mut().map_err(|e| anyhow!("{}: {e}", beside.display()))?;
    let written = async {
        client.download(what, part).await?;
        part.sync_all().with_context(named)?;
        let manifest = Manifest::read(BufReader::new(File::open(beside)?)).with_context(named)?;
        // Not over one that came meanwhile.
        fs::hard_link(beside, file).with_context(named)?;
        anyhow::Ok(manifest)
    };
    let written = tokio::select! {
        written = written => written,
        () = stop.wanted() => Err(anyhow!("{}: not written, for a signal came", named())),
    };
    fs::remove_file(beside).with_context(|| beside.display().to_string())?;
    let manifest = warn_of_postgres(written?);
    told(client.json, "written", file, &manifest)
}

/// The manifest comes first in an archive, behind a header of its own.
const BEGINNING: usize = MAX_MANIFEST as usize + 512;

/// Keeps the beginning of what goes through.
struct Beginning<W> {
    of: W,
    kept: Vec<u8>,
}

impl<W: Write> Write for Beginning<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.of.write(bytes)?;
        let room = BEGINNING - self.kept.len();
        self.kept.extend_from_slice(bytes.get(..written.min(room)).unwrap_or_default());
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.of.flush()
    }
}

fn warn_of_postgres(manifest: Manifest) -> Manifest {
    if !manifest.databases {
        eprintln!("{ON_POSTGRES}");
    }
    manifest
}

const ON_POSTGRES: &str = "The databases are on PostgreSQL and not in this file: take them with pg_dump, all schemas in one \
    run (docs/operate/backup.md).";

/// Puts a backup into the data folder of a config.
pub(super) fn restore(file: &Path, config: Option<&Path>, json: bool) -> anyhow::Result<()> {
    let config = Config::load(config)?;
    let manifest = restore::run(file, &config)?;
    if !manifest.has_master_key() && config.master_key.is_none() {
        eprintln!(
            "The backup holds no master key: put the server's into {}, or set keys.master.",
            config.data.join("master.key").display()
        );
    }
    told(json, "restored", &config.data, &manifest)
}

fn told(json: bool, done: &str, place: &Path, manifest: &Manifest) -> anyhow::Result<()> {
    let (files, bytes, at) = (manifest.files.len(), manifest.bytes(), print::time(manifest.made_at));
    if json {
        let place = place.display().to_string();
        let databases = manifest.databases;
        return print::json(
            &json!({ done: place, "files": files, "bytes": bytes, "made_at": at, "databases": databases }),
        );
    }
    let _ = io::stdout().flush();
    print::line(&format!(
        "{}: {done}, {files} files of {} KiB, as of {at}",
        place.display(),
        bytes.div_ceil(1024)
    ))
}
