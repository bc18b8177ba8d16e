//! A connection, plain or TLS, whose TCP socket can be looked at.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as Cx, Poll};

use anyhow::Result;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, HandshakeKind};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::pump::tcp;
use crate::segments::Carried;

/// Either transport.
pub(crate) enum Socket {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Socket {
    /// Connects; with a TLS handshake if there is a configuration for it.
    pub(crate) async fn open(address: &str, tls: Option<&Arc<ClientConfig>>) -> Result<Self> {
        let stream = tcp(address).await?;
        let Some(tls) = tls else { return Ok(Socket::Plain(stream)) };
        let name = ServerName::try_from("localhost")?;
        Ok(Socket::Tls(Box::new(TlsConnector::from(tls.clone()).connect(name, stream).await?)))
    }

    /// What it has carried so far.
    pub(crate) fn carried(&self) -> io::Result<Carried> {
        match self {
            Socket::Plain(stream) => Carried::on(stream),
            Socket::Tls(stream) => Carried::on(stream.get_ref().0),
        }
    }

    /// Whether the TLS session was resumed; None on plain.
    pub(crate) fn is_resumed(&self) -> Option<bool> {
        match self {
            Socket::Plain(_) => None,
            Socket::Tls(stream) => Some(stream.get_ref().1.handshake_kind() == Some(HandshakeKind::Resumed)),
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Cx<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Socket::Plain(stream) => Pin::new(stream).poll_read(cx, buffer),
            Socket::Tls(stream) => Pin::new(stream).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Cx<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Socket::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Socket::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Cx<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Socket::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Socket::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Cx<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Socket::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Socket::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
