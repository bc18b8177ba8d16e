//! MQTT over WebSocket: binary frames as one byte stream [MQTT-6.0.0-1 to 6.0.0-4].

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes};
use futures_util::{Sink, Stream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        self, Message,
        handshake::server::{ErrorResponse, Request, Response},
        http::{HeaderValue, StatusCode},
        protocol::WebSocketConfig,
    },
};

use crate::config::Origins;

/// A WebSocket whose binary frames are read and written as plain bytes; packets may span frames.
pub struct WsBytes<S> {
    inner: WebSocketStream<S>,
    unread: Bytes,
}

impl<S: AsyncRead + AsyncWrite + Unpin> WsBytes<S> {
    /// What is underneath.
    pub fn stream(&self) -> &S {
        self.inner.get_ref()
    }
}

/// Answers the HTTP upgrade; the client must offer the sub-protocol `mqtt` [MQTT-6.0.0-3], and be no
/// page of a foreign origin.
///
/// # Errors
/// When the upgrade is refused or the peer is gone.
pub async fn accept<S>(stream: S, max_packet: usize, origins: &Origins) -> io::Result<WsBytes<S>>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    // Small buffers: a resting link keeps them.
    let config = WebSocketConfig::default()
        .read_buffer_size(4 << 10)
        .write_buffer_size(0)
        .max_frame_size(Some(max_packet.saturating_add(16)))
        .max_message_size(Some(max_packet.saturating_add(16)));
    #[allow(clippy::result_large_err)] // the library's own type
    let judge = |request: &Request, response: Response| {
        if !is_admitted(request, origins) {
            metrics::counter!("postern_refused_total", "reason" => "foreign-origin").increment(1);
            return Err(refusal(StatusCode::FORBIDDEN, "this origin is not allowed"));
        }
        choose_mqtt(request, response)
    };
    let inner =
        tokio_tungstenite::accept_hdr_async_with_config(stream, judge, Some(config)).await.map_err(to_io)?;
    Ok(WsBytes { inner, unread: Bytes::new() })
}

#[allow(clippy::result_large_err)] // the library's own type
fn choose_mqtt(request: &Request, mut response: Response) -> Result<Response, ErrorResponse> {
    let offered = request.headers().get_all("sec-websocket-protocol").iter();
    let mut names = offered.filter_map(|v| v.to_str().ok()).flat_map(|v| v.split(','));
    let Some(chosen) = names.find(|name| matches!(name.trim(), "mqtt" | "mqttv3.1")) else {
        return Err(refusal(StatusCode::BAD_REQUEST, "sub-protocol mqtt is required"));
    };
    if let Ok(value) = HeaderValue::from_str(chosen.trim()) {
        response.headers_mut().insert("sec-websocket-protocol", value);
    }
    Ok(response)
}

/// Programs name no origin; a browser names its page's, and only one.
fn is_admitted(request: &Request, origins: &Origins) -> bool {
    let called = request.headers().get("host").and_then(|host| host.to_str().ok());
    let mut named = request.headers().get_all("origin").iter();
    named.all(|origin| origin.to_str().is_ok_and(|origin| origins.admit(origin, called)))
}

fn refusal(status: StatusCode, why: &str) -> ErrorResponse {
    let mut refusal = ErrorResponse::new(Some(why.to_owned()));
    *refusal.status_mut() = status;
    refusal
}

fn to_io(e: tungstenite::Error) -> io::Error {
    match e {
        tungstenite::Error::Io(e) => e,
        tungstenite::Error::ConnectionClosed | tungstenite::Error::AlreadyClosed => {
            io::ErrorKind::ConnectionAborted.into()
        }
        other => io::Error::new(io::ErrorKind::InvalidData, other),
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for WsBytes<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        while self.unread.is_empty() {
            match ready!(Pin::new(&mut self.inner).poll_next(cx)) {
                Some(Ok(Message::Binary(bytes))) => self.unread = bytes,
                Some(Ok(Message::Text(_))) => {
                    // [MQTT-6.0.0-1]: anything but binary closes the connection.
                    return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, "text frame")));
                }
                Some(Ok(Message::Close(_))) | None => return Poll::Ready(Ok(())),
                Some(Ok(_)) => {} // pings are answered by the library
                Some(Err(e)) => return Poll::Ready(Err(to_io(e))),
            }
        }
        let n = self.unread.len().min(buf.remaining());
        buf.put_slice(self.unread.get(..n).unwrap_or_default());
        self.unread.advance(n);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for WsBytes<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        ready!(Pin::new(&mut self.inner).poll_ready(cx)).map_err(to_io)?;
        let frame = Message::Binary(Bytes::copy_from_slice(bytes));
        Pin::new(&mut self.inner).start_send(frame).map_err(to_io)?;
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx).map_err(to_io)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_close(cx).map_err(to_io)
    }
}
