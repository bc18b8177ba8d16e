//! What an operator does while messages flow.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use super::admin::Admin;
use super::gauge::{Gauge, MASKED, PLAIN, quantiles};

/// How long a decision of the new code may take to be seen.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often a state is asked for.
const LOOK: Duration = Duration::from_millis(5);

/// One thing to do, or one again and again.
#[derive(Deserialize)]
#[serde(tag = "do", rename_all = "lowercase", deny_unknown_fields)]
pub(super) enum Act {
    /// Puts versions of one plugin into the folder in turn, and activates each.
    Swap {
        name: String,
        /// The plugin's file in the folder.
        file: PathBuf,
        versions: Vec<PathBuf>,
        count: usize,
        /// From the answer to the next.
        gap_ms: u64,
    },
    /// Activates two plugins in turn, the first of which masks a word, and waits for it to be seen.
    Turns {
        masks: String,
        plain: String,
        count: usize,
        gap_ms: u64,
        /// By the command: the program and its config file; none: on the socket.
        #[serde(default)]
        command: Option<(PathBuf, PathBuf)>,
    },
    /// Puts a candidate into the shadow.
    Shadow { name: String, every: u32 },
    /// Takes it out, and tells what it found.
    Unshadow { name: String },
    /// Has components checked that were never seen before: each is compiled.
    Compile { file: PathBuf, count: usize },
    /// Activates a plugin that fails, and waits until it is left alone.
    Fail { name: String },
    /// Lets a plugin serve.
    Activate { name: String },
}

impl Act {
    /// Does it, and tells what came of it.
    pub(super) async fn perform(&self, admin: &Admin, gauge: &Gauge) -> Result<Value> {
        match self {
            Act::Swap { name, file, versions, count, gap_ms } => {
                swap(admin, name, file, versions, *count, *gap_ms).await
            }
            Act::Turns { masks, plain, count, gap_ms, command } => {
                let turns = Turns { masks, plain, command: command.as_ref() };
                turns.take(admin, gauge, *count, *gap_ms).await
            }
            Act::Shadow { name, every } => {
                let body = json!({ "every": every }).to_string();
                admin.ask("POST", &format!("/v1/plugins/{name}/shadow"), Some(body.as_bytes())).await
            }
            Act::Unshadow { name } => admin.ask("DELETE", &format!("/v1/plugins/{name}/shadow"), None).await,
            Act::Compile { file, count } => compile(admin, file, *count).await,
            Act::Fail { name } => fail(admin, name).await,
            Act::Activate { name } => admin.activate(name).await,
        }
    }
}

async fn swap(
    admin: &Admin,
    name: &str,
    file: &Path,
    versions: &[PathBuf],
    count: usize,
    gap_ms: u64,
) -> Result<Value> {
    let versions = versions.iter().map(std::fs::read).collect::<std::io::Result<Vec<_>>>()?;
    let mut millis = Vec::with_capacity(count);
    for version in versions.iter().cycle().take(count) {
        put(file, version)?;
        let begun = Instant::now();
        admin.activate(name).await?;
        millis.push(begun.elapsed().as_secs_f64() * 1e3);
        sleep(Duration::from_millis(gap_ms)).await;
    }
    Ok(json!({ "activations": count, "answered_ms": quantiles(millis) }))
}

/// In one step, as an operator is told to.
fn put(file: &Path, bytes: &[u8]) -> Result<()> {
    let new = file.with_extension("new");
    std::fs::write(&new, bytes).with_context(|| new.display().to_string())?;
    std::fs::rename(&new, file).with_context(|| file.display().to_string())
}

struct Turns<'a> {
    masks: &'a str,
    plain: &'a str,
    command: Option<&'a (PathBuf, PathBuf)>,
}

impl Turns<'_> {
    async fn take(&self, admin: &Admin, gauge: &Gauge, count: usize, gap_ms: u64) -> Result<Value> {
        let (mut answered, mut decided) = (Vec::new(), Vec::new());
        for turn in 0..count {
            let (name, word) = if turn % 2 == 0 { (self.masks, MASKED) } else { (self.plain, PLAIN) };
            // Messages that the old code has decided are still under way.
            sleep(Duration::from_millis(gap_ms)).await;
            gauge.expect(word);
            let begun = Instant::now();
            match self.command {
                Some((program, config)) => by_command(program, config, name).await?,
                None => drop(admin.activate(name).await?),
            }
            answered.push(begun.elapsed().as_secs_f64() * 1e3);
            let first = timeout(PATIENCE, gauge.first()).await;
            let first = first.with_context(|| format!("{name} was activated and decides nothing"))?;
            decided.push(first.saturating_duration_since(begun).as_secs_f64() * 1e3);
        }
        Ok(json!({ "answered_ms": quantiles(answered), "decided_ms": quantiles(decided) }))
    }
}

async fn by_command(program: &Path, config: &Path, name: &str) -> Result<()> {
    let mut command = Command::new(program);
    command.args(["plugin", "activate", name, "--config"]).arg(config);
    command.stdin(Stdio::null()).stdout(Stdio::null());
    let status = tokio::task::spawn_blocking(move || command.status()).await??;
    ensure!(status.success(), "postern plugin activate {name}: {status}");
    Ok(())
}

/// The component with a custom section that no other has: the same code, never compiled before.
async fn compile(admin: &Admin, file: &Path, count: usize) -> Result<Value> {
    let good = std::fs::read(file).with_context(|| file.display().to_string())?;
    let mut secs = Vec::with_capacity(count);
    for _ in 0..count {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_nanos();
        // Section 0, its length, and its name's: binary format of the core specification, 5.5.3.
        let mut bytes = good.clone();
        bytes.extend([0, 18, 1, b'v']);
        bytes.extend(now.to_be_bytes());
        let begun = Instant::now();
        let report = admin.ask("POST", "/v1/components/validate", Some(&bytes)).await?;
        secs.push(begun.elapsed().as_secs_f64());
        ensure!(report.pointer("/reasons/0").is_none(), "{report}");
    }
    Ok(json!({ "secs": quantiles(secs) }))
}

/// From the request on: a plugin that serves fails from its first call on.
async fn fail(admin: &Admin, name: &str) -> Result<Value> {
    let begun = Instant::now();
    admin.activate(name).await?;
    let answered = begun.elapsed();
    while begun.elapsed() < PATIENCE {
        let plugin = admin.ask("GET", &format!("/v1/plugins/{name}"), None).await?;
        if plugin.get("state").and_then(Value::as_str) == Some("failed") {
            let opened = begun.elapsed() - answered;
            return Ok(json!({ "opened_ms": opened.as_secs_f64() * 1e3 }));
        }
        sleep(LOOK).await;
    }
    bail!("{name} fails and is not left alone")
}
