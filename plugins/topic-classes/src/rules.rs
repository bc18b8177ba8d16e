//! From topic and sender to a class. Pure: no clock, no state; the sender's groups are an argument that
//! is asked only where a rule needs them.

use crate::bindings::exports::postern::classify::classify::{
    Class, ClassifyError, Facts, Origin, Relation, Verdict,
};

/// The rules as the policy file sets them.
#[derive(Debug, Default)]
pub struct Rules {
    /// Every message is of class *other* (`open.toml`).
    pub all_other: bool,
    /// No verdict holds for the next message: the host asks each time.
    pub ask_always: bool,
    /// Users who may send notifications and presence beside the control unit.
    pub notifier_users: Vec<String>,
    /// Groups whose members may.
    pub notifier_groups: Vec<String>,
}

impl Rules {
    /// The class of a message, by its topic's first level. `groups` asks for the sender's groups.
    ///
    /// # Errors
    /// `Refused` when this sender may not send it; the text says nothing about the addressee.
    pub fn classify(
        &self,
        facts: &Facts,
        groups: impl FnOnce() -> Vec<String>,
    ) -> Result<Verdict, ClassifyError> {
        if self.all_other {
            return Ok(self.verdict(Class::Other));
        }
        let class = class_of(&facts.topic);
        if facts.origin == Origin::Client {
            match class {
                Class::Instant => may_chat(facts)?,
                Class::Notification | Class::Status => self.may_notify(facts.sender.as_deref(), groups)?,
                // Reconnect instructions are the control unit's alone (B5).
                Class::Command if facts.topic.starts_with("link/") => return Err(refused(NOT_YOURS)),
                Class::Command | Class::Other => {}
            }
        }
        Ok(self.verdict(class))
    }

    /// The body is never looked at, so the answer is the same for the next message.
    fn verdict(&self, class: Class) -> Verdict {
        Verdict { class, payload: None, holds: !self.ask_always }
    }

    fn may_notify(
        &self,
        sender: Option<&str>,
        groups: impl FnOnce() -> Vec<String>,
    ) -> Result<(), ClassifyError> {
        let is_member = || groups().iter().any(|group| self.notifier_groups.contains(group));
        let allowed = sender.is_some_and(|sender| {
            self.notifier_users.iter().any(|user| user == sender)
                || (!self.notifier_groups.is_empty() && is_member())
        });
        if allowed { Ok(()) } else { Err(refused(NOT_YOURS)) }
    }

    /// Each prefix gives its class.
    ///
    /// # Errors
    /// What does not fit.
    pub fn self_check(&self) -> Result<(), String> {
        for (topic, class) in PREFIXES {
            if class_of(topic) != *class {
                return Err(format!("topic `{topic}` is not of its class"));
            }
        }
        Ok(())
    }
}

/// First levels that carry a class (wit/classify, A16); all else is *other*.
const PREFIXES: &[(&str, Class)] = &[
    ("im/", Class::Instant),
    ("note/", Class::Notification),
    ("status/", Class::Status),
    ("cmd/", Class::Command),
    ("link/", Class::Command),
];

const NOT_YOURS: &str = "not allowed to publish on this topic";
const UNREACHABLE: &str = "this addressee cannot be reached";
const MALFORMED: &str = "expected im/u/{to}/{from} or im/g/{group}/{from}, with an optional message id";

fn refused(text: &str) -> ClassifyError {
    ClassifyError::Refused(text.to_owned())
}

fn class_of(topic: &str) -> Class {
    PREFIXES.iter().find(|(prefix, _)| topic.starts_with(prefix)).map_or(Class::Other, |(_, class)| *class)
}

