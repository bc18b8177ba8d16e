//! From an accepted socket to the byte stream of its listener, in the connection's own task and by the
//! time that the sign-in must be over.

use std::io;

use tokio::{net::TcpStream, time::Instant};
use tracing::debug;

use super::{
    tls::Certificates,
    tls_stream::TlsStream,
    websocket,
    wire::{ListenerName, Origin, Wire},
};
use crate::config::Origins;

/// What a peer shakes hands with.
#[derive(Clone)]
pub struct Handshake {
    /// For TLS.
    pub certificates: Certificates,
    /// The largest MQTT packet; bounds WebSocket frames.
    pub max_packet: usize,
    /// Pages that may open WebSockets.
    pub origins: Origins,
}

impl Handshake {
    /// Shakes hands as the listener asks, by that time; None when the peer failed to, which is counted.
    pub async fn perform(&self, stream: TcpStream, origin: Origin, by: Instant) -> Option<Wire> {
        let shaken = tokio::time::timeout_at(by, self.wire(stream, origin.listener)).await;
        let (reason, why) = match shaken {
            Ok(Ok(wire)) => return Some(wire),
            Ok(Err(e)) => ("handshake-failed", e.to_string()),
            Err(_) => ("handshake-timeout", "timeout".to_owned()),
        };
        metrics::counter!("postern_refused_total", "reason" => reason).increment(1);
        debug!(peer = %origin.peer, listener = origin.listener.as_str(), why, "handshake");
        None
    }

    async fn wire(&self, stream: TcpStream, listener: ListenerName) -> io::Result<Wire> {
        let tls = async |stream| TlsStream::accept(stream, self.certificates.mqtt()).await;
        Ok(match listener {
            ListenerName::Tcp => Wire::Tcp(stream),
            ListenerName::Tls => Wire::Tls(Box::new(tls(stream).await?)),
            ListenerName::Ws => {
                Wire::Ws(Box::new(websocket::accept(stream, self.max_packet, &self.origins).await?))
            }
            ListenerName::Wss => {
                let stream = tls(stream).await?;
                Wire::Wss(Box::new(websocket::accept(stream, self.max_packet, &self.origins).await?))
            }
            ListenerName::Http => return Err(io::ErrorKind::Unsupported.into()),
        })
    }
}
