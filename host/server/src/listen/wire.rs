//! The byte stream under one MQTT link, whatever the listener.

use std::{
    io,
    net::SocketAddr,
    os::fd::{AsRawFd, RawFd},
    pin::Pin,
    task::{Context, Poll},
};

use super::{tls_stream::TlsStream, websocket::WsBytes};
use postern_trace::Work;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

/// A listener by its stable name, which the login answer gives and the proof names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs)] // the names of the config section `[listen]`
pub enum ListenerName {
    Tcp,
    Tls,
    Ws,
    Wss,
    Http,
}

impl ListenerName {
    /// As it stands in the config, in proofs and on stdout.
    pub const fn as_str(self) -> &'static str {
        match self {
            ListenerName::Tcp => "tcp",
            ListenerName::Tls => "tls",
            ListenerName::Ws => "ws",
            ListenerName::Wss => "wss",
            ListenerName::Http => "http",
        }
    }

    /// Whether TLS ends here.
    pub const fn is_tls(self) -> bool {
        matches!(self, ListenerName::Tls | ListenerName::Wss | ListenerName::Http)
    }

    /// `plain` or `tls`, as proofs and rights know it.
    pub const fn transport(self) -> &'static str {
        if self.is_tls() { "tls" } else { "plain" }
    }
}

/// Where a connection came from and where it came in.
#[derive(Clone, Copy, Debug)]
pub struct Origin {
    /// The peer's address.
    pub peer: SocketAddr,
    /// The listener.
    pub listener: ListenerName,
    /// Its number.
    pub link: u64,
}

impl Origin {
    /// What log lines about it are known by.
    pub fn work(&self) -> Work {
        Work::link(self.link)
    }
}

/// One connection's bytes.
#[allow(missing_docs)] // the listener's names
pub enum Wire {
    Tcp(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
    Ws(Box<WsBytes<TcpStream>>),
    Wss(Box<WsBytes<TlsStream<TcpStream>>>),
}

macro_rules! each {
    ($self:ident, $stream:ident => $do:expr) => {
        match $self {
            Wire::Tcp(s) => {
                let $stream = Pin::new(s);
                $do
            }
            Wire::Tls(s) => {
                let $stream = Pin::new(&mut **s);
                $do
            }
            Wire::Ws(s) => {
                let $stream = Pin::new(&mut **s);
                $do
            }
            Wire::Wss(s) => {
                let $stream = Pin::new(&mut **s);
                $do
            }
        }
    };
}

impl Wire {
    /// Its socket's descriptor, and whether its TLS handshake resumed an earlier one; None on plain.
    pub fn socket(&self) -> (RawFd, Option<bool>) {
        let of_tls = |tls: &TlsStream<TcpStream>| (tls.socket().as_raw_fd(), Some(tls.is_resumed()));
        match self {
            Wire::Tcp(tcp) => (tcp.as_raw_fd(), None),
            Wire::Ws(ws) => (ws.stream().as_raw_fd(), None),
            Wire::Tls(tls) => of_tls(tls),
            Wire::Wss(ws) => of_tls(ws.stream()),
        }
    }

    /// Reads what is there into `buf`; `Ok(0)` is the end.
    pub fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut buf = ReadBuf::new(buf);
        let polled = each!(self, s => s.poll_read(cx, &mut buf));
        polled.map_ok(|()| buf.filled().len())
    }

    /// Writes what fits.
    pub fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        each!(self, s => s.poll_write(cx, bytes))
    }

    /// Pushes what TLS or WebSocket still hold.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, s => s.poll_flush(cx))
    }

    /// Ends the stream in order.
    pub fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, s => s.poll_shutdown(cx))
    }
}