/// An instant message needs a signed-in sender, a well-formed topic and an addressee who is
/// something to the sender. Unknown and unrelated addressees are refused in the same words.
fn may_chat(facts: &Facts) -> Result<(), ClassifyError> {
    let Some(sender) = &facts.sender else { return Err(refused(NOT_YOURS)) };
    let mut levels = facts.topic.split('/').skip(1);
    let (kind, to, from) = (levels.next(), levels.next(), levels.next());
    let id = levels.next();
    let well_formed = matches!(kind, Some("u" | "g"))
        && to.is_some_and(|to| !to.is_empty())
        && id.is_none_or(|id| !id.is_empty())
        && levels.next().is_none();
    if !well_formed {
        return Err(refused(MALFORMED));
    }
    if from != Some(sender.as_str()) {
        return Err(refused(NOT_YOURS));
    }
    match facts.relation {
        Relation::Same
        | Relation::Internal
        | Relation::Upstream
        | Relation::Downstream
        | Relation::Member => Ok(()),
        Relation::Unrelated => Err(refused(UNREACHABLE)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bindings::exports::postern::classify::classify::Transport;

    fn facts(topic: &str, relation: Relation) -> Facts {
        Facts {
            topic: topic.into(),
            payload: b"hello".to_vec(),
            qos: 1,
            retain: false,
            origin: Origin::Client,
            transport: Transport::Tls,
            sender: Some("alice".into()),
            relation,
            now: 0,
        }
    }

    fn groups() -> Vec<String> {
        vec!["ops".into()]
    }

    fn class(rules: &Rules, facts: &Facts) -> Option<Class> {
        rules.classify(facts, groups).ok().map(|verdict| verdict.class)
    }

    #[test]
    fn a12_each_prefix_gives_its_class() {
        let rules = Rules::default();
        rules.self_check().unwrap();
        for (topic, expected) in [
            ("im/u/bob/alice", Class::Instant),
            ("im/g/ops/alice/m-1", Class::Instant),
            ("cmd/car/ask", Class::Command),
            ("sensors/1", Class::Other),
            ("image/u/bob/alice", Class::Other),
            ("im", Class::Other),
        ] {
            assert_eq!(class(&rules, &facts(topic, Relation::Internal)), Some(expected), "{topic}");
        }
    }

    #[test]
    fn a12_only_related_people_get_instant_messages() {
        let rules = Rules::default();
        for relation in
            [Relation::Same, Relation::Internal, Relation::Upstream, Relation::Downstream, Relation::Member]
        {
            assert!(rules.classify(&facts("im/u/bob/alice", relation), groups).is_ok());
        }
        let answer = rules.classify(&facts("im/u/bob/alice", Relation::Unrelated), groups);
        let Err(ClassifyError::Refused(text)) = answer else { panic!("not refused") };
        assert!(!text.contains("bob"), "says nothing about the addressee: {text}");
    }

    #[test]
    fn instant_topics_are_well_formed_and_name_their_sender() {
        let rules = Rules::default();
        for topic in [
            "im/u/bob/mallory",
            "im/u/bob",
            "im/u//alice",
            "im/x/bob/alice",
            "im/u/bob/alice/",
            "im/u/b/alice/1/2",
        ] {
            assert!(rules.classify(&facts(topic, Relation::Internal), groups).is_err(), "{topic}");
        }
        let anonymous = Facts { sender: None, ..facts("im/u/bob/alice", Relation::Internal) };
        assert!(rules.classify(&anonymous, groups).is_err());
    }

    #[test]
    fn notifications_come_from_the_control_unit_or_named_senders() {
        let mut rules = Rules::default();
        let note = facts("note/all", Relation::Unrelated);
        assert!(rules.classify(&note, groups).is_err());
        let pushed = Facts { origin: Origin::ControlUnit, sender: None, ..note.clone() };
        assert_eq!(class(&rules, &pushed), Some(Class::Notification));
        rules.notifier_groups.push("ops".into());
        assert_eq!(class(&rules, &note), Some(Class::Notification));
        rules = Rules { notifier_users: vec!["alice".into()], ..Rules::default() };
        assert_eq!(class(&rules, &facts("status/bob", Relation::Internal)), Some(Class::Status));
        assert!(
            rules.classify(&facts("link/car", Relation::Unrelated), groups).is_err(),
            "instructions are nobody else's"
        );
    }

    #[test]
    fn all_other_asks_nothing() {
        let rules = Rules { all_other: true, ..Rules::default() };
        let anonymous = Facts { sender: None, ..facts("im/x", Relation::Unrelated) };
        assert_eq!(class(&rules, &anonymous), Some(Class::Other));
    }

    #[test]
    fn verdicts_hold_unless_the_policy_asks_always() {
        let chat = facts("im/u/bob/alice", Relation::Internal);
        assert!(Rules::default().classify(&chat, groups).unwrap().holds);
        let rules = Rules { ask_always: true, ..Rules::default() };
        assert!(!rules.classify(&chat, groups).unwrap().holds);
    }
}
