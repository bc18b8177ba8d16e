//! What the generator says of every message at the end, and what of it must be nought.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::events::Event;

/// A figure that must be nought.
pub(crate) struct Entry {
    pub(crate) name: &'static str,
    pub(crate) of: u64,
    pub(crate) wrong: u64,
}

/// A run and everything that came of it but its samples.
#[derive(Serialize, Deserialize)]
pub(crate) struct Outcome {
    pub(crate) machine: Vec<(String, String)>,
    pub(crate) command: String,
    pub(crate) secs: f64,
    pub(crate) phones: usize,
    pub(crate) answer: Value,
    pub(crate) events: Vec<Event>,
    /// Bytes of each file of the data folder before the first and after the last start.
    pub(crate) before: BTreeMap<String, f64>,
    pub(crate) after: BTreeMap<String, f64>,
    /// Lines of the server's log, by level.
    pub(crate) log: Vec<(String, usize)>,
}

impl Outcome {
    pub(crate) fn count(&self, what: &str) -> u64 {
        self.answer["counts"][what].as_u64().unwrap_or(0)
    }

    fn chat(&self, what: &str) -> u64 {
        self.answer["chat"][what].as_u64().unwrap_or(0)
    }

    /// Everything that was promised to nobody in vain.
    pub(crate) fn books(&self) -> Vec<Entry> {
        let entry = |name, of, wrong| Entry { name, of, wrong };
        let differ = |sent: &str, came: &str| self.count(sent).abs_diff(self.count(came));
        let acked = self.chat("acked");
        let faults = self.events.iter().filter(|event| event.fault.is_some()).count();
        vec![
            entry("stored messages never acknowledged", self.count("stored_sent"), {
                self.count("stored_sent").abs_diff(acked)
            }),
            entry("acknowledged, not delivered", acked, self.chat("not_delivered")),
            entry("acknowledged, not in history", acked, self.chat("not_in_history")),
            entry("twice in history", self.chat("read"), self.chat("twice_in_history")),
            entry("delivered, sent by nobody", acked, self.chat("foreign")),
            entry("QoS 2 to durable sessions, lost", self.count("exact_sent"), {
                self.count("exact_lost").max(differ("exact_sent", "exact_came"))
            }),
            entry("QoS 2 to durable sessions, doubled", self.count("exact_sent"), self.count("exact_twice")),
            entry("QoS 1 to durable sessions, lost", self.count("least_sent"), {
                self.count("least_lost").max(differ("least_sent", "least_came"))
            }),
            entry("QoS 1 and 2 never finished", self.count("exact_sent"), self.count("unfinished")),
            entry("QoS 0 and 1 on links that stay, lost", self.count("flow_sent"), {
                self.count("flow_lost").max(differ("flow_sent", "flow_came"))
            }),
            entry(
                "QoS 0 and 1 on links that stay, doubled",
                self.count("flow_sent"),
                self.count("flow_twice"),
            ),
            entry("wills not published once", self.count("wills_left"), {
                differ("wills_left", "wills_heard") + self.count("wills_twice")
            }),
            entry("commands not executed once", self.count("commands"), {
                self.count("commands_lost") + self.count("commands_twice")
            }),
            entry("unexpected ends and answers", self.count("visits"), self.count("faults")),
            entry("operator's work that failed", self.events.len() as u64, faults as u64),
        ]
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_was_sent_and_did_not_come_is_wrong() {
        let outcome = Outcome {
            machine: vec![],
            command: String::new(),
            secs: 60.0,
            phones: 2,
            answer: json!({
                "counts": { "stored_sent": 10, "exact_sent": 5, "exact_came": 4, "exact_twice": 1, "faults": 2 },
                "chat": { "acked": 10, "not_in_history": 3 },
            }),
            events: vec![],
            before: BTreeMap::new(),
            after: BTreeMap::new(),
            log: vec![],
        };
        let wrong: Vec<_> = outcome.books().into_iter().filter(|entry| entry.wrong > 0).collect();
        let wrong: Vec<_> = wrong.iter().map(|entry| (entry.name, entry.wrong)).collect();
        assert_eq!(
            wrong,
            [
                ("acknowledged, not in history", 3),
                ("QoS 2 to durable sessions, lost", 1),
                ("QoS 2 to durable sessions, doubled", 1),
                ("unexpected ends and answers", 2),
            ]
        );
    }
}
