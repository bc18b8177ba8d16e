//! Who may say what. Pure: no host, no state, so that it is tested natively.

use crate::bindings::exports::postern::classify::classify::{
    Class, ClassifyError, Facts, Origin, Relation, Verdict,
};

/// The rules as the policy file sets them.
#[derive(Debug)]
pub struct Rules {
    /// A notification whose body begins with one of these is an alarm.
    pub words: Vec<String>,
}

impl Rules {
    /// The class of a message: what its topic's first level says. Who is signed in may publish a
    /// notification (`note/…`) that is an alarm.
    ///
    /// # Errors
    /// `Refused` when this sender may not send it.
    pub fn classify(&self, facts: &Facts) -> Result<Verdict, ClassifyError> {
        let class = class_of(&facts.topic);
        if facts.origin == Origin::Client {
            match class {
                Class::Instant if facts.sender.is_none() || facts.relation == Relation::Unrelated => {
                    return Err(refused("this addressee cannot be reached"));
                }
                Class::Notification if facts.sender.is_none() || !self.is_alarm(&facts.payload) => {
                    return Err(refused("only alarms may be published on this topic"));
                }
                Class::Status => return Err(refused(NOT_YOURS)),
                // Reconnect instructions are the control unit's alone.
                Class::Command if facts.topic.starts_with("link/") => return Err(refused(NOT_YOURS)),
                _ => {}
            }
        }
        // A notification is judged by its body, the others by their topic alone.
        Ok(Verdict { class, payload: None, holds: class != Class::Notification })
    }

    /// # Errors
    /// An alarm word is no alarm.
    pub fn self_check(&self) -> Result<(), String> {
        match self.words.first() {
            Some(word) if self.is_alarm(word.as_bytes()) => Ok(()),
            _ => Err("an alarm word is no alarm".to_owned()),
        }
    }

    fn is_alarm(&self, body: &[u8]) -> bool {
        self.words.iter().any(|word| body.starts_with(word.as_bytes()))
    }
}

const NOT_YOURS: &str = "not allowed to publish on this topic";

fn refused(text: &str) -> ClassifyError {
    ClassifyError::Refused(text.to_owned())
}

/// What a topic's first level says; all else is *other*.
fn class_of(topic: &str) -> Class {
    match topic.split_once('/') {
        Some(("im", _)) => Class::Instant,
        Some(("note", _)) => Class::Notification,
        Some(("status", _)) => Class::Status,
        Some(("cmd" | "link", _)) => Class::Command,
        _ => Class::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bindings::exports::postern::classify::classify::Transport;

    fn facts(topic: &str, body: &str) -> Facts {
        Facts {
            topic: topic.into(),
            payload: body.into(),
            qos: 1,
            retain: false,
            origin: Origin::Client,
            transport: Transport::Tls,
            sender: Some("alice".into()),
            relation: Relation::Internal,
            now: 0,
        }
    }

    fn class(facts: &Facts) -> Option<Class> {
        let rules = Rules { words: vec!["ALARM".into(), "FIRE".into()] };
        rules.self_check().unwrap();
        rules.classify(facts).ok().map(|verdict| verdict.class)
    }

    #[test]
    fn each_prefix_gives_its_class() {
        assert_eq!(class(&facts("im/u/bob/alice", "hi")), Some(Class::Instant));
        assert_eq!(class(&facts("cmd/car/ask", "{}")), Some(Class::Command));
        for topic in ["im", "sensors/1", "image/x"] {
            assert_eq!(class(&facts(topic, "")), Some(Class::Other), "{topic}");
        }
    }

    #[test]
    fn alarms_alone_are_notifications() {
        assert_eq!(class(&facts("note/all", "FIRE in hall 3")), Some(Class::Notification));
        for body in ["", "ALAR", "fire", "no ALARM"] {
            assert_eq!(class(&facts("note/all", body)), None, "{body}");
        }
        assert_eq!(class(&Facts { sender: None, ..facts("note/all", "ALARM") }), None);
        let pushed = Facts { origin: Origin::ControlUnit, sender: None, ..facts("note/all", "lunch") };
        assert_eq!(class(&pushed), Some(Class::Notification));
    }

    #[test]
    fn strangers_do_not_reach_each_other() {
        assert_eq!(class(&Facts { relation: Relation::Unrelated, ..facts("im/u/bob/alice", "hi") }), None);
        assert_eq!(class(&facts("status/bob", "{}")), None);
        assert_eq!(class(&facts("link/car", "{}")), None);
    }
}
