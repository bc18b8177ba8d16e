//! Other brokers, for comparison. They store nothing: neither before they acknowledge nor later.

use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// How long one may take to listen.
const PATIENCE: Duration = Duration::from_secs(10);

/// The files that every broker of a run serves with.
#[derive(Clone)]
pub(super) struct Certificate {
    /// What clients trust.
    pub(super) ca: PathBuf,
    pub(super) chain: PathBuf,
    pub(super) key: PathBuf,
}

impl Certificate {
    /// The one that a Postern has made in its data folder.
    pub(super) fn of(data: &Path) -> Self {
        Certificate {
            ca: data.join("development-ca.pem"),
            chain: data.join("development-cert.pem"),
            key: data.join("development-key.pem"),
        }
    }
}

/// A running peer; ends with us.
pub(super) struct Peer {
    child: Child,
    /// Its plain listener.
    pub(super) address: String,
    /// Its TLS listener, if it was given a certificate.
    pub(super) tls: String,
}

impl Peer {
    /// Starts mosquitto on free ports; None, and said so, where it is not installed.
    pub(super) fn mosquitto(folder: &Path, certificate: Option<&Certificate>) -> Result<Option<Self>> {
        let programs = ["/usr/sbin/mosquitto", "/usr/local/sbin/mosquitto", "/usr/bin/mosquitto"];
        let Some(program) = programs.into_iter().find(|program| Path::new(program).exists()) else {
            println!("no peer: mosquitto is not installed");
            return Ok(None);
        };
        let [port, tls_port] = free_ports()?;
        let config = folder.join("mosquitto.conf");
        // Its usual 20 in flight towards a subscriber would measure that bound.
        let mut text = format!(
            "allow_anonymous true\npersistence false\nset_tcp_nodelay true\nmax_inflight_messages 1000\n\
             max_queued_messages 0\nlog_type error\nuser root\nlistener {port} 127.0.0.1\n"
        );
        if let Some(Certificate { chain, key, .. }) = certificate {
            let (chain, key) = (chain.display(), key.display());
            text.push_str(&format!("listener {tls_port} 127.0.0.1\ncertfile {chain}\nkeyfile {key}\n"));
        }
        std::fs::write(&config, text).with_context(|| format!("cannot write {}", config.display()))?;
        let mut command = Command::new(program);
        Peer::start(command.arg("-c").arg(&config), port, tls_port).map(Some)
    }

    /// Starts a program of tests/peers on free ports.
    pub(super) fn embedded(program: &Path, certificate: &Certificate) -> Result<Self> {
        let [port, tls_port] = free_ports()?;
        let mut command = Command::new(program);
        command.args([port.to_string(), tls_port.to_string()]);
        Peer::start(command.arg(&certificate.chain).arg(&certificate.key), port, tls_port)
    }

    fn start(command: &mut Command, port: u16, tls_port: u16) -> Result<Self> {
        let name = command.get_program().to_string_lossy().into_owned();
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().with_context(|| format!("cannot start {name}"))?;
        let (address, tls) = (format!("127.0.0.1:{port}"), format!("127.0.0.1:{tls_port}"));
        let mut peer = Peer { child, address, tls };
        let begun = Instant::now();
        while TcpStream::connect(&peer.address).is_err() {
            if let Some(status) = peer.child.try_wait()? {
                bail!("{name} ended with {status}");
            }
            if begun.elapsed() > PATIENCE {
                bail!("{name} does not listen");
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(peer)
    }

    /// Its process.
    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.child.kill().and_then(|()| self.child.wait()).ok();
    }
}

/// Free a moment ago; nobody else on this machine is in a hurry for them.
fn free_ports() -> Result<[u16; 2]> {
    let (one, other) = (TcpListener::bind("127.0.0.1:0")?, TcpListener::bind("127.0.0.1:0")?);
    Ok([one.local_addr()?.port(), other.local_addr()?.port()])
}
