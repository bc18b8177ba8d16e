//! The server that is measured: its own data folder, policies/bench.toml or one made of it, a user for each
//! device.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use anyhow::{Context, Result, anyhow};
use serde_json::json;

use super::generator::Generator;
use crate::server::{Listeners, Server};

/// The password of everybody.
pub(super) const PASSWORD: &str = "postern-bench";
/// Users added at once.
const AT_ONCE: usize = 4;

/// Limits where everybody comes from one address.
pub(super) const ONE_ADDRESS: &str =
    "login_per_address_per_minute = 100000\nconnects_per_address_per_second = 100000\n";

/// How a server is to be started.
pub(super) struct Plan<'a> {
    /// Its folder below target/.
    pub(super) name: &'a str,
    /// The policy file.
    pub(super) policy: &'a Path,
    /// Lines of the section `[limits]`.
    pub(super) limits: &'a str,
    /// The plugin folder, below the root.
    pub(super) plugins: &'a str,
    /// The program, in the folder of the release build.
    pub(super) program: &'a str,
    /// Its environment, beside ours.
    pub(super) environment: &'a [(&'a str, &'a str)],
}

/// The server and its folder.
pub(super) struct Site {
    pub(super) server: Server,
    pub(super) folder: PathBuf,
    pub(super) config: PathBuf,
}

impl Site {
    /// Starts with nothing stored, and adds the users of `pairs` pairs, each an organisation of its own.
    pub(super) fn start(root: &Path, pairs: usize) -> Result<Self> {
        let policy = root.join("policies/bench.toml");
        let plan = Plan::new("bench", &policy, ONE_ADDRESS);
        plan.empty(root)?;
        Site::start_as(root, &plan, pairs)
    }

    /// The same by another plan, whose folder is empty.
    pub(super) fn start_as(root: &Path, plan: &Plan<'_>, pairs: usize) -> Result<Self> {
        let site = Site::open(root, plan)?;
        let users = (0..pairs).flat_map(|pair| users_of(pair).map(|user| (user, format!("org-{pair}"))));
        site.add_users(&users.collect::<Vec<_>>())?;
        Ok(site)
    }

    /// Starts with what is stored.
    pub(super) fn open(root: &Path, plan: &Plan<'_>) -> Result<Self> {
        let folder = plan.folder(root);
        let data = folder.join("data");
        std::fs::create_dir_all(&data).with_context(|| format!("cannot make {}", data.display()))?;
        let admin = format!("unix:target/{}/admin.sock", plan.name);
        let port = "127.0.0.1:0";
        let listeners =
            [("tcp", port), ("tls", port), ("http", port), ("admin", admin.as_str()), ("health", port)];
        let config = folder.join("postern.toml");
        std::fs::write(&config, config_text(root, &data, plan, &listeners))
            .with_context(|| format!("cannot write {}", config.display()))?;
        let program = root.join(super::RELEASE).join(plan.program);
        let log = folder.join("server.log");
        let server = Server::start_program(&program, &config, &listeners, Some(&log), plan.environment)?;
        Ok(Site { server, folder, config })
    }

    /// Adds users, each with an organisation.
    pub(super) fn add_users(&self, users: &[(String, String)]) -> Result<()> {
        println!("» {} users", users.len());
        let next = AtomicUsize::new(0);
        let add = || -> Result<()> {
            while let Some((user, org)) = users.get(next.fetch_add(1, Relaxed)) {
                let words = ["user", "add", user, "--name", user, "--org", org, "--password-stdin"];
                self.server
                    .cli(&words, &format!("{PASSWORD}\n"))
                    .with_context(|| format!("cannot add {user}"))?;
            }
            Ok(())
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
        let users: Vec<String> = (0..pairs).flat_map(users_of).collect();
        self.logins(generator, "login", &users, "folder", &self.folder.join("devices"))
    }

    /// Has the generator log these users in and keep what comes of it.
    pub(super) fn logins(
        &self,
        generator: &mut Generator,
        ask: &str,
        users: &[String],
        key: &str,
        kept: &Path,
    ) -> Result<()> {
        println!("» {} logins", users.len());
        let api = format!("https://{}", self.server.address("http")?);
        let request = json!({
            "ask": ask, "api": api, "ca": self.ca(), "users": users, "password": PASSWORD, key: kept,
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

impl<'a> Plan<'a> {
    /// The program and the plugins as they are.
    pub(super) fn new(name: &'a str, policy: &'a Path, limits: &'a str) -> Self {
        Plan { name, policy, limits, plugins: "target/plugins", program: "postern", environment: &[] }
    }
}

impl Plan<'_> {
    /// Where everything of it is.
    pub(super) fn folder(&self, root: &Path) -> PathBuf {
        root.join("target").join(self.name)
    }

    /// Forgets everything of runs before.
    pub(super) fn empty(&self, root: &Path) -> Result<()> {
        let folder = self.folder(root);
        if folder.exists() {
            std::fs::remove_dir_all(&folder).with_context(|| format!("cannot empty {}", folder.display()))?;
        }
        std::fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))
    }
}

/// The names that `load` uses.
fn users_of(pair: usize) -> [String; 2] {
    [format!("pub-{pair}"), format!("rec-{pair}")]
}

fn config_text(root: &Path, data: &Path, plan: &Plan<'_>, listeners: Listeners<'_>) -> String {
    let mut text = format!(
        "policy = {:?}\ndata = {data:?}\n\n[plugins]\ndir = {:?}\n\n[limits]\n{}\n[listen]\n",
        plan.policy,
        root.join(plan.plugins),
        plan.limits,
    );
    for (name, address) in listeners {
        text.push_str(&format!("{name} = {address:?}\n"));
    }
    text
}
