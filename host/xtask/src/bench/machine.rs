//! What it ran on.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result};

use crate::sh;

/// Writes with fdatasync.
const SYNCS: usize = 200;

/// The machine in lines of `what: value`.
pub(crate) fn describe(root: &Path) -> Result<Vec<(&'static str, String)>> {
    let of = |program: &str, words: &[&str]| {
        sh::output(Command::new(program).args(words).current_dir(root)).unwrap_or_default()
    };
    let line = |file: &str, key: &str| -> String {
        let text = fs::read_to_string(file).unwrap_or_default();
        let value = text.lines().find_map(|line| line.strip_prefix(key)?.split_once(':'));
        value.map(|(_, value)| value.trim().to_owned()).unwrap_or_default()
    };
    let cores = std::thread::available_parallelism().context("cores")?;
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().unwrap_or_default().to_owned();
    let changed = if of("git", &["status", "--porcelain", "--untracked-files=no"]).is_empty() {
        ""
    } else {
        ", changed since"
    };
    Ok(vec![
        ("processor", format!("{}, {cores} cores", line("/proc/cpuinfo", "model name"))),
        ("memory", line("/proc/meminfo", "MemTotal")),
        (
            "kernel",
            format!("Linux {}", fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim()),
        ),
        ("file system of the data folder", of("stat", &["-f", "-c", "%T", "."])),
        ("compiler", of("rustc", &["--version"])),
        ("peer", peer_version()),
        ("commit", format!("{}{changed}", of("git", &["rev-parse", "--short", "HEAD"]))),
        ("date", of("date", &["-u", "+%F"])),
        ("load average before it began", load),
        ("priority", priority()),
    ])
}

/// A run on a machine that has other work to do may be given more weight, and says so.
fn priority() -> String {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let nice = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(16)).unwrap_or("0");
    let group = fs::read_to_string("/proc/self/autogroup").unwrap_or_default();
    let group = group.trim().rsplit(' ').next().unwrap_or("0");
    match (nice, group) {
        ("0", "0" | "") => "as every process".to_owned(),
        _ => format!("nice {nice}, scheduling group {group}"),
    }
}

fn peer_version() -> String {
    let output = Command::new("/usr/sbin/mosquitto").arg("-h").output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    text.lines().next().unwrap_or("none").to_owned()
}

/// Microseconds of a 4 KiB write and its fdatasync: the median of 200, in a folder's file system.
pub(super) fn fdatasync_micros(folder: &Path) -> Result<f64> {
    let path = folder.join("fdatasync");
    let mut file = File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
    let mut micros = Vec::with_capacity(SYNCS);
    for _ in 0..SYNCS {
        let begun = Instant::now();
        file.write_all(&[0x5a; 4096])?;
        file.sync_data()?;
        micros.push(begun.elapsed().as_secs_f64() * 1e6);
    }
    fs::remove_file(&path)?;
    micros.sort_unstable_by(f64::total_cmp);
    micros.get(SYNCS / 2).copied().context("no samples")
}
