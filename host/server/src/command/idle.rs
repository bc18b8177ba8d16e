//! How long a terminal stays on TLS: after the last command that needed it, a period that the policy
//! sets for this very terminal; then it is told to go back (B9).

use std::sync::{Arc, atomic::Ordering};

use postern_guest::roles::{encrypt::History, types::Transport};
use postern_store::SqlError;
use tracing::warn;

use super::{Commands, RETRY, links::Terminal};
use crate::clock;

impl Commands {
    /// A command that needs TLS was sent, or the terminal has just come in through it: its period begins
    /// anew. Nothing else does that: no ping, no chat, no other command.
    pub(super) async fn stay(self: &Arc<Self>, terminal: &Arc<Terminal>) {
        self.links.satisfied(&terminal.user); // it was told to go, perhaps; now it may stay
        let now = clock::now().0;
        let Some(period) = self.period(terminal, now).await else {
            // Without an answer it stays, which is the safe side.
            terminal.idle_at.store(u64::MAX, Ordering::Relaxed);
            return self.links.look_at(now + RETRY, terminal);
        };
        terminal.idle_at.store(now + period, Ordering::Relaxed);
        self.links.look_at(now + period, terminal);
    }

    /// How long it may stay, in ms.
    async fn period(&self, terminal: &Terminal, now: u64) -> Option<u64> {
        let known = async {
            Ok::<_, SqlError>((self.store.secure_times(&terminal.user).await?, self.weights(terminal).await?))
        };
        let (secure_commands, weights) = match known.await {
            Ok(known) => known,
            Err(e) => {
                warn!(error = %e, "commands");
                return None;
            }
        };
        let history = History {
            terminal: terminal.user.clone(),
            keep_alive_secs: terminal.query.lock().keep_alive_secs,
            ping_bytes_plain: weights.ping_plain,
            ping_bytes_tls: weights.ping_tls,
            switch_bytes: weights.switch,
            secure_commands,
            now,
        };
        match self.slots.encrypt().idle_period(history) {
            Ok(secs) => Some(u64::from(secs.clamp(1, self.limits.idle_max_secs)) * 1_000),
            Err(e) => {
                warn!(error = %e, "role encrypt: no idle period");
                None
            }
        }
    }

    /// Time has come for a terminal: what waits is looked at again, and whether it may stay.
    pub(super) async fn look_at(self: &Arc<Self>, terminal: &Arc<Terminal>) {
        if !terminal.link.is_attached() {
            return;
        }
        // What was stuck may go now, and then it may stay.
        self.serve(terminal).await;
        match terminal.idle_at.load(Ordering::Relaxed) {
            u64::MAX => {}
            idle_at if idle_at <= clock::now().0 => {
                self.instruct(terminal, Transport::Plain, "no command needed TLS for a while", None).await;
            }
            idle_at => self.links.look_at(idle_at, terminal),
        }
    }
}
