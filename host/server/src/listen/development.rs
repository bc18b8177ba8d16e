//! The development certificate: made where none is configured, renewed in its last month.

use std::{io, time::Duration};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use rustls_pki_types::UnixTime;
use time::OffsetDateTime;

use super::tls::{TlsError, check_dates, read_chain};
use crate::datadir::{DevelopmentFiles, write_whole};

/// How long a development certificate is good. It is renewed at a start, or a reload, in its last month.
const DEVELOPMENT_DAYS: i64 = 365;
const RENEW_DAYS: u64 = 30;

/// Makes the development certificate unless a good one is there: an authority of its own, which
/// clients are given to trust, and the server's certificate. The authority's key is thrown away.
pub(super) fn development(files: &DevelopmentFiles, host: &str, now: UnixTime) -> Result<(), TlsError> {
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
    use crate::listen::tls::Certificates;

    fn day(n: u64) -> UnixTime {
        UnixTime::since_unix_epoch(Duration::from_secs(n * 86_400))
    }

    #[test]
    fn a_development_certificate_is_made_once_and_renewed_in_time() {
        let dir = tempfile::tempdir().unwrap();
        let files = DevelopmentFiles::of(dir.path());
        development(&files, "mqtt.example.com", day(20_000)).unwrap();
        assert_eq!(std::fs::metadata(&files.key).unwrap().permissions().mode() & 0o777, 0o600);
        let first = std::fs::read(&files.certificate).unwrap();
        development(&files, "", day(20_300)).unwrap();
        assert_eq!(std::fs::read(&files.certificate).unwrap(), first);
        Certificates::from_files(&files.certificate, &files.key, day(20_001)).unwrap();
        development(&files, "", day(20_340)).unwrap();
        assert_ne!(std::fs::read(&files.certificate).unwrap(), first);
    }
}
