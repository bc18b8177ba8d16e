//! The config as it stands in the file: names, types, defaults and meanings, nothing checked yet. docs/operate/config.md
//! and the names of environment variables are made of this: `x-default` is told where a default depends on something
//! else, `x-secret` is what nobody may see (`url`: the password in it).

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::limits::Limits;

/// Everything that says how a server runs, but for the rules of the policy file.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Raw {
    /// The policy file: which plugin serves which role, what each may use, and what no plugin can decide away.
    pub policy: PathBuf,
    /// The work of this node: `login` takes logins over HTTPS, `broker` takes MQTT clients. One process does both;
    /// apart they need `bus.url` and a `store.url` that they share.
    pub roles: Vec<String>,
    /// Folder of what the server keeps: SQLite databases, master key, node name, activations, kept components,
    /// plugin cache, development certificate, audit log. Made, mode 0700, when missing.
    #[schemars(extend("x-default" = "the config file's folder"))]
    pub data: Option<PathBuf>,
    /// Where the server listens. A listener that is not named is off; port 0 picks a free one.
    pub listen: RawListen,
    /// The database.
    pub store: RawStore,
    /// What carries messages between the processes of one service.
    pub bus: RawBus,
    /// MQTT over WebSocket.
    pub websocket: RawWebSocket,
    /// Plugins.
    pub plugins: RawPlugins,
    /// The certificate of the listeners `tls`, `wss`, `http`, and of `admin` on the network.
    pub tls: RawTls,
    /// Bounds of the host. Plugins may ask for less, never for more.
    pub limits: Limits,
    /// The admin API on the network.
    pub admin: RawAdmin,
    /// What clients are told about this server.
    pub advertise: RawAdvertise,
    /// What clients are told when the server stops.
    pub drain: RawDrain,
    /// Keys.
    pub keys: RawKeys,
    /// Logs, which go to stderr.
    pub log: RawLog,
    /// Traces, by OTLP over HTTP.
    pub telemetry: RawTelemetry,
}

impl Default for Raw {
    fn default() -> Self {
        Raw {
            policy: "policies/default.toml".into(),
            roles: vec!["login".to_owned(), "broker".to_owned()],
            data: None,
            listen: RawListen::default(),
            store: RawStore::default(),
            bus: RawBus::default(),
            websocket: RawWebSocket::default(),
            plugins: RawPlugins::default(),
            tls: RawTls::default(),
            limits: Limits::default(),
            admin: RawAdmin::default(),
            advertise: RawAdvertise::default(),
            drain: RawDrain::default(),
            keys: RawKeys::default(),
            log: RawLog::default(),
            telemetry: RawTelemetry::default(),
        }
    }
}

