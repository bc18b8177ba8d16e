//! TLS of the listeners: certificate, versions, no early data; and the development certificate.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use rustls::{CertificateError, ServerConfig, server::ParsedCertificate, version};
use rustls_pki_types::{
    CertificateDer, PrivateKeyDer, ServerName, UnixTime,
    pem::{self, PemObject},
};
use time::OffsetDateTime;

use crate::{
    config::Config,
    datadir::{DataDir, DevelopmentFiles, write_whole},
};

/// How long a development certificate is good. It is renewed at a start in its last month.
const DEVELOPMENT_DAYS: i64 = 365;
const RENEW_DAYS: u64 = 30;

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

/// What the TLS listeners serve with.
#[derive(Clone)]
pub struct Certificates {
    /// For `tls` and `wss`.
    pub mqtt: Arc<ServerConfig>,
    /// For `http` and a network `admin`: with ALPN for HTTP/2 and HTTP/1.1.
    pub http: Arc<ServerConfig>,
    /// Our own, without its chain.
    own: CertificateDer<'static>,
}

impl Certificates {
    /// Loads the configured certificate, or the development certificate, which is made when it is
    /// missing or about to expire.
    ///
    /// # Errors
    /// A file that cannot be read, a key that is another certificate's, an expired certificate.
    pub fn load(config: &Config, data: &DataDir, now: UnixTime) -> Result<Self, TlsError> {
        let (certificate, key) = match &config.tls {
            Some(files) => (files.certificate.clone(), files.key.clone()),
            None => {
                let files = data.development();
                development(&files, &config.advertise_host, now)?;
                (files.certificate, files.key)
            }
        };
        Certificates::from_files(&certificate, &key, now)
    }

    /// From a certificate chain and its key, PEM.
    ///
    /// # Errors
    /// As [`Certificates::load`].
    pub fn from_files(certificate: &Path, key: &Path, now: UnixTime) -> Result<Self, TlsError> {
        let chain = read_chain(certificate)?;
        check_dates(certificate, &chain, now)?;
        let key = PrivateKeyDer::from_pem_file(key).map_err(|e| unreadable(key, "tls.key", &e))?;
        let own = chain.first().cloned().unwrap_or_else(|| CertificateDer::from(Vec::new()));
        let build = || {
            let provider = Arc::new(rustls::crypto::ring::default_provider());
            let mut server = ServerConfig::builder_with_provider(provider)
                .with_protocol_versions(&[&version::TLS13, &version::TLS12])?
                .with_no_client_auth()
                .with_single_cert(chain, key)?;
            // Rule 6: no early data. It is rustls' default; said here because it must stay so.
            server.max_early_data_size = 0;
            // Terminals come and go (B): a resumed handshake is the cheap one.
            server.ticketer = rustls::crypto::ring::Ticketer::new()?;
            Ok(server)
        };
        let unusable = |error| TlsError::Unusable { certificate: certificate.to_owned(), error };
        let mqtt = build().map_err(unusable)?;
        let mut http = mqtt.clone();
        http.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Certificates { mqtt: Arc::new(mqtt), http: Arc::new(http), own })
    }

    /// Whether a client that calls us by this host name or address finds it in our certificate.
    pub fn are_for(&self, host: &str) -> bool {
        let Ok(name) = ServerName::try_from(host) else { return false };
        ParsedCertificate::try_from(&self.own)
            .is_ok_and(|own| rustls::client::verify_server_name(&own, &name).is_ok())
    }

    /// The development certificate, in a folder.
    #[cfg(test)]
    pub fn for_tests(folder: &Path) -> Self {
        let files = DevelopmentFiles::of(folder);
        development(&files, "", UnixTime::now()).unwrap();
        Certificates::from_files(&files.certificate, &files.key, UnixTime::now()).unwrap()
    }
}

fn unreadable(file: &Path, key: &'static str, error: &pem::Error) -> TlsError {
    let error = match error {
        pem::Error::Io(e) => e.to_string(),
        pem::Error::NoItemsFound => "nothing of this kind in the file".to_owned(),
        _ => "not PEM".to_owned(),
    };
    TlsError::Unreadable { file: file.to_owned(), key, error }
}

