//! What an operator does meanwhile: plugins are swapped and taken back, certificates renewed, backups made.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::ground::Ground;
use crate::bench::generator::Generator;
use crate::sh;

/// The plugin that is swapped: asked for each message.
const PLUGIN: &str = "classify-topic";
/// How soon a new certificate must be served.
const SERVED: Duration = Duration::from_secs(15);

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Kind {
    /// A plugin was activated, promoted or taken back.
    Swap,
    /// A new certificate, served from then on.
    Certificate,
    /// A copy of the database while it is in use.
    Backup,
}

/// Something that was done, when, and how long it took, seconds.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Event {
    pub(crate) kind: Kind,
    pub(crate) at: f64,
    pub(crate) took: f64,
    /// What went wrong.
    pub(crate) fault: Option<String>,
}

/// Who does it.
pub(crate) struct Operator<'a> {
    ground: &'a Ground,
    errands: Generator,
    plugin: Vec<u8>,
    swaps: usize,
    backups: usize,
    begun: Instant,
    /// What is done how often, and when the next time.
    due: Vec<(Kind, Duration, Duration)>,
    pub(crate) done: Vec<Event>,
}

impl<'a> Operator<'a> {
    /// The day's work, over so many seconds.
    pub(crate) fn new(ground: &'a Ground, errands: Generator, secs: f64) -> Result<Self> {
        let file = ground.folder.join("plugins").join(format!("{PLUGIN}.wasm"));
        let plugin = fs::read(&file).with_context(|| file.display().to_string())?;
        let every = |parts: f64| Duration::from_secs_f64(secs / parts);
        // Of an hour: each minute, each two, each seven and a half.
        let due = vec![
            (Kind::Swap, every(60.0), every(60.0)),
            (Kind::Certificate, every(30.0), every(40.0)),
            (Kind::Backup, every(8.0), every(12.0)),
        ];
        let begun = Instant::now();
        Ok(Operator { ground, errands, plugin, swaps: 0, backups: 0, begun, due, done: vec![] })
    }

    /// Does what is due.
    pub(crate) fn work(&mut self) {
        let now = self.begun.elapsed();
        let due: Vec<Kind> =
            self.due.iter().filter(|(_, _, at)| *at <= now).map(|(kind, ..)| *kind).collect();
        for (_, every, at) in &mut self.due {
            if *at <= now {
                *at += *every;
            }
        }
        for kind in due {
            let begun = Instant::now();
            let outcome = match kind {
                Kind::Swap => self.swap(),
                Kind::Certificate => self.renew(),
                Kind::Backup => self.back_up(),
            };
            let fault = outcome.err().map(|error| format!("{error:#}"));
            if let Some(fault) = &fault {
                println!("! {kind:?}: {fault}");
            }
            let (at, took) = (self.begun.elapsed().as_secs_f64(), begun.elapsed().as_secs_f64());
            self.done.push(Event { kind, at, took, fault });
        }
    }

    /// In turns: another version, back, another for a quarter of the clients, for all, and the first.
    fn swap(&mut self) -> Result<()> {
        let step = self.swaps % 5;
        self.swaps += 1;
        match step {
            0 | 4 => self.activate(step == 0, &[]),
            1 => self.plugin(&["rollback", PLUGIN]),
            2 => self.activate(true, &["--canary", "25%"]),
            _ => self.plugin(&["promote", PLUGIN]),
        }
    }

    fn activate(&self, other: bool, more: &[&str]) -> Result<()> {
        let mut bytes = self.plugin.clone();
        if other {
            // The same plugin in other bytes: a custom section at its end.
            bytes.extend([0, 3, 1, b'v', 1]);
        }
        let file = self.ground.folder.join("plugins").join(format!("{PLUGIN}.wasm"));
        let new = file.with_extension("new");
        fs::write(&new, bytes).and_then(|()| fs::rename(&new, &file))?;
        self.plugin(&[&["activate", PLUGIN], more].concat())
    }

    fn plugin(&self, words: &[&str]) -> Result<()> {
        self.ground.server.cli(&[&["plugin"], words].concat(), "").map(drop)
    }

    fn renew(&mut self) -> Result<()> {
        let folder = self.ground.folder.join("tls");
        self.errands.ask(&json!({ "ask": "certificate", "folder": folder }))?;
        let id = self.ground.server.id().to_string();
        sh::output(Command::new("kill").args(["-HUP", &id]))?;
        for name in ["tls", "wss", "http"] {
            let address = self.ground.server.address(name)?;
            let begun = Instant::now();
            loop {
                let ask = json!({ "ask": "certificate", "folder": folder, "served": address });
                if self.errands.ask(&ask)?["served"] == true {
                    break;
                }
                ensure!(begun.elapsed() < SERVED, "{name} still serves with the old certificate");
                std::thread::sleep(Duration::from_millis(50));
            }
        }
        Ok(())
    }

    fn back_up(&mut self) -> Result<()> {
        let file = self.ground.folder.join(format!("backup-{}", self.backups));
        self.backups += 1;
        let name = file.to_str().context("a path in UTF-8")?;
        self.ground.server.cli(&["backup", name], "")?;
        ensure!(fs::metadata(&file)?.len() > 0, "the backup is empty");
        fs::remove_file(&file).with_context(|| name.to_owned())
    }
}
