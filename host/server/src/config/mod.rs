//! The config: file and environment → raw → typed. Parsed, not validated: what is here is usable.

mod address;
mod env;
mod error;
mod limits;
mod observing;
mod origins;
mod raw;
pub mod reference;
mod show;
mod source;
#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
};

use figment::{
    Figment,
    providers::{Format, Toml},
};
use postern_guest::Keyring;
use zeroize::Zeroizing;

pub use address::{AdminAddress, HostPort};
pub use env::{Environment, FILE};
pub use error::{ConfigError, Origin};
pub use limits::Limits;
pub use observing::LogFormat;
pub use origins::Origins;

use source::Source;

/// A secret text: wiped when dropped, never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretText(Zeroizing<String>);

impl SecretText {
    /// Takes the text over.
    pub fn new(text: String) -> Self {
        SecretText(Zeroizing::new(text))
    }

    /// The text.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for SecretText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

/// Which work a node does (A2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodeRoles {
    /// Member of the static group: takes logins.
    pub login: bool,
    /// Member of the dynamic group: takes MQTT clients.
    pub broker: bool,
}

impl NodeRoles {
    /// By name, as in the config.
    pub fn names(self) -> Vec<&'static str> {
        [(self.login, "login"), (self.broker, "broker")].into_iter().filter(|r| r.0).map(|r| r.1).collect()
    }
}

/// The listeners; one that is not named is off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listen {
    /// MQTT.
    pub tcp: Option<HostPort>,
    /// MQTT over TLS.
    pub tls: Option<HostPort>,
    /// MQTT over WebSocket.
    pub ws: Option<HostPort>,
    /// MQTT over WebSocket over TLS.
    pub wss: Option<HostPort>,
    /// Login and application API, TLS.
    pub http: Option<HostPort>,
    /// Admin API; never off, for without it nobody could stop a plugin.
    pub admin: AdminAddress,
    /// Plain HTTP with `/healthz`, `/readyz` and `/metrics` only.
    pub health: Option<HostPort>,
}

impl Listen {
    /// Whether any client can come: by MQTT, or by the HTTP API.
    pub fn serves_anybody(&self) -> bool {
        [&self.tcp, &self.tls, &self.ws, &self.wss, &self.http].into_iter().any(Option::is_some)
    }
}

/// A certificate and its key, PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The chain, the server's own certificate first.
    pub certificate: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

/// The whole config. Relative paths start at the working directory.
#[derive(Clone)]
pub struct Config {
    /// The file it was read from.
    pub file: Option<PathBuf>,
    /// Listeners.
    pub listen: Listen,
    /// Pages that may open WebSockets, beside those of the server's own host. Default none.
    pub origins: Origins,
    /// `sqlite:PATH` or `postgres://…`. Default `sqlite:DATA/postern.db`.
    pub store_url: String,
    /// `nats://…`; None is in-process.
    pub bus_url: Option<String>,
    /// Where `NAME.wasm` are. Default `target/plugins`.
    pub plugin_dir: PathBuf,
    /// Where those are that came with the program: taken for a name that `plugin_dir` has not. Default none.
    pub plugin_defaults: Option<PathBuf>,
    /// The policy file. Default `policies/default.toml`.
    pub policy: PathBuf,
    /// Default both.
    pub roles: NodeRoles,
    /// Master key, development certificate, plugin cache, activations, audit log. Default: the
    /// config file's folder.
    pub data: PathBuf,
    /// None: a development certificate in `data`, made when missing.
    pub tls: Option<TlsFiles>,
    /// Bounds.
    pub limits: Limits,
    /// What a network admin listener asks for.
    pub admin_token: Option<SecretText>,
    /// The host that login answers name for our MQTT listeners; empty: the one the client spoke to.
    pub advertise_host: String,
    /// Where MQTT 5 clients are sent when the server stops (0x9C): servers separated by spaces, each a name or
    /// an address and perhaps `:PORT`. None: they are told that it is shutting down (0x8B).
    pub server_reference: Option<String>,
    /// 32 bytes, from which all keys are derived; None: `DATA/master.key`, made when missing.
    pub master_key: Option<Keyring>,
    /// Number of the key that signs instructions to reconnect; raised by one, it is another. Default 1.
    pub instruction_key: u32,
    /// Which log lines are written, in the syntax of tracing's `EnvFilter`. Default `info`.
    pub log_filter: Option<String>,
    /// `text` or `json`. Default: text on a terminal, JSON otherwise.
    pub log_format: Option<LogFormat>,
    /// Where traces go, by OTLP over HTTP (`http://HOST:4318`); the share of requests and messages that is
    /// traced, from 0 to 1, default 0.01; and `service.name`, default `postern`. Default: no traces.
    pub telemetry: Option<postern_trace::Settings>,
    /// The keys of that section, to show them.
    telemetry_keys: raw::RawTelemetry,
    /// Where the keys that somebody has set come from.
    set: BTreeMap<String, Origin>,
}