#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawListen {
    /// MQTT in plain: sign-in by proof or challenge, and the few rights of plain links. `host:port`, IPv6 in brackets.
    #[schemars(extend("x-default" = "off"))]
    pub tcp: Option<String>,
    /// MQTT over TLS.
    #[schemars(extend("x-default" = "off"))]
    pub tls: Option<String>,
    /// MQTT over WebSocket, in plain.
    #[schemars(extend("x-default" = "off"))]
    pub ws: Option<String>,
    /// MQTT over WebSocket over TLS.
    #[schemars(extend("x-default" = "off"))]
    pub wss: Option<String>,
    /// HTTPS: login and the application API.
    #[schemars(extend("x-default" = "off"))]
    pub http: Option<String>,
    /// The admin API, which the verbs of `postern` speak to: `unix:PATH`, a socket of mode 0600, or `host:port`, then
    /// over TLS with `admin.token`.
    #[schemars(extend("x-default" = "`unix:` and admin.sock in the data folder"))]
    pub admin: Option<String>,
    /// Plain HTTP with `/healthz`, `/readyz` and `/metrics` only.
    #[schemars(extend("x-default" = "off"))]
    pub health: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawStore {
    /// `sqlite:PATH`, or `postgres://USER:PASSWORD@HOST/DATABASE`; off loopback with a password and
    /// `?sslmode=verify-full`.
    #[schemars(extend("x-default" = "`sqlite:` and postern.db in the data folder", "x-secret" = "url"))]
    pub url: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawBus {
    /// `nats://HOST:PORT` on loopback, elsewhere `tls://USER:PASSWORD@HOST:PORT`; several separated by commas.
    #[schemars(extend("x-default" = "within the process", "x-secret" = "url"))]
    pub url: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawWebSocket {
    /// Pages that may open WebSockets beside those of the server's own host, such as `https://app.example.com`; `*` is
    /// any page.
    pub origins: Vec<String>,
}

#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawPlugins {
    /// Folder where NAME.wasm are. It is watched: what appears in it is tried and listed as a candidate.
    pub dir: PathBuf,
    /// Folder of the plugins that came with the program: taken for a name that `dir` has not. It is watched, too: what
    /// changes there while the server runs is a candidate, and what serves goes on to serve until that is activated.
    #[schemars(extend("x-default" = "none"))]
    pub defaults: Option<PathBuf>,
}

impl Default for RawPlugins {
    fn default() -> Self {
        RawPlugins { dir: "target/plugins".into(), defaults: None }
    }
}

#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawTls {
    /// PEM file with the chain, the server's own certificate first.
    #[schemars(extend("x-default" = "a development certificate, made in the data folder"))]
    pub certificate: Option<PathBuf>,
    /// PEM file with its private key.
    #[schemars(extend("x-default" = "that of the development certificate"))]
    pub key: Option<PathBuf>,
}

#[derive(Clone, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawAdmin {
    /// What an admin verb must bring when `listen.admin` is on the network; at least 22 characters.
    #[schemars(extend("x-default" = "none", "x-secret" = true))]
    pub token: Option<String>,
}

impl std::fmt::Debug for RawAdmin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RawAdmin")
    }
}

#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawAdvertise {
    /// Host name or address, without port, that login answers name for the MQTT listeners. A development certificate
    /// that is made later is for it, too; to have one made anew remove `development-*.pem` in the data folder and start.
    #[schemars(extend("x-default" = "the one that the client spoke to"))]
    pub host: String,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawDrain {
    /// Where MQTT 5 clients are sent when the server stops (0x9C): servers with one space between two, each a name or an
    /// address and perhaps `:PORT`.
    #[schemars(extend("x-default" = "none: they are told that it is shutting down (0x8B)"))]
    pub server_reference: Option<String>,
}

#[derive(Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawKeys {
    /// The master key, from which all others are derived: 32 bytes, as 64 hexadecimal digits. Best given by
    /// environment.
    #[schemars(extend("x-default" = "master.key in the data folder, made when missing", "x-secret" = true))]
    pub master: Option<String>,
    /// Number of the key that signs instructions to terminals; raised by one, another key signs.
    pub instruction: u32,
}

impl Default for RawKeys {
    fn default() -> Self {
        RawKeys { master: None, instruction: 1 }
    }
}

impl std::fmt::Debug for RawKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RawKeys")
    }
}

#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawLog {
    /// Which lines are written: a level, or levels by module, such as `info,postern::mqtt=debug`.
    #[schemars(extend("x-default" = "the variable `RUST_LOG`, else `info`"))]
    pub filter: Option<String>,
    /// `text`, for people, or `json`, one object a line.
    #[schemars(extend("x-default" = "`text` on a terminal, `json` otherwise"))]
    pub format: Option<String>,
}

#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawTelemetry {
    /// Where traces go: `http://HOST:4318` or `https://…`, without user and query.
    #[schemars(extend("x-default" = "none: nothing is traced"))]
    pub otlp: Option<String>,
    /// The share of requests and messages that is traced, from 0 to 1, beside those that their sender wants traced.
    pub sample: f64,
    /// What the collector knows this server by (`service.name`).
    pub service: String,
}

impl Default for RawTelemetry {
    fn default() -> Self {
        RawTelemetry { otlp: None, sample: 0.01, service: "postern".to_owned() }
    }
}
