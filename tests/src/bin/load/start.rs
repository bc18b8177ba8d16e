//! From the start of a server to the first CONNACK of a signed-in device.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use postern_broker::wire::Version;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::people::People;
use crate::pump::{Line, tcp};

/// What to start.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Request {
    /// The server.
    program: PathBuf,
    /// Its config file; a former start has cached the plugins.
    config: PathBuf,
    /// Who signs in.
    user: String,
}

/// Starts the server once.
pub(crate) async fn run(request: &Request, people: &mut People) -> Result<Value> {
    // Its counter is synced to disk: the device's work, not the server's.
    let connect = people.connect(&request.user, "tcp", Version::V5)?;
    let begun = Instant::now();
    let child = Command::new(&request.program)
        .arg("serve")
        .arg("--config")
        .arg(&request.config)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .with_context(|| request.program.display().to_string())?;
    let mut server = Server(child);
    let stdout = server.0.stdout.take().context("no stdout")?;
    let mut lines = BufReader::new(stdout).lines();
    let address = loop {
        let line = lines.next().context("the server did not start")??;
        if let Some(address) = line.strip_prefix("listening tcp ") {
            break address.to_owned();
        }
    };
    let listening = begun.elapsed();
    let line = Line::open(tcp(&address).await?, connect).await?;
    let connack = begun.elapsed();
    drop(line);
    server.stop()?;
    Ok(json!({ "listening_ms": listening.as_secs_f64() * 1e3, "connack_ms": connack.as_secs_f64() * 1e3 }))
}

/// A server of ours, ended with us.
struct Server(Child);

impl Server {
    fn stop(mut self) -> Result<()> {
        let killed = Command::new("kill").arg("-TERM").arg(self.0.id().to_string()).status()?;
        ensure!(killed.success(), "kill -TERM failed");
        let status = self.0.wait()?;
        ensure!(status.success(), "the server stopped with {status}");
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if matches!(self.0.try_wait(), Ok(None)) {
            self.0.kill().and_then(|()| self.0.wait()).ok();
        }
    }
}
