//! Thirty days of a terminal, in no time: the real component is asked for the idle period after each command,
//! and what passes is counted with the bytes that were measured.

mod days;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use postern_guest::roles::encrypt::History;
use postern_guest::{Host, Keyring, PluginPolicy, Role, Runtime, RuntimeConfig, Slots};
use postern_store::Database;
use serde::Deserialize;
use serde_json::{Value, json};

use days::{Arrivals, Prices, Ways};

/// The last commands that the server tells the plugin.
const HISTORY: usize = 128;

/// What to ask.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Request {
    /// The component.
    component: PathBuf,
    /// For its database and what it compiles to.
    folder: PathBuf,
    /// Seconds between pings.
    keep_alives: Vec<u16>,
    /// Commands a day.
    rates: Vec<f64>,
    /// Terminals at each rate, each with commands of its own.
    terminals: u64,
    /// A ping and its answer, bytes.
    ping_plain: f64,
    /// The same on TLS.
    ping_tls: f64,
    /// A switch to TLS and back, bytes.
    switch: f64,
}

/// Simulates all cases.
pub(crate) async fn run(request: &Request) -> Result<Value> {
    let slots = slots(&request.component, &request.folder).await?;
    let mut cases = Vec::new();
    for &keep_alive in &request.keep_alives {
        let prices = Prices {
            keep_alive_secs: f64::from(keep_alive),
            ping_plain: request.ping_plain,
            ping_tls: request.ping_tls,
            switch: request.switch,
        };
        for arrivals in Arrivals::ALL {
            for &rate in &request.rates {
                let mut fleet = Ways::default();
                let mut worst = f64::MIN;
                for terminal in 0..request.terminals {
                    let times = arrivals.times(rate, terminal);
                    let period = |at: &[f64]| period(&slots, keep_alive, &prices, at);
                    let ways = days::simulate(&times, &prices, period)?;
                    worst = worst.max(ways.over());
                    fleet = fleet + ways;
                }
                cases.push(json!({
                    "keep_alive": keep_alive, "arrivals": arrivals.name(), "rate": rate,
                    "tls": fleet.tls / fleet.days, "each_time": fleet.each_time / fleet.days,
                    "policy": fleet.policy / fleet.days, "tls_share": fleet.tls_days / fleet.days,
                    "over": fleet.over(), "worst_terminal": worst,
                }));
            }
        }
    }
    Ok(json!({ "cases": cases }))
}

/// As host/guest loads it for the server, with the grants and the bounds of policies/default.toml.
async fn slots(component: &Path, folder: &Path) -> Result<Slots> {
    std::fs::create_dir_all(folder)?;
    let url = format!("sqlite:{}", folder.join("policy.db").display());
    let database = Database::open(&url, folder).await?;
    let keyring = Keyring::from_material(&"00".repeat(32), "bench")?;
    let runtime = Runtime::new(
        RuntimeConfig { cache: folder.join("cache"), signers: None, gives_way: false },
        Host { database, keyring },
    )?;
    let policy =
        PluginPolicy { grants: ["log", "config"].map(str::to_owned).into(), ..PluginPolicy::default() };
    let plugin = runtime.load(component, &|_| policy.clone()).await?;
    let slots = Slots::new();
    slots.activate(Role::Encrypt, plugin)?;
    Ok(slots)
}

/// Seconds that the plugin lets a terminal stay, with these commands (seconds) behind it.
fn period(slots: &Slots, keep_alive_secs: u16, prices: &Prices, at: &[f64]) -> Result<f64> {
    let millis = |secs: &f64| (secs * 1e3) as u64;
    let last = at.get(at.len().saturating_sub(HISTORY)..).unwrap_or_default();
    let history = History {
        terminal: "car-1".into(),
        keep_alive_secs,
        ping_bytes_plain: prices.ping_plain.round() as u32,
        ping_bytes_tls: prices.ping_tls.round() as u32,
        switch_bytes: prices.switch.round() as u32,
        secure_commands: last.iter().map(millis).collect(),
        now: at.last().map(millis).context("no command")?,
    };
    let secs = slots.encrypt().idle_period(history).map_err(|e| anyhow!("the plugin: {e:?}"))?;
    Ok(f64::from(secs))
}
