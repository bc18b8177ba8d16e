//! Tokens that are renewed and revoked.

use serde::{Deserialize, Serialize};

use super::{Group, IssuedToken, Request};

/// A new token for the holder of a valid one; live links of the old one take the new one's expiry.
#[derive(Debug, Serialize, Deserialize)]
pub struct RenewToken {
    /// The token that is good now.
    pub token_id: String,
    /// Whose it is.
    #[serde(default)]
    pub user: String,
    /// The client id that it is bound to.
    #[serde(default)]
    pub client_id: String,
}
impl Request for RenewToken {
    const SUBJECT: &'static str = "token.renew";
    const GROUP: Group = Group::Dynamic;
    type Answer = IssuedToken;
}

/// Revoke tokens; live links that use them end. By id, those renewed from it or before it go along.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "by", rename_all = "kebab-case")]
#[allow(missing_docs)] // what the variant says
pub enum RevokeTokens {
    Token { id: String },
    User { user: String },
    Device { user: String, client_id: String },
}
impl RevokeTokens {
    /// Broadcast subject: links of these end, whatever becomes of the tokens.
    pub const ENDING: &'static str = "token.ending";
}
impl Request for RevokeTokens {
    const SUBJECT: &'static str = "token.revoke";
    const GROUP: Group = Group::Dynamic;
    type Answer = Revoked;
}

/// The tokens that were good until now, and the logins they came of. Also told to all nodes under
/// [`Revoked::SUBJECT`].
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Revoked {
    /// Token ids.
    pub tokens: Vec<String>,
}
impl Revoked {
    /// Broadcast subject.
    pub const SUBJECT: &'static str = "token.revoked";
}

/// Told to all nodes: links of `old` may stay until `expires_at`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Renewed {
    /// The token that the links signed in with.
    pub old: String,
    /// The token in its place.
    pub new: String,
    /// Milliseconds since 1970.
    pub expires_at: u64,
}
impl Renewed {
    /// Broadcast subject.
    pub const SUBJECT: &'static str = "token.renewed";
}
