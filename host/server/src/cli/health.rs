//! `postern health`: asks `/healthz`, for probes in images that hold no other HTTP client.

use std::{ffi::OsString, path::Path, time::Duration};

use anyhow::{Context, anyhow, bail};
use bytes::Bytes;
use http_body_util::Full;
use hyper::{Request, header};
use serde_json::json;
use tokio::net::TcpStream;

use super::{client, print};
use crate::config::{Config, Environment, HostPort};

/// How long the answer may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Where the health listener is.
///
/// # Errors
/// No config names one, or it is on a port that the system picked.
pub(super) fn address(
    config: Option<&Path>,
    vars: impl IntoIterator<Item = (OsString, OsString)>,
) -> anyhow::Result<HostPort> {
    let at = match config {
        Some(file) => Config::from_parts(Some(file), vars)?.listen.health,
        None => match Environment::read(vars)?.text("listen.health") {
            Some(text) => Some(text.parse().with_context(|| format!("POSTERN_LISTEN__HEALTH {text:?}"))?),
            None => None,
        },
    };
    match at {
        None => bail!("the config names no health listener (key listen.health)"),
        Some(at) if at.is_any_port() => bail!("the config lets the server pick the port (key listen.health)"),
        Some(at) => Ok(at),
    }
}

/// Asks, and prints what it was told. To connect to the unspecified address is to connect to this machine.
///
/// # Errors
/// No answer, or another one than 200.
pub(super) async fn ask(at: &HostPort, json: bool) -> anyhow::Result<()> {
    let request =
        Request::get("/healthz").header(header::HOST, at.to_string()).body(Full::<Bytes>::default())?;
    let answer = tokio::time::timeout(PATIENCE, async {
        let stream = TcpStream::connect((at.host(), at.port())).await;
        client::exchange(stream.with_context(|| format!("{at}: no postern answers there"))?, request).await
    });
    let (status, body) = answer.await.map_err(|_| anyhow!("{at}: no answer in time"))??;
    if !status.is_success() {
        bail!("{at}: {status}");
    }
    let told = String::from_utf8_lossy(&body);
    if json { print::json(&json!({ "health": told.trim() })) } else { print::line(told.trim()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(file: Option<&Path>, vars: &[(&str, &str)]) -> String {
        match address(file, vars.iter().map(|(k, v)| (k.into(), v.into()))) {
            Ok(at) => at.to_string(),
            Err(e) => e.to_string(),
        }
    }

    #[test]
    fn the_listener_is_named_by_file_or_environment() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("p.toml");
        std::fs::write(&file, "[listen]\nhealth = \"0.0.0.0:8080\"").unwrap();
        assert_eq!(told(Some(&file), &[]), "0.0.0.0:8080");
        assert_eq!(told(Some(&file), &[("POSTERN_LISTEN__HEALTH", "127.0.0.1:9")]), "127.0.0.1:9");
        assert_eq!(told(None, &[("POSTERN_LISTEN__HEALTH", "127.0.0.1:9")]), "127.0.0.1:9");
        assert!(told(None, &[]).contains("listen.health"));
        assert!(told(None, &[("POSTERN_LISTEN__HEALTH", "127.0.0.1:0")]).contains("pick the port"));
    }
}
