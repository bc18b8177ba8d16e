//! Everything needs TLS.

mod bindings {
    wit_bindgen::generate!({
        path: ["../../../wit/host", "../../../wit/encrypt"],
        world: "postern:encrypt/encrypt-plugin",
        generate_all,
    });
    export!(Plugin);
    use super::Plugin;
}

use bindings::exports::postern::encrypt::policy::{Decision, EncryptError, Facts, Guest, History, Transport};
use rogue::{Mode, giant};

rogue::lifecycle!(Ok(()));

impl Guest for Plugin {
    fn decide(facts: Facts) -> Result<Decision, EncryptError> {
        let boom = facts.terminal == "boom" || facts.requester == "boom";
        Ok(match (orders().carry_out(boom, log), facts.link) {
            (Mode::Nonsense, _) => Decision::SendNow, // plain is fine
            (Mode::Giant, _) => Decision::Refuse(giant()),
            (_, Some(Transport::Tls)) => Decision::SendNow,
            _ => Decision::SaveAndInstruct,
        })
    }

    fn idle_period(history: History) -> Result<u32, EncryptError> {
        Ok(match orders().carry_out(history.terminal == "boom", log) {
            Mode::Nonsense => u32::MAX,
            _ => 30,
        })
    }
}
