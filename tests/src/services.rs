//! PostgreSQL and NATS from Debian's packages, each test's own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command as Blocking, Stdio};
use std::sync::{Arc, Mutex};

use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use crate::postern::Log;
use crate::{not_run, patiently};

/// A PostgreSQL server on a unix socket. Stopped when dropped.
#[derive(Debug)]
pub struct Postgres {
    server: Child,
    url: String,
    _folder: TempDir,
}

impl Postgres {
    /// Starts one; None (and said so) where PostgreSQL is not installed.
    pub async fn start() -> Option<Self> {
        let Some(programs) = postgres_programs() else {
            not_run("PostgreSQL is not installed (Debian package postgresql)");
            return None;
        };
        let folder = TempDir::with_prefix("postgres-").unwrap();
        let data = folder.path().join("data");
        if is_root() {
            // It refuses to run as root.
            done(Blocking::new("chown").arg("postgres:").arg(folder.path()));
        }
        let mut init = unprivileged(&programs.join("initdb"));
        done(
            init.args(["--auth=trust", "--no-sync", "--username=postgres", "--encoding=UTF8", "-D"])
                .arg(&data),
        );
        let mut command = Command::from(unprivileged(&programs.join("postgres")));
        command.arg("-D").arg(&data).arg("-k").arg(folder.path());
        command.args(["-c", "listen_addresses=", "-c", "fsync=off", "-c", "max_connections=100"]);
        let mut server = command.stderr(Stdio::piped()).kill_on_drop(true).spawn().expect("postgres starts");
        let log = Log::default();
        log.follow(server.stderr.take().unwrap());
        patiently("PostgreSQL", log.find("ready to accept connections", 1)).await;
        let url = format!("postgres://postgres@localhost/postgres?host={}", folder.path().display());
        Some(Postgres { server, url, _folder: folder })
    }

    /// The URL for `[store] url`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Stops it where it stands, as a machine that hangs does: connections stay, and nothing answers.
    pub fn freeze(&self) -> Frozen {
        let server = self.server.id().expect("PostgreSQL runs");
        let mut frozen = Frozen { processes: vec![server] };
        frozen.all("-STOP");
        // No more of them come now.
        let children = fs::read_to_string(format!("/proc/{server}/task/{server}/children")).unwrap();
        frozen.processes.extend(children.split_whitespace().map(|id| id.parse::<u32>().unwrap()));
        frozen.all("-STOP");
        frozen
    }
}

/// A PostgreSQL server that is frozen; goes on when dropped.
#[derive(Debug)]
pub struct Frozen {
    processes: Vec<u32>,
}

impl Frozen {
    fn all(&self, signal: &str) {
        Blocking::new("kill").arg(signal).args(self.processes.iter().map(u32::to_string)).status().ok();
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        self.all("-CONT");
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // SIGQUIT: ends at once, and leaves no shared memory behind.
        if let Some(id) = self.server.id() {
            Blocking::new("kill").arg("-QUIT").arg(id.to_string()).status().ok();
        }
    }
}

/// A NATS server. Killed when dropped.
#[derive(Debug)]
pub struct Nats {
    server: Child,
    address: String,
}

impl Nats {
    /// Starts one on a free port; None (and said so) where it is not installed.
    pub async fn start() -> Option<Self> {
        let program =
            ["/usr/sbin/nats-server", "/usr/bin/nats-server"].into_iter().find(|p| Path::new(p).exists());
        let Some(program) = program else {
            not_run("nats-server is not installed (Debian package nats-server)");
            return None;
        };
        let mut command = Command::new(program);
        command
            .args(["-a", "127.0.0.1", "-p", "-1"])
            .stderr(Stdio::piped())
            .stdin(Stdio::null())
            .kill_on_drop(true);
        let mut server = command.spawn().expect("nats-server starts");
        let log = Log::default();
        log.follow(server.stderr.take().unwrap());
        let line = patiently("NATS", log.find("Listening for client connections on ", 1)).await;
        patiently("NATS", log.find("Server is ready", 1)).await;
        let address = line.rsplit(' ').next().unwrap().to_owned();
        Some(Nats { server, address })
    }

    /// The URL for `[bus] url`.
    pub fn url(&self) -> String {
        format!("nats://{}", self.address)
    }

    /// SIGKILL.
    pub async fn kill(&mut self) {
        self.server.start_kill().unwrap();
        patiently("the end of NATS", self.server.wait()).await.unwrap();
    }

    /// Listens to everything that is said on the bus.
    pub async fn tap(&self) -> Tap {
        let mut stream = TcpStream::connect(&self.address).await.unwrap();
        stream.write_all(b"CONNECT {\"verbose\":false}\r\nSUB > 1\r\nPING\r\n").await.unwrap();
        let mut reader = BufReader::new(stream);
        let mut line = String::new();
        while line != "PONG\r\n" {
            line.clear();
            patiently("PONG of NATS", reader.read_line(&mut line)).await.unwrap();
        }
        let heard = Arc::new(Mutex::new(Vec::new()));
        tokio::spawn(listen(reader, Arc::clone(&heard)));
        Tap { heard }
    }
}

/// What was said on the bus.
#[derive(Debug)]
pub struct Tap {
    heard: Arc<Mutex<Vec<(String, String)>>>,
}

impl Tap {
    /// Subject and payload of every message so far.
    pub fn heard(&self) -> Vec<(String, String)> {
        self.heard.lock().unwrap().clone()
    }
}

/// `MSG subject sid [reply] bytes`, then the bytes.
async fn listen(mut reader: BufReader<TcpStream>, heard: Arc<Mutex<Vec<(String, String)>>>) {
    let mut line = String::new();
    while reader.read_line(&mut line).await.is_ok_and(|read| read > 0) {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            ["PING"] => reader.get_mut().write_all(b"PONG\r\n").await.unwrap(),
            ["MSG", subject, .., bytes] => {
                let mut payload = vec![0; bytes.parse::<usize>().unwrap() + 2];
                reader.read_exact(&mut payload).await.unwrap();
                let said = ((*subject).to_owned(), String::from_utf8_lossy(&payload).trim_end().to_owned());
                heard.lock().unwrap().push(said);
            }
            _ => {}
        }
        line.clear();
    }
}

/// Debian keeps them off the path, in a folder for each version.
fn postgres_programs() -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").ok()?.flatten();
    versions.map(|version| version.path().join("bin")).find(|bin| bin.join("initdb").exists())
}

fn unprivileged(program: &Path) -> Blocking {
    if !is_root() {
        return Blocking::new(program);
    }
    let mut command = Blocking::new("setpriv");
    command.args(["--reuid=postgres", "--regid=postgres", "--init-groups"]).arg(program);
    command.current_dir("/");
    command
}

fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    fs::metadata("/proc/self").is_ok_and(|us| us.uid() == 0)
}

fn done(command: &mut Blocking) {
    let output = command.output().expect("it starts");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}
