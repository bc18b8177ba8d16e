//! The servers: Postern with the accounts of the fleet, in either manner, and mosquitto with its certificate.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde_json::json;

use super::Options;
use crate::bench::generator::Generator;
use crate::bench::peer::{Certificate, Peer};
use crate::bench::running::Running;
use crate::bench::site::{PASSWORD, Plan, Site};

/// Below target/.
const FOLDER: &str = "bench-encrypt";
/// Who ask for commands.
pub(super) const ASKERS: usize = 8;

/// Who serves, and what becomes of a terminal on TLS.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Manner {
    /// Postern: it is told to go back a second after a command.
    Goes,
    /// Postern: it stays.
    Stays,
    /// mosquitto, which knows nothing of it.
    Mosquitto,
}

/// What starts need.
pub(super) struct Servers {
    root: PathBuf,
    folder: PathBuf,
    pub(super) certificate: Certificate,
}

impl Servers {
    /// Adds the users, logs them in, and stops the server again: each figure has one that is started for it.
    pub(super) fn prepare(root: &Path, generator: &mut Generator, options: &Options) -> Result<Self> {
        let policy = root.join("policies/bench.toml");
        let plan = Plan::new(FOLDER, &policy, LIMITS);
        let folder = plan.folder(root);
        let terminals = options.terminals.max(options.crowd + options.crowd / 5);
        let enrolled = folder.join(format!("enrolled-{terminals}"));
        let known = options.again && enrolled.exists();
        if !known {
            plan.empty(root)?;
        }
        let certificate = Certificate::of(&folder.join("data"));
        let servers = Servers { root: root.to_owned(), folder, certificate };
        for manner in [Manner::Goes, Manner::Stays] {
            std::fs::write(servers.policy(manner), policy_text(root, manner)?)?;
        }
        let cars = (0..terminals).map(|at| format!("car-{at}"));
        let users: Vec<String> = cars.chain((0..ASKERS).map(|at| format!("asker-{at}"))).collect();
        if !known {
            // It makes its tables and its certificate.
            Site::open(root, &plan)?.stop()?;
            servers.add(generator, &users)?;
        }
        let site = Site::open(root, &plan)?;
        site.logins(generator, "enrol", &users, "file", &servers.folder.join("accounts.json"))?;
        site.stop()?;
        std::fs::write(enrolled, "")?;
        Ok(servers)
    }

    fn add(&self, generator: &mut Generator, users: &[String]) -> Result<()> {
        println!("» {} users", users.len());
        let data = self.folder.join("data");
        let request = json!({ "ask": "users", "data": data, "users": users, "password": PASSWORD });
        generator.ask(&request).map(drop)
    }

    fn policy(&self, manner: Manner) -> PathBuf {
        self.folder.join(format!("policy-{manner:?}.toml"))
    }

    /// Where the policy part may write.
    pub(super) fn folder(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Starts one; None where it is not installed.
    pub(super) fn start(&self, manner: Manner) -> Result<Option<Running>> {
        if manner == Manner::Mosquitto {
            return Ok(Peer::mosquitto(&self.folder, Some(&self.certificate))?.map(Running::peer));
        }
        let limits = format!("{LIMITS}{}", if manner == Manner::Goes { "idle_max_secs = 1\n" } else { "" });
        let policy = self.policy(manner);
        let plan = Plan::new(FOLDER, &policy, &limits);
        Running::ours(Site::open(&self.root, &plan)?.server).map(Some)
    }
}

/// Everybody comes from one address, and an hour's switches come in a minute.
const LIMITS: &str = "login_per_address_per_minute = 100000\nconnections_per_address = 50000\n\
    connects_per_address_per_second = 100000\ninstructions_per_terminal_per_hour = 100000\n";

/// policies/default.toml, by whose rights a terminal on plain is sent commands and instructions and nothing else;
/// here anybody may ask any terminal, and terminals may stay.
fn policy_text(root: &Path, manner: Manner) -> Result<String> {
    let file = root.join("policies/default.toml");
    let text = std::fs::read_to_string(&file).with_context(|| file.display().to_string())?;
    // One who asks the whole fleet: otherwise a member of as many groups as there are terminals.
    let mut changed = replaced(&text, "\"cmd/{group}/ask\"", "\"cmd/+/ask\"")?;
    // By plain links, too, which are all that the generator's askers have.
    let own = "\"cmd/{user}/query\", \"cmd/{user}/result\"]";
    changed = replaced(&changed, own, &own.replace(']', ", \"cmd/+/ask\"]"))?;
    if manner == Manner::Stays {
        changed = replaced(&changed, "idle_min_secs = 30 ", "idle_min_secs = 604_800 ")?;
    }
    Ok(changed)
}

fn replaced(text: &str, from: &str, to: &str) -> Result<String> {
    ensure!(text.contains(from), "policies/default.toml does not say {from}");
    Ok(text.replace(from, to))
}
