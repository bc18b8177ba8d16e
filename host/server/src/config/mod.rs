//! The config: file and environment → raw → typed. Parsed, not validated: what is here is usable.

mod address;
mod env;
mod error;
mod limits;
mod observing;
mod origins;
mod raw;
#[cfg(test)]
mod tests;

use std::{
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

use raw::Raw;

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
        Config::from_parts(file, std::env::vars_os())
    }

    /// Reads a file and the given environment.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn from_parts(
        file: Option<&Path>,
        vars: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<Self, ConfigError> {
        let environment = Environment::read(vars)?;
        let mut figment = Figment::new();
        if let Some(path) = file {
            let text = fs::read_to_string(path).map_err(|e| ConfigError::file(path, e))?;
            // A syntax error is told with its line; what figment makes of it spans several.
            toml::from_str::<toml::Table>(&text).map_err(|e| ConfigError::file(path, syntax(&text, &e)))?;
            figment = figment.merge(Toml::string(&text));
        }
        let source = Source { file, figment: figment.merge(&environment) };
        let raw: Raw = source.figment.extract().map_err(|e| source.explain(e))?;
        source.typed(raw)
    }

    /// An error of a key of this config, for those who find out only later (port in use, …).
    pub fn error(&self, key: &str, what: impl std::fmt::Display) -> ConfigError {
        let set = std::env::var_os(env::variable(key)).is_some();
        let origin = match (&self.file, set) {
            (_, true) => Origin::Variable(env::variable(key)),
            (Some(file), false) => Origin::File(file.clone()),
            (None, false) => Origin::Default,
        };
        ConfigError::new(origin, key, what)
    }
}

/// `line N: what is wrong`.
pub(crate) fn syntax(text: &str, error: &toml::de::Error) -> String {
    let line = error.span().and_then(|s| text.get(..s.start)).map(|before| before.matches('\n').count() + 1);
    match line {
        Some(line) => format!("line {line}: {}", error.message()),
        None => error.message().to_owned(),
    }
}

/// The values and where each came from.
struct Source<'a> {
    file: Option<&'a Path>,
    figment: Figment,
}

