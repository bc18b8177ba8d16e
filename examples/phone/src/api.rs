//! The HTTP side: login, history. Blocking; the server is trusted by its certificate only.

use serde::{Deserialize, Serialize};
use ureq::tls::{Certificate, RootCerts, TlsConfig};

/// Why a request failed.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// The server refused: an RFC 9457 problem document.
    #[error("{status} {title}{}", detail.as_deref().map(|d| format!(": {d}")).unwrap_or_default())]
    Refused {
        /// HTTP status.
        status: u16,
        /// The problem's title.
        title: String,
        /// More, when the server says more.
        detail: Option<String>,
        /// Seconds, from `Retry-After`.
        retry_after: Option<u64>,
    },
    /// The certificate file holds no certificate.
    #[error("the CA file holds no PEM certificate: {0}")]
    Certificate(ureq::Error),
    /// No answer.
    #[error(transparent)]
    Transport(#[from] ureq::Error),
}

/// The answer to a login.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Login {
    /// User id.
    pub user: String,
    /// Personal information (A6).
    pub profile: Profile,
    /// The people whom this user may see: the first page (A13).
    pub directory: serde_json::Value,
    /// The server's clock, milliseconds since 1970.
    pub server_time: u64,
    /// The dynamic login token (A7).
    pub token: Token,
    /// Where the MQTT servers are.
    pub brokers: Vec<Broker>,
}

impl Login {
    /// The people of the directory's first page.
    pub fn people(&self) -> Vec<Person> {
        let list = self.directory.get("entries").unwrap_or(&self.directory);
        serde_json::from_value(list.clone()).unwrap_or_default()
    }

    /// The broker with this listener name.
    pub fn broker(&self, listener: &str) -> Option<&Broker> {
        self.brokers.iter().find(|b| b.listener == listener)
    }
}

/// Personal information.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
#[allow(missing_docs)] // the field names say it
pub struct Profile {
    pub user: String,
    pub name: String,
    pub org: String,
    pub department: String,
    pub title: String,
    pub groups: Vec<String>,
}

/// Somebody in the directory.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[allow(missing_docs)] // as in `Profile`
pub struct Person {
    pub user: String,
    pub name: String,
    pub org: String,
    /// `same`, `internal`, `upstream` or `downstream`.
    pub relation: String,
}

/// A token as its holder gets it.
#[derive(Clone, Serialize, Deserialize)]
pub struct Token {
    /// Names the token; the user name of a CONNECT.
    pub id: String,
    /// The proof key: base64url of 32 bytes. Never leaves the device.
    pub key: String,
    /// A password for standard clients, on TLS only.
    pub bearer: String,
    /// The next counter must be greater.
    pub counter: u64,
    /// Milliseconds since 1970.
    pub expires_at: u64,
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Token").field("id", &self.id).finish_non_exhaustive()
    }
}

/// One listener of an MQTT server.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Broker {
    /// `tcp`, `tls`, `ws` or `wss`.
    pub listener: String,
    /// `plain` or `tls`.
    pub transport: String,
    /// Empty: the host that answered the login.
    pub host: String,
    /// TCP port.
    pub port: u16,
}

/// A page of history, newest first.
#[derive(Clone, Debug, Deserialize)]
pub struct History {
    /// The messages.
    pub messages: Vec<Message>,
    /// Ask with this as `before` for the next page.
    #[serde(default)]
    pub next_before: Option<u64>,
}

/// A stored message.
#[derive(Clone, Debug, Deserialize)]
#[allow(missing_docs)] // the server's own names
pub struct Message {
    pub seq: u64,
    pub id: String,
    pub class: String,
    pub from: String,
    pub device: String,
    pub topic: String,
    #[serde(default)]
    pub body: Option<String>,
    #[serde(default)]
    pub body_base64: Option<String>,
    pub sent_at: u64,
}

/// The login server.
#[derive(Clone, Debug)]
pub struct Api {
    agent: ureq::Agent,
    base: String,
}

impl Api {
    /// The server at `base`, such as `https://127.0.0.1:8443`, trusted by the certificates in
    /// `ca_pem` or, without, by the public roots.
    ///
    /// # Errors
    /// When `ca_pem` holds no certificate.
    pub fn new(base: &str, ca_pem: Option<&[u8]>) -> Result<Self, ApiError> {
        let mut tls = TlsConfig::builder();
        if let Some(pem) = ca_pem {
            let certificate = Certificate::from_pem(pem).map_err(ApiError::Certificate)?;
            tls = tls.root_certs(RootCerts::new_with_certs(&[certificate]));
        }
        let config = ureq::Agent::config_builder().tls_config(tls.build()).http_status_as_error(false);
        Ok(Api { agent: config.build().into(), base: base.trim_end_matches('/').to_owned() })
    }

