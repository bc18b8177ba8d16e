//! TLS of the listeners: certificate, versions, no early data. The certificate can be another one while they serve:
//! each handshake takes what is there, and a link that stands has no use for it any more.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use arc_swap::ArcSwap;
use rustls::{
    CertificateError, ServerConfig,
    server::{ParsedCertificate, ResolvesServerCert},
    sign::{CertifiedKey, SingleCertAndKey},
    version,
};
use rustls_pki_types::{
    CertificateDer, PrivateKeyDer, ServerName, UnixTime,
    pem::{self, PemObject},
};

use super::development::development;
use crate::{
    config::Config,
    datadir::{DataDir, DevelopmentFiles},
};

/// Why there is no TLS.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)] // the texts say it
pub enum TlsError {
    #[error("{file}: {error} (key {key})")]
    Unreadable { file: PathBuf, key: &'static str, error: String },
    #[error("{file}: the certificate expired {days} days ago (key tls.certificate)")]
    Expired { file: PathBuf, days: u64 },
    #[error("{file}: the certificate is not valid yet (key tls.certificate)")]
    NotYet { file: PathBuf },
    #[error("{certificate}: {error} (keys tls.certificate, tls.key)")]
    Unusable { certificate: PathBuf, error: rustls::Error },
    #[error("{file}: development certificate: {error}")]
    Development { file: PathBuf, error: String },
}

/// What the TLS listeners serve with, in one place for all of them.
#[derive(Clone)]
pub struct Certificates {
    serving: Arc<ArcSwap<Serving>>,
    source: Arc<Source>,
}

/// Where the certificate comes from.
struct Source {
    certificate: PathBuf,
    key: PathBuf,
    /// None when both are the operator's; else where ours are made, and for which host.
    development: Option<(DevelopmentFiles, String)>,
}

/// One certificate, and what is made of it.
pub struct Serving {
    mqtt: Arc<ServerConfig>,
    http: Arc<ServerConfig>,
    certified: Arc<CertifiedKey>,
    not_after: UnixTime,
}

impl Certificates {
    /// Loads the configured certificate, or the development certificate, which is made when it is
    /// missing or about to expire.
    ///
    /// # Errors
    /// A file that cannot be read, a key that is another certificate's, an expired certificate.
    pub fn load(config: &Config, data: &DataDir, now: UnixTime) -> Result<Self, TlsError> {
        let source = match &config.tls {
            Some(files) => {
                let (certificate, key) = (files.certificate.clone(), files.key.clone());
                Source { certificate, key, development: None }
            }
            None => {
                let (files, host) = (data.development(), config.advertise_host.clone());
                let (certificate, key) = (files.certificate.clone(), files.key.clone());
                Source { certificate, key, development: Some((files, host)) }
            }
        };
        Certificates::from_source(source, now)
    }

    /// From a certificate chain and its key, PEM.
    ///
    /// # Errors
    /// As [`Certificates::load`].
    pub fn from_files(certificate: &Path, key: &Path, now: UnixTime) -> Result<Self, TlsError> {
        let (certificate, key) = (certificate.to_owned(), key.to_owned());
        Certificates::from_source(Source { certificate, key, development: None }, now)
    }

    fn from_source(source: Source, now: UnixTime) -> Result<Self, TlsError> {
        let serving = source.read(now)?.serve(None)?;
        Ok(Certificates { serving: Arc::new(ArcSwap::from_pointee(serving)), source: Arc::new(source) })
    }

    /// Reads the files again: what is to serve, if it is another than what does.
    ///
    /// # Errors
    /// As [`Certificates::load`].
    pub fn read(&self, now: UnixTime) -> Result<Option<Serving>, TlsError> {
        let read = self.source.read(now)?;
        let former = self.serving.load_full();
        if former.certified.cert == read.certified.cert && is_same_key(&former.certified, &read.certified) {
            return Ok(None);
        }
        read.serve(Some(&former)).map(Some)
    }

    /// Serves with it from the next handshake on.
    pub fn serve(&self, serving: Serving) {
        self.serving.store(Arc::new(serving));
    }

    /// The files that it is read from.
    pub fn files(&self) -> [&Path; 2] {
        [&self.source.certificate, &self.source.key]
    }

    /// When the serving one expires.
    pub fn not_after(&self) -> UnixTime {
        self.serving.load().not_after
    }

    /// For a handshake on `tls` and `wss`.
    pub fn mqtt(&self) -> Arc<ServerConfig> {
        self.serving.load().mqtt.clone()
    }

    /// For a handshake on `http` and a network `admin`: with ALPN for HTTP/2 and HTTP/1.1.
    pub fn http(&self) -> Arc<ServerConfig> {
        self.serving.load().http.clone()
    }

    /// Whether a client that calls us by this host name or address finds it in our certificate.
    pub fn are_for(&self, host: &str) -> bool {
        let Ok(name) = ServerName::try_from(host) else { return false };
        let serving = self.serving.load();
        let own = serving.certified.end_entity_cert().and_then(ParsedCertificate::try_from);
        own.is_ok_and(|own| rustls::client::verify_server_name(&own, &name).is_ok())
    }

    /// The development certificate, in a folder.
    #[cfg(test)]
    pub fn for_tests(folder: &Path) -> Self {
        let files = DevelopmentFiles::of(folder);
        development(&files, "", UnixTime::now()).unwrap();
        Certificates::from_files(&files.certificate, &files.key, UnixTime::now()).unwrap()
    }
}

/// What a source holds now, and is good.
struct Read<'a> {
    source: &'a Source,
    certified: Arc<CertifiedKey>,
    not_after: UnixTime,
}