impl Source<'_> {
    fn origin(&self, metadata: Option<&figment::Metadata>, key: &str) -> Origin {
        match (metadata, self.file) {
            (Some(m), _) if m.name == env::PROVIDER => Origin::Variable(env::variable(key)),
            (_, Some(file)) => Origin::File(file.to_owned()),
            _ => Origin::Default,
        }
    }

    /// An error of a key.
    fn wrong(&self, key: &str, what: impl std::fmt::Display) -> ConfigError {
        ConfigError::new(self.origin(self.figment.find_metadata(key), key), key, what)
    }

    fn explain(&self, error: figment::Error) -> ConfigError {
        let Some(first) = error.into_iter().next() else {
            return ConfigError::new(self.origin(None, ""), "", "unreadable");
        };
        let mut path = first.path.clone();
        let what = match &first.kind {
            figment::error::Kind::UnknownField(name, _) => {
                if path.last() != Some(name) {
                    path.push(name.clone());
                }
                "unknown key".to_owned()
            }
            // The value itself is left out: it may be a secret.
            figment::error::Kind::InvalidType(_, expected) => format!("wrong type, expected {expected}"),
            figment::error::Kind::InvalidValue(_, expected) => format!("wrong value, expected {expected}"),
            other => other.to_string(),
        };
        let key = path.join(".");
        ConfigError::new(self.origin(first.metadata.as_ref(), &key), key, what)
    }

    fn address(&self, key: &str, text: Option<String>) -> Result<Option<HostPort>, ConfigError> {
        text.map(|text| text.parse().map_err(|e| self.wrong(key, format!("{text:?}: {e}")))).transpose()
    }

    fn typed(&self, raw: Raw) -> Result<Config, ConfigError> {
        let data = self.data(raw.data)?;
        let admin = match raw.listen.admin {
            None => AdminAddress::Unix(data.join("admin.sock")),
            Some(text) => text.parse().map_err(|e| self.wrong("listen.admin", format!("{text:?}: {e}")))?,
        };
        let listen = Listen {
            tcp: self.address("listen.tcp", raw.listen.tcp)?,
            tls: self.address("listen.tls", raw.listen.tls)?,
            ws: self.address("listen.ws", raw.listen.ws)?,
            wss: self.address("listen.wss", raw.listen.wss)?,
            http: self.address("listen.http", raw.listen.http)?,
            health: self.address("listen.health", raw.listen.health)?,
            admin,
        };
        let admin_token = raw.admin.token.map(SecretText::new);
        match (&listen.admin, &admin_token) {
            (AdminAddress::Network(_), None) => {
                return Err(self.wrong("listen.admin", "a network admin listener needs the key admin.token"));
            }
            (_, Some(token)) if token.reveal().len() < MIN_TOKEN => {
                return Err(self.wrong("admin.token", format!("at least {MIN_TOKEN} characters")));
            }
            _ => {}
        }
        if let Some((key, least)) = raw.limits.too_small() {
            return Err(self.wrong(&format!("limits.{key}"), format!("at least {least}")));
        }
        Ok(Config {
            file: self.file.map(Path::to_owned),
            origins: Origins::parse(raw.websocket.origins.unwrap_or_default())
                .map_err(|wrong| self.wrong("websocket.origins", wrong))?,
            store_url: self.store_url(raw.store.url, &data)?,
            bus_url: raw.bus.url.map(|url| self.filled("bus.url", url)).transpose()?,
            plugin_dir: raw.plugins.dir.unwrap_or_else(|| "target/plugins".into()),
            plugin_defaults: raw.plugins.defaults,
            policy: raw.policy.unwrap_or_else(|| "policies/default.toml".into()),
            roles: self.roles(raw.roles)?,
            tls: self.tls(raw.tls.certificate, raw.tls.key)?,
            limits: raw.limits,
            admin_token,
            advertise_host: self.host(raw.advertise.host)?,
            server_reference: self.server_reference(raw.drain.server_reference)?,
            master_key: self.master_key(raw.keys.master)?,
            instruction_key: raw.keys.instruction.unwrap_or(1),
            log_filter: raw.log.filter,
            log_format: self.log_format(raw.log.format)?,
            telemetry: self.telemetry(raw.telemetry)?,
            listen,
            data,
        })
    }

    fn data(&self, data: Option<PathBuf>) -> Result<PathBuf, ConfigError> {
        match (data, self.file.and_then(Path::parent)) {
            (Some(data), _) if data.as_os_str().is_empty() => Err(self.wrong("data", "empty")),
            (Some(data), _) => Ok(data),
            (None, Some(folder)) if folder.as_os_str().is_empty() => Ok(".".into()),
            (None, Some(folder)) => Ok(folder.to_owned()),
            (None, None) => {
                Err(self.wrong("data", "not set, and there is no config file whose folder it could be"))
            }
        }
    }

    fn filled(&self, key: &str, text: String) -> Result<String, ConfigError> {
        if text.is_empty() { Err(self.wrong(key, "empty")) } else { Ok(text) }
    }

    fn store_url(&self, url: Option<String>, data: &Path) -> Result<String, ConfigError> {
        let Some(url) = url else { return Ok(format!("sqlite:{}", data.join("postern.db").display())) };
        let known = ["sqlite:", "postgres://", "postgresql://"].iter().any(|scheme| url.starts_with(scheme));
        // The URL may hold a password: it is not repeated.
        if known {
            Ok(url)
        } else {
            Err(self.wrong("store.url", "expected `sqlite:PATH` or `postgres://…`"))
        }
    }

    fn roles(&self, names: Option<Vec<String>>) -> Result<NodeRoles, ConfigError> {
        let Some(names) = names else { return Ok(NodeRoles { login: true, broker: true }) };
        let mut roles = NodeRoles { login: false, broker: false };
        for name in names {
            match name.as_str() {
                "login" => roles.login = true,
                "broker" => roles.broker = true,
                _ => return Err(self.wrong("roles", format!("{name:?} is neither `login` nor `broker`"))),
            }
        }
        if roles.login || roles.broker { Ok(roles) } else { Err(self.wrong("roles", "none named")) }
    }

    fn tls(
        &self,
        certificate: Option<PathBuf>,
        key: Option<PathBuf>,
    ) -> Result<Option<TlsFiles>, ConfigError> {
        match (certificate, key) {
            (Some(certificate), Some(key)) => Ok(Some(TlsFiles { certificate, key })),
            (None, None) => Ok(None),
            (Some(_), None) => Err(self.wrong("tls.certificate", "needs the key tls.key beside it")),
            (None, Some(_)) => Err(self.wrong("tls.key", "needs the key tls.certificate beside it")),
        }
    }

    fn host(&self, host: Option<String>) -> Result<String, ConfigError> {
        let host = host.unwrap_or_default();
        if host.contains(|c: char| c.is_whitespace() || c == '/') {
            return Err(self.wrong("advertise.host", "expected a host name or an IP address, without port"));
        }
        Ok(host)
    }

    /// MQTT 5, section 4.11.
    fn server_reference(&self, text: Option<String>) -> Result<Option<String>, ConfigError> {
        let Some(text) = text else { return Ok(None) };
        let is_server = |server: &str| {
            server.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._:[]".contains(&b)) && !server.is_empty()
        };
        if text.split(' ').all(is_server) && text.len() <= MAX_REFERENCE {
            return Ok(Some(text));
        }
        let expected =
            "expected names or addresses of servers, each perhaps with `:PORT`, with one space between two";
        Err(self.wrong("drain.server_reference", expected))
    }

    fn master_key(&self, text: Option<String>) -> Result<Option<Keyring>, ConfigError> {
        let Some(text) = text.map(Zeroizing::new) else { return Ok(None) };
        let keyring = Keyring::from_material(&text, "");
        keyring
            .map(Some)
            .map_err(|_| self.wrong("keys.master", "expected 32 bytes, as 64 hexadecimal digits"))
    }
}

/// Bytes of a server reference: what is longer is dropped for clients that take small packets.
const MAX_REFERENCE: usize = 1_024;

/// Characters of the shortest admin token that is accepted: 128 bits in base64 are 22.
const MIN_TOKEN: usize = 22;
