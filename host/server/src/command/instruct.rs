//! Instructions to reconnect: one for many commands, signed and numbered, repeated with growing pauses,
//! spread when there are many (B5, B9, B13; rules 4 and 8).

use std::sync::Arc;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use postern_broker::wire::{ReasonCode, Version};
use postern_guest::roles::types::Transport;
use postern_trace::step;
use ring::rand::{SecureRandom, SystemRandom};
use tracing::{debug, info, warn};

use super::{
    Commands, crash,
    format::{Instruction, transport_name},
    links::{Order, Terminal},
    pace::jitter,
};
use crate::clock;

/// How long an instruction is good, in ms.
const GOOD_FOR: u64 = 30_000;
/// The first pause before it is repeated, and the longest, in ms.
const PAUSE: (u64, u64) = (5_000, 300_000);

impl Commands {
    /// Tells a terminal to come in through `to`, unless it was told and has some time left to do so.
    /// Numbered `sequence`, which nobody else was given, or else by a number that is taken now.
    pub(super) async fn instruct(
        self: &Arc<Self>,
        terminal: &Arc<Terminal>,
        to: Transport,
        why: &str,
        sequence: Option<u64>,
    ) {
        step("command.instruct", self.instruct_now(terminal, to, why, sequence)).await;
    }

    async fn instruct_now(
        self: &Arc<Self>,
        terminal: &Arc<Terminal>,
        to: Transport,
        why: &str,
        sequence: Option<u64>,
    ) {
        let now = clock::now().0;
        let Some(order) = self.due_order(terminal, to, now) else { return };
        let most = self.limits.instructions_per_terminal_per_hour;
        if let Err(at) = self.links.may_switch(&terminal.user, most, now) {
            metrics::counter!("postern_refused_total", "reason" => "switch-rate").increment(1);
            return self.put_off(terminal, order, at);
        }
        let numbered = match sequence {
            Some(sequence) => Ok(sequence),
            None => self.store.sequence(&terminal.user, now).await,
        };
        crash::point("instruction.numbered");
        let mut nonce = [0; 16];
        let (Ok(sequence), Ok(())) = (numbered, SystemRandom::new().fill(&mut nonce)) else {
            warn!("an instruction could not be numbered");
            return self.put_off(terminal, order, now + PAUSE.0);
        };
        let expires_at = now + GOOD_FOR;
        let bytes =
            Instruction { terminal: &terminal.user, to, sequence, expires_at, nonce }.signed(&self.signer);
        let name = transport_name(to);
        let act = match self
            .audit
            .begin("server", "link.instruct", &terminal.user, &format!("to {name}: {why}"))
            .await
        {
            Ok(act) => act,
            Err(e) => {
                // What cannot be written down is not done.
                warn!(error = %e, "audit log");
                return self.put_off(terminal, order, now + PAUSE.0);
            }
        };
        // Back to plain by a message, which a terminal that is at work may decline.
        let redirect =
            (to == Transport::Tls && self.takes_redirect(terminal)).then(|| URL_SAFE_NO_PAD.encode(&bytes));
        let times = order.times + 1;
        let pause = (PAUSE.0 << order.times.min(10)).min(PAUSE.1);
        let again_at = now + pause + jitter(pause / 4);
        self.put_off(terminal, Order { to, times, again_at, paced: false }, again_at);
        self.links.switched(&terminal.user, now);
        let sent = if redirect.is_some() {
            // The DISCONNECT carries it: mqtt/ending asks for it.
            *terminal.redirect.lock() = redirect;
            terminal.link.disconnect(ReasonCode::UseAnotherServer);
            true
        } else {
            self.to_link(terminal, format!("link/{}", terminal.user), bytes)
        };
        crash::point("instruction.sent");
        metrics::counter!("postern_instructions_total", "to" => name).increment(u64::from(sent));
        info!(to = name, times, why, "instructed to reconnect");
        debug!(terminal = terminal.user, to = name, "instructed to reconnect");
        act.end(if sent { "done" } else { "gone" }, "").await;
    }

    /// The order to give now, if it is time: a new one waits for its turn among many.
    fn due_order(&self, terminal: &Arc<Terminal>, to: Transport, now: u64) -> Option<Order> {
        let mut orders = self.links.orders.lock();
        let held = orders.get(&terminal.user).filter(|order| order.to == to).cloned();
        let mut order = held.unwrap_or(Order { to, times: 0, again_at: 0, paced: false });
        if order.again_at <= now && !order.paced {
            order.paced = true;
            order.again_at = now + self.pace.wait(now);
        }
        let due = order.again_at <= now;
        // Whoever looks meanwhile finds that it is being given.
        let again_at = if due { now + PAUSE.0 } else { order.again_at };
        orders.insert(terminal.user.clone(), Order { again_at, ..order.clone() });
        drop(orders);
        self.links.look_at(again_at, terminal);
        due.then_some(order)
    }

    fn put_off(&self, terminal: &Arc<Terminal>, order: Order, at: u64) {
        self.links.orders.lock().insert(terminal.user.clone(), Order { again_at: at, ..order });
        self.links.look_at(at, terminal);
    }

    fn takes_redirect(&self, terminal: &Terminal) -> bool {
        terminal.link.version() == Version::V5 && terminal.query.lock().takes_redirect
    }
}
