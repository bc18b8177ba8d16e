//! The server as /proc, its data folder and /metrics show it, sample by sample.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::ground::Ground;

/// Clock ticks a second in /proc: `USER_HZ`, 100 on every Linux that Rust's std supports.
const TICKS_A_SECOND: f64 = 100.0;

/// At one moment.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Sample {
    /// Seconds since the load began.
    pub(crate) at: f64,
    /// Resident, KiB; and of that heap and stacks.
    pub(crate) rss_kib: f64,
    pub(crate) anon_kib: f64,
    /// Open descriptors; and of those what is no socket.
    pub(crate) descriptors: f64,
    pub(crate) files: f64,
    pub(crate) threads: f64,
    /// Microseconds of a 4 KiB write and its fdatasync, beside the data folder.
    #[serde(default)]
    pub(crate) sync_micros: f64,
    /// CPU seconds so far.
    pub(crate) cpu_secs: f64,
    /// CPU seconds that the machine wanted so far, and another on the same hardware had (proc(5), steal).
    pub(crate) stolen_secs: f64,
    /// Bytes that the server has had written to disks so far.
    pub(crate) written: f64,
    /// Bytes of each file of the data folder and of its plugins' folder, by name.
    pub(crate) data: BTreeMap<String, f64>,
    /// /metrics.
    pub(crate) metrics: BTreeMap<String, f64>,
}

/// Looks.
pub(crate) fn take(ground: &Ground, at: f64) -> Result<Sample> {
    let id = ground.server.id();
    let status = fs::read_to_string(format!("/proc/{id}/status")).context("the server is gone")?;
    let of = |key: &str| -> Result<f64> {
        let line = status.lines().find_map(|line| line.strip_prefix(key)).context("/proc/ID/status")?;
        Ok(line.trim().trim_end_matches(" kB").parse()?)
    };
    let stat = fs::read_to_string(format!("/proc/{id}/stat"))?;
    let (_, after_name) = stat.rsplit_once(')').context("/proc/ID/stat")?;
    let ticks = after_name.split_whitespace().skip(11).take(2).map(str::parse::<f64>);
    let (descriptors, files) = descriptors(id)?;
    Ok(Sample {
        at,
        rss_kib: of("VmRSS:")?,
        anon_kib: of("RssAnon:")?,
        threads: of("Threads:")?,
        descriptors,
        files,
        sync_micros: sync_micros(&ground.folder)?,
        cpu_secs: ticks.sum::<Result<f64, _>>()? / TICKS_A_SECOND,
        stolen_secs: field("/proc/stat", "cpu ", 7)? / TICKS_A_SECOND,
        written: field(&format!("/proc/{id}/io"), "write_bytes:", 0)?,
        data: sizes(&ground.folder.join("data"))?,
        metrics: metrics(ground.server.address("health")?)?,
    })
}

/// A number of the line that begins so.
fn field(file: &str, key: &str, at: usize) -> Result<f64> {
    let text = fs::read_to_string(file).with_context(|| file.to_owned())?;
    let line = text.lines().find_map(|line| line.strip_prefix(key));
    let field = line.and_then(|line| line.split_whitespace().nth(at)).with_context(|| file.to_owned())?;
    Ok(field.parse()?)
}

impl Sample {
    /// Bytes of all files whose names end so.
    pub(crate) fn bytes(&self, ending: &str) -> f64 {
        bytes(&self.data, ending)
    }
}

/// Bytes of all files whose names end so.
pub(crate) fn bytes(data: &BTreeMap<String, f64>, ending: &str) -> f64 {
    data.iter().filter(|(name, _)| name.ends_with(ending)).map(|(_, bytes)| bytes).sum()
}

fn sync_micros(folder: &Path) -> Result<f64> {
    let mut file = fs::File::create(folder.join("fdatasync"))?;
    let begun = Instant::now();
    file.write_all(&[0x5a; 4096])?;
    file.sync_data()?;
    Ok(begun.elapsed().as_secs_f64() * 1e6)
}

fn descriptors(id: u32) -> Result<(f64, f64)> {
    let (mut all, mut files) = (0_u32, 0_u32);
    for entry in fs::read_dir(format!("/proc/{id}/fd"))? {
        // One that is closed meanwhile is none.
        let Ok(target) = fs::read_link(entry?.path()) else { continue };
        all += 1;
        files += u32::from(!target.to_string_lossy().starts_with("socket:"));
    }
    Ok((all.into(), files.into()))
}

/// Bytes of each file of a data folder, by its path in it.
pub(crate) fn sizes(folder: &Path) -> Result<BTreeMap<String, f64>> {
    let mut sizes = BTreeMap::new();
    for place in ["", "plugins"] {
        let folder = folder.join(place);
        for entry in fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
            let entry = entry?;
            // One that is removed meanwhile has no size.
            if let Ok(about) = entry.metadata()
                && about.is_file()
            {
                let name = Path::new(place).join(entry.file_name());
                sizes.insert(name.to_string_lossy().into_owned(), about.len() as f64);
            }
        }
    }
    Ok(sizes)
}

/// All but the buckets.
fn metrics(address: &str) -> Result<BTreeMap<String, f64>> {
    let mut stream = TcpStream::connect(address)?;
    stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n")?;
    let mut page = String::new();
    stream.read_to_string(&mut page)?;
    let (_, lines) = page.split_once("\r\n\r\n").context("/metrics")?;
    let known = lines.lines().filter(|line| !line.starts_with('#') && !line.contains("_bucket{"));
    let value = |line: &str| {
        let (name, value) = line.rsplit_once(' ')?;
        Some((name.to_owned(), value.parse().ok()?))
    };
    Ok(known.filter_map(value).collect())
}
