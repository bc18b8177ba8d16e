//! Changes that are not in the tables yet, as the rows they come to.

use std::collections::{BTreeMap, BTreeSet};

use postern_broker::journal::{Batch, Change, Mark};
use postern_store::KeptKey;
use tracing::warn;

use super::record::{self, Kind};

/// What the tables are to hold, where that is not what they hold.
#[derive(Default)]
pub struct Pending {
    mark: Mark,
    ended: BTreeSet<u64>,
    /// The new record, or none for one that is to go.
    records: BTreeMap<KeptKey, Option<Vec<u8>>>,
}

/// Sessions that are over, records that go, records that come.
pub type Rows = (Vec<u64>, Vec<KeptKey>, Vec<(KeptKey, Vec<u8>)>);

impl Pending {
    /// Whether the tables are up to date.
    pub fn is_empty(&self) -> bool {
        self.ended.is_empty() && self.records.is_empty()
    }

    /// Takes in what has changed.
    pub fn take(&mut self, batch: Batch) {
        self.mark = batch.mark;
        for change in batch.changes {
            self.change(change);
        }
    }

    fn change(&mut self, change: Change) {
        match change {
            Change::Session(id, session) => {
                self.put(id, Kind::Session, Vec::new(), record::session(&session))
            }
            Change::Will(id, Some(will)) => self.put(id, Kind::Will, Vec::new(), record::will(&will)),
            Change::Will(id, None) => self.remove(id, Kind::Will, Vec::new()),
            Change::Ended(id) => self.end(id),
            Change::Subscribed(id, filter, options) => {
                self.put(id, Kind::Subscription, filter.as_str().into(), record::subscription(options));
            }
            Change::Unsubscribed(id, filter) => self.remove(id, Kind::Subscription, filter.as_str().into()),
            Change::Queued(id, message) => {
                let key = record::number(message.number);
                self.put(id, Kind::Message, key, record::message(&message));
            }
            Change::Moved(id, number, stage) => {
                self.put(id, Kind::Progress, record::number(number), record::progress(stage));
            }
            Change::Done(id, number) => self.done(id, number),
            Change::Received(id, packet_id) => {
                self.put(id, Kind::Received, packet_id.get().to_be_bytes().into(), Some(Vec::new()));
            }
            Change::Forgotten(id, packet_id) => {
                self.remove(id, Kind::Received, packet_id.get().to_be_bytes().into());
            }
            Change::Retained(message) => {
                let topic = message.topic.as_str().into();
                if message.payload.is_empty() {
                    self.remove(0, Kind::Retained, topic);
                } else {
                    self.put(0, Kind::Retained, topic, record::retained(&message));
                }
            }
        }
    }

    fn put(&mut self, session: u64, kind: Kind, key: Vec<u8>, value: Option<Vec<u8>>) {
        let key = KeptKey { session, kind: kind as u8, key };
        if value.is_none() {
            warn!(session, ?kind, "cannot be kept over a restart");
        }
        self.records.insert(key, value);
    }

    fn remove(&mut self, session: u64, kind: Kind, key: Vec<u8>) {
        self.records.insert(KeptKey { session, kind: kind as u8, key }, None);
    }

    /// A message that is still pending itself was never written: nothing is to go.
    fn done(&mut self, session: u64, number: u64) {
        let key = |kind: Kind| KeptKey { session, kind: kind as u8, key: record::number(number) };
        let is_new = matches!(self.records.remove(&key(Kind::Message)), Some(Some(_)));
        if is_new {
            self.records.remove(&key(Kind::Progress));
        } else {
            self.records.insert(key(Kind::Message), None);
            self.records.insert(key(Kind::Progress), None);
        }
    }

    fn end(&mut self, session: u64) {
        let first = KeptKey { session, kind: 0, key: Vec::new() };
        let mut rest = self.records.split_off(&first);
        let after = KeptKey { session: session + 1, kind: 0, key: Vec::new() };
        self.records.append(&mut rest.split_off(&after));
        self.ended.insert(session);
    }

    /// The rows of one transaction.
    pub fn rows(&self) -> Rows {
        let (mut gone, mut put) = (Vec::new(), Vec::new());
        for (key, value) in &self.records {
            match value {
                Some(value) => put.push((key.clone(), value.clone())),
                None => gone.push(key.clone()),
            }
        }
        (self.ended.iter().copied().collect(), gone, put)
    }

    /// That transaction is durable: nothing is pending. Returns how far that is.
    pub fn written(&mut self) -> Mark {
        self.ended.clear();
        self.records.clear();
        self.mark
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use postern_broker::journal::Stage;

    fn number(of: u64) -> KeptKey {
        KeptKey { session: 1, kind: Kind::Message as u8, key: record::number(of) }
    }

    #[test]
    fn what_comes_and_goes_between_two_transactions_is_never_written() {
        let mut pending = Pending::default();
        pending.records.insert(number(1), Some(Vec::new()));
        pending.change(Change::Moved(1, 1, Stage::Sent(0)));
        pending.change(Change::Done(1, 1));
        assert!(pending.is_empty());
        pending.change(Change::Done(1, 2));
        assert_eq!(pending.rows().1.len(), 2, "that one was written before");
    }

    #[test]
    fn an_ended_session_takes_what_was_pending_of_it_along() {
        let mut pending = Pending::default();
        for session in 0..3 {
            pending.records.insert(KeptKey { session, ..number(1) }, Some(Vec::new()));
        }
        pending.change(Change::Ended(1));
        let (ended, gone, put) = pending.rows();
        assert_eq!((ended, gone.len()), (vec![1], 0));
        assert_eq!(put.iter().map(|(key, _)| key.session).collect::<Vec<_>>(), [0, 2]);
    }
}
