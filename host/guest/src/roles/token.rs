//! The role *token*: what a token is, and what its holder may do (`postern:token`; A7, A8, A9).

mod grant;

pub use grant::{Grant, Limits, Patterns, Rights};
use postern_store::Access;
use serde::{Deserialize, Serialize};
use wasmtime::Store;
use wasmtime::component::{ComponentType, Instance, Lift, Lower, Resource, TypedFunc};

use super::types::{Link, Partner, Profile};
use crate::call::{CallError, Down, Refusal};
use crate::canary::Who;
use crate::invoke::Call;
use crate::keyring::Key;
use crate::policy::Role;
use crate::pool::{Asked, Face, interface_func};
use crate::serving::Slot;
use crate::state::State;

/// Whom a token is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ComponentType, Lower)]
#[component(record)]
pub struct Holder {
    /// The user.
    pub profile: Profile,
    /// The partners of the user's organisation.
    pub partners: Vec<Partner>,
    /// The one client id that the token is good for.
    #[component(name = "client-id")]
    pub client_id: String,
}

/// A token as its holder gets it, once, over TLS.
#[derive(Clone)]
pub struct Issued {
    /// Public: names the token. 1 to 64 of `A-Z a-z 0-9 . _ -`.
    pub token_id: String,
    /// The proof key, for the client and nobody else.
    pub key: Key,
    /// A password for standard clients, on TLS only.
    pub bearer: String,
    /// The client's next counter must be greater.
    pub counter: u64,
    /// In ms since the Unix epoch.
    pub expires_at: u64,
}

impl std::fmt::Debug for Issued {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = f.debug_struct("Issued");
        shown.field("token_id", &self.token_id).field("expires_at", &self.expires_at).finish_non_exhaustive()
    }
}

#[derive(ComponentType, Lift)]
#[component(record)]
pub(crate) struct RawIssued {
    #[component(name = "token-id")]
    token_id: String,
    key: Resource<Key>,
    bearer: String,
    counter: u64,
    #[component(name = "expires-at")]
    expires_at: u64,
}

/// What a CONNECT, an AUTH or an HTTP request brings.
#[derive(Clone, ComponentType, Lower)]
#[component(variant)]
pub enum Credential {
    /// Neither user name nor password.
    #[component(name = "anonymous")]
    Anonymous,
    /// User name and password of a CONNECT.
    #[component(name = "password")]
    Password(NameAndPassword),
    /// MQTT 5 enhanced authentication: the method and first data of a CONNECT, or of an AUTH that
    /// begins a re-authentication.
    #[component(name = "auth-start")]
    AuthStart(AuthData),
    /// The client's answer to our challenge.
    #[component(name = "auth-answer")]
    AuthAnswer(AuthAnswer),
    /// `Authorization: Bearer` of an HTTP request over TLS: `token id ":" bearer`.
    #[component(name = "bearer")]
    Bearer(String),
}

impl std::fmt::Debug for Credential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Credential::Anonymous => "Anonymous",
            Credential::Password(_) => "Password(..)",
            Credential::AuthStart(_) => "AuthStart(..)",
            Credential::AuthAnswer(_) => "AuthAnswer(..)",
            Credential::Bearer(_) => "Bearer(..)",
        })
    }
}

/// User name and password of a CONNECT.
#[derive(Clone, ComponentType, Lower)]
#[component(record)]
pub struct NameAndPassword {
    /// A token id.
    #[component(name = "user-name")]
    pub user_name: String,
    /// A proof, or on TLS a bearer.
    pub password: Vec<u8>,
}

/// How an enhanced authentication begins.
#[derive(Clone, ComponentType, Lower)]
#[component(record)]
pub struct AuthData {
    /// The method.
    pub method: String,
    /// The client's first data.
    pub data: Vec<u8>,
}

/// How an enhanced authentication goes on.
#[derive(Clone, ComponentType, Lower)]
#[component(record)]
pub struct AuthAnswer {
    /// The method.
    pub method: String,
    /// The challenge that `verify` answered before.
    pub challenge: Vec<u8>,
    /// The data that the exchange began with.
    pub start: Vec<u8>,
    /// The client's answer.
    pub data: Vec<u8>,
}

