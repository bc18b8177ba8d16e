//! Links of anonymous MQTT 3.1.1 clients, plain or TLS, many at once.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use futures_util::{StreamExt, TryStreamExt, stream};
use postern_broker::wire::{Connect, Version};
use postern_tests::connect;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::pump::{Line, tcp};

/// Connects under way at once.
const AT_ONCE: usize = 32;

/// Either transport.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// A link on either transport.
pub(crate) type AnyLine = Line<Box<dyn Stream>>;

/// How to get to a server.
#[derive(Clone)]
pub(crate) enum Way {
    Plain,
    Tls(Arc<rustls::ClientConfig>),
}

impl Way {
    /// TLS that trusts the certificates of a PEM file, or plain without one.
    pub(crate) fn trusting(ca: Option<&Path>) -> Result<Self> {
        let Some(file) = ca else { return Ok(Way::Plain) };
        let pem = std::fs::read(file).with_context(|| file.display().to_string())?;
        Ok(Way::Tls(phone::sign_in::trust(&pem)?))
    }
}

/// A plain link.
pub(crate) async fn plain(address: &str, client: &str, keep_alive_secs: u16) -> Result<Line<TcpStream>> {
    let line = Line::open(tcp(address).await?, hello(client, keep_alive_secs)).await;
    line.with_context(|| client.to_owned())
}

/// A link on either transport.
pub(crate) async fn on(way: &Way, address: &str, client: &str, keep_alive_secs: u16) -> Result<AnyLine> {
    let stream = tcp(address).await?;
    let stream: Box<dyn Stream> = match way {
        Way::Plain => Box::new(stream),
        Way::Tls(config) => {
            let name = ServerName::try_from("localhost")?;
            let connected = TlsConnector::from(config.clone()).connect(name, stream).await;
            Box::new(connected.with_context(|| format!("{client}: TLS"))?)
        }
    };
    Line::open(stream, hello(client, keep_alive_secs)).await.with_context(|| client.to_owned())
}

/// `count` of what `open` opens, in their order.
pub(crate) async fn many<T, F>(count: usize, open: impl Fn(usize) -> F) -> Result<Vec<T>>
where
    F: Future<Output = Result<T>>,
{
    stream::iter((0..count).map(open)).buffered(AT_ONCE).try_collect().await
}

fn hello(client: &str, keep_alive_secs: u16) -> Connect {
    Connect { keep_alive: keep_alive_secs, ..connect(Version::V311, client) }
}
