use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};

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
    let told = |c: &Path, k: &Path| Certificates::from_files(c, k, day(20_001)).err().unwrap().to_string();
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
    for config in [certificates.mqtt(), certificates.http()] {
        assert_eq!(config.max_early_data_size, 0);
        assert!(!config.send_half_rtt_data);
    }
}

/// A certificate for this key, from and to a day.
fn write(certificate: &Path, key: &Path, pair: &KeyPair, days: std::ops::Range<u64>) {
    let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let at = |n: u64| time::OffsetDateTime::from_unix_timestamp((n * DAY) as i64).unwrap();
    (params.not_before, params.not_after) = (at(days.start), at(days.end));
    std::fs::write(certificate, params.self_signed(pair).unwrap().pem()).unwrap();
    std::fs::write(key, pair.serialize_pem()).unwrap();
}

impl Certificates {
    fn reload(&self, now: UnixTime) -> Result<bool, TlsError> {
        let read = self.read(now)?;
        Ok(read.map(|serving| self.serve(serving)).is_some())
    }
}

#[test]
fn a_wrong_certificate_leaves_the_old_one_serving() {
    let dir = tempfile::tempdir().unwrap();
    let (certificate, key) = (dir.path().join("c.pem"), dir.path().join("k.pem"));
    let (one, two) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    write(&certificate, &key, &one, 20_000..20_100);
    let certificates = Certificates::from_files(&certificate, &key, day(20_010)).unwrap();
    assert_eq!(certificates.not_after(), day(20_100));
    let first = certificates.mqtt();
    assert!(!certificates.reload(day(20_020)).unwrap(), "the same");

    std::fs::write(&key, two.serialize_pem()).unwrap();
    assert!(matches!(certificates.reload(day(20_020)), Err(TlsError::Unusable { .. })), "half of a pair");
    write(&certificate, &key, &two, 20_050..20_200);
    assert!(matches!(certificates.reload(day(20_020)), Err(TlsError::NotYet { .. })));
    write(&certificate, &key, &two, 20_000..20_015);
    assert!(matches!(certificates.reload(day(20_020)), Err(TlsError::Expired { .. })));
    std::fs::write(&certificate, "-----BEGIN CERTIFICATE-----\nAAAA").unwrap();
    assert!(matches!(certificates.reload(day(20_020)), Err(TlsError::Unreadable { .. })));
    std::fs::remove_file(&certificate).unwrap();
    assert!(certificates.reload(day(20_020)).is_err());
    assert!(Arc::ptr_eq(&first, &certificates.mqtt()) && certificates.not_after() == day(20_100));

    write(&certificate, &key, &two, 20_000..20_200);
    assert!(certificates.reload(day(20_020)).unwrap());
    assert_eq!(certificates.not_after(), day(20_200));
}

#[test]
fn sessions_are_resumed_as_long_as_the_key_is_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let (certificate, key) = (dir.path().join("c.pem"), dir.path().join("k.pem"));
    let (one, two) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    write(&certificate, &key, &one, 20_000..20_100);
    let certificates = Certificates::from_files(&certificate, &key, day(20_010)).unwrap();
    let ticket = certificates.mqtt().ticketer.encrypt(b"a session").unwrap();
    let opens = || certificates.mqtt().ticketer.decrypt(&ticket).is_some();
    write(&certificate, &key, &one, 20_000..20_200);
    assert!(certificates.reload(day(20_020)).unwrap() && opens());
    write(&certificate, &key, &two, 20_000..20_200);
    assert!(certificates.reload(day(20_020)).unwrap() && !opens(), "nobody proves the old key any more");
}
