//! A terminal's query: it has come, by which way ever, and asks what waits for it (B8, B12).

use std::sync::{Arc, atomic::AtomicU64};

use parking_lot::Mutex;
use postern_broker::Link;
use tokio::sync::OnceCell;

use super::{Commands, format::Query, links::Terminal};
use crate::{control::ingest::Outcome, mqtt::publish::Sender};

impl Commands {
    /// Notes the terminal's link, and goes on to what waits for it. Told again on the same link, all that is
    /// open is sent again: the terminal knows what it has executed.
    pub async fn query(self: &Arc<Self>, sender: &Sender, link: &Arc<Link>, body: &[u8]) -> Outcome {
        let Some(query) = Query::read(body) else {
            return Outcome::Refused("not a query".to_owned());
        };
        let (Some(profile), Some(token_id)) = (&sender.profile, sender.token_id()) else {
            return Outcome::Refused("only a terminal that has logged in may ask".to_owned());
        };
        let terminal = self.links.came(&profile.user, link, query, || Terminal {
            user: profile.user.clone(),
            token_id: token_id.to_owned(),
            link: link.clone(),
            transport: sender.transport,
            query: Mutex::new(query),
            key: OnceCell::new(),
            sent: Default::default(),
            order: Mutex::default(),
            idle_at: AtomicU64::new(u64::MAX),
        });
        terminal.sent.lock().await.clear();
        let this = self.clone();
        self.tasks.spawn(async move { this.serve(&terminal).await });
        Outcome::Durable
    }
}
