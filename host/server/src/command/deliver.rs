//! A command on its way to a terminal: authenticated for this very link, marked, written.

use std::sync::Arc;

use bytes::Bytes;
use postern_broker::{
    Message,
    topic::TopicName,
    wire::{QoS, Text},
};
use postern_guest::Key;
use postern_store::CommandRow;
use postern_trace::{follow, step};
use tracing::warn;

use super::{Commands, crash, format::Command, links::Terminal, state::State};
use crate::clock;

/// What became of a command on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Delivered {
    /// It is written to the link.
    Written,
    /// It ended meanwhile: taken back, or expired.
    Ended,
    /// It was not taken: to be tried again, and those behind it after it.
    NotNow,
}

impl Commands {
    /// Writes a command to the terminal's link, and to no other: whatever link comes after it gets
    /// nothing of it.
    pub(super) async fn deliver(
        &self,
        terminal: &Terminal,
        command: &CommandRow,
        must_encrypt: bool,
    ) -> Delivered {
        step("command.deliver", self.deliver_now(terminal, command, must_encrypt)).await
    }

    async fn deliver_now(&self, terminal: &Terminal, command: &CommandRow, must_encrypt: bool) -> Delivered {
        let Some(key) = self.key_of(terminal).await else { return Delivered::NotNow };
        let bytes = Command {
            terminal: &terminal.user,
            transport: terminal.transport,
            must_encrypt,
            id: id_bytes(&command.id),
            sequence: command.sequence,
            expires_at: command.expires_at,
            class: &command.class,
            body: &command.body,
        }
        .authenticated(&key);
        crash::point("command.marking");
        // Marked first: what was sent and not marked would be told as if it still waited.
        if let Some(not) = self.mark(command).await {
            return not;
        }
        let sent = self.to_link(terminal, format!("cmd/{}/do", terminal.user), bytes);
        crash::point("command.sent");
        if sent { Delivered::Written } else { Delivered::NotNow }
    }

    /// Marks a command as sent; gives why it is not.
    async fn mark(&self, command: &CommandRow) -> Option<Delivered> {
        if !State::Sent.after().contains(&&*command.state) {
            return None; // sent before
        }
        match self.advance(command, State::Sent, &[]).await {
            Ok(Some(changed)) => {
                self.tasks.spawn(follow(self.tell(&changed)));
                None
            }
            Ok(None) => match self.store.get(&command.id).await {
                // Another link's look was first: it is sent again on this one.
                Ok(Some(now)) if State::Done.after().contains(&&*now.state) => Some(Delivered::NotNow),
                Ok(_) => Some(Delivered::Ended),
                Err(_) => Some(Delivered::NotNow),
            },
            Err(e) => {
                warn!(error = %e, command = command.id, "commands");
                Some(Delivered::NotNow)
            }
        }
    }

    /// A message of the server's own for this link alone.
    pub(super) fn to_link(&self, terminal: &Terminal, topic: String, bytes: Vec<u8>) -> bool {
        let Ok(topic) = TopicName::new(Text::from(topic)) else { return false };
        let message = Message::new(topic, Bytes::from(bytes), QoS::AtLeastOnce, clock::now());
        self.broker.deliver_to_link(&terminal.link, &Arc::new(message))
    }

    /// What authenticates commands to the holder of the link's token, and their results.
    pub(super) async fn key_of(&self, terminal: &Terminal) -> Option<Key> {
        let ask = || self.slots.token().command_key(&terminal.token_id, clock::now().0);
        match terminal.key.get_or_try_init(ask).await {
            Ok(key) => Some(key.clone()),
            Err(e) => {
                warn!(error = %e, "role token: no key for commands");
                None
            }
        }
    }
}

/// 32 hex digits → 16 bytes.
pub fn id_bytes(id: &str) -> [u8; 16] {
    u128::from_str_radix(id, 16).unwrap_or_default().to_be_bytes()
}

/// 16 bytes → 32 hex digits.
pub fn id_text(id: [u8; 16]) -> String {
    format!("{:032x}", u128::from_be_bytes(id))
}