fn read_chain(file: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let unreadable = |e| unreadable(file, "tls.certificate", &e);
    let chain: Result<Vec<_>, _> = CertificateDer::pem_file_iter(file).map_err(unreadable)?.collect();
    match chain {
        Ok(chain) if chain.is_empty() => Err(unreadable(pem::Error::NoItemsFound)),
        Ok(chain) => Ok(chain),
        Err(e) => Err(unreadable(e)),
    }
}

/// Refuses an expired certificate: clients would, and say less.
fn check_dates(file: &Path, chain: &[CertificateDer<'_>], now: UnixTime) -> Result<(), TlsError> {
    let bad = |error: String| TlsError::Unreadable { file: file.to_owned(), key: "tls.certificate", error };
    let Some((own, intermediates)) = chain.split_first() else { return Err(bad("empty".to_owned())) };
    let parsed = ParsedCertificate::try_from(own).map_err(|e| bad(e.to_string()))?;
    let algorithms = rustls::crypto::ring::default_provider().signature_verification_algorithms;
    // Trusting nobody, so that nothing but the dates of our own certificate can be judged: they are
    // looked at before any issuer is.
    let verified = rustls::client::verify_server_cert_signed_by_trust_anchor(
        &parsed,
        &rustls::RootCertStore::empty(),
        intermediates,
        now,
        algorithms.all,
    );
    match verified {
        Err(rustls::Error::InvalidCertificate(CertificateError::ExpiredContext { not_after, .. })) => {
            let days = now.as_secs().saturating_sub(not_after.as_secs()) / 86_400;
            Err(TlsError::Expired { file: file.to_owned(), days })
        }
        Err(rustls::Error::InvalidCertificate(CertificateError::Expired)) => {
            Err(TlsError::Expired { file: file.to_owned(), days: 0 })
        }
        Err(rustls::Error::InvalidCertificate(
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. },
        )) => Err(TlsError::NotYet { file: file.to_owned() }),
        _ => Ok(()),
    }
}

/// Makes the development certificate unless a good one is there: an authority of its own, which
/// clients are given to trust, and the server's certificate. The authority's key is thrown away.
fn development(files: &DevelopmentFiles, host: &str, now: UnixTime) -> Result<(), TlsError> {
    let soon = UnixTime::since_unix_epoch(Duration::from_secs(now.as_secs() + RENEW_DAYS * 86_400));
    if files.ca.exists() && files.key.exists() {
        let good =
            read_chain(&files.certificate).and_then(|chain| check_dates(&files.certificate, &chain, soon));
        if good.is_ok() {
            return Ok(());
        }
    }
    let made = make_development(host, now).map_err(|e| e.to_string());
    let written = made.and_then(|(ca, certificate, key)| {
        // The key first: a certificate without its key would be served with a wrong one.
        let write = || -> io::Result<()> {
            write_whole(&files.key, key.as_bytes(), 0o600)?;
            write_whole(&files.ca, ca.as_bytes(), 0o644)?;
            write_whole(&files.certificate, certificate.as_bytes(), 0o644)
        };
        write().map_err(|e| e.to_string())
    });
    written.map_err(|error| TlsError::Development { file: files.certificate.clone(), error })
}

fn make_development(host: &str, now: UnixTime) -> Result<(String, String, String), rcgen::Error> {
    let seconds = i64::try_from(now.as_secs()).unwrap_or_default();
    let now = OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    let dated = |mut params: CertificateParams, name: &str| {
        // An hour back, for clients whose clock is a little late.
        params.not_before = now - time::Duration::hours(1);
        params.not_after = now + time::Duration::days(DEVELOPMENT_DAYS);
        params.distinguished_name.push(DnType::CommonName, name);
        params
    };
    let mut ca = dated(CertificateParams::default(), "Postern development authority");
    ca.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
    let ca_key = KeyPair::generate()?;
    let authority = ca.self_signed(&ca_key)?;
    let issuer = Issuer::new(ca, ca_key);

    let mut own = dated(CertificateParams::new(names(host))?, "Postern development server");
    own.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    own.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    own.use_authority_key_identifier_extension = true;
    let key = KeyPair::generate()?;
    let certificate = own.signed_by(&key, &issuer)?;
    Ok((authority.pem(), certificate.pem(), key.serialize_pem()))
}

