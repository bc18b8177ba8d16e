//! What the terminal keeps between its starts, beside the journal: one file of mode 0600.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use phone::{Broker, Signing, Token, proof};
use serde::{Deserialize, Serialize};

use crate::keys::{CommandKey, InstructionKey};
use crate::message::Transport;

/// What login and renewal answer, as far as a terminal wants it.
#[derive(Clone, Debug, Deserialize)]
pub struct Grant {
    /// User id; a login answers it.
    #[serde(default)]
    pub user: Option<String>,
    /// The server's clock, milliseconds since 1970.
    #[serde(default)]
    pub server_time: Option<u64>,
    /// The new token.
    pub token: Token,
    /// The server's listeners.
    #[serde(default)]
    pub brokers: Option<Vec<Broker>>,
    /// The newest list; absent: the one before stays.
    #[serde(default)]
    pub instruction_keys: Option<Vec<InstructionKey>>,
}

#[derive(Default, Serialize, Deserialize)]
struct Kept {
    user: String,
    token: Option<Token>,
    brokers: Vec<Broker>,
    /// The counter used last with the token.
    counter: u64,
    /// The server's clock minus ours, milliseconds.
    clock_offset_ms: i64,
    instruction_keys: Vec<InstructionKey>,
    /// Of the instruction followed last.
    last_sequence: u64,
}

/// The terminal's state. Each change is on disk before the call returns.
pub struct State {
    file: PathBuf,
    client_id: String,
    kept: Kept,
}

impl State {
    /// The state in `file`, or that of a terminal which has never logged in.
    ///
    /// # Errors
    /// When the file cannot be read, or is not a state.
    pub fn load(file: &Path, user: &str, client_id: &str) -> io::Result<Self> {
        let kept = match std::fs::read(file) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Kept::default(),
            read => serde_json::from_slice(&read?)?,
        };
        let user = user.to_owned();
        Ok(State { file: file.to_owned(), client_id: client_id.to_owned(), kept: Kept { user, ..kept } })
    }

    /// Takes a login's or a renewal's answer.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn take(&mut self, grant: Grant) -> io::Result<()> {
        let kept = &mut self.kept;
        if let Some(time) = grant.server_time {
            kept.clock_offset_ms = i64::try_from(i128::from(time) - i128::from(phone::now_ms())).unwrap_or(0);
        }
        if let Some(user) = grant.user {
            kept.user = user;
        }
        kept.counter = grant.token.counter;
        kept.token = Some(grant.token);
        kept.brokers = grant.brokers.unwrap_or_else(|| std::mem::take(&mut kept.brokers));
        kept.instruction_keys =
            grant.instruction_keys.unwrap_or_else(|| std::mem::take(&mut kept.instruction_keys));
        self.write()
    }

    /// The token, while it has not expired.
    pub fn token(&self) -> Option<&Token> {
        self.kept.token.as_ref().filter(|token| self.now_ms() < token.expires_at)
    }

    /// Forgets a token that the server refuses.
    pub fn drop_token(&mut self) {
        self.kept.token = None;
    }

    /// Our id: the user's.
    pub fn terminal(&self) -> &str {
        &self.kept.user
    }

    /// The MQTT client id.
    pub fn client_id(&self) -> &str {
        &self.client_id
    }

    /// The server's listener for this transport.
    pub fn broker(&self, transport: Transport) -> Option<&Broker> {
        self.kept.brokers.iter().find(|broker| broker.listener == transport.listener())
    }

    /// The keys of instructions, newest list.
    pub fn instruction_keys(&self) -> &[InstructionKey] {
        &self.kept.instruction_keys
    }

    /// Of the instruction followed last; 0 before the first.
    pub fn last_sequence(&self) -> u64 {
        self.kept.last_sequence
    }

    /// An instruction of this sequence is going to be followed.
    ///
    /// # Errors
    /// When it is not on disk: do not follow.
    pub fn following(&mut self, sequence: u64) -> io::Result<()> {
        self.kept.last_sequence = sequence;
        self.write()
    }

    /// Milliseconds since 1970 by the server's clock, as far as we know it.
    pub fn now_ms(&self) -> u64 {
        phone::now_ms().saturating_add_signed(self.kept.clock_offset_ms)
    }

    /// User name and password of one CONNECT, and the key for what the link carries. The counter is on disk
    /// before it is anywhere else.
    ///
    /// # Errors
    /// When there is no good token, or the counter cannot be written.
    pub fn sign_in(&mut self, transport: Transport) -> io::Result<(String, String, CommandKey)> {
        self.kept.counter += 1;
        self.write()?;
        let token = self.token().ok_or_else(|| io::Error::other("no token"))?;
        let signing = Signing {
            token_id: &token.id,
            client_id: &self.client_id,
            transport: transport.name(),
            listener: transport.listener(),
            counter: self.kept.counter,
            time_ms: self.now_ms(),
        };
        let password = proof(&token.key, signing).map_err(io::Error::other)?;
        let key = CommandKey::of_token(&token.key).ok_or_else(|| io::Error::other("no command key"))?;
        Ok((token.id.clone(), password, key))
    }

    fn write(&self) -> io::Result<()> {
        replace(&self.file, &serde_json::to_vec(&self.kept)?)
    }
}

/// New file, synced, renamed over the old one: a crash leaves either.
///
/// # Errors
/// When it is not on disk.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let new = path.with_extension("new");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&new, path)?;
    sync_folder(path)
}

/// Makes a new name in the file's folder outlive a crash.
///
/// # Errors
/// When the folder cannot be synced.
pub(crate) fn sync_folder(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => File::open(folder)?.sync_all(),
        _ => Ok(()),
    }
}
