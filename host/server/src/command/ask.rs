//! Requests for commands as they come in: by HTTPS over the bus, by MQTT on `cmd/{terminal}/ask`; and the
//! terminal's own topics.

use std::sync::Arc;

use postern_broker::Link;
use postern_bus::BusError;
use serde::{Deserialize, Serialize};

pub use super::told::CommandView;
use super::{Commands, accept::NewCommand, cancel::CancelCommand, serve::Waits};
use crate::{
    control::{
        ask::answer,
        ingest::Outcome,
        tokens::Tokens,
        wire::{CheckBearer, Denied, Group, Request},
    },
    mqtt::publish::Sender,
    tasks::Background,
};

/// Have a terminal do something.
#[derive(Serialize, Deserialize)]
pub struct AskCommand {
    /// Who asks.
    pub bearer: CheckBearer,
    /// What for.
    pub command: NewCommand,
}
impl Request for AskCommand {
    const SUBJECT: &'static str = "command.ask";
    const GROUP: Group = Group::Dynamic;
    type Answer = CommandView;
}

/// How a command of one's own stands; none when there is no such command.
#[derive(Debug, Serialize, Deserialize)]
pub struct FindCommand {
    /// Who asks.
    pub requester: String,
    /// Its id.
    pub id: String,
}
impl Request for FindCommand {
    const SUBJECT: &'static str = "command.find";
    const GROUP: Group = Group::Dynamic;
    type Answer = Option<CommandView>;
}

/// Which of a terminal's topics a message came on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// `ask`, from a phone.
    Ask,
    /// `query`, from the terminal.
    Query,
    /// `result`, from the terminal.
    Result,
}

impl Verb {
    /// Takes `cmd/{terminal}/{verb}` apart. `do` and `link/…` are the server's alone.
    pub fn parse(topic: &str) -> Option<(&str, Self)> {
        let (terminal, verb) = topic.strip_prefix("cmd/")?.split_once('/')?;
        let verb = match verb {
            "ask" => Verb::Ask,
            "query" => Verb::Query,
            "result" => Verb::Result,
            _ => return None,
        };
        Some((terminal, verb))
    }

    /// Its step of a trace.
    pub const fn step(self) -> &'static str {
        match self {
            Verb::Ask => "command.ask",
            Verb::Query => "command.query",
            Verb::Result => "command.result",
        }
    }
}

impl Commands {
    /// A message on one of the topics; what comes of it is how it is acknowledged.
    pub fn took(
        self: Arc<Self>,
        sender: Arc<Sender>,
        link: Arc<Link>,
        terminal: String,
        verb: Verb,
        body: bytes::Bytes,
    ) -> impl Future<Output = Outcome> + Send {
        let own = sender.profile.as_ref().is_some_and(|profile| profile.user == terminal);
        let came = (own && verb == Verb::Query).then(|| self.came(&sender, &link, &body));
        async move {
            match (verb, came) {
                (Verb::Query, Some(Ok(terminal))) => self.query(terminal),
                (Verb::Query, Some(Err(refused))) => refused,
                (Verb::Result, _) if own => self.result(&sender, &link, &body).await,
                (Verb::Query | Verb::Result, _) => {
                    Outcome::Refused("this is the terminal's own topic".to_owned())
                }
                (Verb::Ask, _) => self.asked(&sender, terminal, &body).await,
            }
        }
    }

    /// A request by MQTT: as by HTTPS, with the terminal in the topic.
    async fn asked(self: &Arc<Self>, sender: &Sender, terminal: String, body: &[u8]) -> Outcome {
        let Some(profile) = &sender.profile else {
            return Outcome::Refused("only who has logged in may ask".to_owned());
        };
        let asked = match serde_json::from_slice::<NewCommand>(body) {
            Ok(asked) if asked.terminal.is_empty() => NewCommand { terminal, ..asked },
            Ok(_) => return Outcome::Refused("the terminal is in the topic".to_owned()),
            Err(e) => return Outcome::Refused(format!("not a request: {e}")),
        };
        match self.accept(&profile.user, &sender.rights, asked).await {
            Ok(_) => Outcome::Durable,
            Err(Denied::Unavailable { detail }) => Outcome::Down("commands", detail),
            Err(Denied::RetryAfter { .. }) => Outcome::Down("room for commands", "too many wait".to_owned()),
            Err(refused) => Outcome::Refused(refused.to_string()),
        }
    }

    /// Answers on the bus until it closes.
    ///
    /// # Errors
    /// When the bus takes no subscription.
    pub async fn serve_bus(self: Arc<Self>, tokens: Tokens, tasks: &Background) -> Result<(), BusError> {
        let this = self.clone();
        answer::<AskCommand, _, _>(&self.bus, tasks, move |question| {
            let (this, tokens) = (this.clone(), tokens.clone());
            async move {
                let (holder, rights) = tokens.holder(question.bearer).await?;
                let command = this.accept(&holder.profile.user, &rights, question.command).await?;
                Ok(CommandView::from(&command))
            }
        })
        .await?;
        let this = self.clone();
        answer::<FindCommand, _, _>(&self.bus, tasks, move |FindCommand { requester, id }| {
            let this = this.clone();
            async move {
                let found = this.store.get(&id).await;
                let found = found.map_err(|e| Denied::Unavailable { detail: e.to_string() })?;
                Ok(found.filter(|it| it.requester == requester).map(|it| CommandView::from(&it)))
            }
        })
        .await?;
        let this = self.clone();
        answer::<CancelCommand, _, _>(&self.bus, tasks, move |wish| {
            let this = this.clone();
            async move { this.cancel(wish).await }
        })
        .await?;
        let mut waits = self.bus.subscribe(Waits::SUBJECT).await?;
        tasks.spawn(async move {
            while let Some(body) = waits.next().await {
                match serde_json::from_slice(&body) {
                    Ok(what) => self.heard(&what),
                    Err(e) => tracing::warn!(error = %e, "not understood"),
                }
            }
        });
        Ok(())
    }
}
