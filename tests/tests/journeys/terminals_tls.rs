//! What terminals refuse of servers (rule 3): a certificate with another name, and TLS before 1.2.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use postern_tests::{Kind, Postern, Requester, Settings, patiently};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

/// A certificate authority that the terminals trust.
struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "The terminals' authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Authority { pem, issuer: Issuer::new(params, key) }
    }

    /// A certificate for a name, and its key, as files in `folder`.
    fn certifies(&self, name: &str, folder: &Path) -> (PathBuf, PathBuf) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let files = (folder.join("server.pem"), folder.join("server.key"));
        std::fs::write(&files.0, params.signed_by(&key, &self.issuer).unwrap().pem()).unwrap();
        std::fs::write(&files.1, key.serialize_pem()).unwrap();
        files
    }

    /// A server with a certificate of ours for this name.
    async fn serves_as(&self, name: &str) -> Postern {
        Postern::start(|settings: &mut Settings| {
            let (certificate, key) = self.certifies(name, &settings.folder);
            settings.set("tls.certificate", certificate.to_str().unwrap());
            settings.set("tls.key", key.to_str().unwrap());
            // Where the harness looks for what clients trust.
            std::fs::create_dir_all(settings.data()).unwrap();
            std::fs::write(settings.data().join("development-ca.pem"), &self.pem).unwrap();
        })
        .await
    }
}

fn port(address: &str) -> &str {
    address.rsplit(':').next().unwrap()
}

/// A terminal that is told to come in through TLS at this port, which is not the server's. It must stay
/// away, and say why.
async fn stays_away(kind: Kind, stage: &Stage, name: &str, tls_port: &str, why: &str) {
    let Stage { postern, phone } = stage;
    let more = ["--tls-port", tls_port];
    let mut car = postern.start_terminal(kind, name, &more, &[]).await.unwrap();
    car.is_on("plain").await;
    let id = phone.ask_for(name, "unlock").await;
    let failed = car.event_that("failed", |event| event["what"] == "tls").await;
    let told = failed["why"].as_str().unwrap().to_lowercase();
    assert!(told.contains(why), "{kind:?}: {told}");
    car.is_on("plain").await;
    assert_eq!(car.acted(""), 0);
    assert_eq!(phone.find(&id).await.unwrap()["state"], "waiting");
    car.kill().await;
}

/// A terminal that has not logged in yet, whose login server is at this port.
async fn does_not_log_in(kind: Kind, stage: &Stage, http_port: &str, why: &str) {
    let more = ["--server", &format!("https://127.0.0.1:{http_port}")];
    let mut car = stage.postern.start_terminal(kind, "newcomer", &more, &[]).await.unwrap();
    let failed = car.event_that("failed", |event| event["what"] == "login").await;
    let told = failed["why"].as_str().unwrap().to_lowercase();
    assert!(told.contains(why), "{kind:?}: {told}");
    car.kill().await;
}

/// Those of the two kinds that can run here.
fn kinds() -> Vec<Kind> {
    if postern_tests::python().is_none() {
        postern_tests::not_run("the packages of examples/terminal-python are not installed");
        return vec![Kind::Rust];
    }
    vec![Kind::Rust, Kind::Python]
}

/// The right server, and who asks for commands.
struct Stage {
    postern: Postern,
    phone: Requester,
}

/// With a car for each trial: one that has stayed away is not told again at once.
async fn stage(authority: &Authority, cars: &[&str]) -> Stage {
    let postern = authority.serves_as("127.0.0.1").await;
    let phone = postern.requester("alice", cars).await;
    for car in cars {
        postern.user(car).await;
    }
    Stage { postern, phone }
}

#[tokio::test]
async fn rule_3_a_right_certificate_with_a_wrong_name_is_refused_by_both_terminals() {
    let authority = Authority::new();
    let stage = stage(&authority, &["car-0", "car-1", "car-2"]).await;
    let impostor = authority.serves_as("other.example").await;
    for (at, kind) in kinds().into_iter().enumerate() {
        let why = if kind == Kind::Rust { "not valid for name" } else { "mismatch" };
        stays_away(kind, &stage, &format!("car-{at}"), port(impostor.address("tls")), why).await;
        does_not_log_in(kind, &stage, port(impostor.address("http")), why).await;
    }
    assert_eq!(impostor.metric("postern_logins_total", "").await, 0.0);
    // With the right name it comes in and does what waited.
    stage.phone.ask_for("car-2", "unlock").await;
    let mut car = stage.postern.start_terminal(Kind::Rust, "car-2", &[], &[]).await.unwrap();
    car.is_on("tls").await;
    car.event_that("acted", |event| event["what"].as_str().unwrap().contains("unlocked")).await;
}

/// OpenSSL as a server that speaks one old version only. Killed when dropped.
struct OldServer {
    _program: Child,
    address: String,
}

impl OldServer {
    async fn start(version: &str, files: &(PathBuf, PathBuf)) -> Self {
        let mut command = Command::new("openssl");
        command.args(["s_server", "-accept", "127.0.0.1:0", version, "-cipher", "ALL:@SECLEVEL=0"]);
        command.arg("-cert").arg(&files.0).arg("-key").arg(&files.1);
        // It ends at the end of its stdin.
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
        let mut program = command.spawn().expect("openssl starts");
        let mut lines = BufReader::new(program.stdout.take().unwrap()).lines();
        let accepts = async {
            while let Some(line) = lines.next_line().await.unwrap() {
                if let Some(address) = line.strip_prefix("ACCEPT ") {
                    return address.to_owned();
                }
            }
            panic!("openssl ended");
        };
        let address = patiently("the old server", accepts).await;
        // What it prints of each handshake must not fill its pipe.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        OldServer { _program: program, address }
    }

    /// Whether an old client, which trusts the same authority, finishes a handshake with it.
    async fn is_good_for_its_age(&self, version: &str, ca: &Path) -> bool {
        let mut command = Command::new("openssl");
        command.args(["s_client", "-connect", &self.address, version, "-cipher", "ALL:@SECLEVEL=0"]);
        command.args(["-verify_return_error", "-verify_ip", "127.0.0.1", "-CAfile"]).arg(ca);
        command.stdin(Stdio::null());
        patiently("an old handshake", command.output()).await.unwrap().status.success()
    }
}

#[tokio::test]
async fn rule_3_servers_that_speak_tls_1_0_or_1_1_only_are_refused_by_both_terminals() {
    if Command::new("openssl").arg("version").output().await.is_err() {
        return postern_tests::not_run("openssl is not installed (Debian package openssl)");
    }
    let authority = Authority::new();
    let stage = stage(&authority, &["car-0-0", "car-0-1", "car-1-0", "car-1-1"]).await;
    let folder = tempfile::tempdir().unwrap();
    let files = authority.certifies("127.0.0.1", folder.path());
    let ca = stage.postern.data().join("development-ca.pem");
    for (round, version) in ["-tls1", "-tls1_1"].into_iter().enumerate() {
        let old = OldServer::start(version, &files).await;
        assert!(old.is_good_for_its_age(version, &ca).await, "{version}: name and authority are right");
        for (at, kind) in kinds().into_iter().enumerate() {
            stays_away(kind, &stage, &format!("car-{round}-{at}"), port(&old.address), "version").await;
            does_not_log_in(kind, &stage, port(&old.address), "version").await;
        }
    }
}
