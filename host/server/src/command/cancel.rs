//! A command is taken back, by who asked for it or by an operator, as long as it has not been sent: the store
//! says which of the two came first, and what has been sent is the terminal's to end.

use postern_trace::follow;
use serde::{Deserialize, Serialize};

use super::{Commands, ask::CommandView, state::State};
use crate::control::wire::{Denied, Group, Request};

/// Take a command back.
#[derive(Debug, Serialize, Deserialize)]
pub struct CancelCommand {
    /// Who wants it.
    pub by: By,
    /// Its id.
    pub id: String,
}

/// Who wants a command taken back.
#[derive(Debug, Serialize, Deserialize)]
pub enum By {
    /// This user, of whom it must be.
    Requester(String),
    /// An operator, who may take back any.
    Operator,
}

impl By {
    fn may(&self, requester: &str) -> bool {
        match self {
            By::Requester(user) => user == requester,
            By::Operator => true,
        }
    }
}

impl Request for CancelCommand {
    const SUBJECT: &'static str = "command.cancel";
    const GROUP: Group = Group::Dynamic;
    type Answer = Cancelled;
}

/// What came of it.
#[derive(Debug, Serialize, Deserialize)]
pub enum Cancelled {
    /// It is taken back, by now or since before.
    Done(CommandView),
    /// It was sent, or has ended otherwise.
    TooLate(CommandView),
    /// There is none, or it is another's.
    NoSuch,
}

impl Commands {
    /// Takes a command back.
    ///
    /// # Errors
    /// The store does not answer: nothing has changed then.
    pub(super) async fn cancel(&self, wish: CancelCommand) -> Result<Cancelled, Denied> {
        let down = |e: postern_store::SqlError| Denied::Unavailable { detail: e.to_string() };
        let find = async || {
            let found = self.store.get(&wish.id).await.map_err(down)?;
            Ok(found.filter(|it| wish.by.may(&it.requester)))
        };
        let Some(command) = find().await? else { return Ok(Cancelled::NoSuch) };
        if let Some(changed) = self.advance(&command, State::Cancelled, &[]).await.map_err(down)? {
            // The answer does not wait until that is stored.
            self.tasks.spawn(follow(self.tell(&changed)));
            return Ok(Cancelled::Done(CommandView::from(&changed)));
        }
        // As it is by now: somebody may have been first.
        let Some(command) = find().await? else { return Ok(Cancelled::NoSuch) };
        let view = CommandView::from(&command);
        let done = command.state == State::Cancelled.name();
        Ok(if done { Cancelled::Done(view) } else { Cancelled::TooLate(view) })
    }
}
