//! The commands that were begun, and how they ended: on disk before anything happens.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};
use serde::{Deserialize, Serialize};

use crate::message::{CommandId, Outcome, Report};
use crate::rules::{Known, may_forget};
use crate::state::{replace, sync_folder};

/// Lines of forgotten commands that the file may hold before it is written anew.
const SPARE_LINES: usize = 1000;

/// A line of the file. Command ids are 32 hex digits, bodies base64.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Line {
    Begun { id: String, must_encrypt: bool, expires_at: u64 },
    Finished { id: String, outcome: Outcome, body: String },
    Reported { id: String },
}

/// What is known of one command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its report goes out on TLS only.
    pub must_encrypt: bool,
    /// Milliseconds since 1970 by the server's clock.
    pub expires_at: u64,
    /// How it ended, and the body of the result. `None`: only that it began.
    pub end: Option<(Outcome, Vec<u8>)>,
    /// The server has taken the result, or never will.
    pub reported: bool,
}

/// An append-only file. Each change is synced before the call returns.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: File,
    entries: BTreeMap<CommandId, Entry>,
    lines: usize,
}

impl Journal {
    /// Opens or makes the file, drops a last line that a crash has torn, and forgets what is old at `now_ms`.
    ///
    /// # Errors
    /// When the file cannot be read or written, or another line than the last is broken.
    pub fn open(path: &Path, now_ms: u64) -> io::Result<Self> {
        let bytes = match std::fs::read(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            read => read?,
        };
        // What comes after the last line's end was being written when the power failed: nothing was done after it.
        let whole = bytes.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
        let mut entries = BTreeMap::new();
        let mut lines = 0;
        for line in bytes.get(..whole).unwrap_or_default().split(|&byte| byte == b'\n') {
            if !line.is_empty() {
                apply(&mut entries, serde_json::from_slice(line)?)?;
                lines += 1;
            }
        }
        let file = OpenOptions::new().create(true).append(true).mode(0o600).open(path)?;
        file.set_len(u64::try_from(whole).map_err(io::Error::other)?)?;
        file.sync_all()?;
        sync_folder(path)?;
        let mut journal = Journal { path: path.to_owned(), file, entries, lines };
        journal.forget(now_ms)?;
        Ok(journal)
    }

    /// What is known of this id, by the journal alone.
    pub fn known(&self, id: CommandId) -> Known {
        match self.entries.get(&id) {
            None => Known::No,
            Some(Entry { end: None, .. }) => Known::Begun,
            Some(_) => Known::Finished,
        }
    }

    /// A command's entry.
    pub fn entry(&self, id: CommandId) -> Option<&Entry> {
        self.entries.get(&id)
    }

    /// The commands whose results the server has not taken.
    pub fn unreported(&self) -> Vec<CommandId> {
        self.entries.iter().filter(|(_, entry)| !entry.reported).map(|(id, _)| *id).collect()
    }

    /// What to report of a command: [`Outcome::Unknown`] if only its beginning is known.
    pub fn report(&self, id: CommandId) -> Option<Report> {
        let entry = self.entries.get(&id)?;
        let (outcome, body) = entry.end.clone().unwrap_or((Outcome::Unknown, Vec::new()));
        Some(Report { id, outcome, body })
    }

    /// The command is going to be executed, at `now_ms` by the server's clock.
    ///
    /// # Errors
    /// When it is not on disk: do not act.
    pub fn begun(
        &mut self,
        id: CommandId,
        must_encrypt: bool,
        expires_at: u64,
        now_ms: u64,
    ) -> io::Result<()> {
        self.forget(now_ms)?;
        self.append(Line::Begun { id: id.to_string(), must_encrypt, expires_at })
    }

    /// The command ended so.
    ///
    /// # Errors
    /// When it is not on disk.
    pub fn finished(&mut self, id: CommandId, outcome: Outcome, body: &[u8]) -> io::Result<()> {
        self.append(Line::Finished { id: id.to_string(), outcome, body: STANDARD_NO_PAD.encode(body) })
    }

    /// The server has taken the result, or says that it never will.
    ///
    /// # Errors
    /// When it is not on disk.
    pub fn reported(&mut self, id: CommandId) -> io::Result<()> {
        if self.entries.get(&id).is_none_or(|entry| entry.reported) {
            return Ok(());
        }
        self.append(Line::Reported { id: id.to_string() })
    }

    /// The server asks again: the result waits for its acknowledgement anew. In memory only.
    pub fn report_again(&mut self, id: CommandId) {
        if let Some(entry) = self.entries.get_mut(&id) {
            entry.reported = false;
        }
    }

    fn append(&mut self, line: Line) -> io::Result<()> {
        write_line(&mut self.file, &line)?;
        self.file.sync_data()?;
        self.lines += 1;
        apply(&mut self.entries, line)
    }

    /// Drops what is old, and writes the file anew when most of it is old.
    fn forget(&mut self, now_ms: u64) -> io::Result<()> {
        self.entries.retain(|_, entry| !may_forget(entry.expires_at, now_ms));
        if self.lines <= SPARE_LINES + 3 * self.entries.len() {
            return Ok(());
        }
        let mut bytes = Vec::new();
        self.lines = 0;
        for (id, entry) in &self.entries {
            for line in lines(*id, entry) {
                write_line(&mut bytes, &line)?;
                self.lines += 1;
            }
        }
        replace(&self.path, &bytes)?;
        self.file = OpenOptions::new().append(true).open(&self.path)?;
        Ok(())
    }
}

/// The lines that say what `entry` says.
fn lines(id: CommandId, entry: &Entry) -> Vec<Line> {
    let (must_encrypt, expires_at) = (entry.must_encrypt, entry.expires_at);
    let mut lines = vec![Line::Begun { id: id.to_string(), must_encrypt, expires_at }];
    if let Some((outcome, body)) = &entry.end {
        let body = STANDARD_NO_PAD.encode(body);
        lines.push(Line::Finished { id: id.to_string(), outcome: *outcome, body });
    }
    if entry.reported {
        lines.push(Line::Reported { id: id.to_string() });
    }
    lines
}

/// In one write, so that at most the last line is torn.
fn write_line(to: &mut impl Write, line: &Line) -> io::Result<()> {
    let mut bytes = serde_json::to_vec(line)?;
    bytes.push(b'\n');
    to.write_all(&bytes)
}

fn apply(entries: &mut BTreeMap<CommandId, Entry>, line: Line) -> io::Result<()> {
    let parse = |id: &str| CommandId::parse(id).ok_or(io::ErrorKind::InvalidData);
    match line {
        Line::Begun { id, must_encrypt, expires_at } => {
            entries.insert(parse(&id)?, Entry { must_encrypt, expires_at, end: None, reported: false });
        }
        Line::Finished { id, outcome, body } => {
            let body = STANDARD_NO_PAD.decode(body).map_err(|_| io::ErrorKind::InvalidData)?;
            // Absent: it was forgotten while it ran.
            if let Some(entry) = entries.get_mut(&parse(&id)?) {
                entry.end = Some((outcome, body));
                entry.reported = false;
            }
        }
        Line::Reported { id } => {
            if let Some(entry) = entries.get_mut(&parse(&id)?) {
                entry.reported = true;
            }
        }
    }
    Ok(())
}
