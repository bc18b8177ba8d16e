//! Who is compared, and how each is started: afresh for every figure, so that none inherits memory.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::bench::RELEASE;
use crate::bench::peer::{Certificate, Peer};
use crate::bench::running::Running;
use crate::server::{Listeners, Server};

const LISTENERS: Listeners = &[("tcp", "127.0.0.1:0"), ("tls", "127.0.0.1:0"), ("http", "127.0.0.1:0")];
/// Where the peers of tests/peers are built.
pub(super) const PEERS: &str = "target/peers";

/// A broker.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Who {
    /// policies/open.toml: classify's verdict holds for the next message to the topic.
    Postern,
    /// The same, and classify is asked for every message.
    Asked,
    Mosquitto,
    Rumqttd,
    Rmqtt,
}

impl Who {
    /// All, in the order of the tables.
    pub(super) const ALL: [Who; 5] = [Who::Postern, Who::Asked, Who::Mosquitto, Who::Rumqttd, Who::Rmqtt];
    /// Each broker once.
    pub(super) const BROKERS: [Who; 4] = [Who::Postern, Who::Mosquitto, Who::Rumqttd, Who::Rmqtt];
    /// Not ours.
    pub(super) const PEERS: [Who; 3] = [Who::Mosquitto, Who::Rumqttd, Who::Rmqtt];
    /// Ours, both ways.
    pub(super) const OURS: [Who; 2] = [Who::Postern, Who::Asked];

    /// As the tables say it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Who::Postern => "Postern",
            Who::Asked => "Postern, asked always",
            Who::Mosquitto => "mosquitto",
            Who::Rumqttd => "rumqttd",
            Who::Rmqtt => "rmqtt",
        }
    }

    /// Of the plots.
    pub(super) fn colour(self) -> &'static str {
        match self {
            Who::Postern => "#1f5fbf",
            Who::Asked => "#8fb4e8",
            Who::Mosquitto => "#3f8f5f",
            Who::Rumqttd => "#c9762b",
            Who::Rmqtt => "#8a5fa8",
        }
    }
}

/// What starts need.
pub(super) struct Stable {
    root: PathBuf,
    folder: PathBuf,
    pub(super) certificate: Certificate,
}

impl Stable {
    /// An empty folder, a Postern each way started once: its plugins are compiled, its certificate made.
    pub(super) fn prepare(root: &Path) -> Result<Self> {
        let folder = root.join("target/bench-brokers");
        if folder.exists() {
            std::fs::remove_dir_all(&folder).with_context(|| format!("cannot empty {}", folder.display()))?;
        }
        let certificate = Certificate::of(&folder.join("postern/data"));
        let stable = Stable { root: root.to_owned(), folder, certificate };
        for (who, part) in [(Who::Postern, "postern"), (Who::Asked, "asked")] {
            let folder = stable.folder.join(part);
            std::fs::create_dir_all(folder.join("data"))
                .with_context(|| format!("cannot make {}", folder.display()))?;
            std::fs::write(folder.join("policy.toml"), policy(root, who)?)?;
            std::fs::write(folder.join("postern.toml"), config(root, &folder))?;
            stable.start(who).context("Postern")?;
        }
        Ok(stable)
    }

    /// Starts one; None where it is not installed.
    pub(super) fn start(&self, who: Who) -> Result<Option<Running>> {
        let peers = self.root.join(PEERS).join("release");
        let peer = match who {
            Who::Postern => return self.postern("postern").map(Some),
            Who::Asked => return self.postern("asked").map(Some),
            Who::Mosquitto => Peer::mosquitto(&self.folder, Some(&self.certificate))?,
            Who::Rumqttd => Some(Peer::embedded(&peers.join("rumqttd-peer"), &self.certificate)?),
            Who::Rmqtt => Some(Peer::embedded(&peers.join("rmqtt-peer"), &self.certificate)?),
        };
        Ok(peer.map(Running::peer))
    }

    fn postern(&self, part: &str) -> Result<Running> {
        let program = self.root.join(RELEASE).join("postern");
        let folder = self.folder.join(part);
        let log = folder.join("server.log");
        let server =
            Server::start_program(&program, &folder.join("postern.toml"), LISTENERS, Some(&log), &[])?;
        Running::ours(server)
    }
}

/// policies/open.toml, as it is or with the question asked always.
fn policy(root: &Path, who: Who) -> Result<String> {
    let file = root.join("policies/open.toml");
    let text = std::fs::read_to_string(&file).with_context(|| file.display().to_string())?;
    if who != Who::Asked {
        return Ok(text);
    }
    let asked = text.replace("ask_always = false", "ask_always = true");
    ensure!(asked != text, "policies/open.toml does not say `ask_always = false`");
    Ok(asked)
}

fn config(root: &Path, folder: &Path) -> String {
    let mut text = format!(
        "policy = {:?}\ndata = {:?}\n\n[plugins]\ndir = {:?}\n\n\
         # Everybody comes from one address.\n[limits]\nconnections_per_address = 50000\n\
         connects_per_address_per_second = 100000\n\n[listen]\n",
        folder.join("policy.toml"),
        folder.join("data"),
        root.join("target/plugins"),
    );
    for (name, address) in LISTENERS {
        text.push_str(&format!("{name} = {address:?}\n"));
    }
    text
}
