//! Asks the admin API: HTTP/1.1 over its unix socket, or over TLS with a token.

use std::{io::Write, path::Path, sync::Arc, time::Duration};

use anyhow::{Context, anyhow, bail};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{Method, Request, StatusCode, header, http::request};
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::{CertificateDer, ServerName, pem::PemObject};
use serde::{Serialize, de::DeserializeOwned};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream},
};
use tokio_rustls::TlsConnector;
use zeroize::Zeroizing;

use super::target::Target;
use crate::{
    config::{AdminAddress, HostPort},
    login::Problem,
};

/// How long an act may take; a large plugin is compiled in it.
const PATIENCE: Duration = Duration::from_secs(300);
/// The longest answer that is read.
const MAX_ANSWER: usize = 64 * 1024 * 1024;

/// A server's admin API.
pub(super) struct AdminClient {
    target: Target,
    /// Whether the user wants JSON.
    pub json: bool,
}

impl AdminClient {
    pub fn new(target: Target, json: bool) -> Self {
        AdminClient { target, json }
    }

    /// Asks for something.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<T> {
        self.ask::<(), T>(Method::GET, path, None).await
    }

    /// Asks, or has something done.
    ///
    /// # Errors
    /// The server cannot be reached, or refuses; its own words.
    pub async fn ask<B: Serialize, T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<&B>,
    ) -> anyhow::Result<T> {
        // A body may hold a password: it is wiped.
        let body = body.map(serde_json::to_vec).transpose()?.map(Zeroizing::new).unwrap_or_default();
        self.exchange(method, path, "application/json", body).await
    }

    /// Sends a component.
    ///
    /// # Errors
    /// As [`AdminClient::ask`].
    pub async fn send<T: DeserializeOwned>(&self, path: &str, component: Vec<u8>) -> anyhow::Result<T> {
        self.exchange(Method::POST, path, "application/wasm", Zeroizing::new(component)).await
    }

    /// Asks for something that is long, and passes it on as it comes.
    ///
    /// # Errors
    /// As [`AdminClient::ask`]; or it breaks off.
    pub async fn download(&self, path: &str, to: &mut impl Write) -> anyhow::Result<()> {
        let request = self.request(Method::POST, path).body(Full::new(Bytes::new()))?;
        let address = &self.target.address;
        match address {
            AdminAddress::Unix(path) => {
                let stream = UnixStream::connect(path).await;
                download(stream.with_context(|| unreachable(address))?, request, address, to).await
            }
            AdminAddress::Network(at) => download(self.connect(at).await?, request, address, to).await,
        }
    }

    fn request(&self, method: Method, path: &str) -> request::Builder {
        let request = Request::builder().method(method).uri(path).header(header::HOST, "postern");
        match (&self.target.address, &self.target.token) {
            (AdminAddress::Network(_), Some(token)) => {
                request.header(header::AUTHORIZATION, format!("Bearer {}", token.reveal()))
            }
            _ => request,
        }
    }

    async fn exchange<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        kind: &str,
        body: Zeroizing<Vec<u8>>,
    ) -> anyhow::Result<T> {
        let mut request = self.request(method, path);
        if !body.is_empty() {
            request = request.header(header::CONTENT_TYPE, kind);
        }
        let request = request.body(Full::new(Bytes::from_owner(body)))?;
        let address = &self.target.address;
        let answer = tokio::time::timeout(PATIENCE, async {
            match address {
                AdminAddress::Unix(path) => {
                    let stream = UnixStream::connect(path).await;
                    exchange(stream.with_context(|| unreachable(address))?, request).await
                }
                AdminAddress::Network(at) => exchange(self.connect(at).await?, request).await,
            }
        });
        let (status, body) = answer.await.map_err(|_| anyhow!("{address}: no answer in time"))??;
        if status.is_success() {
            // Nothing to tell is `null`.
            let body: &[u8] = if body.is_empty() { b"null" } else { &body };
            return serde_json::from_slice(body).with_context(|| format!("{address}: unreadable answer"));
        }
        Err(refusal(address, status, &body))
    }

    async fn connect(
        &self,
        at: &HostPort,
    ) -> anyhow::Result<impl AsyncRead + AsyncWrite + Send + Unpin + use<>> {
        let Some(ca) = self.target.ca.as_deref() else {
            bail!("an admin listener on the network needs --ca FILE");
        };
        let config = trust(ca).with_context(|| ca.display().to_string())?;
        let name = ServerName::try_from(at.host().to_owned()).context("--admin")?;
        let stream = TcpStream::connect((at.host(), at.port())).await;
        let stream = stream.with_context(|| unreachable(&self.target.address))?;
        TlsConnector::from(Arc::new(config)).connect(name, stream).await.with_context(|| at.to_string())
    }
}

/// The server's own words.
fn refusal(address: &AdminAddress, status: StatusCode, body: &[u8]) -> anyhow::Error {
    match serde_json::from_slice::<Problem>(body) {
        Ok(problem) => anyhow!("{problem}"),
        Err(_) => anyhow!("{address}: {status}"),
    }
}

fn unreachable(address: &AdminAddress) -> String {
    format!("{address}: no postern answers there")
}

fn trust(ca: &Path) -> anyhow::Result<ClientConfig> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(ca)? {
        roots.add(certificate?)?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

/// One request and its answer.
///
/// # Errors
/// The connection's.
pub(super) async fn exchange<S>(
    stream: S,
    request: Request<Full<Bytes>>,
) -> anyhow::Result<(hyper::StatusCode, Bytes)>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let exchange = async {
        let answer = sender.send_request(request).await?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), MAX_ANSWER).collect().await;
        let body = body.map_err(|e| anyhow!("answer: {e}"))?;
        anyhow::Ok((status, body.to_bytes()))
    };
    tokio::pin!(exchange, connection);
    tokio::select! {
        biased;
        answer = &mut exchange => answer,
        // The connection may end before its answer has been read to the end.
        ended = connection => {
            ended?;
            exchange.await
        }
    }
}

/// An answer in pieces. What is refused is short.
async fn download<S>(
    stream: S,
    request: Request<Full<Bytes>>,
    from: &AdminAddress,
    to: &mut impl Write,
) -> anyhow::Result<()>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let connection = tokio::spawn(connection);
    let mut answer = sender.send_request(request).await?;
    if !answer.status().is_success() {
        let status = answer.status();
        let body = Limited::new(answer.into_body(), MAX_ANSWER).collect().await;
        let body = body.map_err(|e| anyhow!("answer: {e}"))?;
        return Err(refusal(from, status, &body.to_bytes()));
    }
    while let Some(frame) = answer.frame().await {
        let frame = frame.with_context(|| format!("{from}: the answer broke off"))?;
        if let Ok(piece) = frame.into_data() {
            to.write_all(&piece)?;
        }
    }
    connection.abort();
    to.flush().map_err(Into::into)
}
