//! The server of a soak: the default policy with tokens that end within the hour, anonymous clients beside
//! signed-in ones, all listeners, and a certificate from files.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::samples;
use crate::bench::generator::Generator;
use crate::server::{Listeners, Server};

/// Of everybody.
const PASSWORD: &str = "postern-soak";
/// Where everything of a soak is.
pub(crate) const FOLDER: &str = "target/soak";
/// Phones of an organisation.
const TOGETHER: usize = 8;

const LISTENERS: Listeners = &[
    ("tcp", "127.0.0.1:0"),
    ("tls", "127.0.0.1:0"),
    ("ws", "127.0.0.1:0"),
    ("wss", "127.0.0.1:0"),
    ("http", "127.0.0.1:0"),
    ("admin", "unix:target/soak/admin.sock"),
    ("health", "127.0.0.1:0"),
];

/// Everybody comes from one address; an hour's switches are a day's; terminals go back soon.
const LIMITS: &str = "login_per_address_per_minute = 100000\ninstructions_per_terminal_per_hour = 100000\n\
    idle_max_secs = 3\n";

/// What of policies/default.toml is otherwise.
const POLICY: &[(&str, &str)] = &[
    ("anonymous = false ", "anonymous = true "),
    // So that tokens end, and are renewed, within the hour.
    ("lifetime_secs = 86_400 ", "lifetime_secs = 600 "),
    // One who asks all terminals: otherwise a member of as many groups; by plain links, as in `bench encrypt`.
    ("\"cmd/{group}/ask\"", "\"cmd/+/ask\""),
    (
        "\"cmd/{user}/query\", \"cmd/{user}/result\"]",
        "\"cmd/{user}/query\", \"cmd/{user}/result\", \"cmd/+/ask\"]",
    ),
    (
        "[plugins.token-hmac.config.rights.anonymous]\npublish = []\nsubscribe = []",
        "[plugins.token-hmac.config.rights.anonymous]\npublish = [\"soak/#\"]\nsubscribe = [\"soak/#\"]",
    ),
];

/// A running server and where its things are.
pub(crate) struct Ground {
    pub(crate) server: Server,
    pub(crate) folder: PathBuf,
    /// Bytes of each file of the data folder before the start.
    pub(crate) before: BTreeMap<String, f64>,
}

impl Ground {
    /// An empty data folder with the users in it, and a server on it.
    pub(crate) fn start(root: &Path, generator: &mut Generator, phones: usize) -> Result<Self> {
        let folder = root.join(FOLDER);
        if folder.exists() {
            fs::remove_dir_all(&folder).with_context(|| format!("cannot empty {}", folder.display()))?;
        }
        for name in ["data", "tls", "plugins"] {
            fs::create_dir_all(folder.join(name)).with_context(|| folder.display().to_string())?;
        }
        copy_plugins(&root.join("target/plugins"), &folder.join("plugins"))?;
        generator.ask(&json!({ "ask": "certificate", "folder": folder.join("tls") }))?;
        let config = write_config(root, &folder)?;
        let program = root.join("target/release/postern");
        let log = folder.join("server.log");
        let start = || Server::start_program(&program, &config, LISTENERS, Some(&log), &[]);
        // It makes its tables.
        start()?.stop()?;
        let users = generator.ask(&json!({ "ask": "soakusers", "phones": phones }))?;
        generator.ask(&json!({
            "ask": "users", "data": folder.join("data"), "users": users["users"], "password": PASSWORD,
            "together": TOGETHER,
        }))?;
        let before = samples::sizes(&folder.join("data"))?;
        let server = start()?;
        Ok(Ground { server, folder, before })
    }

    /// The request for the load.
    pub(crate) fn load(&self, phones: usize, secs: f64, every_secs: f64) -> Result<Value> {
        let listen = ["tcp", "tls", "ws", "wss"].map(|name| Ok((name.to_owned(), self.address(name)?)));
        let listen = listen.into_iter().collect::<Result<serde_json::Map<_, Value>>>()?;
        Ok(json!({
            "ask": "soak", "listen": listen, "api": format!("https://{}", self.server.address("http")?),
            "ca": self.folder.join("tls/ca.pem"), "server_pid": self.server.id(), "password": PASSWORD,
            "phones": phones, "together": TOGETHER, "secs": secs, "every_secs": every_secs,
            "lines": self.lines(),
        }))
    }

    fn address(&self, name: &str) -> Result<Value> {
        Ok(json!(self.server.address(name)?))
    }

    /// Where the generator writes its samples.
    pub(crate) fn lines(&self) -> PathBuf {
        self.folder.join("load.jsonl")
    }
}

fn copy_plugins(from: &Path, to: &Path) -> Result<()> {
    for entry in fs::read_dir(from).with_context(|| from.display().to_string())? {
        let file = entry?.path();
        if file.extension().is_some_and(|extension| extension == "wasm") {
            fs::copy(&file, to.join(file.file_name().context("a name")?))?;
        }
    }
    Ok(())
}

fn write_config(root: &Path, folder: &Path) -> Result<PathBuf> {
    let mut policy =
        fs::read_to_string(root.join("policies/default.toml")).context("policies/default.toml")?;
    for (from, to) in POLICY {
        ensure!(policy.contains(from), "policies/default.toml does not say {from}");
        policy = policy.replace(from, to);
    }
    fs::write(folder.join("policy.toml"), policy)?;
    let mut text = format!(
        "policy = {:?}\ndata = {:?}\n\n[plugins]\ndir = {:?}\n\n[tls]\ncertificate = {:?}\nkey = {:?}\n\n\
         [limits]\n{LIMITS}\n[listen]\n",
        folder.join("policy.toml"),
        folder.join("data"),
        folder.join("plugins"),
        folder.join("tls/certificate.pem"),
        folder.join("tls/key.pem"),
    );
    for (name, address) in LISTENERS {
        text.push_str(&format!("{name} = {address:?}\n"));
    }
    let config = folder.join("postern.toml");
    fs::write(&config, text).with_context(|| config.display().to_string())?;
    Ok(config)
}
