//! A terminal's query: it has come, by which way ever, and asks what waits for it (B8, B12).

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use parking_lot::Mutex;
use postern_broker::Link;
use postern_guest::roles::types::Transport;
use postern_trace::follow;
use tokio::sync::OnceCell;

use super::{Commands, account::Meter, format::Query, links::Terminal};
use crate::{clock, control::ingest::Outcome, mqtt::publish::Sender};

impl Commands {
    /// Notes the terminal's link: at once, so that what comes behind the query finds it.
    ///
    /// # Errors
    /// What the terminal is told.
    pub(super) fn came(
        &self,
        sender: &Sender,
        link: &Arc<Link>,
        body: &[u8],
    ) -> Result<Arc<Terminal>, Outcome> {
        let Some(query) = Query::read(body) else {
            return Err(Outcome::Refused("not a query".to_owned()));
        };
        let (Some(profile), Some(token_id)) = (&sender.profile, sender.token_id()) else {
            return Err(Outcome::Refused("only a terminal that has logged in may ask".to_owned()));
        };
        let switched = self.links.is_ordered(&profile.user, sender.transport);
        let terminal = self.links.came(Terminal {
            meter: Mutex::new(Meter::new(sender.socket, sender.transport, clock::now().0)),
            user: profile.user.clone(),
            token_id: token_id.to_owned(),
            link: link.clone(),
            transport: sender.transport,
            query: Mutex::new(query),
            key: OnceCell::new(),
            asked: AtomicBool::new(false),
            sent: Default::default(),
            redirect: Mutex::default(),
            due: Mutex::default(),
            idle_at: AtomicU64::new(u64::MAX),
        });
        let Some(terminal) = terminal else {
            return Err(Outcome::Refused("another device of this terminal is connected".to_owned()));
        };
        terminal.meter.lock().begin(switched);
        if terminal.transport == Transport::Tls {
            self.links.satisfied(&terminal.user);
        }
        Ok(terminal)
    }

    /// Goes on to what waits for it. Told again on the same link, all that is open is sent again: the
    /// terminal knows what it has executed.
    pub(super) fn query(self: &Arc<Self>, terminal: Arc<Terminal>) -> Outcome {
        // However often it asks, one looks and one more waits to look.
        if !terminal.asked.swap(true, Ordering::AcqRel) {
            let this = self.clone();
            self.tasks.spawn(follow(async move { this.serve(&terminal).await }));
        }
        Outcome::Durable
    }
}
