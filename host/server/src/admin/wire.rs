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
    /// Tokens that were good until now, when the change ends them: a lock, a removal, a new password.
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
