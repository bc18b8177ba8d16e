//! Ids, and relations as the tables spell them.

use crate::bindings::postern::host::types::Relation;

/// Whether a text may be the id of a user, a group or an organisation: 1 to 64 of
/// `A-Z a-z 0-9 . _ -`. All three become levels of topics.
#[must_use]
pub fn is_id(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
}

/// A partner relation as the table holds it; none for what is no partner.
#[must_use]
pub fn relation_name(relation: Relation) -> Option<&'static str> {
    match relation {
        Relation::Upstream => Some("upstream"),
        Relation::Downstream => Some("downstream"),
        Relation::Same | Relation::Internal | Relation::Member | Relation::Unrelated => None,
    }
}

/// The relation of a table row.
#[must_use]
pub fn relation_of(name: &str) -> Relation {
    match name {
        "upstream" => Relation::Upstream,
        "downstream" => Relation::Downstream,
        _ => Relation::Unrelated,
    }
}

/// The same partnership seen from the other side: whoever supplies us is supplied by us to them.
#[must_use]
pub fn mirrored(relation: Relation) -> Relation {
    match relation {
        Relation::Upstream => Relation::Downstream,
        Relation::Downstream => Relation::Upstream,
        other => other,
    }
}
