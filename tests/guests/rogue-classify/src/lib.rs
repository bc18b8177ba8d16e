//! The class by the topic's prefix, from anyone. Told to `name-sender`, it answers with the sender's client
//! id and user as body.

mod bindings {
    wit_bindgen::generate!({
        path: ["../../../wit/host", "../../../wit/classify"],
        world: "postern:classify/classify-plugin",
        generate_all,
    });
    export!(Plugin);
    use super::Plugin;
}

use bindings::{
    exports::postern::classify::classify::{Class, ClassifyError, Facts, Guest, Verdict},
    postern::classify::sender,
};
use rogue::{Mode, giant};

rogue::lifecycle!(nobody_sends());

/// Outside a call there is no sender.
fn nobody_sends() -> Result<(), String> {
    let sender = named_sender();
    if sender == " " { Ok(()) } else { Err(format!("{sender} sends outside a call")) }
}

fn named_sender() -> String {
    let user = sender::profile().map_or_else(String::new, |profile| profile.user);
    format!("{} {user}", sender::client_id())
}

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
        let payload = match orders().misbehave.as_deref() {
            Some("name-sender") => Some(named_sender().into_bytes()),
            _ => (mode == Mode::Giant).then(|| giant().into_bytes()),
        };
        Ok(Verdict { class, payload, holds: false })
    }
}
