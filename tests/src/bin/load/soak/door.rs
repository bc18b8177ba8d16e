//! The four ways in: TCP, TLS, WebSocket, and WebSocket on TLS.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use bytes::BytesMut;
use futures_util::{SinkExt, StreamExt};
use postern_broker::wire::Connect;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use terminal::message::Transport;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

use crate::links::{AnyLine, Stream};
use crate::pump::{Line, tcp};

/// How long a sign-in may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// A listener by its name in the config.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Listener {
    Tcp,
    Tls,
    Ws,
    Wss,
}

impl Listener {
    pub(super) const ALL: [Listener; 4] = [Listener::Tcp, Listener::Tls, Listener::Ws, Listener::Wss];

    pub(super) fn name(self) -> &'static str {
        match self {
            Listener::Tcp => "tcp",
            Listener::Tls => "tls",
            Listener::Ws => "ws",
            Listener::Wss => "wss",
        }
    }

    pub(super) fn transport(self) -> Transport {
        match self {
            Listener::Tcp | Listener::Ws => Transport::Plain,
            Listener::Tls | Listener::Wss => Transport::Tls,
        }
    }
}

/// How a link is to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// DISCONNECT.
    Goodbye,
    /// RST.
    Reset,
    /// Nothing more is said: the keep alive runs out.
    Silence,
}

/// Where the server listens, and what is trusted there.
pub(super) struct Door {
    pub(super) listen: BTreeMap<String, String>,
    pub(super) tls: Arc<ClientConfig>,
}

impl Door {
    /// Connects; with `Reset` the connection is reset when it is dropped.
    pub(super) async fn connect(&self, listener: Listener, ending: Ending) -> Result<Box<dyn Stream>> {
        let address = self.listen.get(listener.name()).context("no such listener")?;
        let stream = tcp(address).await?;
        if ending == Ending::Reset {
            stream.set_zero_linger()?;
        }
        Ok(match listener {
            Listener::Tcp => Box::new(stream),
            Listener::Tls => Box::new(self.handshake(stream).await?),
            Listener::Ws => Box::new(websocket(stream, &format!("ws://{address}/mqtt")).await?),
            Listener::Wss => {
                let stream = self.handshake(stream).await?;
                Box::new(websocket(stream, &format!("wss://{address}/mqtt")).await?)
            }
        })
    }

    /// Signs in, and tells whether the server still had a session.
    pub(super) async fn open(
        &self,
        listener: Listener,
        ending: Ending,
        connect: Connect,
    ) -> Result<(AnyLine, bool)> {
        let sign_in = async { Line::resume(self.connect(listener, ending).await?, connect).await };
        let opened = timeout(PATIENCE, sign_in).await.context("the sign-in took too long");
        opened.and_then(|opened| opened).with_context(|| listener.name())
    }

    async fn handshake(&self, stream: TcpStream) -> Result<tokio_rustls::client::TlsStream<TcpStream>> {
        let name = ServerName::try_from("localhost")?;
        TlsConnector::from(self.tls.clone()).connect(name, stream).await.context("TLS")
    }
}

/// A WebSocket as a stream of bytes: a task copies between the two until either ends.
async fn websocket(stream: impl Stream + 'static, url: &str) -> Result<DuplexStream> {
    let mut request = url.into_client_request()?;
    request.headers_mut().insert("Sec-WebSocket-Protocol", "mqtt".parse()?);
    let (mut socket, _) =
        tokio_tungstenite::client_async(request, stream).await.context("the WebSocket's opening")?;
    let (ours, mut theirs) = tokio::io::duplex(64 << 10);
    tokio::spawn(async move {
        let mut bytes = BytesMut::new();
        loop {
            tokio::select! {
                read = theirs.read_buf(&mut bytes) => match read {
                    Ok(1..) if socket.send(Message::Binary(bytes.split().freeze())).await.is_ok() => {}
                    _ => break,
                },
                message = socket.next() => match message {
                    Some(Ok(Message::Binary(body))) if theirs.write_all(&body).await.is_ok() => {}
                    Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                    _ => break,
                },
            }
        }
    });
    Ok(ours)
}
