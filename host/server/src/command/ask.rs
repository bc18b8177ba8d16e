//! Requests for commands as they come in: by HTTPS over the bus, by MQTT on `cmd/{terminal}/ask`; and the
//! terminal's own topics.

use std::sync::Arc;

use postern_broker::Link;
use postern_bus::BusError;
use serde::{Deserialize, Serialize};

pub use super::told::CommandView;
use super::{Commands, accept::NewCommand, serve::Waits};
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
}

/// An MQTT request's body: as by HTTPS, with the terminal in the topic.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    class: String,
    #[serde(default)]
    body: Option<String>,
    #[serde(default)]
    body_base64: Option<String>,
    #[serde(default)]
    follow_ups: Vec<String>,
    #[serde(default)]
    expires_in_secs: Option<u32>,
    #[serde(default)]
    key: Option<String>,
}

impl Commands {
    /// A message on one of the topics; it is acknowledged with what comes of it.
    pub async fn took(
        self: Arc<Self>,
        sender: Arc<Sender>,
        link: Arc<Link>,
        terminal: String,
        verb: Verb,
        body: bytes::Bytes,
    ) -> Outcome {
        let Some(user) = sender.profile.as_ref().map(|profile| profile.user.clone()) else {
            return Outcome::Refused("only who has logged in may do this".to_owned());
        };
        match verb {
            Verb::Query | Verb::Result if user != terminal => {
                Outcome::Refused("this is the terminal's own topic".to_owned())
            }
            Verb::Query => self.query(&sender, &link, &body).await,
            Verb::Result => self.result(&sender, &link, &body).await,
            Verb::Ask => {
                let Asked { class, body, body_base64, follow_ups, expires_in_secs, key } =
                    match serde_json::from_slice(&body) {
                        Ok(asked) => asked,
                        Err(e) => return Outcome::Refused(format!("not a request: {e}")),
                    };
                let asked =
                    NewCommand { terminal, class, body, body_base64, follow_ups, expires_in_secs, key };
                match self.accept(&user, &sender.rights, asked).await {
                    Ok(_) => Outcome::Durable,
                    Err(Denied::Unavailable { detail }) => Outcome::Unavailable(detail),
                    Err(refused) => Outcome::Refused(refused.to_string()),
                }
            }
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
