//! A request for a command becomes one: checked, judged, saved; then the terminal is looked after
//! (B2, B3, B5).

use std::sync::Arc;

use base64::{Engine, engine::general_purpose::STANDARD};
use postern_broker::topic::TopicName;
use postern_store::{CommandRow, Inserted};
use postern_trace::{follow, step};
use serde::{Deserialize, Serialize};
use ulid::Ulid;

use super::{Commands, crash, decide::Way, deliver::id_text, state::State};
use crate::{
    clock,
    control::{topics::is_id, wire::Denied},
    mqtt::rights::Rights,
};

/// Bytes of a body, at most.
const BODY: usize = 16 * 1024;
/// Follow-ups, at most.
const FOLLOW_UPS: usize = 16;
/// Seconds that a command is good when the requester does not say, and at most.
const EXPIRY: (u32, u32) = (300, 7 * 86_400);

/// What is asked for, by HTTPS or MQTT.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewCommand {
    /// The terminal's user id; left out by MQTT, where the topic has it.
    #[serde(default)]
    pub terminal: String,
    /// Such as `remote-control`: 1 to 32 of `a-z 0-9 -`.
    pub class: String,
    /// What to do, as text.
    #[serde(default)]
    pub body: Option<String>,
    /// What to do, in base64 (standard, padded), where it is no text.
    #[serde(default)]
    pub body_base64: Option<String>,
    /// Classes of what will follow.
    #[serde(default)]
    pub follow_ups: Vec<String>,
    /// Seconds until it is not executed any more. Default 300, at most 7 days.
    #[serde(default)]
    pub expires_in_secs: Option<u32>,
    /// The requester's own name for it, 1 to 64 bytes: asked twice, it is one command. Default: always a new
    /// one.
    #[serde(default)]
    pub key: Option<String>,
}

impl Commands {
    /// Saves a command for a terminal that this user may control, and looks after the terminal.
    ///
    /// # Errors
    /// `Denied` without the right to publish `cmd/{terminal}/ask`, before anything is saved or sent;
    /// `Invalid` with what is wrong, or what the policy says; `RetryAfter` when too many wait;
    /// `Unavailable` when the policy or the store is down.
    pub async fn accept(
        self: &Arc<Self>,
        requester: &str,
        rights: &Rights,
        asked: NewCommand,
    ) -> Result<CommandRow, Denied> {
        let invalid = |detail: &str| Denied::Invalid { detail: detail.to_owned() };
        if !is_id(&asked.terminal) {
            return Err(invalid("terminal must be a user id"));
        }
        let topic = TopicName::try_from(&*format!("cmd/{}/ask", asked.terminal));
        if !topic.is_ok_and(|topic| rights.may_publish(&topic)) {
            metrics::counter!("postern_refused_total", "reason" => "command-right").increment(1);
            return Err(Denied::Denied);
        }
        let now = clock::now().0;
        let mut command = checked(requester, asked, now).map_err(|detail| invalid(&detail))?;
        let unavailable = |e: postern_store::SqlError| Denied::Unavailable { detail: e.to_string() };
        let secure = self.store.secure_times(&command.terminal).await.map_err(unavailable)?;
        let link = self.links.of(&command.terminal).map(|terminal| terminal.transport);
        match self.way(&command, link, &secure, now) {
            Way::Refused(why) => return Err(Denied::Invalid { detail: why }),
            Way::Down => return Err(Denied::Unavailable { detail: "the encryption policy is down".into() }),
            Way::OnTls => command.needs_tls = true,
            Way::Now { must_encrypt } => command.needs_tls |= must_encrypt,
            Way::Later => {}
        }
        crash::point("command.saving");
        let asked = command.clone();
        let saved = step("store.command", self.store.insert(command, self.limits.commands_per_requester));
        let saved = saved.await.map_err(unavailable)?;
        match saved {
            Inserted::Known(known) if is_same(&known, &asked) => Ok(known),
            Inserted::Known(_) => Err(invalid("this key names another command of yours")),
            Inserted::Full => {
                metrics::counter!("postern_refused_total", "reason" => "commands-waiting").increment(1);
                Err(Denied::RetryAfter { secs: 10 })
            }
            Inserted::New(command) => {
                crash::point("command.saved");
                metrics::counter!("postern_commands_total", "state" => "accepted").increment(1);
                self.tasks.spawn(follow(self.tell(&command)));
                let (this, terminal) = (self.clone(), command.terminal.clone());
                let sequence = command.instruction_sequence();
                // The requester has its answer as soon as it is saved.
                self.tasks.spawn(follow(async move { this.look_after(&terminal, sequence).await }));
                Ok(command)
            }
        }
    }
}

fn checked(requester: &str, asked: NewCommand, now: u64) -> Result<CommandRow, String> {
    let NewCommand { terminal, class, body, body_base64, follow_ups, expires_in_secs, key } = asked;
    if !std::iter::once(&class).chain(&follow_ups).all(|class| is_class(class)) {
        return Err("class and follow_ups must be 1 to 32 of a-z 0-9 -".to_owned());
    }
    if follow_ups.len() > FOLLOW_UPS {
        return Err(format!("at most {FOLLOW_UPS} follow_ups"));
    }
    let body = match (body, body_base64) {
        (Some(_), Some(_)) => return Err("give one of body and body_base64".to_owned()),
        (Some(text), None) => text.into_bytes(),
        (None, Some(coded)) => STANDARD.decode(coded).map_err(|_| "body_base64 is not base64".to_owned())?,
        (None, None) => Vec::new(),
    };
    if body.len() > BODY {
        return Err(format!("a body has at most {BODY} bytes"));
    }
    let expires_in_secs = expires_in_secs.unwrap_or(EXPIRY.0);
    if !(1..=EXPIRY.1).contains(&expires_in_secs) {
        return Err(format!("expires_in_secs must be 1 to {}", EXPIRY.1));
    }
    let request_key = key.unwrap_or_else(|| Ulid::new().to_string());
    if !(1..=64).contains(&request_key.len()) {
        return Err("key has 1 to 64 bytes".to_owned());
    }
    Ok(CommandRow {
        id: id_text(u128::from(Ulid::new()).to_be_bytes()),
        terminal,
        requester: requester.to_owned(),
        request_key,
        class,
        follow_ups: follow_ups.join("\n"),
        body,
        state: State::Accepted.name().to_owned(),
        needs_tls: false,
        sequence: 0,
        outcome: Vec::new(),
        created_at: now,
        expires_at: now + u64::from(expires_in_secs) * 1_000,
        updated_at: now,
    })
}

/// Whether two requests ask for the same.
fn is_same(a: &CommandRow, b: &CommandRow) -> bool {
    (&a.terminal, &a.class, &a.follow_ups, &a.body) == (&b.terminal, &b.class, &b.follow_ups, &b.body)
}

fn is_class(class: &str) -> bool {
    (1..=32).contains(&class.len())
        && class.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}
