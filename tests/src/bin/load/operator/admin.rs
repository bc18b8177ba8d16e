//! An operator's verbs, asked for on the admin socket: one connection for each, as the command does it.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

/// Where the verbs go.
pub(crate) struct Admin(PathBuf);

impl Admin {
    pub(crate) fn new(socket: &Path) -> Self {
        Admin(socket.to_owned())
    }

    /// Lets a plugin of the folder serve.
    pub(crate) async fn activate(&self, name: &str) -> Result<Value> {
        self.ask("POST", &format!("/v1/plugins/{name}/activate"), Some(b"{}")).await
    }

    /// Asks; a refusal is an error.
    pub(crate) async fn ask(&self, method: &str, path: &str, body: Option<&[u8]>) -> Result<Value> {
        let mut stream = UnixStream::connect(&self.0).await.context("the admin socket")?;
        let body = body.unwrap_or_default();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).await?;
        stream.write_all(body).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        let (head, body) = answer.split_once("\r\n\r\n").context("no answer")?;
        if !head.starts_with("HTTP/1.1 200") {
            bail!("{method} {path}: {body}");
        }
        // Small answers come whole.
        serde_json::from_str(body).with_context(|| format!("{method} {path}: {body}"))
    }
}
