//! `postern config`: what holds, and what there is to say.

use std::path::Path;

use clap::{Subcommand, ValueEnum};
use serde_json::Value;

use super::print;
use crate::{
    admin::counted,
    config::{Config, reference},
    policy,
};

#[derive(Clone, Debug, Subcommand)]
pub(super) enum ConfigVerb {
    /// Print each key with what holds for it and where that comes from; secrets are masked
    Show,
    /// Print the page that describes all keys
    Reference {
        #[arg(value_enum, default_value = "config")]
        of: Page,
    },
}

/// A page of docs/operate that is made of the source.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum Page {
    Config,
    Policy,
    Metrics,
}

impl ConfigVerb {
    /// Does it; no server is asked.
    pub fn apply(&self, file: Option<&Path>, json: bool) -> anyhow::Result<()> {
        match self {
            ConfigVerb::Show => show(file, json),
            ConfigVerb::Reference { of } => print::line(
                match of {
                    Page::Config => reference::markdown(),
                    Page::Policy => policy::markdown(),
                    Page::Metrics => counted::markdown(),
                }
                .trim_end(),
            ),
        }
    }
}

/// As TOML, with the origin beside each value.
fn show(file: Option<&Path>, json: bool) -> anyhow::Result<()> {
    let shown = Config::load(file)?.effective();
    if json {
        return print::json(&shown);
    }
    let mut section = "";
    for it in shown {
        let (at, key) = it.key.rsplit_once('.').unwrap_or(("", it.key));
        if at != section {
            print::line(&format!("\n[{at}]"))?;
            section = at;
        }
        let line = match &it.value {
            Some(value) => format!("{key} = {}", toml_of(value)),
            None => format!("# {key} is not set"),
        };
        let from = it.from.unwrap_or_else(|| it.origin.to_owned());
        print::line(&format!("{line:<60} # {from}"))?;
    }
    Ok(())
}

/// JSON's texts, numbers and lists of texts are TOML, too, but for the escapes of a slash and DEL, which nobody writes.
fn toml_of(value: &Value) -> String {
    value.to_string()
}
