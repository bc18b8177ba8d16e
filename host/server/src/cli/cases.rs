//! `postern plugin test` and `replay`: a component against cases, without a server.

use std::{fs, io::Write, os::unix::fs::OpenOptionsExt, path::Path, sync::Arc};

use anyhow::{Context, bail};
use postern_guest::{
    Host, Keyring, Plugin, PluginPolicy, Runtime, RuntimeConfig,
    cases::{self, Case, Cases, Ran},
};
use postern_store::Database;
use serde_json::json;

use super::print::{self, printable};

/// Runs written cases, and says what an author wants to read.
pub(super) fn test(component: &Path, file: &Path, json: bool) -> anyhow::Result<()> {
    let cases = read(file)?;
    let (plugin, ran) = run(component, &cases)?;
    if json {
        print_json(&cases.cases, &ran)?;
    } else {
        print::line(&format!("{} {}", plugin.name(), plugin.version()))?;
        for (case, ran) in cases.cases.iter().zip(&ran) {
            let verdict = if ran.wrong.is_none() { "ok   " } else { "WRONG" };
            let us = ran.cpu_ns as f64 / 1_000.0;
            print::line(&format!("{verdict} {} ({us:.1} µs)", printable(name(case))))?;
            tell(ran)?;
        }
    }
    conclude(&ran, "wrong")
}

/// Runs recorded cases, and prints those that differ.
pub(super) fn replay(component: &Path, file: &Path, json: bool) -> anyhow::Result<()> {
    let cases = read(file)?;
    let (_, ran) = run(component, &cases)?;
    if json {
        print_json(&cases.cases, &ran)?;
    } else {
        for (n, (case, ran)) in
            cases.cases.iter().zip(&ran).enumerate().filter(|(_, (_, r))| r.wrong.is_some())
        {
            print::line(&format!("call {} {}", n + 1, printable(name(case))))?;
            tell(ran)?;
        }
    }
    conclude(&ran, "different")
}

/// Makes the file of a record; one that is there is not written over.
pub(super) fn create(file: &Path) -> anyhow::Result<fs::File> {
    let made = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(file);
    made.with_context(|| file.display().to_string())
}

/// Writes cases into it; what messages say is in them.
pub(super) fn write(mut file: fs::File, cases: &Cases) -> anyhow::Result<()> {
    let text = toml::to_string(cases).context("the cases")?;
    file.write_all(text.as_bytes()).context("the cases")
}

fn read(file: &Path) -> anyhow::Result<Cases> {
    let named = || file.display().to_string();
    let text = fs::read_to_string(file).with_context(named)?;
    let cases: Cases = toml::from_str(&text).with_context(named)?;
    if cases.cases.is_empty() {
        bail!("{}: holds no [[case]]", named());
    }
    Ok(cases)
}

/// Loads the component with all that it asks for, on an empty database and throwaway keys, and runs the cases.
fn run(component: &Path, cases: &Cases) -> anyhow::Result<(Arc<Plugin>, Vec<Ran>)> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let home = tempfile::tempdir().context("a folder for the database")?;
    let config = cases.config.clone();
    runtime.block_on(async {
        let url = format!("sqlite:{}", home.path().join("plugin.db").display());
        let database = Database::open(&url, home.path()).await?;
        let keyring = Keyring::open_or_create(&home.path().join("master.key"))?;
        let host = Host { database: database.clone(), keyring };
        let settings = RuntimeConfig { cache: home.path().join("cache"), signers: None, gives_way: false };
        let policy = move |_: &str| PluginPolicy {
            grants: postern_guest::GRANTABLE.iter().map(|name| (*name).to_owned()).collect(),
            keys: vec!["test".to_owned(), "token".to_owned()],
            config: config.clone(),
            ..PluginPolicy::default()
        };
        let plugin = Runtime::new(settings, host)?.load(component, &policy).await?;
        let ran = cases::run(&plugin, &cases.cases).await;
        database.close().await;
        Ok((plugin, ran))
    })
}

fn name(case: &Case) -> &str {
    if case.name.is_empty() { &case.call } else { &case.name }
}

fn tell(ran: &Ran) -> anyhow::Result<()> {
    let Some(wrong) = &ran.wrong else { return Ok(()) };
    print::line(&format!("      {}", printable(wrong)))?;
    match &ran.answer {
        Some(answer) => print::line(&format!("      it answered {}", printable(&answer.to_string()))),
        None => Ok(()),
    }
}

fn print_json(cases: &[Case], ran: &[Ran]) -> anyhow::Result<()> {
    let each = cases.iter().zip(ran).map(|(case, ran)| {
        json!({ "name": name(case), "answer": ran.answer, "wrong": ran.wrong, "cpu_ns": ran.cpu_ns })
    });
    print::json(&each.collect::<Vec<_>>())
}

fn conclude(ran: &[Ran], what: &str) -> anyhow::Result<()> {
    let wrong = ran.iter().filter(|ran| ran.wrong.is_some()).count();
    if wrong > 0 {
        bail!("{wrong} of {} calls are {what}", ran.len());
    }
    print::line(&format!("{} calls, none {what}", ran.len()))
}