/// Somebody wants in.
#[derive(Clone, Debug, ComponentType, Lower)]
#[component(record)]
pub struct Attempt {
    /// Empty for an HTTP request, which has no client id of its own.
    #[component(name = "client-id")]
    pub client_id: String,
    /// What they bring.
    pub credential: Credential,
    /// Where they come from.
    pub link: Link,
    /// In ms since the Unix epoch.
    pub now: u64,
}

/// What an attempt came to.
#[allow(clippy::large_enum_variant)] // lives for a moment, once per sign-in
#[derive(Clone, Debug, PartialEq, Eq, ComponentType, Lift)]
#[component(variant)]
pub enum Outcome {
    /// Let in.
    #[component(name = "granted")]
    Granted(Grant),
    /// MQTT 5: send this challenge and come back with the answer.
    #[component(name = "challenge")]
    Challenge(Vec<u8>),
}

/// Why an attempt was refused: for the log and the metrics. The peer is told only that it was.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error, Serialize, Deserialize, ComponentType, Lift,
)]
#[component(enum)]
#[serde(rename_all = "kebab-case")]
#[repr(u8)]
pub enum Denial {
    /// Unknown token, wrong proof, wrong bearer.
    #[component(name = "bad-credentials")]
    #[error("bad credentials")]
    BadCredentials,
    /// The token has expired or was revoked.
    #[component(name = "expired")]
    #[error("expired or revoked")]
    Expired,
    /// The counter was seen before, or the proof is too old.
    #[component(name = "replayed")]
    #[error("replayed")]
    Replayed,
    /// This credential is not accepted on this transport, or for this client id.
    #[component(name = "misplaced")]
    #[error("not accepted on this link")]
    Misplaced,
    /// Anonymous clients are not admitted.
    #[component(name = "anonymous")]
    #[error("anonymous clients are not admitted")]
    Anonymous,
    /// The authentication method is not known.
    #[component(name = "bad-method")]
    #[error("unknown authentication method")]
    BadMethod,
}

/// Why there was no token or no grant.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, ComponentType, Lift)]
#[component(variant)]
pub enum TokenError {
    /// Refuse.
    #[component(name = "denied")]
    #[error("denied: {0}")]
    Denied(Denial),
    /// Refuse as temporary.
    #[component(name = "unavailable")]
    #[error("unavailable: {0}")]
    Unavailable(String),
}

impl Refusal for TokenError {
    fn is_unavailable(&self) -> bool {
        matches!(self, TokenError::Unavailable(_))
    }
}

/// Which tokens to revoke.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ComponentType, Lower)]
#[component(variant)]
#[serde(rename_all = "kebab-case")]
pub enum Selector {
    /// One, by its id.
    #[component(name = "token")]
    Token(String),
    /// All of a user.
    #[component(name = "user")]
    User(String),
    /// All of one device of a user.
    #[component(name = "device")]
    Device(Device),
}

/// One device of a user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ComponentType, Lower)]
#[component(record)]
pub struct Device {
    /// The user.
    pub user: String,
    /// The device's client id.
    #[component(name = "client-id")]
    pub client_id: String,
}

type Fn<P, T> = Asked<P, T, TokenError>;

/// The functions in one instance.
pub(crate) struct Funcs {
    admits_anonymous: TypedFunc<(), (bool,)>,
    issue: Fn<(Holder, u64), RawIssued>,
    verify: Fn<(Attempt,), Outcome>,
    renew: Fn<(String, Holder, u64), RawIssued>,
    revoke: Fn<(Selector, u64), Vec<String>>,
    command_key: Fn<(String, u64), Resource<Key>>,
}

impl Face for Funcs {
    const ROLE: Role = Role::Token;

