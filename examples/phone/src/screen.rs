//! What the person sees: one line for each thing that happens, made to be read by programs too.

use phone::{Login, Message};
use rumqttc::v5::mqttbytes::v5::Publish;
use serde::Deserialize;

/// A line about us.
pub(crate) fn say(line: &str) {
    println!("* {line}");
}

/// After a login: who we are and whom we may see.
pub(crate) fn logged_in(login: &Login) {
    say(&format!("logged in as {} ({}, {})", login.profile.name, login.user, login.profile.org));
    for person in login.people() {
        say(&format!("directory: {} {} ({}, {})", person.user, person.name, person.org, person.relation));
    }
}

/// What a topic and body say to a person.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Shown {
    /// A line to print.
    Line(String),
    /// Somebody came or went.
    Presence {
        /// Who.
        user: String,
        /// Whether the user is there now.
        online: bool,
    },
}

/// Reads a delivered message by its topic (A16).
pub(crate) fn show(publish: &Publish) -> Shown {
    let topic = String::from_utf8_lossy(&publish.topic);
    read(&topic, &String::from_utf8_lossy(&publish.payload))
}

/// A step of a command of ours, as the server pushes it.
#[derive(serde::Deserialize)]
struct Step {
    terminal: String,
    state: String,
    result: Option<String>,
}

fn read(topic: &str, body: &str) -> Shown {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Status {
        state: String,
    }
    let levels: Vec<&str> = topic.split('/').collect();
    match levels.as_slice() {
        ["im", "u", _, from] => Shown::Line(format!("[{from}] {body}")),
        ["im", "g", group, from] => Shown::Line(format!("[#{group} {from}] {body}")),
        ["note", ..] => match serde_json::from_str::<Step>(body) {
            Ok(Step { terminal, state, result }) => {
                let result = result.map(|result| format!(" ({result})")).unwrap_or_default();
                Shown::Line(format!("[command] {terminal}: {state}{result}"))
            }
            Err(_) => Shown::Line(format!("[notification] {body}")),
        },
        ["status", user] => {
            let status: Status = serde_json::from_str(body).unwrap_or_default();
            Shown::Presence { user: (*user).to_owned(), online: status.state == "online" }
        }
        _ => Shown::Line(format!("[{topic}] {body}")),
    }
}

/// A line of history.
pub(crate) fn history(message: &Message) {
    let body = message.body.as_deref().unwrap_or("(not text)");
    println!("# {} {}: {body}", message.seq, message.from);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_become_lines() {
        assert_eq!(read("im/u/bob/alice", "hi"), Shown::Line("[alice] hi".to_owned()));
        assert_eq!(read("im/g/ops/alice", "hi"), Shown::Line("[#ops alice] hi".to_owned()));
        assert_eq!(read("note/all", "x"), Shown::Line("[notification] x".to_owned()));
        let step = r#"{"id":"1","terminal":"car-1","state":"done","result":"open"}"#;
        assert_eq!(read("note/u/alice", step), Shown::Line("[command] car-1: done (open)".to_owned()));
        let came = Shown::Presence { user: "bob".to_owned(), online: true };
        assert_eq!(read("status/bob", r#"{"user":"bob","state":"online","since":1}"#), came);
        let went = Shown::Presence { user: "bob".to_owned(), online: false };
        assert_eq!(read("status/bob", ""), went);
    }
}
