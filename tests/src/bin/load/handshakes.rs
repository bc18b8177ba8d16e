//! What a connect costs the server: connects one after the other, each with its CONNECT and goodbye.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustls::client::Resumption;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, HandshakeKind};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::links::{Way, plain};
use crate::pump::tcp;
use crate::vitals::cpu_secs;

/// Connects that are not counted.
const WARM_UP: usize = 20;
/// What a server gets to close its end after the goodbye.
const GOODBYE: Duration = Duration::from_millis(20);
/// CONNECT of MQTT 3.1.1, clean session, keep alive of a minute, no client id: the server gives one.
const CONNECT: [u8; 14] = [0x10, 12, 0, 4, b'M', b'Q', b'T', b'T', 4, 2, 0, 60, 0, 0];
/// DISCONNECT.
const DISCONNECT: [u8; 2] = [0xe0, 0];

/// What to connect to.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Request {
    /// The listener, `HOST:PORT`.
    address: String,
    /// The server's process.
    server_pid: u32,
    /// The certificate to trust, PEM; none: plain.
    ca: Option<PathBuf>,
    /// Connects that count.
    connects: usize,
    /// True: with the tickets of the connect before.
    resumed: bool,
}

/// Connects and reports.
pub(crate) async fn run(request: &Request) -> Result<Value> {
    let config = match Way::trusting(request.ca.as_deref())? {
        Way::Plain => None,
        Way::Tls(config) => {
            let mut config = ClientConfig::clone(&config);
            if !request.resumed {
                config.resumption = Resumption::disabled();
            }
            Some(Arc::new(config))
        }
    };
    let process = request.server_pid.to_string();
    let (mut resumed, mut waited, mut cpu) = (0, Duration::ZERO, 0.0);
    for at in 0..WARM_UP + request.connects {
        if at == WARM_UP {
            (resumed, waited, cpu) = (0, Duration::ZERO, cpu_secs(&process)?);
        }
        let begun = Instant::now();
        match &config {
            None => {
                let line = plain(&request.address, &format!("hand-{at}"), 60).await?;
                waited += begun.elapsed();
                line.close().await;
            }
            Some(config) => {
                let (was_resumed, took) = shake(config, &request.address).await?;
                resumed += usize::from(was_resumed);
                waited += took;
            }
        }
    }
    let connects = request.connects as f64;
    Ok(json!({
        "cpu_micros": (cpu_secs(&process)? - cpu) * 1e6 / connects,
        "millis": waited.as_secs_f64() * 1e3 / connects,
        "resumed": f64::from(u32::try_from(resumed)?) / connects,
    }))
}

/// One TLS connect; whether it was a resumed one, and the time to its CONNACK.
async fn shake(config: &Arc<ClientConfig>, address: &str) -> Result<(bool, Duration)> {
    let begun = Instant::now();
    let name = ServerName::try_from("localhost")?;
    let mut stream = TlsConnector::from(config.clone()).connect(name, tcp(address).await?).await?;
    stream.write_all(&CONNECT).await?;
    stream.flush().await?;
    let mut connack = [0; 4];
    stream.read_exact(&mut connack).await.context("CONNACK")?;
    let took = begun.elapsed();
    let resumed = stream.get_ref().1.handshake_kind() == Some(HandshakeKind::Resumed);
    stream.write_all(&DISCONNECT).await?;
    stream.flush().await?;
    // To the end: tickets may come behind the CONNACK.
    let rest = async { while let Ok(1..) = stream.read(&mut [0; 512]).await {} };
    timeout(GOODBYE, rest).await.ok();
    Ok((resumed, took))
}
