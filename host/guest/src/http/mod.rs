//! HTTP for plugins: to the hosts that the policy lists, and to nobody else.
//!
//! `host` what may be listed → `request` what a plugin may ask → (`password` puts the secret in) →
//! `exchange` one connection, one request, one answer.

mod exchange;
mod host;
pub(crate) mod password;
pub(crate) mod request;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use metrics::Counter;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use tokio::time::{Instant, timeout_at};

pub use host::HttpHost;
use request::{Prepared, Request, Response};

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum HttpError {
    /// Not sent: a mistake of the plugin or of the policy.
    #[error("refused: {0}")]
    Refused(String),
    /// Sent or not, there is no whole answer.
    #[error("unavailable: {0}")]
    Unavailable(String),
}

/// What a plugin may reach, and how long and how large.
pub(crate) struct Http {
    hosts: Vec<HttpHost>,
    tls: Arc<ClientConfig>,
    most_body: usize,
    most_time: Duration,
    answered: Counter,
    failed: Counter,
}

/// Bounds of requests and answers.
#[derive(Clone, Copy)]
pub(crate) struct Bounds {
    pub(crate) body_bytes: u32,
    pub(crate) timeout_ms: u32,
}

impl Http {
    /// # Errors
    ///
    /// When nobody's certificate could be judged: `ca` cannot be read, or there are no roots at all.
    pub(crate) fn new(
        plugin: &str,
        hosts: Vec<HttpHost>,
        ca: Option<&Path>,
        bounds: Bounds,
    ) -> Result<Http, String> {
        let count = |outcome: &'static str| metrics::counter!("postern_plugin_http_total", "plugin" => plugin.to_owned(), "outcome" => outcome);
        Ok(Http {
            tls: tls(&hosts, ca)?,
            hosts,
            most_body: usize::try_from(bounds.body_bytes).unwrap_or(usize::MAX),
            most_time: Duration::from_millis(bounds.timeout_ms.into()),
            answered: count("answered"),
            failed: count("failed"),
        })
    }

    /// Judges a request, before anything of it is sent.
    pub(crate) fn prepare(&self, request: Request) -> Result<Prepared<'_>, HttpError> {
        let Some(host) = self.hosts.iter().find(|host| host.listed() == request.host) else {
            return Err(HttpError::Refused(format!("`{}` is not in http_hosts", shown(&request.host))));
        };
        request::prepare(host, request)
    }

    /// Sends it, within its own time, the policy's, and what the call has left.
    pub(crate) async fn send(
        &self,
        prepared: Prepared<'_>,
        call_ends: Option<Instant>,
    ) -> Result<Response, HttpError> {
        if prepared.body.len() > self.most_body {
            return Err(HttpError::Refused(format!("the body is over {} bytes", self.most_body)));
        }
        let now = Instant::now();
        let asked = prepared.timeout.unwrap_or(self.most_time).min(self.most_time);
        // A tenth is left to the plugin, to answer in.
        let left = call_ends.map(|end| end.saturating_duration_since(now).mul_f32(0.9));
        let deadline = now + left.map_or(asked, |left| left.min(asked));
        let exchange = exchange::exchange(&self.tls, prepared, self.most_body);
        let answer = timeout_at(deadline, exchange)
            .await
            .unwrap_or_else(|_| Err(HttpError::Unavailable("no answer in time".into())));
        if answer.is_ok() { &self.answered } else { &self.failed }.increment(1);
        answer
    }
}

/// Trusts the system's roots and the operator's own.
fn tls(hosts: &[HttpHost], ca: Option<&Path>) -> Result<Arc<ClientConfig>, String> {
    let mut roots = RootCertStore::empty();
    if hosts.iter().any(HttpHost::is_tls) {
        let _ = roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if let Some(path) = ca {
            add(&mut roots, path).map_err(|why| format!("http_ca: {}: {why}", path.display()))?;
        }
        if roots.is_empty() {
            return Err("no root certificates: install the system's (ca-certificates) or set http_ca".into());
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    Ok(Arc::new(config.with_root_certificates(roots).with_no_client_auth()))
}

fn add(roots: &mut RootCertStore, path: &Path) -> Result<(), String> {
    let pem = std::fs::read(path).map_err(|error| error.to_string())?;
    let before = roots.len();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        roots.add(certificate.map_err(|e| e.to_string())?).map_err(|e| e.to_string())?;
    }
    if roots.len() == before { Err("holds no certificate".into()) } else { Ok(()) }
}

/// What a plugin said, for an error text: escaped and bounded.
fn shown(text: &str) -> String {
    text.escape_debug().take(100).collect()
}

#[cfg(test)]
mod tests;
