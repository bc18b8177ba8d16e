//! What the admin API and the command line say to each other, as JSON.
//!
//! A field may be added with `#[serde(default)]`; none is ever changed: scripts read `--json`.

use serde::{Deserialize, Serialize};

use crate::command::AccountView;

pub use super::plugin_wire::*;

/// An MQTT session.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ClientView {
    /// MQTT client id.
    pub client_id: String,
    /// The user it is signed in as; none for anonymous clients.
    pub user: Option<String>,
    /// Whether it has a link now.
    pub connected: bool,
    /// Subscriptions.
    pub subscriptions: u64,
    /// Messages that wait for it.
    pub queued: u64,
    /// Messages sent to it and not yet acknowledged.
    pub inflight: u64,
    /// What its user's links carried and cost, when it is a terminal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub terminal: Option<AccountView>,
}

/// Which session.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClientKey {
    /// MQTT client id.
    pub client_id: String,
    /// The user; may be left out when only one session has this client id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
}

/// A user.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct UserView {
    /// User id.
    pub user: String,
    /// The name that people read.
    pub name: String,
    /// Organisation.
    pub org: String,
    /// Empty when unknown.
    pub department: String,
    /// Empty when unknown.
    pub title: String,
    /// Groups the user is a member of.
    pub groups: Vec<String>,
    /// Whether the user is kept out.
    pub locked: bool,
    /// The public key that the user may log in by: Ed25519, base64url without padding.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
}

/// A user as he is to be; what is left out of an existing user stays.
#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct UserChange {
    /// The name that people read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Organisation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub org: Option<String>,
    /// Department.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub department: Option<String>,
    /// Title.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// All groups.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub groups: Option<Vec<String>>,
    /// Whether the user is kept out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub locked: Option<bool>,
    /// The new password.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password: Option<PasswordText>,
    /// The new public key: Ed25519, base64url without padding. An empty text takes the key away.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
}

/// A password on its way: wiped when dropped, never shown.
#[derive(Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PasswordText(String);

impl PasswordText {
    /// Takes the text over.
    pub fn new(text: String) -> Self {
        PasswordText(text)
    }

    /// The text, for its one user, who wipes it.
    pub fn into_text(mut self) -> String {
        std::mem::take(&mut self.0)
    }

    /// Length in bytes.
    pub fn len(&self) -> usize {
        self.0.len()
    }
}

impl Drop for PasswordText {
    fn drop(&mut self) {
        zeroize::Zeroize::zeroize(&mut self.0);
    }
}

impl std::fmt::Debug for PasswordText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

/// What became of a change to a user.
#[derive(Debug, Serialize, Deserialize)]
pub struct UserChanged {
    /// User id.
    pub user: String,
    /// Tokens that were good until now, when the change ends them: a lock, a removal, a new
    /// password or key.
    pub revoked: u64,
}

/// A page of users.
#[derive(Debug, Serialize, Deserialize)]
pub struct UserPage {
    /// Sorted by user id.
    pub users: Vec<UserView>,
    /// Ask for the next page with this as `after`; None at the end.
    pub next_after: Option<String>,
}

/// A relation between two organisations.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PartnerChange {
    /// Whose partner.
    pub org: String,
    /// The partner.
    pub partner: String,
    /// What the partner is to `org`: `upstream`, `downstream`, or `unrelated` to end it.
    pub relation: crate::control::wire::Relation,
}

/// A listener.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListenerView {
    /// Stable name: `tcp`, `tls`, `ws`, `wss`, `http`, `admin`, `health`.
    pub name: String,
    /// Where it listens.
    pub address: String,
}

/// How the server is.
#[derive(Debug, Serialize, Deserialize)]
pub struct Status {
    /// Version of the program.
    pub version: String,
    /// `login`, `broker`.
    pub roles: Vec<String>,
    /// Seconds since it became ready.
    pub uptime_secs: u64,
    /// Listeners.
    pub listeners: Vec<ListenerView>,
    /// Whether everything that it needs is there.
    pub ready: bool,
    /// What is not, one line each.
    pub missing: Vec<String>,
    /// Live links.
    pub clients_connected: u64,
    /// Sessions, with and without link.
    pub sessions: u64,
    /// Plugins that serve.
    pub plugins: Vec<PluginView>,
    /// Terminals; none on a node that takes no MQTT clients.
    #[serde(default)]
    pub terminals: Option<TerminalsView>,
    /// When the certificate that serves expires, in seconds since the Unix epoch.
    #[serde(default)]
    pub certificate_expires: u64,
    /// Why what the certificate's files hold does not serve.
    #[serde(default)]
    pub certificate_refused: Option<String>,
    /// Why what the policy file says is not in force.
    #[serde(default)]
    pub policy_refused: Option<String>,
    /// Keys of the policy file that have changed and are read at a start only.
    #[serde(default)]
    pub restart: Vec<String>,
}

/// What came of a reload.
#[derive(Debug, Serialize, Deserialize)]
pub struct Reloaded {
    /// The certificate and its key.
    pub certificate: ReloadedPart,
    /// When the one that serves now expires, in seconds since the Unix epoch.
    pub certificate_expires: u64,
    /// The policy.
    pub policy: ReloadedPart,
}

/// What came of a part of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ReloadedPart {
    /// Whether what the files hold serves now.
    pub outcome: Outcome,
    /// Why not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wrong: Option<String>,
    /// Plugins that serve under another table now.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub plugins: Vec<String>,
    /// Keys that have changed and are read at a start only.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub restart: Vec<String>,
}

/// Of a reload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// What the files hold serves from now on.
    Applied,
    /// It did before.
    Unchanged,
    /// It is wrong: what served serves on.
    Refused,
}

impl From<Outcome> for ReloadedPart {
    fn from(outcome: Outcome) -> Self {
        ReloadedPart { outcome, wrong: None, plugins: Vec::new(), restart: Vec::new() }
    }
}

/// All terminals.
#[derive(Debug, Serialize, Deserialize)]
pub struct TerminalsView {
    /// Now connected to this node on plain TCP.
    pub plain: u64,
    /// The same on TLS.
    pub tls: u64,
    /// What they carried and cost.
    #[serde(flatten)]
    pub account: AccountView,
}
