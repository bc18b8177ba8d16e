//! TLS over a socket without buffers of its own: rustls' unbuffered API (0.23; its next major version
//! has none, so nothing outside this file knows of it).
//!
//! Bytes are read and encrypted through memory that all links of a worker thread share. A resting
//! link keeps the keys and nothing else; what is kept is the beginning of a record that has not come
//! whole, and what the socket did not take.

use std::{
    cell::RefCell,
    future::poll_fn,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use rustls::{
    HandshakeKind, ServerConfig,
    server::UnbufferedServerConnection,
    unbuffered::{ConnectionState, EncodeError, EncryptError, InsufficientSizeError, UnbufferedStatus},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What one read takes at most: a few of the largest records.
const READ: usize = 64 << 10;
/// What one write encrypts at most.
const WRITE: usize = 64 << 10;

thread_local! {
    static CIPHERTEXT: RefCell<Vec<u8>> = RefCell::new(vec![0; READ]);
}

/// The server's end of a TLS connection.
pub struct TlsStream<S> {
    socket: S,
    tls: UnbufferedServerConnection,
    /// The beginning of a record.
    partial: Vec<u8>,
    /// Decrypted and not read yet.
    unread: Vec<u8>,
    /// Encrypted and not written yet.
    unsent: Vec<u8>,
    /// The peer has said that it will send nothing more.
    ended: bool,
    /// We have said so.
    closed: bool,
}

/// Where the connection stands when nothing more can be made of what has come.
#[derive(PartialEq, Eq)]
enum Stand {
    /// More must come.
    Waiting,
    /// We may write.
    Open,
    /// Both sides have ended it.
    Closed,
}

impl<S: AsyncRead + AsyncWrite + Unpin> TlsStream<S> {
    /// Shakes hands.
    ///
    /// # Errors
    /// The peer's fault, of which it is told by an alert, or the network's.
    pub async fn accept(socket: S, config: Arc<ServerConfig>) -> io::Result<Self> {
        let mut stream = TlsStream {
            socket,
            tls: UnbufferedServerConnection::new(config).map_err(io::Error::other)?,
            partial: Vec::new(),
            unread: Vec::new(),
            unsent: Vec::new(),
            ended: false,
            closed: false,
        };
        poll_fn(|cx| stream.poll_handshake(cx)).await?;
        // Whether a terminal's visits are worth it depends on this.
        let kind = if stream.is_resumed() { "resumed" } else { "full" };
        metrics::counter!("postern_tls_handshakes_total", "kind" => kind).increment(1);
        Ok(stream)
    }

    /// Whether the handshake resumed an earlier one.
    pub fn is_resumed(&self) -> bool {
        self.tls.handshake_kind() == Some(HandshakeKind::Resumed)
    }

    /// What is underneath.
    pub fn socket(&self) -> &S {
        &self.socket
    }

    fn poll_handshake(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            let sent = self.poll_unsent(cx);
            if !self.tls.is_handshaking() {
                // The session tickets may still be on their way: they wait for nobody.
                return if let Poll::Ready(Err(e)) = sent {
                    Poll::Ready(Err(e))
                } else {
                    Poll::Ready(Ok(()))
                };
            }
            ready!(sent)?;
            let read = ready!(self.poll_records(cx, &mut ReadBuf::new(&mut [])));
            if let Err(e) = read {
                // The alert that says why.
                let _ = self.poll_unsent(cx);
                return Poll::Ready(Err(e));
            }
        }
    }

    /// Reads from the socket once and decrypts what came whole: into `buf` as far as it has room.
    fn poll_records(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        CIPHERTEXT.with_borrow_mut(|shared| {
            let mut raw = ReadBuf::new(shared);
            ready!(Pin::new(&mut self.socket).poll_read(cx, &mut raw))?;
            let fresh = raw.filled_mut();
            if fresh.is_empty() {
                return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
            }
            if self.partial.is_empty() {
                let (used, done) = self.process(fresh, buf);
                self.partial.extend_from_slice(fresh.get(used..).unwrap_or_default());
                Poll::Ready(done.map(drop))
            } else {
                let mut whole = std::mem::take(&mut self.partial);
                whole.extend_from_slice(fresh);
                let (used, done) = self.process(&mut whole, buf);
                whole.drain(..used.min(whole.len()));
                if !whole.is_empty() {
                    self.partial = whole;
                }
                Poll::Ready(done.map(drop))
            }
        })
    }

    /// Makes of `input` what can be made; tells how much of it is used up.
    fn process(&mut self, input: &mut [u8], buf: &mut ReadBuf<'_>) -> (usize, io::Result<Stand>) {
        let TlsStream { tls, unread, unsent, ended, .. } = self;
        let mut used = 0;
        loop {
            let rest = input.get_mut(used..).unwrap_or_default();
            let UnbufferedStatus { discard, state, .. } = tls.process_tls_records(rest);
            let stand = match state {
                Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                    while let Some(Ok(record)) = traffic.next_record() {
                        let fits =
                            if unread.is_empty() { record.payload.len().min(buf.remaining()) } else { 0 };
                        let (now, later) = record.payload.split_at(fits);
                        buf.put_slice(now);
                        unread.extend_from_slice(later);
                    }
                    None
                }
                Ok(ConnectionState::EncodeTlsData(mut data)) => {
                    let encoded = append(unsent, |out| data.encode(out).map_err(wanted));
                    if !encoded {
                        return (used + discard, Err(io::Error::other("TLS data encoded twice")));
                    }
                    None
                }
                // What is in `unsent` is sent before anything else.
                Ok(ConnectionState::TransmitTlsData(transmit)) => {
                    transmit.done();
                    None
                }
                Ok(ConnectionState::PeerClosed) => {
                    *ended = true;
                    None
                }
                Ok(ConnectionState::BlockedHandshake) => Some(Stand::Waiting),
                Ok(ConnectionState::WriteTraffic(_)) => Some(Stand::Open),
                Ok(ConnectionState::Closed) => {
                    *ended = true;
                    Some(Stand::Closed)
                }
                // Early data is never accepted (rule 6), and there is no other state today.
                Ok(_) => return (used + discard, Err(io::Error::other("TLS state not known"))),
                Err(e) => {
                    let fault = io::Error::new(io::ErrorKind::InvalidData, e);
                    used += discard;
                    if let UnbufferedStatus { state: Ok(ConnectionState::EncodeTlsData(mut alert)), .. } =
                        tls.process_tls_records(&mut [])
                    {
                        append(unsent, |out| alert.encode(out).map_err(wanted));
                    }
                    return (used, Err(fault));
                }
            };
            used += discard;
            if let Some(stand) = stand {
                return (used, Ok(stand));
            }
        }
    }

    /// Encrypts `bytes`, or, when there are none, the end; false when the connection is over.
    fn encrypt(&mut self, bytes: Option<&[u8]>) -> io::Result<bool> {
        let mut partial = std::mem::take(&mut self.partial);
        let (used, stand) = self.process(&mut partial, &mut ReadBuf::new(&mut []));
        partial.drain(..used.min(partial.len()));
        let is_open = stand.map(|stand| stand == Stand::Open);
        let encrypted = match is_open {
            Ok(true) => {
                let UnbufferedStatus { state, .. } = self.tls.process_tls_records(&mut partial);
                match state {
                    Ok(ConnectionState::WriteTraffic(mut traffic)) => Ok(append(&mut self.unsent, |out| {
                        let written = match bytes {
                            Some(bytes) => traffic.encrypt(bytes, out),
                            None => traffic.queue_close_notify(out),
                        };
                        written.map_err(|e| match e {
                            EncryptError::InsufficientSize(size) => Some(size),
                            EncryptError::EncryptExhausted => None,
                        })
                    })),
                    _ => Ok(false),
                }
            }
            other => other,
        };
        self.partial = partial;
        encrypted
    }

    /// Writes what is encrypted.
    fn poll_unsent(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut sent = 0;
        let outcome = loop {
            let rest = self.unsent.get(sent..).unwrap_or_default();
            if rest.is_empty() {
                break Poll::Ready(Ok(()));
            }
            match Pin::new(&mut self.socket).poll_write(cx, rest) {
                Poll::Ready(Ok(0)) => break Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(n)) => sent += n,
                Poll::Ready(Err(e)) => break Poll::Ready(Err(e)),
                Poll::Pending => break Poll::Pending,
            }
        };
        if sent >= self.unsent.len() {
            self.unsent = Vec::new();
        } else {
            self.unsent.drain(..sent);
        }
        outcome
    }

    fn take_unread(&mut self, buf: &mut ReadBuf<'_>) {
        let n = self.unread.len().min(buf.remaining());
        buf.put_slice(self.unread.get(..n).unwrap_or_default());
        if n == self.unread.len() {
            self.unread = Vec::new();
        } else {
            self.unread.drain(..n);
        }
    }
}

