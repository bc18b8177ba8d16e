//! `postern backup` of a running server, `postern restore` into an empty data folder.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufReader, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use anyhow::{Context, bail};
use serde_json::json;

use super::{client::AdminClient, print};
use crate::{
    backup::{Manifest, restore},
    config::Config,
};

/// Has a server send a backup, and writes it, mode 0600, whole or not at all; `-` is stdout.
pub(super) async fn make(client: &AdminClient, file: &Path, with_keys: bool) -> anyhow::Result<()> {
    let what = if with_keys { "/v1/backup?keys=true" } else { "/v1/backup" };
    if file == Path::new("-") {
        return client.download(what, &mut io::stdout().lock()).await;
    }
    let named = || file.display().to_string();
    if file.symlink_metadata().is_ok() {
        bail!("{}: is there already, and is not written over", named());
    }
    let mut beside = file.as_os_str().to_owned();
    beside.push(".part");
    let beside = Path::new(&beside);
    let mut part = OpenOptions::new().create_new(true).write(true).mode(0o600).open(beside);
    let part = part.as_mut().map_err(|e| anyhow::anyhow!("{}: {e}", beside.display()))?;
    let written = async {
        client.download(what, part).await?;
        part.sync_all().with_context(named)?;
        let manifest = Manifest::read(BufReader::new(File::open(beside)?)).with_context(named)?;
        // Not over one that came meanwhile.
        fs::hard_link(beside, file).with_context(named)?;
        anyhow::Ok(manifest)
    };
    let written = written.await;
    fs::remove_file(beside).with_context(|| beside.display().to_string())?;
    let manifest = written?;
    if !manifest.databases {
        eprintln!("{ON_POSTGRES}");
    }
    told(client.json, "written", file, &manifest)
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
