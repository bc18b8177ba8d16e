//! mosquitto, for context. It stores nothing: neither before it acknowledges nor later.

use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// How long it may take to listen.
const PATIENCE: Duration = Duration::from_secs(10);

/// A running mosquitto; ends with us.
pub(super) struct Mosquitto {
    child: Child,
    pub(super) address: String,
}

impl Mosquitto {
    /// Starts one on a free port; None, and said so, where it is not installed.
    pub(super) fn start(folder: &Path) -> Result<Option<Self>> {
        let programs = ["/usr/sbin/mosquitto", "/usr/local/sbin/mosquitto", "/usr/bin/mosquitto"];
        let Some(program) = programs.into_iter().find(|program| Path::new(program).exists()) else {
            println!("no peer: mosquitto is not installed");
            return Ok(None);
        };
        // Free a moment ago; nobody else on this machine is in a hurry for it.
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let config = folder.join("mosquitto.conf");
        // Its usual 20 in flight towards a subscriber would measure that bound.
        let text = format!(
            "listener {port} 127.0.0.1\nallow_anonymous true\npersistence false\nset_tcp_nodelay true\n\
             max_inflight_messages 1000\nmax_queued_messages 0\nlog_type error\n"
        );
        std::fs::write(&config, text).with_context(|| format!("cannot write {}", config.display()))?;
        let child = Command::new(program)
            .arg("-c")
            .arg(&config)
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let peer = Mosquitto { child, address: format!("127.0.0.1:{port}") };
        let begun = Instant::now();
        while TcpStream::connect(&peer.address).is_err() {
            if begun.elapsed() > PATIENCE {
                bail!("mosquitto does not listen");
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(Some(peer))
    }

    /// Its process.
    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        self.child.kill().and_then(|()| self.child.wait()).ok();
    }
}
