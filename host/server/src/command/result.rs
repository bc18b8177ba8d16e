//! What a terminal says of a command: acknowledged, done, failed, unknown (B13).

use std::sync::Arc;

use postern_broker::Link;
use postern_guest::roles::types::Transport;
use postern_store::CommandRow;
use postern_trace::{follow, step};
use tracing::{debug, info, warn};

use super::{Commands, crash, deliver::id_text, format, state::State};
use crate::{clock, control::ingest::Outcome, mqtt::publish::Sender};

impl Commands {
    /// Takes a result, once: what was told before is told again and changes nothing.
    pub async fn result(self: &Arc<Self>, sender: &Sender, link: &Arc<Link>, body: &[u8]) -> Outcome {
        let refused = |why: &str| Outcome::Refused(why.to_owned());
        let Some(told) = format::Outcome::read(body) else { return refused("not a result") };
        let Some(terminal) = sender
            .profile
            .as_ref()
            .and_then(|profile| self.links.of(&profile.user))
            .filter(|terminal| Arc::ptr_eq(&terminal.link, link))
        else {
            return Outcome::Down("the terminal's query", "a result came before it".to_owned());
        };
        let Some(key) = self.key_of(&terminal).await else {
            return Outcome::Down("the key of commands", "role token gave none".to_owned());
        };
        if !told.is_from(&key, &terminal.user, terminal.transport) {
            self.suspicious(&terminal.user, "a result whose MAC is wrong").await;
            return refused("the MAC is wrong");
        }
        let id = id_text(told.id);
        let command = match self.store.get(&id).await {
            Ok(Some(command)) if command.terminal == terminal.user => command,
            Ok(_) => return refused("no command of this terminal"),
            Err(e) => return Outcome::Unavailable(e.to_string()),
        };
        if terminal.transport == Transport::Plain && self.needs_tls(&command) {
            self.suspicious(&terminal.user, "the result of a command that needs TLS, on plain").await;
            return refused("the result of this command needs TLS");
        }
        crash::point("result.saving");
        let body = if told.state == State::Acknowledged { &[][..] } else { told.body };
        match self.advance(&command, told.state, body).await {
            Ok(Some(changed)) => {
                crash::point("result.saved");
                self.tell(&changed).await;
                Outcome::Durable
            }
            Ok(None) => Outcome::Durable,
            Err(e) => Outcome::Unavailable(e.to_string()),
        }
    }

    /// Somebody on the open road, perhaps: counted, and written down once a minute for each terminal, for
    /// whoever does this does it often.
    async fn suspicious(&self, terminal: &str, what: &str) {
        metrics::counter!("postern_command_refused_total").increment(1);
        if !self.links.first_in_a_while(terminal, what, clock::now().0) {
            return;
        }
        warn!(what, "refused");
        debug!(terminal, what, "refused");
        match self.audit.begin("network", "command.refused", terminal, what).await {
            Ok(act) => act.end("refused", "").await,
            Err(e) => warn!(error = %e, "audit log"),
        }
    }

    /// Brings a command to a state, and tells the requester.
    pub(super) async fn step(&self, command: &CommandRow, to: State, outcome: &[u8]) {
        match self.advance(command, to, outcome).await {
            Ok(Some(changed)) => drop(self.tasks.spawn(follow(self.tell(&changed)))),
            Ok(None) => {} // it is further on already
            Err(e) => warn!(error = %e, command = command.id, "commands"),
        }
    }

    /// The same, with what came of it: None when it is in another state by now.
    pub(super) async fn advance(
        &self,
        command: &CommandRow,
        to: State,
        outcome: &[u8],
    ) -> Result<Option<CommandRow>, postern_store::SqlError> {
        if !to.after().contains(&&*command.state) {
            return Ok(None);
        }
        let (after, now) = (to.after(), clock::now().0);
        let advanced = self.store.advance(&command.id, &after, to.name(), to.is_end(), outcome, now);
        let changed = step("store.command", advanced).await?;
        if let Some(changed) = &changed {
            metrics::counter!("postern_commands_total", "state" => to.name()).increment(1);
            info!(command = changed.id, state = changed.state, "command");
        }
        Ok(changed)
    }
}
