//! The audit log: who did what, in lines of JSON that are only ever appended.
//!
//! An act is written down before it is done and once more when its outcome is known, so that a
//! crash between the two leaves a trace. What cannot be written down is not done.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use parking_lot::Mutex;
use serde::Serialize;
use time::OffsetDateTime;
use ulid::Ulid;

/// The open log.
#[derive(Clone, Debug)]
pub struct Audit {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    file: Mutex<File>,
}

#[derive(Serialize)]
struct Begin<'a> {
    id: &'a str,
    at: String,
    by: &'a str,
    act: &'a str,
    target: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    detail: &'a str,
}

#[derive(Serialize)]
struct End<'a> {
    id: &'a str,
    at: String,
    outcome: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    detail: &'a str,
}

/// An act that was begun; say how it ended.
#[must_use = "an act has an outcome"]
pub struct Act {
    audit: Audit,
    id: String,
}

impl Audit {
    /// Opens the log for appending; it is made when missing, mode 0600.
    ///
    /// # Errors
    /// The disk's.
    pub fn open(path: &Path) -> io::Result<Self> {
        let mut file = OpenOptions::new().create(true).read(true).append(true).mode(0o600).open(path)?;
        let mut last = [b'\n'];
        if file.metadata()?.len() > 0 {
            file.seek(SeekFrom::End(-1))?;
            file.read_exact(&mut last)?;
        }
        // A line that a crash has cut short must not take the next one with it.
        if last != *b"\n" {
            file.write_all(b"\n")?;
        }
        Ok(Audit { inner: Arc::new(Inner { path: path.to_owned(), file: Mutex::new(file) }) })
    }

    /// Writes down what is about to be done. `detail` holds no secret.
    ///
    /// # Errors
    /// It could not be written: do not do it.
    pub async fn begin(&self, by: &str, act: &str, target: &str, detail: &str) -> io::Result<Act> {
        let id = Ulid::new().to_string();
        self.append(&Begin { id: &id, at: timestamp(), by, act, target, detail }).await?;
        Ok(Act { audit: self.clone(), id })
    }

    async fn append(&self, line: &impl Serialize) -> io::Result<()> {
        let mut line = serde_json::to_vec(line)?;
        line.push(b'\n');
        let inner = self.inner.clone();
        let written = tokio::task::spawn_blocking(move || {
            let mut file = inner.file.lock();
            // One write with O_APPEND: lines of several writers do not mix.
            let before = file.metadata()?.len();
            let written = file.write_all(&line);
            if written.is_err() {
                // What a full disk took of it: the act is refused, and the next line begins a line.
                file.set_len(before)?;
            }
            written.and_then(|()| file.sync_data())
        });
        written.await.map_err(io::Error::other)?
    }
}

impl Act {
    /// Writes down how it ended.
    pub async fn end(self, outcome: &str, detail: &str) {
        let line = End { id: &self.id, at: timestamp(), outcome, detail };
        if let Err(e) = self.audit.append(&line).await {
            // The act is done and its beginning is on record; only the outcome is missing.
            tracing::error!(file = %self.audit.inner.path.display(), error = %e, outcome, "audit log");
        }
    }
}

/// Now, after RFC 3339, in UTC.
fn timestamp() -> String {
    let now = OffsetDateTime::now_utc();
    format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z",
        now.year(),
        u8::from(now.month()),
        now.day(),
        now.hour(),
        now.minute(),
        now.second(),
        now.millisecond()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn acts_are_appended_as_lines() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("audit.log");
        for target in ["one", "two\nthree"] {
            let audit = Audit::open(&path).unwrap();
            let act = audit.begin("uid:0", "client.kick", target, "").await.unwrap();
            act.end("done", "").await;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<serde_json::Value> = text.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
        assert_eq!(lines.len(), 4);
        assert_eq!(lines[0]["act"], "client.kick");
        assert_eq!(lines[2]["target"], "two\nthree");
        assert_eq!(lines[2]["id"], lines[3]["id"]);
        assert_eq!(lines[3]["outcome"], "done");
    }

    #[tokio::test]
    async fn a_line_that_was_cut_short_takes_no_other_with_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("audit.log");
        std::fs::write(&path, "{\"id\":\"cut").unwrap();
        let audit = Audit::open(&path).unwrap();
        drop(audit.begin("uid:0", "client.kick", "one", "").await.unwrap());
        let text = std::fs::read_to_string(&path).unwrap();
        let last: serde_json::Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
        assert_eq!((text.lines().count(), &last["act"]), (2, &"client.kick".into()));
    }
}
