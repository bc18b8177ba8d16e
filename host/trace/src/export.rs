//! Spans → a bounded queue → OTLP over HTTP. Whoever records a span never waits: what does not fit into the
//! queue is lost, and a collector that is not there is told of once.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper::header::{self, HeaderValue};
use hyper::{Request, Response, Uri};
use hyper_util::rt::TokioIo;
use opentelemetry::KeyValue;
use opentelemetry::trace::TracerProvider;
use opentelemetry_http::{HttpClient, HttpError};
use opentelemetry_otlp::{SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio_rustls::TlsConnector;
use tracing::{info, warn};

use crate::{process, sampling};

/// How long a collector may take for one export.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long the last export may take when the process stops.
const FAREWELL: Duration = Duration::from_secs(2);
/// Bytes of a collector's answer that are read.
const ANSWER: usize = 64 << 10;
/// Where a collector takes traces (OTLP specification, "OTLP/HTTP Request").
const PATH: &str = "/v1/traces";

/// A collector, as `http://HOST:PORT` or `https://…`; a path is put before `/v1/traces`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    host: String,
    port: u16,
    tls: bool,
    path: String,
}

/// Why a text names no collector. It is not repeated: it may hold a password by mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected http://HOST:PORT or https://HOST:PORT, without user and query")]
pub struct NoEndpoint;

impl FromStr for Endpoint {
    type Err = NoEndpoint;

    fn from_str(text: &str) -> Result<Self, NoEndpoint> {
        let uri: Uri = text.parse().map_err(|_| NoEndpoint)?;
        let tls = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err(NoEndpoint),
        };
        let authority = uri.authority().filter(|it| !it.as_str().contains('@')).ok_or(NoEndpoint)?;
        if uri.query().is_some() || authority.host().is_empty() {
            return Err(NoEndpoint);
        }
        // The ports that OTLP over HTTP has, and HTTPS.
        let port = authority.port_u16().unwrap_or(if tls { 443 } else { 4318 });
        let path = format!("{}{PATH}", uri.path().trim_end_matches('/'));
        Ok(Endpoint { host: authority.host().to_owned(), port, tls, path })
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

impl Endpoint {
    fn url(&self) -> String {
        let scheme = if self.tls { "https" } else { "http" };
        format!("{scheme}://{}:{}{}", self.host, self.port, self.path)
    }
}

/// What is exported, and where to.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The collector.
    pub endpoint: Endpoint,
    /// The share of requests and messages that is traced, 0 to 1, beside those of which a peer wants it.
    pub share: f64,
    /// `service.name`.
    pub service: String,
    /// `service.version`.
    pub version: &'static str,
}

/// Why nothing can be exported.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct StartError(String);

/// The export that has been started; to be stopped at the end.
pub struct Exporting(SdkTracerProvider);

/// Starts recording and exporting. To be called within a runtime, once in a process.
///
/// # Errors
/// When the system's root certificates cannot be read, for `https`.
pub fn start(settings: &Settings) -> Result<Exporting, StartError> {
    let failed = |error: &dyn fmt::Display| StartError(error.to_string());
    let collector = Collector {
        endpoint: Arc::new(settings.endpoint.clone()),
        tls: if settings.endpoint.tls { Some(roots().map_err(|e| failed(&e))?) } else { None },
        runtime: Handle::current(),
        is_away: Arc::default(),
    };
    let exporter = SpanExporter::builder()
        .with_http()
        .with_http_client(collector)
        .with_endpoint(settings.endpoint.url())
        .with_timeout(PATIENCE)
        .build()
        .map_err(|error| failed(&error))?;
    let resource = Resource::builder()
        .with_service_name(settings.service.clone())
        .with_attribute(KeyValue::new("service.version", settings.version))
        .with_attribute(KeyValue::new("service.instance.id", format!("{:06x}", process())))
        .build();
    let provider = SdkTracerProvider::builder()
        .with_batch_exporter(exporter)
        // What is to be recorded is decided where it begins.
        .with_sampler(Sampler::AlwaysOn)
        .with_resource(resource)
        .build();
    sampling::set(provider.tracer("postern"), settings.share);
    info!(collector = %settings.endpoint, share = settings.share, "traces are exported");
    Ok(Exporting(provider))
}

