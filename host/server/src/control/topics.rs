//! The application's topics (ARCHITECTURE.md, "Topics"): whom a message is for and what its prefix
//! says it is.

use postern_broker::topic::TopicName;
use postern_guest::roles::classify::Class;

/// A topic of the application, taken apart.
#[derive(Debug, PartialEq, Eq)]
pub enum Address<'a> {
    /// `im/u/{to}/{from}` with an optional message id as last level.
    User { to: &'a str, from: &'a str, id: Option<&'a str> },
    /// `im/g/{group}/{from}` with an optional message id as last level.
    Group { group: &'a str, from: &'a str, id: Option<&'a str> },
    /// `note/u/{user}`
    Note { user: &'a str },
    /// `note/all`
    NoteAll,
    /// `status/{user}`
    Status { user: &'a str },
    /// `cmd/…` or `link/…`; their handling is the command journey's.
    Command,
    /// Ordinary MQTT.
    Other,
}

/// The prefix is the application's, the rest does not fit it.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a topic of this application")]
pub struct NotATopic;

impl<'a> Address<'a> {
    /// Takes a topic apart.
    ///
    /// # Errors
    /// When it begins like one of the application's and goes on otherwise.
    pub fn parse(topic: &'a str) -> Result<Self, NotATopic> {
        let mut levels = topic.split('/');
        let parts = [levels.next(), levels.next(), levels.next(), levels.next(), levels.next()];
        let too_long = levels.next().is_some();
        let address = match parts {
            [Some("im"), Some("u"), Some(to), Some(from), id] if !too_long => Address::User { to, from, id },
            [Some("im"), Some("g"), Some(group), Some(from), id] if !too_long => {
                Address::Group { group, from, id }
            }
            [Some("note"), Some("u"), Some(user), None, None] => Address::Note { user },
            [Some("note"), Some("all"), None, None, None] => Address::NoteAll,
            [Some("status"), Some(user), None, None, None] => Address::Status { user },
            [Some("cmd" | "link"), ..] => Address::Command,
            [Some("im" | "note" | "status"), ..] => return Err(NotATopic),
            _ => Address::Other,
        };
        let (names, id): ([&str; 2], Option<&str>) = match address {
            Address::User { to, from, id } => ([to, from], id),
            Address::Group { group, from, id } => ([group, from], id),
            Address::Note { user } | Address::Status { user } => ([user, user], None),
            _ => return Ok(address),
        };
        if names.iter().all(|n| is_name(n)) && id.is_none_or(is_message_id) {
            Ok(address)
        } else {
            Err(NotATopic)
        }
    }

    /// The class that the prefix promises (A16).
    pub fn class(&self) -> Class {
        match self {
            Address::User { .. } | Address::Group { .. } => Class::Instant,
            Address::Note { .. } | Address::NoteAll => Class::Notification,
            Address::Status { .. } => Class::Status,
            Address::Command => Class::Command,
            Address::Other => Class::Other,
        }
    }

    /// The topic it is delivered on: without the sender's message id.
    pub fn delivered_on(&self, topic: &TopicName) -> TopicName {
        let without_id = match self {
            Address::User { id: Some(id), .. } | Address::Group { id: Some(id), .. } => {
                topic.strip_suffix(id).and_then(|t| t.strip_suffix('/'))
            }
            _ => None,
        };
        without_id.and_then(|t| TopicName::try_from(t).ok()).unwrap_or_else(|| topic.clone())
    }
}

/// User, terminal and group ids: 1 to 64 of `A-Z a-z 0-9 . _ -`.
pub fn is_name(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
}

/// Message ids: 1 to 64 bytes of text.
pub fn is_message_id(id: &str) -> bool {
    (1..=64).contains(&id.len())
}

/// Whether a filter asks for nothing but what a signed-in device of `user` is sent anyway: its own
/// inbox, its groups' and notifications, and presence. Such a subscription never enters the tree,
/// so that no message comes twice; it only sets the QoS.
pub fn is_own_feed(filter: &str, user: &str, groups: &[String]) -> bool {
    let mut levels = filter.split('/');
    match (levels.next(), levels.next(), levels.next()) {
        (Some("im"), Some("u"), Some(to)) => to == user,
        (Some("im"), Some("g"), Some(group)) => group == "+" || groups.iter().any(|g| g == group),
        (Some("note"), Some("u"), Some(to)) => to == user,
        (Some("note"), Some("all"), None) => true,
        (Some("status"), Some(_), None) => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_of_the_application_are_taken_apart() {
        let user = Address::parse("im/u/bob/alice");
        assert_eq!(user, Ok(Address::User { to: "bob", from: "alice", id: None }));
        let with_id = Address::parse("im/g/ops/alice/m-1");
        assert_eq!(with_id, Ok(Address::Group { group: "ops", from: "alice", id: Some("m-1") }));
        assert_eq!(Address::parse("note/all"), Ok(Address::NoteAll));
        assert_eq!(Address::parse("status/bob"), Ok(Address::Status { user: "bob" }));
        assert_eq!(Address::parse("cmd/car/ask"), Ok(Address::Command));
        assert_eq!(Address::parse("plant/7/temperature"), Ok(Address::Other));
        assert_eq!(Address::parse("/im/u"), Ok(Address::Other));
    }

    #[test]
    fn topics_that_only_begin_like_ours_are_refused() {
        for topic in [
            "im",
            "im/",
            "im/u/bob",
            "im/u//alice",
            "im/u/bob/alice/",
            "im/u/bob/alice/id/x",
            "im/x/bob/alice",
            "note/u",
            "note/all/x",
            "status",
            "status/",
            "status/a/b",
            "im/u/b ob/alice",
        ] {
            assert_eq!(Address::parse(topic), Err(NotATopic), "{topic}");
        }
        assert!(Address::parse(&format!("im/u/{}/a", "x".repeat(65))).is_err());
    }

    #[test]
    fn a16_delivery_topic_leaves_the_id_out() {
        let topic = TopicName::try_from("im/u/bob/alice/m-1").unwrap();
        let address = Address::parse(&topic).unwrap();
        assert_eq!(&*address.delivered_on(&topic), "im/u/bob/alice");
    }

    proptest::proptest! {
        #[test]
        fn what_is_taken_apart_is_all_of_the_topic(
            topic in "(im|note|status|cmd|link|im |I|)(/(u|g|all|bob|a.b_-|b ob|é|\\$|)){0,6}",
        ) {
            let Ok(address) = Address::parse(&topic) else { return Ok(()) };
            let whole = match address {
                Address::User { to, from, id } => [&["im", "u", to, from], id.as_slice()].concat(),
                Address::Group { group, from, id } => [&["im", "g", group, from], id.as_slice()].concat(),
                Address::Note { user } => vec!["note", "u", user],
                Address::NoteAll => vec!["note", "all"],
                Address::Status { user } => vec!["status", user],
                Address::Command | Address::Other => topic.split('/').collect(),
            };
            proptest::prop_assert_eq!(whole.join("/"), &*topic);
            if let Ok(name) = TopicName::try_from(&*topic) {
                let on = address.delivered_on(&name);
                proptest::prop_assert_eq!(Address::parse(&on).map(|it| it.class()), Ok(address.class()));
            }
        }
    }

    #[test]
    fn own_feed_filters() {
        let groups = vec!["ops".to_owned()];
        for filter in [
            "im/u/bob/+",
            "im/u/bob/#",
            "im/g/ops/+",
            "im/g/+/+",
            "note/all",
            "note/u/bob",
            "status/+",
            "status/#",
            "status/alice",
        ] {
            assert!(is_own_feed(filter, "bob", &groups), "{filter}");
        }
        for filter in ["im/#", "#", "im/u/alice/+", "im/u/+/bob", "im/g/hr/+", "note/#", "plant/+"] {
            assert!(!is_own_feed(filter, "bob", &groups), "{filter}");
        }
    }
}
