//! A NATS server of the test's own, on loopback.
#![allow(unreachable_pub, dead_code, reason = "each test file uses a part")]

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

/// Stopped when dropped.
pub struct Nats {
    process: Child,
    port: u16,
}

impl Nats {
    pub fn start() -> Self {
        Self::on("-1").expect("nats-server did not start")
    }

    /// Ends it and starts another one on the same port.
    pub fn restart(self) -> Self {
        let port = self.port.to_string();
        drop(self);
        Self::on(&port).expect("nats-server did not start again")
    }

    fn on(port: &str) -> Option<Self> {
        let process = Command::new(program())
            .args(["-a", "127.0.0.1", "-p", port])
            .stderr(Stdio::piped())
            .spawn()
            .expect("nats-server cannot be run");
        let mut server = Self { process, port: 0 };
        let mut log = BufReader::new(server.process.stderr.take()?).lines();
        // "Listening for client connections on 127.0.0.1:40217", then "Server is ready".
        for line in log.by_ref().map_while(Result::ok) {
            if let Some((_, address)) = line.split_once("client connections on ") {
                server.port = address.rsplit(':').next().and_then(|port| port.trim().parse().ok())?;
            }
            if line.contains("Server is ready") {
                break;
            }
        }
        std::thread::spawn(move || log.for_each(drop));
        (server.port != 0).then_some(server)
    }

    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }
}

impl Drop for Nats {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Debian puts it where only root's path looks.
fn program() -> &'static str {
    ["/usr/sbin/nats-server", "/usr/local/bin/nats-server", "/usr/bin/nats-server"]
        .into_iter()
        .find(|path| std::path::Path::new(path).exists())
        .expect("nats-server is not installed: install the Debian package nats-server")
}