impl std::fmt::Debug for Config {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The rest holds a key, a token and URLs with passwords.
        f.debug_struct("Config").field("file", &self.file).field("data", &self.data).finish_non_exhaustive()
    }
}

impl Config {
    /// Reads a file and this process's environment.
    ///
    /// # Errors
    /// One line that names the file or variable, and the key.
    pub fn load(file: Option<&Path>) -> Result<Self, ConfigError> {
        let vars = std::env::vars_os();
        #[cfg(feature = "bench-bypass")]
        let vars = vars.filter(|(name, _)| name != crate::bypass::VARIABLE);
        Config::from_parts(file, vars)
    }

    /// Reads a file and the given environment.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn from_parts(
        file: Option<&Path>,
        vars: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<Self, ConfigError> {
        let (config, faults) = Config::examine(file, vars);
        match (config, faults.into_iter().next()) {
            (_, Some(fault)) => Err(fault),
            (Some(config), None) => Ok(config),
            (None, None) => Err(ConfigError::new(Origin::Default, "", "unreadable")),
        }
    }

    /// Reads a file and the given environment, and tells all that is wrong with them. What is wrong has its
    /// default in the config, so that the rest can be looked at; there is none when the file cannot be read.
    pub fn examine(
        file: Option<&Path>,
        vars: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> (Option<Self>, Vec<ConfigError>) {
        let (environment, mut faults) = Environment::examine(vars);
        let mut figment = Figment::new();
        if let Some(path) = file {
            match read(path) {
                Ok(text) => figment = figment.merge(Toml::string(&text)),
                Err(fault) => {
                    faults.push(fault);
                    return (None, faults);
                }
            }
        }
        let source = Source { file, figment: figment.merge(&environment) };
        let (raw, wrong) = source.raw();
        faults.extend(wrong);
        let config = source.typed(raw, &mut faults);
        (Some(config), faults)
    }

    /// Where the value of a key comes from.
    pub fn origin(&self, key: &str) -> &Origin {
        self.set.get(key).unwrap_or(&Origin::Default)
    }

    /// An error of a key of this config, for those who find out only later (port in use, …).
    pub fn error(&self, key: &str, what: impl std::fmt::Display) -> ConfigError {
        let origin = match (self.origin(key), &self.file) {
            // The file is where it would be set.
            (Origin::Default, Some(file)) => Origin::File(file.clone()),
            (origin, _) => origin.clone(),
        };
        ConfigError::new(origin, key, what)
    }
}

/// The text of a file that is TOML.
fn read(path: &Path) -> Result<String, ConfigError> {
    let text = fs::read_to_string(path).map_err(|e| ConfigError::file(path, e))?;
    // A syntax error is told with its line; what figment makes of it spans several.
    toml::from_str::<toml::Table>(&text).map_err(|e| ConfigError::file(path, syntax(&text, &e)))?;
    Ok(text)
}

/// `line N: what is wrong`.
pub(crate) fn syntax(text: &str, error: &toml::de::Error) -> String {
    let line = error.span().and_then(|s| text.get(..s.start)).map(|before| before.matches('\n').count() + 1);
    match line {
        Some(line) => format!("line {line}: {}", error.message()),
        None => error.message().to_owned(),
    }
}
