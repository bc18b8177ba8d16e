//! From the tables back to sessions, before anybody is listened to.

use std::{collections::BTreeMap, num::NonZeroU16, sync::Arc};

use postern_broker::{Broker, Message, Restored, journal::KeptWill};
use postern_store::{Kept, KeptKey, SqlError};
use tracing::{info, warn};

use super::record::{self, Kind};
use crate::clock;

/// Gives the broker back what it had. From then on its changes must be written: [`super::write`].
///
/// # Errors
/// When the tables cannot be read.
pub async fn restore(broker: &Broker, kept: &Kept) -> Result<(), SqlError> {
    let mut found = Found::default();
    let mut after: Option<KeptKey> = None;
    loop {
        let page = kept.page(after.as_ref()).await?;
        let Some((last, _)) = page.last() else { break };
        after = Some(last.clone());
        for (key, value) in page {
            found.add(&key, &value);
        }
    }
    let Found { sessions, retained, unreadable, .. } = found;
    // What ended while its end was not written yet has no record of its own.
    let (whole, parts): (Vec<_>, Vec<_>) =
        sessions.into_iter().partition(|(_, found)| found.session.is_some());
    let orphans: Vec<u64> = parts.into_iter().map(|(id, _)| id).collect();
    if !orphans.is_empty() {
        kept.save(&orphans, &[], &[]).await?;
    }
    if unreadable > 0 {
        warn!(unreadable, "records of sessions that this release cannot read are left alone");
    }
    let sessions: Vec<Restored> = whole.into_iter().filter_map(|(id, found)| found.whole(id)).collect();
    if !sessions.is_empty() || !retained.is_empty() {
        info!(sessions = sessions.len(), retained = retained.len(), "sessions restored");
    }
    broker.restore(sessions, &retained, clock::now());
    Ok(())
}

#[derive(Default)]
struct Found {
    sessions: BTreeMap<u64, FoundSession>,
    retained: Vec<Arc<Message>>,
    unreadable: u64,
}

#[derive(Default)]
struct FoundSession {
    session: Option<postern_broker::journal::KeptSession>,
    will: Option<KeptWill>,
    subscriptions: Vec<(postern_broker::topic::TopicFilter, postern_broker::SubscriptionOptions)>,
    messages: BTreeMap<u64, postern_broker::journal::KeptMessage>,
    received: Vec<NonZeroU16>,
}

impl Found {
    fn add(&mut self, key: &KeptKey, value: &[u8]) {
        if self.read(key, value).is_none() {
            self.unreadable += 1;
        }
    }

    fn read(&mut self, key: &KeptKey, value: &[u8]) -> Option<()> {
        if key.kind == Kind::Retained as u8 {
            self.retained.push(record::read_retained(value)?);
            return Some(());
        }
        let number = || Some(u64::from_be_bytes(key.key.as_slice().try_into().ok()?));
        let session = self.sessions.entry(key.session).or_default();
        match key.kind {
            kind if kind == Kind::Session as u8 => session.session = Some(record::read_session(value)?),
            kind if kind == Kind::Will as u8 => session.will = Some(record::read_will(value)?),
            kind if kind == Kind::Subscription as u8 => {
                session.subscriptions.push(record::read_subscription(&key.key, value)?);
            }
            kind if kind == Kind::Message as u8 => {
                session.messages.insert(number()?, record::read_message(number()?, value)?);
            }
            kind if kind == Kind::Progress as u8 => {
                // Messages come before it: their kind is the lower one.
                session.messages.get_mut(&number()?)?.stage = record::read_progress(value)?;
            }
            kind if kind == Kind::Received as u8 => {
                let id = u16::from_be_bytes(key.key.as_slice().try_into().ok()?);
                session.received.push(NonZeroU16::new(id)?);
            }
            _ => return None,
        }
        Some(())
    }
}

impl FoundSession {
    fn whole(self, id: u64) -> Option<Restored> {
        Some(Restored {
            id,
            session: self.session?,
            will: self.will,
            subscriptions: self.subscriptions,
            messages: self.messages.into_values().collect(),
            received: self.received,
        })
    }
}
