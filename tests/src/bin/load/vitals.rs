//! What a process uses, as /proc tells it (proc(5)).

use anyhow::{Context, Result};

/// Clock ticks a second in /proc: `USER_HZ`, 100 on every Linux that Rust's std supports.
const TICKS_A_SECOND: f64 = 100.0;

/// CPU seconds of a process and its threads, user and system: fields 14 and 15 of /proc/ID/stat.
pub(crate) fn cpu_secs(process: &str) -> Result<f64> {
    let file = format!("/proc/{process}/stat");
    let text = std::fs::read_to_string(&file).context(file)?;
    let (_, after_name) = text.rsplit_once(')').context("/proc/ID/stat")?;
    let ticks = after_name.split_whitespace().skip(11).take(2).map(str::parse::<f64>);
    Ok(ticks.sum::<Result<f64, _>>()? / TICKS_A_SECOND)
}

/// Memory of a process, KiB.
#[derive(Clone, Copy, Default, serde::Serialize)]
pub(crate) struct Memory {
    /// Resident, with the program's own pages.
    pub(crate) rss_kib: f64,
    /// Resident and anonymous: heap and stacks.
    pub(crate) rss_anon_kib: f64,
}

/// What of a process is in memory now.
pub(crate) fn memory(process: u32) -> Result<Memory> {
    let file = format!("/proc/{process}/status");
    let text = std::fs::read_to_string(&file).context(file)?;
    let of = |key: &str| -> Result<f64> {
        let line = text.lines().find_map(|line| line.strip_prefix(key)).context("/proc/ID/status")?;
        Ok(line.trim().trim_end_matches(" kB").parse()?)
    };
    Ok(Memory { rss_kib: of("VmRSS:")?, rss_anon_kib: of("RssAnon:")? })
}
