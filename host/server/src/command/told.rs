//! The requester hears of every step: a notification in the inbox, for each of the user's devices.

use std::sync::Arc;

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use postern_guest::roles::store::{self, Address, Class as StoredClass};
use postern_store::CommandRow;
use serde::{Deserialize, Serialize};
use tracing::warn;

use super::Commands;
use crate::{
    clock,
    control::ingest::{Delivery, Incoming, Outcome},
};

/// A command as its requester sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommandView {
    /// 32 hex digits.
    pub id: String,
    /// Whom it is for.
    pub terminal: String,
    /// Who asked.
    pub requester: String,
    /// The requester's own name for it.
    pub key: String,
    /// Such as `remote-control`.
    pub class: String,
    /// `accepted`, `waiting`, `sent`, `acknowledged`, `done`, `failed`, `unknown`, `expired` or `cancelled`.
    pub state: String,
    /// Whether it travels on TLS only.
    pub needs_tls: bool,
    /// What the terminal said of it, when it is UTF-8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<String>,
    /// Base64 (standard, padded) of what is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result_base64: Option<String>,
    /// Milliseconds since 1970, as the following.
    pub created_at: u64,
    /// After this it is not executed any more.
    pub expires_at: u64,
    /// When it came to its state.
    pub updated_at: u64,
}

impl From<&CommandRow> for CommandView {
    fn from(row: &CommandRow) -> Self {
        let text = String::from_utf8(row.outcome.clone());
        let (result, result_base64) = match text {
            Ok(text) if text.is_empty() => (None, None),
            Ok(text) => (Some(text), None),
            Err(e) => (None, Some(STANDARD.encode(e.as_bytes()))),
        };
        CommandView {
            id: row.id.clone(),
            terminal: row.terminal.clone(),
            requester: row.requester.clone(),
            key: row.request_key.clone(),
            class: row.class.clone(),
            state: row.state.clone(),
            needs_tls: row.needs_tls,
            result,
            result_base64,
            created_at: row.created_at,
            expires_at: row.expires_at,
            updated_at: row.updated_at,
        }
    }
}

impl Commands {
    /// Pushes a command's state to its requester. It passes classify as all that the server pushes does
    /// (A12). What could not be pushed, also for a crash, can be asked for.
    ///
    /// It has its place among what is told as soon as this returns; the future ends when it is stored. The
    /// way to the terminal does not wait for that.
    pub(super) fn tell(&self, command: &CommandRow) -> impl Future<Output = ()> + Send + 'static {
        let submitted = self.notification(command).map(|incoming| self.ingest.try_submit(incoming));
        let command = command.id.clone();
        async move {
            let Some(submitted) = submitted else { return };
            let Some(outcome) = submitted else {
                return warn!(command, "a step was not pushed: too much waits to be stored");
            };
            match outcome.await.map(|mut outcomes| outcomes.pop()) {
                Ok(Some(Outcome::Durable)) => {}
                other => warn!(command, ?other, "a step was not pushed"),
            }
        }
    }

    fn notification(&self, command: &CommandRow) -> Option<Incoming> {
        let mut view = CommandView::from(command);
        if self.needs_tls(command) {
            // A policy may let notifications go out on plain: the result is asked for, by HTTPS.
            (view.result, view.result_base64) = (None, None);
        }
        let body = Bytes::from(serde_json::to_vec(&view).ok()?);
        let now = clock::now();
        let message = self.push.notification(&command.requester, body, now)?;
        let stored = store::Message {
            id: format!("{}-{}", command.id, command.state),
            class: StoredClass::Notification,
            sender: command.terminal.clone(),
            sender_device: String::new(),
            to: Address::User(command.requester.clone()),
            topic: message.topic.to_string(),
            body: message.payload.clone(),
            properties: Bytes::new(),
            sent_at: now.0,
            expires_at: None,
            recipients: Arc::new(vec![command.requester.clone()]),
        };
        Some(Incoming { stored, delivery: Delivery::new(message, None) })
    }
}
