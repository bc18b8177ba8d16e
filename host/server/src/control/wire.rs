//! What crosses the bus between the static and the dynamic group (A4), as JSON.
//!
//! Requests name their subject and their answer, so that asker and server cannot disagree on them.
//! A field may be added with `#[serde(default)]`; none is ever changed.

mod tokens;

use serde::{Deserialize, Serialize, de::DeserializeOwned};

pub use tokens::{RenewToken, Renewed, RevokeTokens, Revoked};

/// A request over the bus: one node of the group answers.
pub trait Request: Serialize + DeserializeOwned + Send + 'static {
    /// Bus subject.
    const SUBJECT: &'static str;
    /// The group that answers.
    const GROUP: Group;
    /// What it answers when it does not refuse.
    type Answer: Serialize + DeserializeOwned + Send + 'static;
}

/// Who answers a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// Login servers.
    Static,
    /// MQTT servers.
    Dynamic,
}

/// Why a request was refused.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq, thiserror::Error)]
#[serde(tag = "kind", rename_all = "kebab-case")]
#[allow(clippy::enum_variant_names)] // the one who asks is denied, or something is wrong with the asking
pub enum Denied {
    /// The one who asks may not.
    #[error("denied")]
    Denied,
    /// The question is wrong; the text may be shown to the one who asks.
    #[error("{detail}")]
    Invalid {
        /// What is wrong.
        detail: String,
    },
    /// Come again after `secs` seconds.
    #[error("retry after {secs} s")]
    RetryAfter {
        /// Seconds.
        secs: u32,
    },
    /// Temporarily unavailable; the text is for the log.
    #[error("unavailable: {detail}")]
    Unavailable {
        /// What is down.
        detail: String,
    },
}

/// Personal information (A6).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Profile {
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
}

/// What one user is to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)] // the names of wit/host/types.wit
pub enum Relation {
    Same,
    Internal,
    Upstream,
    Downstream,
    Member,
    Unrelated,
}

/// A partner organisation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Partner {
    /// Organisation.
    pub org: String,
    /// `Upstream` or `Downstream`.
    pub relation: Relation,
}

/// One person of the directory as another may see them (A13).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)] // as in `Profile`
pub struct Person {
    pub user: String,
    pub name: String,
    pub org: String,
    pub department: String,
    pub title: String,
    pub relation: Relation,
}

/// Issue a token for a user who has logged in (A7).
#[derive(Debug, Serialize, Deserialize)]
pub struct IssueToken {
    /// Whose.
    pub profile: Profile,
    /// The user's partner organisations.
    pub partners: Vec<Partner>,
    /// The client id that it is bound to.
    pub client_id: String,
}
impl Request for IssueToken {
    const SUBJECT: &'static str = "token.issue";
    const GROUP: Group = Group::Dynamic;
    type Answer = IssuedToken;
}

/// A token, and where to use it.
#[derive(Debug, Serialize, Deserialize)]
pub struct IssuedToken {
    /// The token as the client gets it.
    pub token: TokenParts,
    /// Where the dynamic servers are.
    pub brokers: Vec<BrokerAddress>,
    /// What terminals check instructions with.
    #[serde(default)]
    pub instruction_keys: Vec<InstructionKey>,
}

/// The parts of a token; secret, never logged.
#[derive(Serialize, Deserialize)]
pub struct TokenParts {
    /// Token id.
    pub id: String,
    /// The 32-byte proof key, base64url without padding.
    pub key: String,
    /// Password for standard clients on TLS.
    pub bearer: String,
    /// The client's next counter must be greater.
    pub counter: u64,
    /// Milliseconds since 1970.
    pub expires_at: u64,
}

impl std::fmt::Debug for TokenParts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenParts").field("id", &self.id).finish_non_exhaustive()
    }
}

/// A verifying key, as logins and renewals tell it to terminals.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstructionKey {
    /// The first 4 bytes of SHA-256 of the public key, base64url.
    pub id: String,
    /// 32 bytes, base64url.
    pub public_key: String,
}

/// One MQTT listener of a dynamic server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BrokerAddress {
    /// The listener's stable name, which the proof names too: `tcp`, `tls`, `ws`, `wss`.
    pub listener: String,
    /// `plain` or `tls`.
    pub transport: String,
    /// Host; empty when it is the host that the client has just spoken to.
    pub host: String,
    /// TCP port.
    pub port: u16,
}

/// Who holds this bearer? Asked for every HTTP request.
#[derive(Serialize, Deserialize)]
pub struct CheckBearer {
    /// `token id ":" bearer`.
    pub bearer: String,
    /// The peer's IP address.
    pub address: String,
}
impl Request for CheckBearer {
    const SUBJECT: &'static str = "token.check";
    const GROUP: Group = Group::Dynamic;
    type Answer = Holder;
}

/// The holder of a valid bearer.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Holder {
    /// Token id.
    pub token_id: String,
    /// The client id it is bound to.
    pub client_id: String,
    /// Whose token it is.
    pub profile: Profile,
    /// Whether history may be read.
    pub messaging: bool,
    /// Milliseconds since 1970; None for never.
    pub expires_at: Option<u64>,
}

