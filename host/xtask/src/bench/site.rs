//! The server that is measured: its own data folder, policies/bench.toml, a user for each device.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use anyhow::{Context, Result, anyhow};
use serde_json::json;

use super::generator::Generator;
use crate::server::{Listeners, Server};

const LISTENERS: Listeners = &[
    ("tcp", "127.0.0.1:0"),
    ("tls", "127.0.0.1:0"),
    ("http", "127.0.0.1:0"),
    ("admin", "unix:target/bench/admin.sock"),
    ("health", "127.0.0.1:0"),
];
/// The password of everybody.
const PASSWORD: &str = "postern-bench";
/// Users added at once.
const AT_ONCE: usize = 4;

/// The server and its folder.
pub(super) struct Site {
    pub(super) server: Server,
    pub(super) folder: PathBuf,
    config: PathBuf,
}

impl Site {
    /// Starts with nothing stored, and adds the users of `pairs` pairs, each an organisation of its own.
    pub(super) fn start(root: &Path, pairs: usize) -> Result<Self> {
        let folder = root.join("target/bench");
        if folder.exists() {
            std::fs::remove_dir_all(&folder).with_context(|| format!("cannot empty {}", folder.display()))?;
        }
        let data = folder.join("data");
        std::fs::create_dir_all(&data).with_context(|| format!("cannot make {}", data.display()))?;
        let config = folder.join("postern.toml");
        std::fs::write(&config, config_text(root, &data))
            .with_context(|| format!("cannot write {}", config.display()))?;
        let program = root.join(super::RELEASE).join("postern");
        let log = folder.join("server.log");
        let server = Server::start_program(&program, &config, LISTENERS, Some(&log))?;
        let site = Site { server, folder, config };
        site.add_users(pairs)?;
        Ok(site)
    }

    fn add_users(&self, pairs: usize) -> Result<()> {
        println!("» {} users", 2 * pairs);
        let next = AtomicUsize::new(0);
        let add = || -> Result<()> {
            loop {
                let pair = next.fetch_add(1, Relaxed);
                if pair >= pairs {
                    return Ok(());
                }
                for user in users_of(pair) {
                    let org = format!("org-{pair}");
                    let words = ["user", "add", &user, "--name", &user, "--org", &org, "--password-stdin"];
                    self.server
                        .cli(&words, &format!("{PASSWORD}\n"))
                        .with_context(|| format!("cannot add {user}"))?;
                }
            }
        };
        std::thread::scope(|scope| {
            let workers: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(add)).collect();
            workers
                .into_iter()
                .try_for_each(|worker| worker.join().map_err(|_| anyhow!("a worker panicked"))?)
        })
    }

    /// Logs a device of each user in, in the generator.
    pub(super) fn log_in(&self, generator: &mut Generator, pairs: usize) -> Result<()> {
        println!("» {} logins", 2 * pairs);
        let users: Vec<String> = (0..pairs).flat_map(users_of).collect();
        let api = format!("https://{}", self.server.address("http")?);
        let folder = self.folder.join("devices");
        let request = json!({
            "ask": "login", "api": api, "ca": self.ca(), "users": users, "password": PASSWORD, "folder": folder,
        });
        generator.ask(&request).map(drop)
    }

    /// The certificate to trust.
    pub(super) fn ca(&self) -> PathBuf {
        self.folder.join("data/development-ca.pem")
    }

    /// Stops the server; the config file, for another start.
    pub(super) fn stop(self) -> Result<PathBuf> {
        self.server.stop()?;
        Ok(self.config)
    }
}

/// The names that `load` uses.
fn users_of(pair: usize) -> [String; 2] {
    [format!("pub-{pair}"), format!("rec-{pair}")]
}

fn config_text(root: &Path, data: &Path) -> String {
    let mut text = format!(
        "policy = {:?}\ndata = {data:?}\n\n[plugins]\ndir = {:?}\n\n\
         # Everybody comes from one address.\n[limits]\nlogin_per_address_per_minute = 100000\n\
         connects_per_address_per_second = 100000\n\n[listen]\n",
        root.join("policies/bench.toml"),
        root.join("target/plugins"),
    );
    for (name, address) in LISTENERS {
        text.push_str(&format!("{name} = {address:?}\n"));
    }
    text
}