impl Exporting {
    /// Exports what is still queued, for two seconds at most.
    pub async fn stop(self) {
        let _ = tokio::task::spawn_blocking(move || self.0.shutdown_with_timeout(FAREWELL)).await;
    }
}

fn roots() -> Result<Arc<ClientConfig>, rustls::Error> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(Arc::new(config.with_root_certificates(roots).with_no_client_auth()))
}

/// The HTTP client of the exporter, which has a thread of its own: it asks on the host's runtime.
#[derive(Clone)]
struct Collector {
    endpoint: Arc<Endpoint>,
    tls: Option<Arc<ClientConfig>>,
    runtime: Handle,
    /// The last export failed, and that has been told.
    is_away: Arc<AtomicBool>,
}

impl fmt::Debug for Collector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Collector({})", self.endpoint)
    }
}

#[async_trait]
impl HttpClient for Collector {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let this = self.clone();
        let asked = self.runtime.spawn(async move {
            match tokio::time::timeout(PATIENCE, this.exchange(request)).await {
                Ok(answer) => answer,
                Err(_) => Err("no answer in time".into()),
            }
        });
        let answer = asked.await.map_err(|_| HttpError::from("stopping")).flatten();
        match &answer {
            Ok(answer) if answer.status().is_success() => self.is_there(),
            Ok(answer) => self.is_away(&answer.status()),
            Err(error) => self.is_away(error),
        }
        answer
    }
}

impl Collector {
    fn is_there(&self) {
        if self.is_away.swap(false, Ordering::Relaxed) {
            info!(collector = %self.endpoint, "the collector takes traces again");
        }
    }

    fn is_away(&self, why: &dyn fmt::Display) {
        if !self.is_away.swap(true, Ordering::Relaxed) {
            warn!(collector = %self.endpoint, error = %why, "traces are lost until the collector takes them");
        }
    }

    async fn exchange(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let host = self.endpoint.host.trim_start_matches('[').trim_end_matches(']');
        let stream = TcpStream::connect((host, self.endpoint.port)).await?;
        match &self.tls {
            Some(tls) => {
                let name = ServerName::try_from(host.to_owned())?;
                self.ask(TlsConnector::from(tls.clone()).connect(name, stream).await?, request).await
            }
            None => self.ask(stream, request).await,
        }
    }

    async fn ask(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        request: Request<Bytes>,
    ) -> Result<Response<Bytes>, HttpError> {
        let (mut sender, connection) = http1::handshake::<_, Full<Bytes>>(TokioIo::new(stream)).await?;
        let mut request = request.map(Full::new);
        *request.uri_mut() = self.endpoint.path.parse()?;
        let headers = request.headers_mut();
        headers.insert(header::HOST, HeaderValue::from_str(&self.endpoint.to_string())?);
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        let mut answer = std::pin::pin!(async {
            let (head, body) = sender.send_request(request).await?.into_parts();
            let body = Limited::new(body, ANSWER).collect().await?.to_bytes();
            Ok(Response::from_parts(head, body))
        });
        tokio::select! {
            answer = &mut answer => answer,
            // It is over for the connection; what came is still to be read, or why nothing came.
            _ = connection => answer.await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn collectors_are_named_by_url() {
        for (text, url) in [
            ("http://localhost:4318", "http://localhost:4318/v1/traces"),
            ("http://collector", "http://collector:4318/v1/traces"),
            ("https://traces.example.com/tenant/", "https://traces.example.com:443/tenant/v1/traces"),
            ("http://[::1]:9", "http://[::1]:9/v1/traces"),
        ] {
            assert_eq!(text.parse::<Endpoint>().unwrap().url(), url);
        }
        for wrong in
            ["", "localhost:4318", "grpc://x:1", "http://u:p@x:1", "http://x:1/?token=1", "http://:1", "/x"]
        {
            assert_eq!(wrong.parse::<Endpoint>(), Err(NoEndpoint), "{wrong}");
        }
    }
}
