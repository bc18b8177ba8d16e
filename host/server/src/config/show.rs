//! The config that holds, key by key, with where each value comes from; secrets are masked.

use serde::Serialize;
use serde_json::Value;

use super::{
    Config, HostPort, Origin,
    raw::{
        Raw, RawAdmin, RawAdvertise, RawBus, RawDrain, RawKeys, RawListen, RawLog, RawPlugins, RawStore,
        RawTls, RawWebSocket,
    },
    reference::described,
};

/// In the place of a secret.
const MASKED: &str = "***";

/// A key and what holds for it.
#[derive(Debug, Serialize)]
pub struct Effective {
    /// Dotted.
    pub key: &'static str,
    /// None: nothing, such as a listener that is off.
    pub value: Option<Value>,
    /// `default`, `file` or `environment`.
    pub origin: &'static str,
    /// The file or variable.
    pub from: Option<String>,
}

impl Config {
    /// All keys, in the order of the reference.
    pub fn effective(&self) -> Vec<Effective> {
        let values = serde_json::to_value(self.resolved()).unwrap_or_default();
        let keys = described().flat_map(|section| &section.keys);
        keys.map(|key| {
            let value =
                key.path.split('.').try_fold(&values, |at, part| at.get(part)).filter(|v| !v.is_null());
            let value = match (value, &key.secret) {
                (Some(_), Some(Value::Bool(true))) => Some(MASKED.into()),
                (Some(Value::String(url)), Some(_)) => Some(without_password(url).into()),
                (value, _) => value.cloned(),
            };
            let (origin, from) = match self.origin(&key.path) {
                Origin::Default => ("default", None),
                Origin::File(path) => ("file", Some(path.display().to_string())),
                Origin::Variable(name) => ("environment", Some(name.clone())),
            };
            Effective { key: &key.path, value, origin, from }
        })
        .collect()
    }

    /// As a file would say it.
    fn resolved(&self) -> Raw {
        let address = |address: &Option<HostPort>| address.as_ref().map(ToString::to_string);
        let Config { listen, limits, tls, .. } = self;
        Raw {
            policy: self.policy.clone(),
            roles: self.roles.names().into_iter().map(str::to_owned).collect(),
            data: Some(self.data.clone()),
            listen: RawListen {
                tcp: address(&listen.tcp),
                tls: address(&listen.tls),
                ws: address(&listen.ws),
                wss: address(&listen.wss),
                http: address(&listen.http),
                admin: Some(listen.admin.to_string()),
                health: address(&listen.health),
            },
            store: RawStore { url: Some(self.store_url.clone()) },
            bus: RawBus { url: self.bus_url.clone() },
            websocket: RawWebSocket { origins: self.origins.list() },
            plugins: RawPlugins { dir: self.plugin_dir.clone(), defaults: self.plugin_defaults.clone() },
            tls: RawTls {
                certificate: tls.as_ref().map(|files| files.certificate.clone()),
                key: tls.as_ref().map(|files| files.key.clone()),
            },
            limits: limits.clone(),
            // Only whether there is one: it is masked.
            admin: RawAdmin { token: self.admin_token.as_ref().map(|_| MASKED.to_owned()) },
            advertise: RawAdvertise { host: self.advertise_host.clone() },
            keys: RawKeys {
                master: self.master_key.as_ref().map(|_| MASKED.to_owned()),
                instruction: self.instruction_key,
            },
            drain: RawDrain { server_reference: self.server_reference.clone() },
            log: RawLog {
                filter: self.log_filter.clone(),
                format: self.log_format.map(|format| format.name().to_owned()),
            },
            telemetry: self.telemetry_keys.clone(),
        }
    }
}

/// URLs, separated by commas, without what stands before an `@` but a user's name, and without values of a query that
/// may be passwords.
fn without_password(urls: &str) -> String {
    // A password may hold commas: what begins no URL belongs to the one before.
    let mut shown: Vec<String> = Vec::new();
    for part in urls.split(',') {
        match shown.last_mut() {
            Some(last) if !part.contains("://") => {
                last.push(',');
                last.push_str(part);
            }
            _ => shown.push(part.to_owned()),
        }
    }
    shown.iter().map(|url| masked(url)).collect::<Vec<_>>().join(",")
}

fn masked(url: &str) -> String {
    // A password may hold anything, unescaped by mistake: the last `@` ends it.
    let (login, rest) =
        match url.split_once("://").and_then(|(scheme, rest)| Some((scheme, rest.rsplit_once('@')?))) {
            // Without a scheme it is no URL yet, and may hold a password all the same.
            None if !url.contains("://") && url.contains('@') => return MASKED.to_owned(),
            None => (String::new(), url),
            Some((scheme, (login, host))) => match login.split_once(':') {
                Some((user, _)) => (format!("{scheme}://{user}:{MASKED}@"), host),
                None if scheme.starts_with("postgres") => (format!("{scheme}://{login}@"), host),
                // A user without a password may be a token.
                None => (format!("{scheme}://{MASKED}@"), host),
            },
        };
    match rest.split_once('?') {
        Some((base, query)) if query.contains("password") => format!("{login}{base}?{MASKED}"),
        _ => format!("{login}{rest}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_in_urls_are_masked() {
        for (url, shown) in [
            ("sqlite:/var/lib/postern.db", "sqlite:/var/lib/postern.db"),
            ("postgres://a@h/x?sslmode=verify-full", "postgres://a@h/x?sslmode=verify-full"),
            ("postgres://a:se@c,r:et@h/x?sslmode=verify-full", "postgres://a:***@h/x?sslmode=verify-full"),
            ("postgres://a:sec?ret@h/x", "postgres://a:***@h/x"),
            ("postgres://h/x?user=a&password=secret", "postgres://h/x?***"),
            ("nats://127.0.0.1:4222,nats://127.0.0.1:4223", "nats://127.0.0.1:4222,nats://127.0.0.1:4223"),
            ("tls://secret@a:1, tls://b:secret@b:2", "tls://***@a:1, tls://b:***@b:2"),
        ] {
            assert_eq!(without_password(url), shown);
        }
    }
}
