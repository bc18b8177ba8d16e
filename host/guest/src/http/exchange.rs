//! One connection, one request, one answer.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper::header::{self, HeaderValue};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::HttpError;
use super::request::{Prepared, Response};

/// The most that an answer's head may have, in bytes.
const MOST_HEAD: usize = 64 << 10;

/// Asks, and reads an answer whose body has at most `most_body` bytes. Whoever drops the future closes the
/// connection with it.
pub(super) async fn exchange(
    tls: &Arc<ClientConfig>,
    prepared: Prepared<'_>,
    most_body: usize,
) -> Result<Response, HttpError> {
    let host = prepared.host;
    let reached = |error: io::Error| unavailable(format!("{}: {error}", host.listed()));
    let stream = TcpStream::connect(host.target()).await.map_err(reached)?;
    stream.set_nodelay(true).map_err(reached)?;
    match host.server() {
        Some(server) => {
            let connector = TlsConnector::from(tls.clone());
            ask(connector.connect(server.clone(), stream).await.map_err(reached)?, prepared, most_body).await
        }
        None => ask(stream, prepared, most_body).await,
    }
}

async fn ask(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    prepared: Prepared<'_>,
    most_body: usize,
) -> Result<Response, HttpError> {
    let listed = prepared.host.listed();
    let http = |error: hyper::Error| unavailable(format!("{listed}: {error}"));
    let (mut sender, connection) = http1::Builder::new()
        .max_buf_size(MOST_HEAD)
        .handshake::<_, Full<Bytes>>(TokioIo::new(stream))
        .await
        .map_err(http)?;
    let request = request(prepared)?;
    let mut answer = std::pin::pin!(async {
        let (head, body) = sender.send_request(request).await.map_err(http)?.into_parts();
        let body = Limited::new(body, most_body).collect().await.map_err(|error| {
            // Either the bound, or what the connection said.
            unavailable(format!("{listed}: answer of at most {most_body} bytes: {error}"))
        })?;
        let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        Ok(Response {
            status: head.status.as_u16(),
            headers: head.headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect(),
            body: body.to_bytes().into(),
        })
    });
    tokio::select! {
        answer = &mut answer => answer,
        // It is over for the connection; what came is still to be read, or why nothing came.
        _ = connection => answer.await,
    }
}

fn request(prepared: Prepared<'_>) -> Result<hyper::Request<Full<Bytes>>, HttpError> {
    let refused = |error: hyper::http::Error| HttpError::Refused(error.to_string());
    let mut request = hyper::Request::builder()
        .method(prepared.method)
        .uri(prepared.target)
        .body(Full::new(Bytes::from(prepared.body)))
        .map_err(refused)?;
    let authority = HeaderValue::from_str(prepared.host.authority()).map_err(|e| refused(e.into()))?;
    let headers = request.headers_mut();
    *headers = prepared.headers;
    headers.insert(header::HOST, authority);
    headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    Ok(request)
}

fn unavailable(text: String) -> HttpError {
    HttpError::Unavailable(text)
}
