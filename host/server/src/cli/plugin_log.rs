//! `postern plugin logs`.

use super::{
    client::AdminClient,
    plugins::path,
    print::{self, printable},
};
use crate::admin::{
    path_segment,
    wire::{LogPage, LogView},
};

/// Prints the last lines of a plugin, and with `follow` what comes after them.
pub(super) async fn print(
    server: &AdminClient,
    name: &str,
    level: Option<&str>,
    follow: bool,
) -> anyhow::Result<()> {
    let level = level.map(|level| format!("&level={}", path_segment(level))).unwrap_or_default();
    let mut after = 0;
    loop {
        let wait = follow && after > 0;
        let page: LogPage =
            server.get(&path(name, &format!("/logs?after={after}&wait={wait}{level}"))).await?;
        for LogView { seq, at, level, text, id } in &page.lines {
            after = after.max(*seq);
            if server.json {
                let line =
                    serde_json::json!({ "seq": seq, "at": at, "level": level, "text": text, "id": id });
                print::line(&serde_json::to_string(&line)?)?;
            } else {
                let id = id.as_ref().map(|id| format!(" id={}", printable(id))).unwrap_or_default();
                print::line(&format!("{} {level:5} {}{id}", print::time(*at), printable(text)))?;
            }
        }
        if !follow {
            return Ok(());
        }
        after = after.max(1); // from now on it waits
    }
}