    /// Logs in (A5): the answer carries profile, directory, token and brokers.
    ///
    /// # Errors
    /// [`ApiError::Refused`] with 401 for wrong credentials, 429 for too many attempts.
    pub fn login(&self, user: &str, password: &str, client_id: &str) -> Result<Login, ApiError> {
        self.login_as(user, password, client_id)
    }

    /// Logs in, and takes of the answer what `T` names.
    ///
    /// # Errors
    /// As [`Api::login`].
    pub fn login_as<T: serde::de::DeserializeOwned>(
        &self,
        user: &str,
        password: &str,
        client_id: &str,
    ) -> Result<T, ApiError> {
        self.log_in(&serde_json::json!({ "user": user, "password": password, "client_id": client_id }))
    }

    /// Logs in by a request that is made already, such as the answer to a challenge.
    ///
    /// # Errors
    /// As [`Api::login`].
    pub fn log_in<T: serde::de::DeserializeOwned>(&self, request: &serde_json::Value) -> Result<T, ApiError> {
        read(self.agent.post(format!("{}/v1/login", self.base)).send_json(request)?)
    }

    /// A challenge to sign for a login by key, as the server writes it.
    ///
    /// # Errors
    /// [`ApiError::Refused`] with 421 where nobody logs in.
    pub fn challenge(&self) -> Result<String, ApiError> {
        #[derive(Deserialize)]
        struct Given {
            challenge: String,
        }
        let given: Given = read(self.agent.get(format!("{}/v1/login/challenge", self.base)).call()?)?;
        Ok(given.challenge)
    }

    /// What the path answers to the token's holder, such as `/v1/me`.
    ///
    /// # Errors
    /// [`ApiError::Refused`] with 401 for an expired or revoked token.
    pub fn get<T: serde::de::DeserializeOwned>(&self, token: &Token, path: &str) -> Result<T, ApiError> {
        let request = self.agent.get(format!("{}{path}", self.base));
        read(request.header("Authorization", bearer(token)).call()?)
    }

    /// Posts `body` to the path as the token's holder.
    ///
    /// # Errors
    /// As [`Api::get`].
    pub fn post<T: serde::de::DeserializeOwned>(
        &self,
        token: &Token,
        path: &str,
        body: &serde_json::Value,
    ) -> Result<T, ApiError> {
        let request = self.agent.post(format!("{}{path}", self.base));
        read(request.header("Authorization", bearer(token)).send_json(body)?)
    }

    /// Puts `body` to a path that answers with no content, such as `/v1/messages/read`.
    ///
    /// # Errors
    /// As [`Api::get`].
    pub fn put(&self, token: &Token, path: &str, body: &serde_json::Value) -> Result<(), ApiError> {
        let request = self.agent.put(format!("{}{path}", self.base));
        let response = request.header("Authorization", bearer(token)).send_json(body)?;
        if response.status().is_success() { Ok(()) } else { read(response) }
    }

    /// Deletes what the path names, such as `/v1/token`: the end of the token.
    ///
    /// # Errors
    /// As [`Api::get`].
    pub fn delete(&self, token: &Token, path: &str) -> Result<(), ApiError> {
        let request = self.agent.delete(format!("{}{path}", self.base));
        let response = request.header("Authorization", bearer(token)).call()?;
        if response.status().is_success() { Ok(()) } else { read(response) }
    }

    /// A page of history with one person, newest first.
    ///
    /// # Errors
    /// As [`Api::get`].
    pub fn history(&self, token: &Token, with: &str, before: Option<u64>) -> Result<History, ApiError> {
        let before = before.map(|seq| format!("&before={seq}")).unwrap_or_default();
        self.get(token, &format!("/v1/messages?with={with}{before}"))
    }

    /// The host part of the server's address; an IPv6 address without its brackets.
    pub fn host(&self) -> &str {
        let rest = self.base.split_once("://").map_or(self.base.as_str(), |(_, rest)| rest);
        let authority = rest.split('/').next().unwrap_or(rest);
        if let Some((address, _)) = authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            return address;
        }
        authority.rsplit_once(':').map_or(authority, |(host, _)| host)
    }
}

fn bearer(token: &Token) -> String {
    format!("Bearer {}:{}", token.id, token.bearer)
}

fn read<T: serde::de::DeserializeOwned>(
    mut response: ureq::http::Response<ureq::Body>,
) -> Result<T, ApiError> {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Problem {
        title: String,
        detail: Option<String>,
    }
    if response.status().is_success() {
        return Ok(response.body_mut().read_json()?);
    }
    let header = response.headers().get("retry-after").and_then(|v| v.to_str().ok());
    let retry_after = header.and_then(|v| v.parse().ok());
    let problem: Problem = response.body_mut().read_json().unwrap_or_default();
    Err(ApiError::Refused {
        status: response.status().as_u16(),
        title: problem.title,
        detail: problem.detail,
        retry_after,
    })
}
