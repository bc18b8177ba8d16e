//! Another certificate while links stand: none ends, new handshakes are shown it, a wrong one changes nothing.

use std::ops::Range;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use futures_util::{StreamExt, TryStreamExt, stream};
use postern_broker::wire::{ReasonCode, Version};
use postern_tests::{Peer, Postern, connect, patiently};
use rcgen::{CertificateParams, DnType, KeyPair};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, HandshakeKind};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Links that stand while certificates come and go.
const LINKS: usize = 1_000;
/// Of them, how many do something at once.
const AT_ONCE: usize = 50;

/// A certificate for `localhost` that vouches for itself, as PEM; valid for days from now.
fn certificate(key: &KeyPair, days: Range<i64>) -> String {
    let mut params = CertificateParams::new(vec!["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
    let now = std::time::SystemTime::now();
    let at = |days: i64| {
        let hours = std::time::Duration::from_secs(days.unsigned_abs() * 86_400);
        if days < 0 { now - hours } else { now + hours }.into()
    };
    (params.not_before, params.not_after) = (at(days.start), at(days.end));
    // By another name each: with the same one, and the same key, one would vouch for the other.
    static MADE: AtomicU32 = AtomicU32::new(0);
    params.distinguished_name.push(DnType::CommonName, format!("server {}", MADE.fetch_add(1, Relaxed)));
    params.self_signed(key).unwrap().pem()
}

/// A folder as Kubernetes makes it of a secret: `tls.crt` and `tls.key` lead through `..data` to the files.
struct Secret {
    folder: PathBuf,
    versions: u32,
}

impl Secret {
    fn new(folder: &Path) -> Self {
        std::fs::create_dir(folder).unwrap();
        for file in ["tls.crt", "tls.key"] {
            symlink(format!("..data/{file}"), folder.join(file)).unwrap();
        }
        Secret { folder: folder.to_owned(), versions: 0 }
    }

    /// Both files at once, by a link that leads elsewhere from now on.
    fn put(&mut self, certificate: &str, key: &KeyPair) {
        self.versions += 1;
        let version = self.folder.join(format!("..{}", self.versions));
        std::fs::create_dir(&version).unwrap();
        std::fs::write(version.join("tls.crt"), certificate).unwrap();
        std::fs::write(version.join("tls.key"), key.serialize_pem()).unwrap();
        symlink(version.file_name().unwrap(), self.folder.join("..new")).unwrap();
        std::fs::rename(self.folder.join("..new"), self.folder.join("..data")).unwrap();
    }

    /// One file alone, renamed over what is there.
    fn put_one(&self, file: &str, text: &str) {
        let beside = self.folder.join("beside");
        std::fs::write(&beside, text).unwrap();
        std::fs::rename(beside, self.folder.join(file)).unwrap();
    }
}

async fn start() -> (Postern, Secret, KeyPair, String) {
    let key = KeyPair::generate().unwrap();
    let first = certificate(&key, -1..30);
    let mut secret = None;
    let postern = Postern::start(|s| {
        s.policy_file("open");
        let mut made = Secret::new(&s.folder.join("tls"));
        made.put(&first, &key);
        s.set("tls.certificate", made.folder.join("tls.crt").to_str().unwrap());
        s.set("tls.key", made.folder.join("tls.key").to_str().unwrap());
        s.set("limits.connects_per_address_per_second", 10_000);
        secret = Some(made);
    })
    .await;
    (postern, secret.unwrap(), key, first)
}

/// A handshake of one who trusts `ca` alone, on each of the doors with TLS; whether it is the one they show.
async fn is_shown(postern: &Postern, ca: &str) -> bool {
    let mut shown = Vec::new();
    for listener in ["tls", "wss", "http"] {
        let trust = phone::sign_in::trust(ca.as_bytes()).unwrap();
        shown.push(handshake(postern.address(listener), trust).await.is_ok());
    }
    assert!(shown.iter().all(|it| *it == shown[0]), "all doors show the same: {shown:?}");
    shown[0]
}

async fn handshake(address: &str, trust: Arc<ClientConfig>) -> std::io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(address).await?;
    let name = ServerName::try_from("localhost").unwrap();
    patiently("a TLS handshake", TlsConnector::from(trust).connect(name, stream)).await
}

/// Links on TLS, a tenth of them through WebSockets, all signed in.
async fn links(postern: &Postern, ca: &str) -> Vec<Peer> {
    let link = async |n: usize| {
        let mut peer = match n % 10 {
            0 => Peer::wss(postern.address("wss"), ca.as_bytes()).await,
            _ => Peer::tls(postern.address("tls"), ca.as_bytes()).await,
        };
        let ack = peer.connect(connect(Version::V5, &format!("link-{n}"))).await.expect("CONNACK");
        assert_eq!(ack.reason, ReasonCode::Success);
        peer
    };
    stream::iter(0..LINKS).map(link).buffer_unordered(AT_ONCE).collect().await
}

/// Each answers, and has been told nothing.
async fn stand(links: &mut [Peer]) {
    let ping = async |link: &mut Peer| {
        let said = link.so_far().await;
        if said.is_empty() { Ok(()) } else { Err(format!("{said:?}")) }
    };
    let all = stream::iter(links).map(Ok).try_for_each_concurrent(AT_ONCE, ping);
    all.await.unwrap();
}

pub(crate) async fn hang_up(postern: &Postern) {
    let id = postern.id().to_string();
    let sent = tokio::process::Command::new("kill").args(["-HUP", &id]).status().await.unwrap();
    assert!(sent.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn certificate_is_renewed_under_a_thousand_links() {
    let (postern, mut secret, key, first) = start().await;
    let mut links = links(&postern, &first).await;

    // By a change of the file.
    let second = certificate(&key, -1..60);
    secret.put(&second, &key);
    postern.logged("new handshakes are shown it").await;
    assert!(is_shown(&postern, &second).await && !is_shown(&postern, &first).await);
    stand(&mut links).await;

    // At SIGHUP, with another key.
    let other = KeyPair::generate().unwrap();
    let third = certificate(&other, -1..60);
    secret.put(&third, &other);
    hang_up(&postern).await;
    postern.logged_times("new handshakes are shown it", 2).await;
    assert!(is_shown(&postern, &third).await && !is_shown(&postern, &second).await);
    stand(&mut links).await;

    // By word of an operator, who is told.
    secret.put(&second, &key);
    let told = postern.done(&["reload"]).await;
    assert!(told.starts_with("certificate  ") && told.contains("valid until 2"), "{told}");
    assert!(is_shown(&postern, &second).await && !is_shown(&postern, &third).await);
    stand(&mut links).await;
    assert_eq!(postern.metric("postern_clients_connected", "").await, LINKS as f64);
}

#[tokio::test]
async fn certificate_that_is_wrong_changes_nothing_and_is_told() {
    let (postern, secret, key, first) = start().await;
    let mut link = Peer::tls(postern.address("tls"), first.as_bytes()).await;
    link.connect(connect(Version::V5, "link")).await.expect("CONNACK");
    let other = KeyPair::generate().unwrap();

    // Half of a pair: renamed one by one, as by hand.
    secret.put_one("tls.crt", &certificate(&other, -1..60));
    postern.logged("reload refused: what served serves on").await;
    assert!(is_shown(&postern, &first).await);
    let status = postern.done(&["status"]).await;
    assert!(status.contains("new certificate refused: ") && status.contains("tls.key"), "{status}");
    assert_eq!(postern.metric("postern_reload_refused", "certificate").await, 1.0);
    // SIGHUP tries again, and says so again; the watch does not repeat itself.
    hang_up(&postern).await;
    postern.logged_times("reload refused: what served serves on", 2).await;
    // The other half makes it whole, without a word from anybody.
    secret.put_one("tls.key", &other.serialize_pem());
    postern.logged("new handshakes are shown it").await;
    assert!(!is_shown(&postern, &first).await);
    assert_eq!(postern.metric("postern_reload_refused", "certificate").await, 0.0);
    let serving = std::fs::read_to_string(secret.folder.join("tls.crt")).unwrap();

    for (certificate, why) in [
        (certificate(&key, -1..60), "tls.key"),
        (certificate(&other, -60..-30), "the certificate expired"),
        (certificate(&other, 30..60), "the certificate is not valid yet"),
        ("-----BEGIN CERTIFICATE-----\nnone\n".to_owned(), "tls.certificate"),
        (String::new(), "nothing of this kind in the file"),
    ] {
        secret.put_one("tls.crt", &certificate);
        let output = postern.cli(&["reload"]).await;
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(1) && told.contains(why), "{why}: {told}");
        assert!(told.contains("what served serves on") && told.lines().count() == 1, "{told}");
        assert!(is_shown(&postern, &serving).await, "{why}");
    }
    assert!(postern.metric("postern_reloads_total", "refused").await >= 5.0);
    assert!(postern.metric("postern_certificate_expires_seconds", "").await > 1e9);
    assert!(link.so_far().await.is_empty());

    // And back: nothing is left of it.
    secret.put_one("tls.crt", &serving);
    let told = postern.done(&["reload"]).await;
    assert!(told.starts_with("certificate  unchanged"), "{told}");
    assert!(!postern.done(&["status"]).await.contains("refused"));
}

#[tokio::test]
async fn s_certificate_with_another_key_ends_resumption_and_one_with_the_same_does_not() {
    let (postern, mut secret, key, first) = start().await;
    let other = KeyPair::generate().unwrap();
    let (renewed, rekeyed) = (certificate(&key, -1..60), certificate(&other, -1..60));
    let all = [&*first, &*renewed, &*rekeyed].concat();
    // One client, which resumes where it may.
    let trust = phone::sign_in::trust(all.as_bytes()).unwrap();
    let kind = async || {
        let mut stream = handshake(postern.address("http"), trust.clone()).await.unwrap();
        let kind = stream.get_ref().1.handshake_kind();
        // Tickets come behind the handshake, with the first answer.
        tokio::io::AsyncWriteExt::write_all(&mut stream, b"GET / HTTP/1.0\r\n\r\n").await.unwrap();
        patiently("an answer", stream.read_to_end(&mut Vec::new())).await.ok();
        kind
    };
    assert_eq!(kind().await, Some(HandshakeKind::Full));
    assert_eq!(kind().await, Some(HandshakeKind::Resumed));
    secret.put(&renewed, &key);
    postern.done(&["reload"]).await;
    assert_eq!(kind().await, Some(HandshakeKind::Resumed), "the same key is proven");
    secret.put(&rekeyed, &other);
    postern.done(&["reload"]).await;
    assert_eq!(kind().await, Some(HandshakeKind::Full), "the old key proves nothing any more");
    assert_eq!(kind().await, Some(HandshakeKind::Resumed));
}
