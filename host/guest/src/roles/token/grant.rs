//! What somebody who was let in is and may do.

use serde::{Deserialize, Serialize};
use wasmtime::component::{ComponentType, Lift};

use super::super::types::{Partner, Profile};

/// Topic filters: a topic is allowed when a filter of `allow` matches it and none of `deny` does; a
/// subscription when a filter of `allow` covers all of it and none of `deny` does. What a filter of
/// `deny` matches is not delivered by any subscription.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, ComponentType, Lift)]
#[component(record)]
pub struct Patterns {
    /// What is allowed.
    pub allow: Vec<String>,
    /// What is not, whatever `allow` says.
    pub deny: Vec<String>,
}

/// What a link may do, for the transport that the attempt came on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, ComponentType, Lift)]
#[component(record)]
pub struct Rights {
    /// Topics it may publish to.
    pub publish: Patterns,
    /// Filters it may subscribe to.
    pub subscribe: Patterns,
    /// Whether it gets the user's stored messages, notifications and presence, and HTTP requests may
    /// read history.
    pub messaging: bool,
}

/// Bounds for this client; none leaves the host's own, which are never exceeded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ComponentType, Lift)]
#[component(record)]
pub struct Limits {
    /// In seconds.
    #[component(name = "session-expiry-secs")]
    pub session_expiry_secs: Option<u32>,
    /// In seconds.
    #[component(name = "keep-alive-secs")]
    pub keep_alive_secs: Option<u16>,
}

/// What somebody who was let in is and may do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ComponentType, Lift)]
#[component(record)]
pub struct Grant {
    /// None for anonymous clients.
    #[component(name = "token-id")]
    pub token_id: Option<String>,
    /// The login that the token came of; none: the token is its own.
    pub family: Option<String>,
    /// None for anonymous clients.
    pub profile: Option<Profile>,
    /// The partners of the user's organisation.
    pub partners: Vec<Partner>,
    /// The client id that the token is bound to; empty for anonymous clients.
    #[component(name = "client-id")]
    pub client_id: String,
    /// What the link may do.
    pub rights: Rights,
    /// Bounds.
    pub limits: Limits,
    /// When the link ends unless the token is renewed, in ms since the Unix epoch; none for never.
    #[component(name = "expires-at")]
    pub expires_at: Option<u64>,
}
