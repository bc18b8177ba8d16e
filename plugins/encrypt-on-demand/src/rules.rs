//! From a command's classes and the terminal's link to what happens with it. Pure.

use crate::bindings::exports::postern::encrypt::policy::{Decision, Facts, Transport};

/// The rules as the policy file sets them.
#[derive(Debug)]
pub struct Rules {
    /// Command classes that need encryption.
    pub encrypted: Vec<String>,
    /// Command classes that are not accepted at all.
    pub refused: Vec<String>,
}

impl Default for Rules {
    /// Remote control and remote diagnosis need TLS (B14).
    fn default() -> Self {
        Rules { encrypted: vec!["remote-control".into(), "diagnosis".into()], refused: Vec::new() }
    }
}

impl Rules {
    /// What to do with a command.
    #[must_use]
    pub fn decide(&self, facts: &Facts) -> Decision {
        if facts.command_class.is_empty() {
            return Decision::Refuse("the command names no class".into());
        }
        if self.refused.contains(&facts.command_class) {
            return Decision::Refuse(format!("commands of class {} are not accepted", facts.command_class));
        }
        // B3: the command or any of its follow-ups; B4: only then does the link matter.
        match (self.needs_encryption(facts), facts.link) {
            (true, Some(Transport::Tls)) | (false, Some(_)) => Decision::SendNow, // B6, B7
            (true, Some(Transport::Plain) | None) => Decision::SaveAndInstruct,   // B5
            (false, None) => Decision::Save,                                      // B13
        }
    }

    fn needs_encryption(&self, facts: &Facts) -> bool {
        std::iter::once(&facts.command_class)
            .chain(&facts.follow_ups)
            .any(|class| self.encrypted.contains(class))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decide(class: &str, follow_ups: &[&str], link: Option<Transport>) -> Decision {
        let facts = Facts {
            terminal: "car-1".into(),
            requester: "alice".into(),
            command_class: class.into(),
            follow_ups: follow_ups.iter().map(|&class| class.to_owned()).collect(),
            link,
            recent_secure_commands: 0,
            now: 0,
        };
        Rules::default().decide(&facts)
    }

    #[test]
    fn b3_command_or_follow_up_suffices() {
        let plain = Some(Transport::Plain);
        assert!(matches!(decide("diagnosis", &[], plain), Decision::SaveAndInstruct));
        assert!(matches!(decide("info", &["info", "remote-control"], plain), Decision::SaveAndInstruct));
        assert!(matches!(decide("info", &["info"], plain), Decision::SendNow));
    }

    #[test]
    fn b5_saved_and_instructed_when_the_link_is_not_tls() {
        assert!(matches!(decide("remote-control", &[], Some(Transport::Plain)), Decision::SaveAndInstruct));
        assert!(matches!(decide("remote-control", &[], None), Decision::SaveAndInstruct));
    }

    #[test]
    fn b6_sent_at_once_on_tls() {
        assert!(matches!(decide("remote-control", &["diagnosis"], Some(Transport::Tls)), Decision::SendNow));
    }

    #[test]
    fn b7_goes_out_on_the_current_link_when_no_encryption_is_needed() {
        assert!(matches!(decide("info", &[], Some(Transport::Plain)), Decision::SendNow));
        assert!(matches!(decide("info", &[], Some(Transport::Tls)), Decision::SendNow));
    }

    #[test]
    fn b13_kept_for_an_offline_terminal() {
        assert!(matches!(decide("info", &[], None), Decision::Save));
    }

    #[test]
    fn classes_that_are_missing_or_refused_are_refused() {
        assert!(matches!(decide("", &[], None), Decision::Refuse(_)));
        let rules = Rules { refused: vec!["wipe".into()], ..Rules::default() };
        let facts = Facts {
            terminal: "car-1".into(),
            requester: "alice".into(),
            command_class: "wipe".into(),
            follow_ups: Vec::new(),
            link: Some(Transport::Tls),
            recent_secure_commands: 0,
            now: 0,
        };
        assert!(matches!(rules.decide(&facts), Decision::Refuse(_)));
    }
}
