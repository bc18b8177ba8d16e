//! Facts that several roles are told: `postern:host/types`.

use serde::{Deserialize, Serialize};
use wasmtime::component::{ComponentType, Lift, Lower};

/// How a link's bytes travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ComponentType, Lift, Lower)]
#[component(enum)]
#[serde(rename_all = "lowercase")]
#[repr(u8)]
pub enum Transport {
    /// Anybody on the path can read and change them.
    #[component(name = "plain")]
    Plain,
    /// TLS 1.2 or newer ends at this host.
    #[component(name = "tls")]
    Tls,
}

/// One live connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ComponentType, Lift, Lower)]
#[component(record)]
pub struct Link {
    /// How its bytes travel.
    pub transport: Transport,
    /// The listener's stable name: `tcp`, `tls`, `ws` or `wss`.
    pub listener: String,
    /// The peer's IP address, without its port.
    pub address: String,
}

/// Personal information of a user (A6).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ComponentType, Lift, Lower)]
#[component(record)]
pub struct Profile {
    /// The user's id: 1 to 64 of `A-Z a-z 0-9 . _ -`.
    pub user: String,
    /// The name that people read.
    pub name: String,
    /// The organisation the user belongs to; partners have others.
    pub org: String,
    /// Empty when unknown.
    pub department: String,
    /// Empty when unknown.
    pub title: String,
    /// Groups the user is a member of.
    pub groups: Vec<String>,
}

/// What one user is to another (A12, A13), seen from the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ComponentType, Lift, Lower)]
#[component(enum)]
#[serde(rename_all = "lowercase")]
#[repr(u8)]
pub enum Relation {
    /// The same user, perhaps on another device.
    #[component(name = "same")]
    Same,
    /// Of the same organisation.
    #[component(name = "internal")]
    Internal,
    /// Of a partner organisation that supplies ours.
    #[component(name = "upstream")]
    Upstream,
    /// Of a partner organisation that ours supplies.
    #[component(name = "downstream")]
    Downstream,
    /// The addressee is a group of which the sender is a member.
    #[component(name = "member")]
    Member,
    /// None of these, or nobody in particular is addressed.
    #[component(name = "unrelated")]
    Unrelated,
}

/// A partner organisation and what its people are to ours.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ComponentType, Lift, Lower)]
#[component(record)]
pub struct Partner {
    /// The other organisation.
    pub org: String,
    /// `upstream` or `downstream`.
    pub relation: Relation,
}
