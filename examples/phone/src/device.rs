//! What a device keeps between its starts: the token, the server's clock, and the counter.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::api::{Broker, Login};
use crate::proof::{Signing, answer, proof};

/// A logged-in device. Its state is one file of mode 0600.
#[derive(Debug)]
pub struct Device {
    file: PathBuf,
    state: State,
}

#[derive(Debug, Serialize, Deserialize)]
struct State {
    client_id: String,
    login: Login,
    /// The counter used last.
    counter: u64,
    /// The server's clock minus ours, milliseconds.
    clock_offset_ms: i64,
}

impl Device {
    /// A device that has just logged in.
    ///
    /// # Errors
    /// When the state cannot be written.
    pub fn new(file: &Path, client_id: &str, login: Login) -> io::Result<Self> {
        let clock_offset_ms = difference(login.server_time, crate::now_ms());
        let counter = login.token.counter;
        let state = State { client_id: client_id.to_owned(), login, counter, clock_offset_ms };
        let device = Device { file: file.to_owned(), state };
        device.write()?;
        Ok(device)
    }

    /// The device whose state is in `file`, if its token is still good.
    pub fn load(file: &Path) -> Option<Self> {
        let state: State = serde_json::from_slice(&std::fs::read(file).ok()?).ok()?;
        let device = Device { file: file.to_owned(), state };
        (device.server_now() < device.state.login.token.expires_at).then_some(device)
    }

    /// What the server answered to the login.
    pub fn login(&self) -> &Login {
        &self.state.login
    }

    /// The MQTT client id.
    pub fn client_id(&self) -> &str {
        &self.state.client_id
    }

    /// The password for one CONNECT to `broker`. The counter is on disk before it is anywhere else,
    /// so that a device that crashes here never uses it twice.
    ///
    /// # Errors
    /// When the counter cannot be written, or the token's key is not one.
    pub fn proof(&mut self, broker: &Broker) -> io::Result<String> {
        self.state.counter += 1;
        self.write()?;
        proof(&self.state.login.token.key, self.signing(broker)).map_err(io::Error::other)
    }

    /// The answer to a challenge of `broker`, for MQTT 5 enhanced authentication.
    ///
    /// # Errors
    /// When the token's key is not one.
    pub fn answer(&self, broker: &Broker, challenge: &[u8]) -> io::Result<Vec<u8>> {
        answer(&self.state.login.token.key, self.signing(broker), challenge).map_err(io::Error::other)
    }

    fn signing<'a>(&'a self, broker: &'a Broker) -> Signing<'a> {
        Signing {
            token_id: &self.state.login.token.id,
            client_id: &self.state.client_id,
            transport: &broker.transport,
            listener: &broker.listener,
            counter: self.state.counter,
            time_ms: self.server_now(),
        }
    }

    /// The server's clock, as far as we know it.
    pub fn server_now(&self) -> u64 {
        crate::now_ms().saturating_add_signed(self.state.clock_offset_ms)
    }

    /// New file, synced, renamed over the old one: a crash leaves either.
    fn write(&self) -> io::Result<()> {
        let new = self.file.with_extension("new");
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
        file.write_all(&serde_json::to_vec(&self.state)?)?;
        file.sync_all()?;
        std::fs::rename(&new, &self.file)?;
        match self.file.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => File::open(folder)?.sync_all(),
            _ => Ok(()),
        }
    }
}

fn difference(a: u64, b: u64) -> i64 {
    i64::try_from(i128::from(a) - i128::from(b)).unwrap_or(0)
}
