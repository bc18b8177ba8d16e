//! What a link may publish and subscribe to, compiled from its grant.

use std::{
    collections::HashMap,
    sync::{Arc, Weak},
};

use parking_lot::Mutex;
use postern_broker::topic::{TopicFilter, TopicName, covers};
use postern_broker::wire::Text;
use postern_guest::roles::token::{Patterns, Rights as Granted};

/// The compiled rights of one link, for the transport it came in on.
#[derive(Debug)]
pub struct Rights {
    publish: Compiled,
    subscribe: Compiled,
    /// Whether the link gets its user's stored messages and presence.
    pub messaging: bool,
}

#[derive(Debug)]
struct Compiled {
    allow: Vec<TopicFilter>,
    /// Shared with the sessions that it holds for.
    deny: Arc<Vec<TopicFilter>>,
}

/// A pattern of a grant is no topic filter: a mistake of the token plugin, so nothing is granted.
#[derive(Debug, thiserror::Error)]
#[error("the grant has a pattern that is no topic filter")]
pub struct BadPattern;

/// Rights that live links hold, compiled once: most links of a server hold the same.
#[derive(Default)]
pub struct Compilations {
    known: Mutex<HashMap<Granted, Weak<Rights>>>,
}

impl Compilations {
    /// Compiles a grant's rights, or finds them.
    ///
    /// # Errors
    /// When a pattern is no topic filter.
    pub fn compile(&self, granted: &Granted) -> Result<Arc<Rights>, BadPattern> {
        let mut known = self.known.lock();
        if let Some(rights) = known.get(granted).and_then(Weak::upgrade) {
            return Ok(rights);
        }
        let rights = Arc::new(Rights::compile(granted)?);
        if known.len() == known.capacity() {
            known.retain(|_, rights| rights.strong_count() > 0);
        }
        known.insert(granted.clone(), Arc::downgrade(&rights));
        Ok(rights)
    }
}

impl Rights {
    /// Compiles a grant's rights.
    ///
    /// # Errors
    /// When a pattern is no topic filter.
    pub fn compile(granted: &Granted) -> Result<Self, BadPattern> {
        Ok(Rights {
            publish: Compiled::new(&granted.publish)?,
            subscribe: Compiled::new(&granted.subscribe)?,
            messaging: granted.messaging,
        })
    }

    /// The rights that these were compiled from.
    pub fn granted(&self) -> Granted {
        Granted {
            publish: self.publish.patterns(),
            subscribe: self.subscribe.patterns(),
            messaging: self.messaging,
        }
    }

    /// Whether a message may be published to `topic`.
    pub fn may_publish(&self, topic: &TopicName) -> bool {
        let any = |filters: &[TopicFilter]| filters.iter().any(|f| f.matches(topic));
        any(&self.publish.allow) && !any(&self.publish.deny)
    }

    /// Whether `filter` may be subscribed to. What it matches beside and is denied is kept back from
    /// the session by [`Rights::denied`].
    pub fn may_subscribe(&self, filter: &TopicFilter) -> bool {
        let covered = |filters: &[TopicFilter]| filters.iter().any(|f| covers(f.matched(), filter.matched()));
        covered(&self.subscribe.allow) && !covered(&self.subscribe.deny)
    }

    /// Topics that no subscription may bring, however wide it is.
    pub fn denied(&self) -> &Arc<Vec<TopicFilter>> {
        &self.subscribe.deny
    }
}

impl Compiled {
    fn patterns(&self) -> Patterns {
        let texts = |filters: &[TopicFilter]| filters.iter().map(|f| f.as_str().to_owned()).collect();
        Patterns { allow: texts(&self.allow), deny: texts(&self.deny) }
    }

    fn new(patterns: &Patterns) -> Result<Self, BadPattern> {
        let compile = |list: &[String]| -> Result<Vec<TopicFilter>, BadPattern> {
            list.iter().map(|p| TopicFilter::new(Text::from(p.as_str())).map_err(|_| BadPattern)).collect()
        };
        Ok(Compiled { allow: compile(&patterns.allow)?, deny: Arc::new(compile(&patterns.deny)?) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rights(allow: &[&str], deny: &[&str]) -> Rights {
        let patterns = Patterns {
            allow: allow.iter().map(|s| (*s).to_owned()).collect(),
            deny: deny.iter().map(|s| (*s).to_owned()).collect(),
        };
        Rights::compile(&Granted { publish: patterns.clone(), subscribe: patterns, messaging: true }).unwrap()
    }

    fn filter(f: &str) -> TopicFilter {
        TopicFilter::new(Text::from(f)).unwrap()
    }

    fn name(t: &str) -> TopicName {
        TopicName::new(Text::from(t)).unwrap()
    }

    #[test]
    fn publish_needs_an_allowing_pattern_and_no_denying_one() {
        let r = rights(&["im/u/+/alice", "im/u/+/alice/+"], &["im/u/root/#"]);
        assert!(r.may_publish(&name("im/u/bob/alice")));
        assert!(r.may_publish(&name("im/u/bob/alice/m1")));
        assert!(!r.may_publish(&name("im/u/bob/mallory")));
        assert!(!r.may_publish(&name("im/u/root/alice")));
    }

    #[test]
    fn a_subscription_must_be_covered_whole() {
        let r = rights(&["im/u/bob/+", "plant/#"], &["plant/secret/#"]);
        assert!(r.may_subscribe(&filter("im/u/bob/+")));
        assert!(!r.may_subscribe(&filter("im/#")));
        assert!(!r.may_subscribe(&filter("plant/secret/x")));
        assert!(!r.may_subscribe(&filter("plant/secret/#")));
    }

    #[test]
    fn a_wider_subscription_is_granted_and_the_denied_part_kept_back() {
        let r = rights(&["plant/#"], &["plant/secret/#"]);
        for wider in ["plant/#", "plant/+/temp"] {
            assert!(r.may_subscribe(&filter(wider)), "{wider}");
        }
        let kept_back = |topic| r.denied().iter().any(|deny| deny.matches(&name(topic)));
        assert!(kept_back("plant/secret/temp") && !kept_back("plant/7/temp"));
    }

    #[test]
    fn a_bad_pattern_grants_nothing() {
        let patterns = Patterns { allow: vec!["a/#/b".to_owned()], deny: vec![] };
        let granted = Granted { publish: patterns.clone(), subscribe: patterns, messaging: false };
        assert!(Rights::compile(&granted).is_err());
    }
}
