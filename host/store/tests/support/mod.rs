//! Stores to test: a SQLite file in a temporary folder, and a PostgreSQL server of the test's own.
#![allow(unreachable_pub, dead_code, reason = "each test file uses a part")]

use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use postern_store::{Database, PluginSql, SqlLimits};
use tempfile::TempDir;

pub const LIMITS: SqlLimits = SqlLimits { rows: 10_000, statement_ms: 20_000 };

/// An open store. Fields drop in order: connections, server, folder.
pub struct Store {
    pub database: Database,
    server: Option<Postgres>,
    pub folder: TempDir,
}

impl Store {
    pub async fn sqlite() -> Self {
        let folder = TempDir::new().unwrap();
        let database = Database::open(&sqlite_url(folder.path()), folder.path()).await.unwrap();
        Self { database, server: None, folder }
    }

    pub async fn postgres() -> Self {
        let server = Postgres::start();
        let folder = TempDir::new().unwrap();
        let database = Database::open(&server.url(), folder.path()).await.unwrap();
        Self { database, server: Some(server), folder }
    }

    pub fn url(&self) -> String {
        self.server.as_ref().map_or_else(|| sqlite_url(self.folder.path()), Postgres::url)
    }

    pub async fn plugin(&self) -> PluginSql {
        self.database.plugin("store-sql", LIMITS).await.unwrap()
    }

    /// Closes and opens again.
    pub async fn reopen(self) -> Self {
        self.database.close().await;
        let database = Database::open(&self.url(), self.folder.path()).await.unwrap();
        Self { database, ..self }
    }
}

pub fn sqlite_url(folder: &Path) -> String {
    format!("sqlite:{}", folder.join("postern.db").display())
}

/// A PostgreSQL server with a cluster of its own, on loopback. Stopped when dropped.
pub struct Postgres {
    process: Child,
    port: u16,
    _folder: TempDir,
}

impl Postgres {
    pub fn start() -> Self {
        let programs = programs();
        let folder = TempDir::new().unwrap();
        let data = folder.path().join("cluster");
        if is_root() {
            // The server refuses to run as root; Debian's package has made this user.
            let chown = Command::new("chown").arg("postgres").arg(folder.path()).status().unwrap();
            assert!(chown.success(), "there is no user postgres: install the Debian package postgresql");
        }
        let made = program(&programs.join("initdb"))
            .args(["--auth=trust", "--username=postern", "--no-sync", "--no-locale", "--encoding=UTF8", "-D"])
            .arg(&data)
            .output()
            .unwrap();
        assert!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
        // Another process may take the port between our look and the server's start.
        for _ in 0..10 {
            let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
            let mut process = program(&programs.join("postgres"))
                .arg("-D")
                .arg(&data)
                .args(["-p", &port.to_string(), "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off"])
                .args(["-c", "logging_collector=off", "-c", "max_connections=60"])
                .arg("-c")
                .arg(format!("unix_socket_directories={}", folder.path().display()))
                .stderr(Stdio::piped())
                .spawn()
                .unwrap();
            if ready(&mut process) {
                return Self { process, port, _folder: folder };
            }
            let _ = process.wait();
        }
        panic!("PostgreSQL did not start");
    }

    pub fn url(&self) -> String {
        format!("postgres://postern@127.0.0.1:{}/postgres", self.port)
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // Immediate shutdown: SIGKILL would leave its shared memory behind.
        let _ = Command::new("kill").args(["-QUIT", &self.process.id().to_string()]).status();
        let _ = self.process.wait();
    }
}

/// Reads the log until the server is ready, then keeps reading in the background.
fn ready(process: &mut Child) -> bool {
    let mut log = BufReader::new(process.stderr.take().unwrap()).lines();
    let ready = log.by_ref().map_while(Result::ok).any(|line| line.contains("ready to accept connections"));
    std::thread::spawn(move || log.for_each(drop));
    ready
}

fn is_root() -> bool {
    Command::new("id").arg("-u").output().is_ok_and(|id| id.stdout.trim_ascii() == b"0")
}

fn program(path: &Path) -> Command {
    if !is_root() {
        return Command::new(path);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]).arg(path);
    command
}

/// Debian keeps the server's programs off the path, one folder per release.
fn programs() -> PathBuf {
    let releases = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let newest = releases
        .map(|release| release.path().join("bin"))
        .filter(|folder| folder.join("initdb").exists())
        .max_by_key(|folder| folder.iter().rev().nth(1).and_then(|n| n.to_str()?.parse::<u32>().ok()));
    newest.expect("PostgreSQL is not installed: install the Debian package postgresql")
}