/// A conversation of a user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", content = "name", rename_all = "kebab-case")]
#[allow(missing_docs)] // what the variant says
pub enum Conversation {
    With(String),
    Group(String),
    Notifications,
}

/// A page of a user's history, newest first.
#[derive(Debug, Serialize, Deserialize)]
pub struct ReadHistory {
    /// Whose inbox.
    pub user: String,
    /// One conversation, or all.
    pub conversation: Option<Conversation>,
    /// Only what is older than this seq.
    pub before: Option<u64>,
    /// At most so many.
    pub limit: u32,
}
impl Request for ReadHistory {
    const SUBJECT: &'static str = "messages.history";
    const GROUP: Group = Group::Dynamic;
    type Answer = HistoryPage;
}

/// A page of history, and the user's read markers.
#[derive(Debug, Serialize, Deserialize)]
pub struct HistoryPage {
    /// Newest first.
    pub messages: Vec<HistoryMessage>,
    /// Ask for the next page with this as `before`; None at the end.
    pub next_before: Option<u64>,
    /// Read markers, with a first page only: of its conversation, or the 200 furthest on.
    pub markers: Vec<Marker>,
}

/// A stored message as history shows it.
#[derive(Debug, Serialize, Deserialize)]
pub struct HistoryMessage {
    /// The recipient's sequence number.
    pub seq: u64,
    /// The sender's message id.
    pub id: String,
    /// `notification` or `instant`.
    pub class: String,
    /// The sender's user id.
    pub from: String,
    /// The device it came from.
    pub device: String,
    /// The topic it is delivered on.
    pub topic: String,
    /// The body when it is UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// Base64 (standard, padded) of a body that is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body_base64: Option<String>,
    /// Milliseconds since 1970.
    pub sent_at: u64,
}

/// A read marker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Marker {
    /// Which conversation.
    pub conversation: Conversation,
    /// Everything up to here is read.
    pub seq: u64,
}

/// Mark a conversation as read.
#[derive(Debug, Serialize, Deserialize)]
pub struct MarkRead {
    /// Whose marker.
    pub user: String,
    /// The marker; never moves back.
    pub marker: Marker,
}
impl Request for MarkRead {
    const SUBJECT: &'static str = "messages.read";
    const GROUP: Group = Group::Dynamic;
    type Answer = ();
}

/// The profile of a user who exists and is not locked.
#[derive(Debug, Serialize, Deserialize)]
pub struct FindPerson {
    /// User id.
    pub user: String,
}
impl Request for FindPerson {
    const SUBJECT: &'static str = "directory.find";
    const GROUP: Group = Group::Static;
    type Answer = Option<Profile>;
}

/// Whom a token would be for, as the directory says now; none when the user is not there or locked.
#[derive(Debug, Serialize, Deserialize)]
pub struct FindHolder {
    /// User id.
    pub user: String,
}
impl Request for FindHolder {
    const SUBJECT: &'static str = "directory.holder";
    const GROUP: Group = Group::Static;
    type Answer = Option<PersonAndPartners>;
}

/// A user, and the partners of the user's organisation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PersonAndPartners {
    /// The user.
    pub profile: Profile,
    /// Of the user's organisation.
    pub partners: Vec<Partner>,
}

/// The members of a group; `*` is everyone.
#[derive(Debug, Serialize, Deserialize)]
pub struct GroupMembers {
    /// Group name.
    pub group: String,
}
impl Request for GroupMembers {
    const SUBJECT: &'static str = "directory.members";
    const GROUP: Group = Group::Static;
    type Answer = Option<Vec<String>>;
}

/// A page of the people whom a user may see, sorted by user id.
#[derive(Debug, Serialize, Deserialize)]
pub struct VisiblePeople {
    /// Who looks.
    pub user: String,
    /// Only ids after this.
    pub after: Option<String>,
    /// At most so many.
    pub limit: u32,
}
impl Request for VisiblePeople {
    const SUBJECT: &'static str = "directory.visible";
    const GROUP: Group = Group::Static;
    type Answer = DirectoryPage;
}

/// A page of the directory.
#[derive(Debug, Serialize, Deserialize)]
pub struct DirectoryPage {
    /// Sorted by user id.
    pub entries: Vec<Person>,
    /// Ask for the next page with this as `after`; None at the end.
    pub next_after: Option<String>,
}

/// Presence of a user on one node, told to all nodes (A14).
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PresenceChange {
    /// The node whose links it speaks of.
    pub node: String,
    /// User id.
    pub user: String,
    /// The user's organisation: decides who may see it.
    pub org: String,
    /// Whether the user has a link there.
    pub online: bool,
    /// Milliseconds since 1970.
    pub at: u64,
}
impl PresenceChange {
    /// Broadcast subject.
    pub const SUBJECT: &'static str = "presence";
}