/// The names that a development server is called by.
fn names(host: &str) -> Vec<String> {
    let mut names = vec!["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()];
    let machine = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    for name in [host, machine.trim()] {
        let plain = !name.is_empty() && name.is_ascii();
        if plain && !names.iter().any(|known| known == name) {
            names.push(name.to_owned());
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    const DAY: u64 = 86_400;

    fn day(n: u64) -> UnixTime {
        UnixTime::since_unix_epoch(Duration::from_secs(n * DAY))
    }

    fn files() -> (tempfile::TempDir, DevelopmentFiles) {
        let dir = tempfile::tempdir().unwrap();
        let files = DevelopmentFiles::of(dir.path());
        (dir, files)
    }

    #[test]
    fn a_development_certificate_is_made_once_and_renewed_in_time() {
        let (_dir, files) = files();
        development(&files, "mqtt.example.com", day(20_000)).unwrap();
        assert_eq!(std::fs::metadata(&files.key).unwrap().permissions().mode() & 0o777, 0o600);
        let first = std::fs::read(&files.certificate).unwrap();
        development(&files, "", day(20_300)).unwrap();
        assert_eq!(std::fs::read(&files.certificate).unwrap(), first);
        Certificates::from_files(&files.certificate, &files.key, day(20_001)).unwrap();
        development(&files, "", day(20_340)).unwrap();
        assert_ne!(std::fs::read(&files.certificate).unwrap(), first);
    }

    #[test]
    fn an_expired_certificate_is_refused_by_name() {
        let (_dir, files) = files();
        development(&files, "", day(20_000)).unwrap();
        let refused = |now| Certificates::from_files(&files.certificate, &files.key, now).err().unwrap();
        assert!(matches!(refused(day(20_370)), TlsError::Expired { days: 5, .. }));
        let told = refused(day(20_370)).to_string();
        assert!(told.contains("development-cert.pem") && told.contains("tls.certificate"), "{told}");
        assert!(matches!(refused(day(19_000)), TlsError::NotYet { .. }));
    }

    /// As `openssl req -x509` makes them: an authority that signs itself and serves.
    #[test]
    fn an_expired_self_signed_certificate_is_refused_too() {
        let dir = tempfile::tempdir().unwrap();
        let (certificate, key) = (dir.path().join("c.pem"), dir.path().join("k.pem"));
        let pair = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        (params.not_before, params.not_after) =
            (rcgen::date_time_ymd(2020, 1, 1), rcgen::date_time_ymd(2021, 1, 1));
        std::fs::write(&certificate, params.self_signed(&pair).unwrap().pem()).unwrap();
        std::fs::write(&key, pair.serialize_pem()).unwrap();
        let at = |days| Certificates::from_files(&certificate, &key, day(days));
        assert!(at(18_400).is_ok());
        assert!(matches!(at(18_630).err(), Some(TlsError::Expired { .. })));
    }

    #[test]
    fn wrong_files_are_refused_by_name() {
        let (dir, files) = files();
        let (other_dir, other) = (tempfile::tempdir().unwrap(), day(20_000));
        let stranger = DevelopmentFiles::of(other_dir.path());
        development(&files, "", other).unwrap();
        development(&stranger, "", other).unwrap();
        let told =
            |c: &Path, k: &Path| Certificates::from_files(c, k, day(20_001)).err().unwrap().to_string();
        let missing = dir.path().join("none.pem");
        assert!(told(&missing, &files.key).contains("none.pem: No such file"));
        assert!(told(&files.key, &files.key).contains("key tls.certificate"));
        assert!(told(&files.certificate, &files.certificate).contains("key tls.key"));
        assert!(told(&files.certificate, &stranger.key).contains("keys tls.certificate, tls.key"));
    }

    #[test]
    fn the_names_of_the_certificate_are_ours() {
        let dir = tempfile::tempdir().unwrap();
        let certificates = Certificates::for_tests(dir.path());
        for ours in ["localhost", "LOCALHOST", "127.0.0.1", "::1"] {
            assert!(certificates.are_for(ours), "{ours}");
        }
        for other in ["", "localhost.evil.example", "127.0.0.2", "[::1]", "local host", "*"] {
            assert!(!certificates.are_for(other), "{other}");
        }
    }

    #[test]
    fn early_data_is_off() {
        let (_dir, files) = files();
        development(&files, "", day(20_000)).unwrap();
        let certificates = Certificates::from_files(&files.certificate, &files.key, day(20_001)).unwrap();
        for config in [certificates.mqtt, certificates.http] {
            assert_eq!(config.max_early_data_size, 0);
            assert!(!config.send_half_rtt_data);
        }
    }
}
