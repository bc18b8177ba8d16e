//! The command line: `serve`, and the verbs that ask a running server's admin API.

mod author;
mod backup;
mod cases;
mod client;
mod commands;
mod config;
mod health;
mod plugin_log;
mod plugins;
mod print;
mod reload;
mod signing;
mod target;
mod users;
mod verbs;

use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::{Parser, Subcommand};

use crate::{admin, check, config::Config, logging, serve};
use client::AdminClient;
use commands::CommandVerb;
use config::ConfigVerb;
use plugins::PluginVerb;
use target::Target;
use users::UserVerb;
use verbs::{ClientVerb, PartnerVerb, TokenVerb};

/// Enterprise push host on MQTT whose rules are WebAssembly.
#[derive(Debug, Parser)]
#[command(name = "postern", version, max_term_width = 100)]
pub struct Cli {
    #[command(flatten)]
    options: Options,
    #[command(subcommand)]
    verb: Verb,
}

/// Options that every verb takes.
#[derive(Debug, clap::Args)]
struct Options {
    /// The config file; verbs find the server by it
    #[arg(long, global = true, value_name = "FILE", env = crate::config::FILE)]
    config: Option<PathBuf>,
    /// The server's admin listener: `unix:PATH` or `host:port`
    #[arg(long, global = true, value_name = "ADDRESS")]
    admin: Option<String>,
    /// PEM file with the certificate to trust, for an admin listener on the network
    #[arg(long, global = true, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Print JSON
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Run the server until SIGTERM or SIGINT
    Serve {
        /// Say what would keep it from starting, all at once, and end; nothing listens, no data is touched
        #[arg(long)]
        check: bool,
    },
    /// Write all that a running server keeps into one file, mode 0600
    Backup {
        /// The file, which is not there yet; `-` is stdout
        file: PathBuf,
        /// Take the master key along, and the development certificate's: only by the server's own socket
        #[arg(long)]
        with_keys: bool,
    },
    /// Put a backup into the empty data folder of --config; no server runs on it
    Restore {
        /// What `postern backup` has written
        file: PathBuf,
    },
    /// The config: what holds, and all keys that there are
    #[command(subcommand)]
    Config(ConfigVerb),
    /// Plugins: which serve, and swap them while the server runs
    #[command(subcommand)]
    Plugin(PluginVerb),
    /// MQTT clients and their sessions
    #[command(subcommand)]
    Client(ClientVerb),
    /// Commands to terminals
    #[command(subcommand)]
    Command(CommandVerb),
    /// Users of the login plugin
    #[command(subcommand)]
    User(UserVerb),
    /// Partner organisations
    #[command(subcommand)]
    Partner(PartnerVerb),
    /// Login tokens
    #[command(subcommand)]
    Token(TokenVerb),
    /// How the server is
    Status,
    /// Whether the server lives: asks its health listener, for probes
    Health,
    /// Have the server read certificate and policy again; no link ends
    Reload,
}

impl Cli {
    /// Does what was asked.
    ///
    /// # Errors
    /// In one line what failed.
    pub fn run(self) -> anyhow::Result<()> {
        match self.verb {
            Verb::Serve { check: true } => return self.check(),
            Verb::Serve { check: false } => return self.serve(),
            Verb::Restore { file } => {
                return backup::restore(&file, self.options.config.as_deref(), self.options.json);
            }
            Verb::Config(verb) => return verb.apply(self.options.config.as_deref(), self.options.json),
            Verb::Plugin(verb) if verb.is_local() => return verb.apply_locally(self.options.json),
            _ => {}
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        if let Verb::Health = self.verb {
            let at = health::address(self.options.config.as_deref(), std::env::vars_os())?;
            return runtime.block_on(health::ask(&at, self.options.json));
        }
        let target = Target::find(
            self.options.admin.as_deref(),
            self.options.config.as_deref(),
            self.options.ca.as_deref(),
            std::env::vars_os(),
        )?;
        let client = AdminClient::new(target, self.options.json);
        runtime.block_on(async {
            match self.verb {
                Verb::Serve { .. } | Verb::Config(_) | Verb::Restore { .. } | Verb::Health => Ok(()),
                Verb::Backup { file, with_keys } => backup::make(&client, &file, with_keys).await,
                Verb::Plugin(verb) => verb.apply(&client).await,
                Verb::Client(verb) => verb.apply(&client).await,
                Verb::Command(verb) => verb.apply(&client).await,
                Verb::User(verb) => verb.apply(&client).await,
                Verb::Partner(verb) => verb.apply(&client).await,
                Verb::Token(verb) => verb.apply(&client).await,
                Verb::Status => verbs::status(&client).await,
                Verb::Reload => reload::reload(&client).await,
            }
        })
    }

    /// Faults go to stderr, one line each.
    fn check(&self) -> anyhow::Result<()> {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
        let runtime = runtime.context("cannot start threads")?;
        let file = self.options.config.as_deref();
        let found = runtime.block_on(check::run(file));
        if self.options.json {
            print::json(&found)?;
        } else {
            found.warnings.iter().for_each(|warning| eprintln!("postern: warning: {warning}"));
            found.faults.iter().for_each(|fault| eprintln!("postern: {fault}"));
        }
        match (found.faults.len(), file) {
            (0, _) if self.options.json => Ok(()),
            (0, Some(file)) => print::line(&format!("{}: a server can start with this", file.display())),
            (0, None) => print::line("a server can start with this"),
            (n, _) => bail!("{n} {} to mend", if n == 1 { "fault" } else { "faults" }),
        }
    }

    fn serve(&self) -> anyhow::Result<()> {
        let config = Config::load(self.options.config.as_deref())?;
        logging::start(config.log_filter.as_deref(), config.log_format)
            .map_err(|e| config.error("log.filter", format!("{e} (or variable RUST_LOG)")))?;
        // Before anything takes a counter.
        admin::metrics::start().context("metrics")?;
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
        let runtime = runtime.context("cannot start threads")?;
        let served = runtime.block_on(serve::run(config));
        // Blocking threads that hang (a disk that does not answer) must not keep the process.
        runtime.shutdown_timeout(std::time::Duration::from_secs(2));
        served
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn options_stand_before_or_after_the_verb() {
        for line in [
            "postern --admin unix:a plugin list --json",
            "postern plugin list --json --admin unix:a",
            "postern plugin --json list --admin unix:a",
        ] {
            let cli = Cli::try_parse_from(line.split(' ')).unwrap();
            assert!(cli.options.json);
            assert_eq!(cli.options.admin.as_deref(), Some("unix:a"));
        }
        let cli = Cli::try_parse_from(["postern", "serve", "--config", "p.toml"]).unwrap();
        assert!(matches!(cli.verb, Verb::Serve { check: false }));
        assert_eq!(cli.options.config.unwrap().to_str(), Some("p.toml"));
    }

    #[test]
    fn wrong_usage_exits_with_two() {
        for line in [
            "postern",
            "postern plugin",
            "postern serve --port 1",
            "postern token revoke",
            "postern token revoke --device d",
        ] {
            assert_eq!(Cli::try_parse_from(line.split(' ')).unwrap_err().exit_code(), 2, "{line}");
        }
    }
}
