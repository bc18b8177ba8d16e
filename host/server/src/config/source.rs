//! The raw values, and the typed ones made of them: each fault is told, and does not hide the next.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use figment::{
    Figment,
    error::Kind,
    value::{Dict, Value},
};
use postern_guest::Keyring;
use zeroize::Zeroizing;

use super::{
    AdminAddress, Config, ConfigError, HostPort, Listen, NodeRoles, Origin, Origins, SecretText, TlsFiles,
    env, raw::Raw,
};

/// Bytes of a server reference: what is longer is dropped for clients that take small packets.
const MAX_REFERENCE: usize = 1_024;

/// Characters of the shortest admin token that is accepted: 128 bits in base64 are 22.
const MIN_TOKEN: usize = 22;

/// The values and where each came from.
pub(super) struct Source<'a> {
    pub file: Option<&'a Path>,
    pub figment: Figment,
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
    pub(super) fn wrong(&self, key: &str, what: impl std::fmt::Display) -> ConfigError {
        ConfigError::new(self.origin(self.figment.find_metadata(key), key), key, what)
    }

    /// The keys that are set, and by what.
    fn set(&self) -> BTreeMap<String, Origin> {
        let values = self.figment.extract::<Dict>().unwrap_or_default();
        let of = |(key, _): (String, Value)| {
            let origin = self.origin(self.figment.find_metadata(&key), &key);
            (key, origin)
        };
        leaves(&values).into_iter().map(of).collect()
    }

    /// The values that are of the types of their keys, and what is wrong with the others.
    pub(super) fn raw(&self) -> (Raw, Vec<ConfigError>) {
        let first = match self.figment.extract::<Raw>() {
            Ok(raw) => return (raw, Vec::new()),
            Err(first) => first,
        };
        // serde stops at the first: so each key is tried by itself.
        let mut faults = Vec::new();
        let mut sound = Dict::new();
        for (key, value) in leaves(&self.figment.extract::<Dict>().unwrap_or_default()) {
            let mut alone = Dict::new();
            put(&mut alone, &key, value.clone());
            match Value::from(alone).deserialize::<Raw>() {
                Ok(_) => put(&mut sound, &key, value),
                Err(error) => {
                    faults.extend(error.into_iter().next().map(|e| self.wrong(&key, said(&e.kind))))
                }
            }
        }
        match Value::from(sound).deserialize() {
            Ok(raw) if !faults.is_empty() => (raw, faults),
            _ => {
                faults.push(self.wrong("", first));
                (Raw::default(), faults)
            }
        }
    }

    fn address(&self, key: &str, text: Option<String>) -> Result<Option<HostPort>, ConfigError> {
        text.map(|text| text.parse().map_err(|e| self.wrong(key, format!("{text:?}: {e}")))).transpose()
    }

    /// The config, with a default in the place of what is wrong.
    pub(super) fn typed(&self, raw: Raw, faults: &mut Vec<ConfigError>) -> Config {
        let data = or(faults, self.data(raw.data), ".".into());
        let own = AdminAddress::Unix(data.join("admin.sock"));
        let admin = match raw.listen.admin.as_deref().map(str::parse) {
            None => own,
            Some(Ok(address)) => address,
            Some(Err(e)) => {
                let text = raw.listen.admin.unwrap_or_default();
                or(faults, Err(self.wrong("listen.admin", format!("{text:?}: {e}"))), own)
            }
        };
        let listen = Listen {
            tcp: or(faults, self.address("listen.tcp", raw.listen.tcp), None),
            tls: or(faults, self.address("listen.tls", raw.listen.tls), None),
            ws: or(faults, self.address("listen.ws", raw.listen.ws), None),
            wss: or(faults, self.address("listen.wss", raw.listen.wss), None),
            http: or(faults, self.address("listen.http", raw.listen.http), None),
            health: or(faults, self.address("listen.health", raw.listen.health), None),
            admin,
        };
        let admin_token = raw.admin.token.map(SecretText::new);
        match (&listen.admin, &admin_token) {
            (AdminAddress::Network(_), None) => {
                faults.push(self.wrong("listen.admin", "a network admin listener needs the key admin.token"));
            }
            (_, Some(token)) if token.reveal().len() < MIN_TOKEN => {
                faults.push(self.wrong("admin.token", format!("at least {MIN_TOKEN} characters")));
            }
            _ => {}
        }
        for (key, least) in raw.limits.too_small() {
            faults.push(self.wrong(&format!("limits.{key}"), format!("at least {least}")));
        }
        let origins = Origins::parse(raw.websocket.origins);
        let origins = origins.map_err(|wrong| self.wrong("websocket.origins", wrong));
        let bus_url = raw.bus.url.map(|url| self.filled("bus.url", url)).transpose();
        Config {
            file: self.file.map(Path::to_owned),
            origins: or(faults, origins, Origins::default()),
            store_url: or(faults, self.store_url(raw.store.url, &data), String::new()),
            bus_url: or(faults, bus_url, None),
            plugin_dir: raw.plugins.dir,
            plugin_defaults: raw.plugins.defaults,
            policy: raw.policy,
            roles: or(faults, self.roles(raw.roles), NodeRoles { login: true, broker: true }),
            tls: or(faults, self.tls(raw.tls.certificate, raw.tls.key), None),
            limits: raw.limits,
            admin_token,
            advertise_host: or(faults, self.host(raw.advertise.host), String::new()),
            master_key: or(faults, self.master_key(raw.keys.master), None),
            instruction_key: raw.keys.instruction,
            log_filter: raw.log.filter,
            set: self.set(),
            server_reference: or(faults, self.server_reference(raw.drain.server_reference), None),
            log_format: or(faults, self.log_format(raw.log.format), None),
            telemetry_keys: raw.telemetry.clone(),
            telemetry: or(faults, self.telemetry(raw.telemetry), None),
            listen,
            data,
        }
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

    pub(super) fn filled(&self, key: &str, text: String) -> Result<String, ConfigError> {
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

    fn roles(&self, names: Vec<String>) -> Result<NodeRoles, ConfigError> {
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

    fn host(&self, host: String) -> Result<String, ConfigError> {
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

/// A value, or its stand-in and a fault more.
fn or<T>(faults: &mut Vec<ConfigError>, value: Result<T, ConfigError>, instead: T) -> T {
    value.unwrap_or_else(|fault| {
        faults.push(fault);
        instead
    })
}

/// What is wrong, without the value itself: it may be a secret.
fn said(kind: &Kind) -> String {
    match kind {
        Kind::UnknownField(..) => "unknown key".to_owned(),
        Kind::InvalidType(_, expected) => format!("wrong type, expected {expected}"),
        Kind::InvalidValue(_, expected) => format!("wrong value, expected {expected}"),
        other => other.to_string(),
    }
}

/// The keys, dotted, with their values; an empty section counts as one.
fn leaves(values: &Dict) -> Vec<(String, Value)> {
    let mut found = Vec::new();
    for (name, value) in values {
        match value.as_dict() {
            Some(section) if !section.is_empty() => {
                found
                    .extend(leaves(section).into_iter().map(|(key, value)| (format!("{name}.{key}"), value)));
            }
            _ => found.push((name.clone(), value.clone())),
        }
    }
    found
}

/// Puts a value under a dotted key.
fn put(values: &mut Dict, key: &str, value: Value) {
    match key.split_once('.') {
        None => drop(values.insert(key.to_owned(), value)),
        Some((section, inner)) => {
            let section = values.entry(section.to_owned()).or_insert_with(|| Dict::new().into());
            if let Value::Dict(_, section) = section {
                put(section, inner, value);
            }
        }
    }
}
