//! Ctrl-C ends what a measurement has started.

use std::process::Command;

use anyhow::{Context, Result};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// From now on SIGINT, SIGTERM and SIGHUP end our children, and then us.
pub(crate) fn ends_children() -> Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP]).context("cannot listen for signals")?;
    std::thread::spawn(move || {
        if let Some(signal) = signals.forever().next() {
            // Twice: one may have been about to start.
            for _ in 0..2 {
                let ids = children();
                if !ids.is_empty() {
                    Command::new("kill").arg("-KILL").args(ids).status().ok();
                }
            }
            std::process::exit(128 + signal);
        }
    });
    Ok(())
}

/// The processes whose parent we are: field 4 of /proc/ID/stat (proc(5)).
fn children() -> Vec<String> {
    let own = std::process::id().to_string();
    let is_ours = |id: &String| {
        let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
        stat.rsplit_once(") ").and_then(|(_, rest)| rest.split(' ').nth(1)) == Some(own.as_str())
    };
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let ids = entries.filter_map(|entry| entry.file_name().into_string().ok());
    ids.filter(|id| id.bytes().all(|byte| byte.is_ascii_digit())).filter(is_ours).collect()
}