    fn bind(store: &mut Store<State>, instance: &Instance) -> wasmtime::Result<Self> {
        const TOKENS: &str = "postern:token/tokens";
        Ok(Funcs {
            admits_anonymous: interface_func(store, instance, TOKENS, "admits-anonymous")?,
            issue: interface_func(store, instance, TOKENS, "issue")?,
            verify: interface_func(store, instance, TOKENS, "verify")?,
            renew: interface_func(store, instance, TOKENS, "renew")?,
            revoke: interface_func(store, instance, TOKENS, "revoke")?,
            command_key: interface_func(store, instance, TOKENS, "command-key")?,
        })
    }
}

/// The role *token*.
#[derive(Default)]
pub struct Token {
    pub(crate) slot: Slot<Funcs>,
}

impl Token {
    /// Whether anonymous clients can ever be granted anything. A host that listens off loopback
    /// refuses to serve then.
    ///
    /// # Errors
    ///
    /// No answer: refuse to serve too.
    pub async fn admits_anonymous(&self) -> Result<bool, Down> {
        let mut call = self.slot.begin("token.admits-anonymous", Who::HOST).await?;
        call.invoke(Access::Read, |funcs| &funcs.admits_anonymous, ()).await
    }

    /// Makes a token after a successful login. `now` in ms since the Unix epoch.
    ///
    /// # Errors
    ///
    /// [`TokenError`] from the plugin, or no answer: refuse then.
    pub async fn issue(&self, holder: Holder, now: u64) -> Result<Issued, CallError<TokenError>> {
        let mut call = self.slot.begin("token.issue", Who::HOST).await?;
        let raw = call.invoke(Access::Read, |funcs| &funcs.issue, (holder, now)).await?;
        Ok(issued(&mut call, raw.map_err(CallError::Answer)?)?)
    }

    /// Judges an attempt. Spends the proof's counter when it grants.
    ///
    /// # Errors
    ///
    /// [`TokenError`] from the plugin, or no answer: refuse then.
    pub async fn verify(&self, attempt: Attempt) -> Result<Outcome, CallError<TokenError>> {
        self.slot.read("token.verify", |funcs| &funcs.verify, (attempt,)).await
    }

    /// Makes a new token for the holder of a valid one, which stays good until it expires. `holder` is
    /// what the directory says now.
    ///
    /// # Errors
    ///
    /// [`TokenError`] from the plugin, or no answer.
    pub async fn renew(
        &self,
        token_id: &str,
        holder: Holder,
        now: u64,
    ) -> Result<Issued, CallError<TokenError>> {
        let mut call = self.slot.begin("token.renew", Who::HOST).await?;
        let raw = call.invoke(Access::Read, |funcs| &funcs.renew, (token_id.to_owned(), holder, now)).await?;
        Ok(issued(&mut call, raw.map_err(CallError::Answer)?)?)
    }

    /// The key that commands to the holder of a good token, and their results, are authenticated with.
    ///
    /// # Errors
    ///
    /// [`TokenError`] from the plugin, or no answer: send nothing then.
    pub async fn command_key(&self, token_id: &str, now: u64) -> Result<Key, CallError<TokenError>> {
        let mut call = self.slot.begin("token.command-key", Who::HOST).await?;
        let given = call.invoke(Access::Read, |funcs| &funcs.command_key, (token_id.to_owned(), now)).await?;
        let given = given.map_err(CallError::Answer)?;
        let key = call.table()?.delete(given).map_err(|error| Down::Failed(error.to_string()))?;
        Ok(key)
    }

    /// Revokes as many as one call can, and tells their ids and their families; to be asked until there
    /// are none.
    ///
    /// # Errors
    ///
    /// [`TokenError`] from the plugin, or no answer.
    pub async fn revoke(&self, selector: Selector, now: u64) -> Result<Vec<String>, CallError<TokenError>> {
        self.slot.read("token.revoke", |funcs| &funcs.revoke, (selector, now)).await
    }
}

/// Takes the proof key out of the instance's handles: the guest gave it away.
fn issued(call: &mut Call<Funcs>, raw: RawIssued) -> Result<Issued, Down> {
    let key = call.table()?.delete(raw.key).map_err(|error| Down::Failed(error.to_string()))?;
    Ok(Issued {
        token_id: raw.token_id,
        key,
        bearer: raw.bearer,
        counter: raw.counter,
        expires_at: raw.expires_at,
    })
}
