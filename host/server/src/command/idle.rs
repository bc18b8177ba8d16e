//! How long a terminal stays on TLS: after the last command that needed it, a period that the policy
//! sets for this very terminal; then it is told to go back (B9).

use std::sync::{Arc, atomic::Ordering};

use postern_guest::roles::{encrypt::History, types::Transport};
use tracing::warn;

use super::{Commands, links::Terminal};
use crate::clock;

/// What a ping and its answer weigh, in bytes: on IPv4 with timestamps, acknowledgement included.
const PING: (u32, u32) = (160, 204);
/// What a switch to TLS and back weighs, in bytes, with a resumed handshake.
const SWITCH: u32 = 3_700;
/// While the policy gives no answer, the terminal stays; asked again after this many ms.
const RETRY: u64 = 30_000;

impl Commands {
    /// A command that needs TLS was sent, or the terminal has just come in through it: its period begins
    /// anew. Nothing else does that: no ping, no chat, no other command.
    pub(super) fn stay(self: &Arc<Self>, terminal: &Arc<Terminal>, secure: &[u64], now: u64) {
        let history = History {
            terminal: terminal.user.clone(),
            keep_alive_secs: terminal.query.lock().keep_alive_secs,
            ping_bytes_plain: PING.0,
            ping_bytes_tls: PING.1,
            switch_bytes: SWITCH,
            secure_commands: secure.to_vec(),
            now,
        };
        let (least, most) = (self.limits.idle_min_secs, self.limits.idle_max_secs);
        let period = match self.slots.encrypt().idle_period(history) {
            Ok(secs) => u64::from(secs.clamp(least.min(most), most)) * 1_000,
            Err(e) => {
                warn!(error = %e, "role encrypt: no idle period");
                RETRY
            }
        };
        terminal.idle_at.store(now + period, Ordering::Relaxed);
        *terminal.order.lock() = None; // it was told to go, perhaps; now it may stay
        self.links.look_at(now + period, terminal);
    }

    /// Time has come for a terminal: what waits is looked at again, and whether it may stay.
    pub(super) async fn look_at(self: &Arc<Self>, terminal: &Arc<Terminal>) {
        if !terminal.link.is_attached() {
            return;
        }
        let now = clock::now().0;
        if terminal.transport == Transport::Tls && terminal.idle_at.load(Ordering::Relaxed) <= now {
            return self.instruct(terminal, Transport::Plain, "no command needed TLS for a while").await;
        }
        self.serve(terminal).await;
    }
}
