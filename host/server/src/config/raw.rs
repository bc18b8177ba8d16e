//! The config as it stands in the file: names and types, nothing checked yet.

use std::path::PathBuf;

use serde::Deserialize;

use super::limits::Limits;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Raw {
    pub policy: Option<PathBuf>,
    pub roles: Option<Vec<String>>,
    pub data: Option<PathBuf>,
    pub listen: RawListen,
    pub store: RawUrl,
    pub bus: RawUrl,
    pub websocket: RawWebSocket,
    pub plugins: RawPlugins,
    pub tls: RawTls,
    pub limits: Limits,
    pub admin: RawAdmin,
    pub advertise: RawAdvertise,
    pub drain: RawDrain,
    pub keys: RawKeys,
    pub log: RawLog,
    pub telemetry: RawTelemetry,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawListen {
    pub tcp: Option<String>,
    pub tls: Option<String>,
    pub ws: Option<String>,
    pub wss: Option<String>,
    pub http: Option<String>,
    pub admin: Option<String>,
    pub health: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawUrl {
    pub url: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawWebSocket {
    pub origins: Option<Vec<String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawPlugins {
    pub dir: Option<PathBuf>,
    pub defaults: Option<PathBuf>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawTls {
    pub certificate: Option<PathBuf>,
    pub key: Option<PathBuf>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawAdmin {
    pub token: Option<String>,
}

impl std::fmt::Debug for RawAdmin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RawAdmin")
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawAdvertise {
    pub host: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawDrain {
    pub server_reference: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawKeys {
    pub master: Option<String>,
    pub instruction: Option<u32>,
}

impl std::fmt::Debug for RawKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RawKeys")
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawLog {
    pub filter: Option<String>,
    pub format: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawTelemetry {
    pub otlp: Option<String>,
    pub sample: Option<f64>,
    pub service: Option<String>,
}
