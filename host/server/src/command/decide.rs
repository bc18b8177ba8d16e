//! Which way a command travels (B3 to B7): the policy plugin's answer, and the host's floor under it.

use postern_guest::{
    CallError,
    roles::{
        encrypt::{Decision, EncryptError, Facts},
        types::Transport,
    },
};
use postern_store::CommandRow;
use tracing::warn;

use super::Commands;

const DAY: u64 = 86_400_000;

/// Which way a command travels on a link, or without one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Way {
    /// Now, on this link; the terminal is told when it must not accept it on plain.
    Now {
        /// On TLS only.
        must_encrypt: bool,
    },
    /// On TLS, which this link is not.
    OnTls,
    /// It waits for the terminal; nothing needs to be encrypted.
    Later,
    /// The policy refuses it; the text is for the requester.
    Refused(String),
    /// The policy plugin gives no answer: nothing is sent (C6).
    Down,
}

impl Commands {
    /// Which way a command travels. `secure` are the times of commands that needed TLS.
    pub fn way(&self, command: &CommandRow, link: Option<Transport>, secure: &[u64], now: u64) -> Way {
        let recent = secure.iter().filter(|at| **at + DAY > now).count();
        let facts = |link| Facts {
            terminal: command.terminal.clone(),
            requester: command.requester.clone(),
            command_class: command.class.clone(),
            follow_ups: command.follow_ups.lines().map(str::to_owned).collect(),
            link,
            recent_secure_commands: u32::try_from(recent).unwrap_or(u32::MAX),
            now,
        };
        let mut needs_tls = self.needs_tls(command);
        if !needs_tls && link != Some(Transport::Plain) {
            // On TLS a policy need not say what it would say on plain; the result may go there.
            match self.decide(facts(Some(Transport::Plain))) {
                Some(decision) => needs_tls = decision == Decision::SaveAndInstruct,
                None => return Way::Down,
            }
        }
        match self.decide(facts(link)) {
            Some(decision) => judge(decision, needs_tls, link),
            None => Way::Down,
        }
    }

    fn decide(&self, facts: Facts) -> Option<Decision> {
        match self.slots.encrypt().decide(facts) {
            Ok(decision) => return Some(decision),
            Err(CallError::Answer(EncryptError::Unavailable(why))) => warn!(why, "role encrypt"),
            Err(CallError::Down(down)) => warn!(%down, "role encrypt"),
        }
        None
    }

    /// Whether a command and all that belongs to it travels on TLS only, whatever the policy says by now.
    pub(super) fn needs_tls(&self, command: &CommandRow) -> bool {
        let mut classes = std::iter::once(command.class.as_str()).chain(command.follow_ups.lines());
        let floor = &self.policy.load().must_encrypt;
        command.needs_tls || classes.any(|class| floor.contains(class))
    }
}

/// The plugin's answer above the floor: what is under it goes on TLS whatever the answer says.
fn judge(decision: Decision, needs_tls: bool, link: Option<Transport>) -> Way {
    let needs_tls = needs_tls || decision == Decision::SaveAndInstruct;
    match (decision, link) {
        (Decision::Refuse(why), _) => Way::Refused(why),
        (_, Some(Transport::Tls)) => Way::Now { must_encrypt: needs_tls },
        (_, _) if needs_tls => Way::OnTls,
        (Decision::SendNow, Some(Transport::Plain)) => Way::Now { must_encrypt: false },
        _ => Way::Later,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c1_no_answer_lowers_the_floor() {
        for decision in [Decision::SendNow, Decision::Save, Decision::SaveAndInstruct] {
            for link in [None, Some(Transport::Plain)] {
                assert_eq!(judge(decision.clone(), true, link), Way::OnTls, "{decision:?} {link:?}");
            }
            let on_tls = judge(decision, true, Some(Transport::Tls));
            assert_eq!(on_tls, Way::Now { must_encrypt: true });
        }
    }

    #[test]
    fn b7_what_needs_no_encryption_goes_on_the_link_there_is() {
        for link in [Transport::Plain, Transport::Tls] {
            assert_eq!(judge(Decision::SendNow, false, Some(link)), Way::Now { must_encrypt: false });
        }
        assert_eq!(judge(Decision::Save, false, None), Way::Later);
        let refused = judge(Decision::Refuse("no".into()), true, Some(Transport::Tls));
        assert_eq!(refused, Way::Refused("no".into()));
    }
}
