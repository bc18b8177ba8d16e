//! The class by the topic's prefix, from anyone.

mod bindings {
    wit_bindgen::generate!({
        path: ["../../../wit/host", "../../../wit/classify"],
        world: "postern:classify/classify-plugin",
        generate_all,
    });
    export!(Plugin);
    use super::Plugin;
}

use bindings::exports::postern::classify::classify::{Class, ClassifyError, Facts, Guest, Verdict};
use rogue::{Mode, giant};

rogue::lifecycle!(Ok(()));

impl Guest for Plugin {
    fn classify(facts: Facts) -> Result<Verdict, ClassifyError> {
        let by_boom = facts.sender.as_deref() == Some("boom");
        let mode = orders().carry_out(by_boom || facts.topic.ends_with("/boom"), log);
        let class = match facts.topic.split('/').next() {
            // Never the class of the prefix.
            Some("im") if mode == Mode::Nonsense => Class::Other,
            _ if mode == Mode::Nonsense => Class::Instant,
            Some("im") => Class::Instant,
            Some("note") => Class::Notification,
            Some("status") => Class::Status,
            Some("cmd" | "link") => Class::Command,
            _ => Class::Other,
        };
        let payload = (mode == Mode::Giant).then(|| giant().into_bytes());
        Ok(Verdict { class, payload, holds: false })
    }
}