/// How much room is wanted, if that is what is wrong.
fn wanted(error: EncodeError) -> Option<InsufficientSizeError> {
    match error {
        EncodeError::InsufficientSize(size) => Some(size),
        EncodeError::AlreadyEncoded => None,
    }
}

/// Appends what `write` writes, with as much room as it asks for. False when it cannot.
fn append(
    out: &mut Vec<u8>,
    mut write: impl FnMut(&mut [u8]) -> Result<usize, Option<InsufficientSizeError>>,
) -> bool {
    let start = out.len();
    loop {
        match write(out.get_mut(start..).unwrap_or_default()) {
            Ok(written) => {
                out.truncate(start + written);
                return true;
            }
            Err(Some(InsufficientSizeError { required_size })) if out.len() < start + required_size => {
                out.resize(start + required_size, 0);
            }
            Err(_) => {
                out.truncate(start);
                return false;
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for TlsStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if buf.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        if let Poll::Ready(Err(e)) = self.poll_unsent(cx) {
            return Poll::Ready(Err(e));
        }
        let before = buf.filled().len();
        while buf.filled().len() == before {
            if !self.unread.is_empty() {
                self.take_unread(buf);
                break;
            }
            if self.ended {
                break;
            }
            let read = ready!(self.poll_records(cx, buf));
            // Alerts and key updates go out when they can; a write takes along what does not go now.
            if let Poll::Ready(Err(e)) = self.poll_unsent(cx) {
                return Poll::Ready(Err(e));
            }
            read?;
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for TlsStream<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.poll_unsent(cx))?;
        let now = bytes.get(..bytes.len().min(WRITE)).unwrap_or_default();
        if now.is_empty() {
            return Poll::Ready(Ok(0));
        }
        if !self.encrypt(Some(now))? {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        // Accepted: what the socket does not take now goes before the next.
        match self.poll_unsent(cx) {
            Poll::Ready(Err(e)) => Poll::Ready(Err(e)),
            _ => Poll::Ready(Ok(now.len())),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_unsent(cx))?;
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.closed {
            self.closed = true;
            self.encrypt(None)?;
        }
        ready!(self.poll_unsent(cx))?;
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests;