impl Source {
    fn read(&self, now: UnixTime) -> Result<Read<'_>, TlsError> {
        if let Some((files, host)) = &self.development {
            development(files, host, now)?;
        }
        let chain = read_chain(&self.certificate)?;
        check_dates(&self.certificate, &chain, now)?;
        let not_after = not_after(&chain);
        let key =
            PrivateKeyDer::from_pem_file(&self.key).map_err(|e| unreadable(&self.key, "tls.key", &e))?;
        let certified = CertifiedKey::from_der(chain, key, &rustls::crypto::ring::default_provider());
        let certified = Arc::new(certified.map_err(|error| self.unusable(error))?);
        Ok(Read { source: self, certified, not_after })
    }

    fn unusable(&self, error: rustls::Error) -> TlsError {
        TlsError::Unusable { certificate: self.certificate.clone(), error }
    }
}

impl Read<'_> {
    /// What is made of it; `former`: what served before.
    fn serve(self, former: Option<&Serving>) -> Result<Serving, TlsError> {
        let resolver: Arc<dyn ResolvesServerCert> = Arc::new(SingleCertAndKey::from(self.certified.clone()));
        let build = || {
            let provider = Arc::new(rustls::crypto::ring::default_provider());
            let mut server = ServerConfig::builder_with_provider(provider)
                .with_protocol_versions(&[&version::TLS13, &version::TLS12])?
                .with_no_client_auth()
                .with_cert_resolver(resolver);
            // Rule 6: no early data. It is rustls' default; said here because it must stay so.
            server.max_early_data_size = 0;
            // Terminals come and go (B): a resumed handshake is the cheap one. It shows no certificate, so that
            // what was begun with another key is not resumed: who got rid of a key is rid of it at once.
            match former.filter(|former| is_same_key(&former.certified, &self.certified)) {
                Some(former) => {
                    server.ticketer = former.mqtt.ticketer.clone();
                    server.session_storage = former.mqtt.session_storage.clone();
                }
                None => {
                    server.ticketer = rustls::crypto::ring::Ticketer::new()?;
                }
            }
            Ok(server)
        };
        let mqtt = build().map_err(|error| self.source.unusable(error))?;
        let mut http = mqtt.clone();
        http.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let (certified, not_after) = (self.certified, self.not_after);
        Ok(Serving { mqtt: Arc::new(mqtt), http: Arc::new(http), certified, not_after })
    }
}

/// Whether two certificates are for one key. Of a key that does not tell its public half nothing is known.
fn is_same_key(one: &CertifiedKey, other: &CertifiedKey) -> bool {
    one.key.public_key().is_some_and(|key| other.key.public_key() == Some(key))
}

fn unreadable(file: &Path, key: &'static str, error: &pem::Error) -> TlsError {
    let error = match error {
        pem::Error::Io(e) => e.to_string(),
        pem::Error::NoItemsFound => "nothing of this kind in the file".to_owned(),
        _ => "not PEM".to_owned(),
    };
    TlsError::Unreadable { file: file.to_owned(), key, error }
}

pub(super) fn read_chain(file: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let unreadable = |e| unreadable(file, "tls.certificate", &e);
    let chain: Result<Vec<_>, _> = CertificateDer::pem_file_iter(file).map_err(unreadable)?.collect();
    match chain {
        Ok(chain) if chain.is_empty() => Err(unreadable(pem::Error::NoItemsFound)),
        Ok(chain) => Ok(chain),
        Err(e) => Err(unreadable(e)),
    }
}

/// Refuses an expired certificate: clients would, and say less.
pub(super) fn check_dates(file: &Path, chain: &[CertificateDer<'_>], now: UnixTime) -> Result<(), TlsError> {
    let bad = |error: String| TlsError::Unreadable { file: file.to_owned(), key: "tls.certificate", error };
    let own = chain.first().ok_or_else(|| bad("empty".to_owned()))?;
    ParsedCertificate::try_from(own).map_err(|e| bad(e.to_string()))?;
    match judge_dates(chain, now) {
        Some(CertificateError::ExpiredContext { not_after, .. }) => {
            let days = now.as_secs().saturating_sub(not_after.as_secs()) / 86_400;
            Err(TlsError::Expired { file: file.to_owned(), days })
        }
        Some(CertificateError::Expired) => Err(TlsError::Expired { file: file.to_owned(), days: 0 }),
        Some(CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. }) => {
            Err(TlsError::NotYet { file: file.to_owned() })
        }
        _ => Ok(()),
    }
}

/// When a chain's own certificate expires: the day that it is said to be over at the end of time.
fn not_after(chain: &[CertificateDer<'_>]) -> UnixTime {
    let end = UnixTime::since_unix_epoch(Duration::from_secs(END_OF_TIME));
    match judge_dates(chain, end) {
        Some(CertificateError::ExpiredContext { not_after, .. }) => not_after,
        _ => end,
    }
}

/// The first second of the year 10000, which no certificate can name (RFC 5280, section 4.1.2.5).
const END_OF_TIME: u64 = 253_402_300_800;

/// What is wrong with a chain at that time, its dates before all else: nobody is trusted, so that nothing but the
/// dates of our own certificate can be judged, which are looked at before any issuer is.
fn judge_dates(chain: &[CertificateDer<'_>], at: UnixTime) -> Option<CertificateError> {
    let (own, intermediates) = chain.split_first()?;
    let algorithms = rustls::crypto::ring::default_provider().signature_verification_algorithms;
    let verified = rustls::client::verify_server_cert_signed_by_trust_anchor(
        &ParsedCertificate::try_from(own).ok()?,
        &rustls::RootCertStore::empty(),
        intermediates,
        at,
        algorithms.all,
    );
    match verified {
        Err(rustls::Error::InvalidCertificate(error)) => Some(error),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
