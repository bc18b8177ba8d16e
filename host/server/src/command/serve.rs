//! What waits for a terminal, on the link that it has now: sent, or it is told to come in through TLS
//! (B4 to B8, B13). All ways lead here: a new command, a query, another node's word, a repeat.

use std::sync::{Arc, atomic::Ordering};

use bytes::Bytes;
use postern_guest::roles::types::Transport;
use postern_trace::{Work, step};
use serde::{Deserialize, Serialize};
use tracing::warn;

use super::{Commands, RETRY, decide::Way, deliver::Delivered, links::Terminal, state::State};
use crate::clock;

/// Told to all nodes: something waits for a terminal.
#[derive(Debug, Serialize, Deserialize)]
pub struct Waits {
    /// Its user id.
    pub terminal: String,
    /// What is worked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<String>,
}
impl Waits {
    /// Broadcast subject.
    pub const SUBJECT: &'static str = "command.waits";
}

impl Commands {
    /// A new command waits for a terminal: served here if its link is here, else by the node that has it.
    /// `sequence` was taken for the instruction that it may take.
    pub async fn look_after(self: &Arc<Self>, terminal: &str, sequence: u64) {
        if let Some(terminal) = self.links.of(terminal) {
            return self.serve_numbered(&terminal, Some(sequence)).await;
        }
        let waits = Waits { terminal: terminal.to_owned(), trace: Work::now().carried() };
        let Ok(body) = serde_json::to_vec(&waits) else { return };
        if let Err(e) = self.bus.publish(Waits::SUBJECT, Bytes::from(body)).await {
            // It is found at the terminal's next query.
            warn!(error = %e, "bus");
        }
    }

    /// Whether who asked for a command is still a user, and not locked. While nobody knows, it is so.
    async fn is_still_there(&self, requester: &str) -> bool {
        !matches!(self.people.person(requester).await, Ok(None))
    }

    /// Another node says that something waits.
    pub fn heard(self: &Arc<Self>, waits: &Waits) {
        if let Some(terminal) = self.links.of(&waits.terminal) {
            let this = self.clone();
            let work: Work = waits.trace.as_deref().and_then(|text| text.parse().ok()).unwrap_or_default();
            self.tasks.spawn(work.run(async move { this.serve(&terminal).await }));
        }
    }

    /// Sends what may go out on this link, in the order of acceptance.
    pub async fn serve(self: &Arc<Self>, terminal: &Arc<Terminal>) {
        self.serve_numbered(terminal, None).await;
    }

    /// The same; an instruction is given `sequence`, if there is one.
    async fn serve_numbered(self: &Arc<Self>, terminal: &Arc<Terminal>, sequence: Option<u64>) {
        step("command.serve", self.serve_in_turn(terminal, sequence)).await;
    }

    async fn serve_in_turn(self: &Arc<Self>, terminal: &Arc<Terminal>, sequence: Option<u64>) {
        let mut sent = terminal.sent.lock().await;
        if terminal.asked.swap(false, Ordering::AcqRel) {
            sent.clear();
        }
        let now = clock::now().0;
        let found = async {
            let open = self.store.open_of(&terminal.user).await?;
            let secure =
                if open.is_empty() { Vec::new() } else { self.store.secure_times(&terminal.user).await? };
            Ok::<_, postern_store::SqlError>((open, secure))
        };
        let (open, secure) = match found.await {
            Ok(found) => found,
            Err(e) => {
                warn!(error = %e, "commands");
                return self.links.look_at(now + RETRY, terminal);
            }
        };
        let (mut on_tls, mut later, mut secured, mut stuck) = (Vec::new(), Vec::new(), false, false);
        for command in &open {
            let unsent = State::Sent.after().contains(&&*command.state);
            // What was sent is asked after even when it has expired: the terminal may have executed it.
            if sent.contains(&command.id) || (unsent && command.expires_at <= now) {
                continue;
            }
            if unsent && !self.is_still_there(&command.requester).await {
                self.step(command, State::Failed, b"who asked for it is gone").await;
                continue;
            }
            match self.way(command, Some(terminal.transport), &secure, now) {
                Way::Now { must_encrypt } => match self.deliver(terminal, command, must_encrypt).await {
                    Delivered::Written => {
                        sent.insert(command.id.clone());
                        secured |= must_encrypt;
                    }
                    Delivered::Ended => {}
                    Delivered::NotNow => {
                        stuck = true;
                        break;
                    }
                },
                Way::OnTls => {
                    if !command.needs_tls && self.store.needs_tls(&command.id).await.is_err() {
                        stuck = true; // its result would go out on plain
                    }
                    on_tls.push(command);
                }
                Way::Later => later.push(command),
                // What may have been executed ends by what the terminal says.
                Way::Refused(why) if unsent => self.step(command, State::Failed, why.as_bytes()).await,
                Way::Refused(_) => {}
                Way::Down => stuck = true,
            }
        }
        drop(sent);
        if !on_tls.is_empty() {
            let why = format!("{} commands wait", on_tls.len());
            self.instruct(terminal, Transport::Tls, &why, sequence).await;
        } else if terminal.transport == Transport::Plain {
            self.links.satisfied(&terminal.user); // what it was instructed for is over
        } else if secured || terminal.idle_at.load(Ordering::Relaxed) == u64::MAX {
            self.stay(terminal).await;
        }
        // The terminal does not wait until that it waits is written down.
        for command in on_tls.into_iter().chain(later) {
            self.step(command, State::Waiting, &[]).await;
        }
        if stuck && terminal.link.is_attached() {
            self.links.look_at(now + RETRY, terminal);
        }
    }
}
