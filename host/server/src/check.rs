//! `postern serve --check`: all that a start would find wrong, at once. Nothing listens, no data is touched; a
//! server may run on the same config meanwhile. Databases and buses on the network are not asked.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use postern_bus::Bus;
use postern_guest::{Host, Keyring, Role, Runtime, RuntimeConfig, Slots};
use postern_store::Database;
use rustix::fs::{Access, access};
use rustls_pki_types::UnixTime;
use serde::Serialize;

use crate::{
    config::{AdminAddress, Config, HostPort, Listen},
    listen::{tls::Certificates, wire::ListenerName},
    logging,
    plugins::{PluginError, Start},
    policy::{self, Policy},
};

/// What was found, one line each.
#[derive(Debug, Default, Serialize)]
pub struct Findings {
    /// Each keeps the server from starting.
    pub faults: Vec<String>,
    /// What an operator may not have meant.
    pub warnings: Vec<String>,
}

impl Findings {
    fn fault(&mut self, fault: impl std::fmt::Display) {
        self.faults.push(fault.to_string());
    }

    fn take(&mut self, done: Result<(), impl std::fmt::Display>) {
        if let Err(fault) = done {
            self.fault(fault);
        }
    }
}

/// Looks at a config file, the environment, and at what both name.
pub async fn run(file: Option<&Path>) -> Findings {
    let mut found = Findings::default();
    let (config, faults) = Config::examine(file, std::env::vars_os());
    faults.into_iter().for_each(|fault| found.fault(fault));
    let Some(config) = config else { return found };
    if let Some(filter) = config.log_filter.as_deref() {
        found.take(logging::check(filter).map_err(|e| config.error("log.filter", e)));
    }
    listeners(&config, &mut found);
    data(&config, &mut found);
    if !config.store_url.is_empty() {
        found.take(Database::check(&config.store_url).map_err(|e| config.error("store.url", e)));
    }
    if let Some(url) = &config.bus_url {
        found.take(Bus::check(url).map_err(|e| config.error("bus.url", e)));
    }
    if let Some(files) = &config.tls {
        let loaded = Certificates::from_files(&files.certificate, &files.key, UnixTime::now());
        found.take(loaded.map(drop));
    }
    let (policy, faults) = Policy::examine(&config.policy);
    faults.into_iter().for_each(|fault| found.fault(fault));
    if let Some(policy) = policy {
        plugins(&config, &policy, &mut found).await;
    }
    found
}

/// Addresses that two listeners would take, and that there are any.
fn listeners(config: &Config, found: &mut Findings) {
    if !config.listen.serves_anybody() {
        found.warnings.push(NOBODY.to_owned());
    }
    let mut taken: BTreeMap<String, &str> = BTreeMap::new();
    for (name, address) in named(&config.listen).into_iter().filter(|(_, address)| !address.is_any_port()) {
        if let Some(other) = taken.insert(address.to_string(), name) {
            let key = format!("listen.{name}");
            found.fault(config.error(&key, format!("{address}: listen.{other} has this address, too")));
        }
    }
}

/// What is said when no client can reach a server.
pub const NOBODY: &str =
    "[listen] names no listener for clients: nobody but the admin verbs reaches this server";

fn named(listen: &Listen) -> Vec<(&'static str, &HostPort)> {
    let admin = match &listen.admin {
        AdminAddress::Network(address) => Some(address),
        AdminAddress::Unix(_) => None,
    };
    let all = [
        ("tcp", listen.tcp.as_ref()),
        ("tls", listen.tls.as_ref()),
        ("ws", listen.ws.as_ref()),
        ("wss", listen.wss.as_ref()),
        ("http", listen.http.as_ref()),
        ("admin", admin),
        ("health", listen.health.as_ref()),
    ];
    all.into_iter().filter_map(|(name, address)| Some((name, address?))).collect()
}

/// The data folder, or where it would be made, can be written; the master key in it can be read.
fn data(config: &Config, found: &mut Findings) {
    let there = config.data.ancestors().find(|folder| folder.exists() || folder.as_os_str().is_empty());
    let there = match there {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
        _ => PathBuf::from("."),
    };
    if !there.is_dir() {
        found.fault(config.error("data", format!("{}: is no folder", there.display())));
    } else if let Err(e) = access(&there, Access::WRITE_OK | Access::EXEC_OK) {
        found.fault(config.error("data", format!("{}: {}", there.display(), std::io::Error::from(e))));
    }
    let key = config.data.join("master.key");
    if config.master_key.is_none() && key.exists() {
        found.take(Keyring::read(&key).map(drop));
    }
}

/// Loads what would serve, beside everything: a folder, keys and a database of its own, which are thrown away.
async fn plugins(config: &Config, policy: &Policy, found: &mut Findings) {
    let (start, faults) = Start::examine(policy, config);
    faults.into_iter().for_each(|fault| found.fault(fault));
    let slots = Slots::aside();
    let (runtime, _folder) = match aside(policy).await {
        Ok(aside) => aside,
        Err(e) => return found.fault(format!("plugins were not tried: {e:#}")),
    };
    let faults = start.try_out(&runtime, policy, &slots).await;
    faults.into_iter().for_each(|fault| found.fault(fault));
    let addresses = addresses(&config.listen);
    if let (Some(path), Ok(admits)) = (start.file_of(Role::Token), slots.token().admits_anonymous().await) {
        let refused = policy::refuse_anonymous_off_loopback(&addresses, admits);
        found.take(refused.map_err(|error| PluginError::Anonymous { path: path.to_owned(), error }));
    }
}

async fn aside(policy: &Policy) -> anyhow::Result<(Runtime, tempfile::TempDir)> {
    let folder = tempfile::Builder::new().prefix("postern-check-").tempdir()?;
    let keyring = Keyring::open_or_create(&folder.path().join("key"))?;
    let url = format!("sqlite:{}", folder.path().join("check.db").display());
    let database = Database::open(&url, folder.path()).await?;
    let cache = folder.path().join("cache");
    let config = RuntimeConfig { cache, signers: policy.signers.clone(), gives_way: true };
    Ok((Runtime::new(config, Host { database, keyring })?, folder))
}

/// Those of the MQTT and HTTP listeners that are told as numbers; names are looked up at the start only.
fn addresses(listen: &Listen) -> Vec<(ListenerName, SocketAddr)> {
    let all = [
        (ListenerName::Tcp, &listen.tcp),
        (ListenerName::Tls, &listen.tls),
        (ListenerName::Ws, &listen.ws),
        (ListenerName::Wss, &listen.wss),
        (ListenerName::Http, &listen.http),
    ];
    let number = |at: &HostPort| Some(SocketAddr::new(at.host().parse().ok()?, at.port()));
    all.into_iter().filter_map(|(name, at)| Some((name, at.as_ref().and_then(number)?))).collect()
}
