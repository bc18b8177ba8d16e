//! Terminals in shifts: each logs in, rests on plain TCP, comes in through TLS for its commands, goes back, and
//! leaves (fleet).

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::timeout;

use super::{Told, World};
use crate::fleet::{self, accounts};

/// Terminals of each of two groups: one gets commands that need TLS, the other ones that do not.
const EACH: usize = 6;
const ASKERS: usize = 2;
/// A shift's commands are spread over so long, and at least so long.
const SHIFT: (f64, f64) = (20.0, 150.0);
/// Seconds between two commands of a terminal.
const PAUSE_SECS: f64 = 15.0;
/// What a shift takes beyond its commands.
const BESIDE_SECS: f64 = 12.0;
/// Between two shifts.
const BREAK: Duration = Duration::from_secs(3);

/// The users of terminals and of who asks them.
pub(super) fn users() -> Vec<String> {
    let cars = (0..2 * EACH).map(|at| format!("car-{at}"));
    cars.chain((0..ASKERS).map(|at| format!("asker-{at}"))).collect()
}

/// Shift after shift, until there is no time for another.
pub(super) async fn work(
    world: Arc<World>,
    ca: &Path,
    server_pid: u32,
    end: Instant,
    mut told: watch::Receiver<Told>,
) -> Result<()> {
    loop {
        let left = end.saturating_duration_since(Instant::now()).as_secs_f64() - BESIDE_SECS;
        if left < SHIFT.0 || *told.borrow() != Told::Live {
            return Ok(());
        }
        if let Err(error) = shift(&world, ca, server_pid, left.min(SHIFT.1)).await {
            world.watch.fault("the terminals", &error);
        }
        timeout(BREAK, told.changed()).await.ok();
    }
}

async fn shift(world: &World, ca: &Path, server_pid: u32, secs: f64) -> Result<()> {
    let commands = (secs / PAUSE_SECS).max(1.0) as usize;
    let log_in: accounts::Request = serde_json::from_value(json!({
        "api": world.api_url, "ca": ca, "users": users(), "password": world.password,
        "file": ca.with_file_name("accounts.json"),
    }))?;
    let accounts = tokio::task::spawn_blocking(move || {
        let mut accounts = accounts::Accounts::default();
        accounts.log_in(&log_in).map(|_| accounts)
    });
    let accounts = accounts.await?.context("logins")?;
    let group =
        |class: &str| json!({ "terminals": EACH, "on_tls": false, "class": class, "commands": commands });
    let request: fleet::Request = serde_json::from_value(json!({
        "tcp": world.door.listen.get("tcp"), "tls": world.door.listen.get("tls"), "ca": ca,
        "server_pid": server_pid, "bare": false, "askers": ASKERS,
        "groups": [group("info"), group("remote-control")],
        "ping_millis": 10_000, "settle_secs": 1.0, "rest_secs": 0.0, "asked_secs": secs, "day_secs": 0.0,
        "tickets": true, "warm_up": false,
    }))?;
    let answer = fleet::run(&request, &accounts).await?;
    world.watch.count("shifts");
    for group in answer.pointer("/groups").and_then(Value::as_array).into_iter().flatten() {
        let figure = |of: &str| group.pointer(of).and_then(Value::as_f64);
        let count = |of: &str| group.pointer(of).and_then(Value::as_u64).unwrap_or(0);
        world.watch.add("commands", count("/commands/commands"));
        world.watch.add("commands_lost", count("/commands/lost") + count("/commands/refused"));
        world.watch.add("commands_twice", count("/commands/twice"));
        let switches = figure("/switches/mean").unwrap_or(0.0) * EACH as f64;
        world.watch.add("switches", switches.round() as u64);
        if let Some(p50) = figure("/commands/ways/resumed/asked/p50") {
            world.watch.took("command_over_tls", Duration::from_secs_f64(p50 / 1e3));
        }
    }
    let count = |of: &str| answer.pointer(of).and_then(Value::as_u64).unwrap_or(0);
    let broken = count("/broken") + count("/odd");
    let why = answer.pointer("/why").and_then(Value::as_str).unwrap_or_default();
    ensure!(broken == 0, "{broken} links broken: {why}");
    Ok(())
}
