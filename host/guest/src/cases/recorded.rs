//! Live calls as cases: to be run again, with another component.

use std::time::{Duration, Instant};

use serde_json::{Map, Value as Json, json};

use super::{Case, Cases, Sender, value::bytes_as_json};
use crate::plugin::Plugin;
use crate::roles::classify::{Class, ClassifyError, Origin, Verdict};
use crate::roles::encrypt::{Decision, EncryptError, Facts, History};
use crate::watch::{Call, Message, Watching};

impl Cases {
    /// Takes calls until there are `most`, or `time` is over. Blocks the calling thread.
    pub fn record(plugin: &Plugin, watching: &Watching, most: usize, time: Duration) -> Cases {
        let until = Instant::now() + time;
        let mut cases = Vec::new();
        while cases.len() < most {
            let Some(observed) = watching.next(until) else { break };
            cases.push(case(&observed.call));
        }
        Cases { config: plugin.granted.config.clone(), cases }
    }
}

fn case(call: &Call) -> Case {
    let (call, sender, input, expect) = match call {
        Call::Classify(message, answer) => {
            ("classify.classify", sender(message), message_json(message), outcome(answer, verdict, refusal))
        }
        Call::Decide(facts, answer) => {
            ("policy.decide", None, facts_json(facts), outcome(answer, decision, unavailable))
        }
        Call::IdlePeriod(history, answer) => (
            "policy.idle-period",
            None,
            history_json(history),
            outcome(answer, |secs| json!(secs), unavailable),
        ),
    };
    let input = input.as_object().cloned().unwrap_or_else(Map::new);
    Case { name: String::new(), call: call.to_owned(), sender, input, expect: Some(expect) }
}

fn outcome<T, E>(answer: &Result<T, E>, ok: impl Fn(&T) -> Json, err: impl Fn(&E) -> Json) -> Json {
    match answer {
        Ok(answer) => json!({ "ok": ok(answer) }),
        Err(error) => json!({ "err": err(error) }),
    }
}

fn sender(message: &Message) -> Option<Sender> {
    let sender = message.sender.as_ref()?;
    Some(Sender { client_id: sender.client_id.clone(), profile: sender.profile.clone() })
}

fn message_json(message: &Message) -> Json {
    let origin = match message.origin {
        Origin::Client => "client",
        Origin::ControlUnit => "control-unit",
    };
    let mut facts = json!({
        "topic": message.topic,
        "payload": bytes_as_json(&message.payload),
        "qos": message.qos,
        "retain": message.retain,
        "origin": origin,
        "transport": message.transport,
        "relation": message.relation,
        "now": message.now,
    });
    let user = message.sender.as_ref().and_then(|sender| sender.profile.as_ref()).map(|it| &it.user);
    if let (Some(facts), Some(user)) = (facts.as_object_mut(), user) {
        facts.insert("sender".to_owned(), json!(user)); // TOML has no null
    }
    json!({ "facts": facts })
}

fn verdict(verdict: &Verdict) -> Json {
    let class = match verdict.class {
        Class::Notification => "notification",
        Class::Status => "status",
        Class::Instant => "instant",
        Class::Command => "command",
        Class::Other => "other",
    };
    let mut said = json!({ "class": class, "holds": verdict.holds });
    if let (Some(said), Some(payload)) = (said.as_object_mut(), &verdict.payload) {
        said.insert("payload".to_owned(), bytes_as_json(payload));
    }
    said
}

fn refusal(error: &ClassifyError) -> Json {
    match error {
        ClassifyError::Refused(text) => json!({ "refused": text }),
        ClassifyError::Unavailable(text) => json!({ "unavailable": text }),
    }
}

fn facts_json(facts: &Facts) -> Json {
    let mut said = json!({
        "terminal": facts.terminal,
        "requester": facts.requester,
        "command-class": facts.command_class,
        "follow-ups": facts.follow_ups,
        "recent-secure-commands": facts.recent_secure_commands,
        "now": facts.now,
    });
    if let (Some(said), Some(link)) = (said.as_object_mut(), facts.link) {
        said.insert("link".to_owned(), json!(link));
    }
    json!({ "facts": said })
}

fn decision(decision: &Decision) -> Json {
    match decision {
        Decision::SendNow => json!("send-now"),
        Decision::SaveAndInstruct => json!("save-and-instruct"),
        Decision::Save => json!("save"),
        Decision::Refuse(text) => json!({ "refuse": text }),
    }
}

fn history_json(history: &History) -> Json {
    json!({ "history": {
        "terminal": history.terminal,
        "keep-alive-secs": history.keep_alive_secs,
        "ping-bytes-plain": history.ping_bytes_plain,
        "ping-bytes-tls": history.ping_bytes_tls,
        "switch-bytes": history.switch_bytes,
        "secure-commands": history.secure_commands,
        "now": history.now,
    } })
}

fn unavailable(error: &EncryptError) -> Json {
    match error {
        EncryptError::Unavailable(text) => json!({ "unavailable": text }),
    }
}
