//! Storing messages before they are acknowledged (A10): group commit and delivery in commit order.
//!
//! Links submit what one read brought. One task takes all submissions that wait, hands them to the
//! store role as one batch (one transaction), and answers the links after the commit. A second task
//! delivers what was committed, in the order of the sequence numbers, while the next batch is
//! already being written; so no device ever sees a gap that is not one.

use std::sync::Arc;

use postern_broker::{Broker, Link, Message, wire::Text};
use postern_guest::{
    CallError, Slots,
    roles::store::{self, Place, Saved, StoreError},
};
use tokio::sync::{mpsc, oneshot};
use tracing::warn;

use crate::{clock, tasks::Background};

/// Messages in one transaction, at most: bounds the time that the first of them waits.
const BATCH: usize = 512;
/// Submissions that may wait; each is bounded by what one read brings.
const WAITING: usize = 4_096;
/// Committed batches that may wait for their delivery.
const UNDELIVERED: usize = 64;

/// A message on its way into the store.
pub struct Incoming {
    /// What the store role is given.
    pub stored: store::Message,
    /// What is delivered once it is stored.
    pub delivery: Delivery,
}

/// A message to deliver.
pub struct Delivery {
    /// The message.
    pub message: Arc<Message>,
    /// The link that it came from: it is not sent back there. None for a will.
    pub from: Option<Arc<Link>>,
}

/// What became of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is durable, now or since before.
    Durable,
    /// The store role refused it; the text is for the sender.
    Refused(String),
    /// Storage is down: nothing of it is kept (C6).
    Unavailable(String),
}

struct Submission {
    messages: Vec<Incoming>,
    reply: oneshot::Sender<Vec<Outcome>>,
}

/// Where links submit.
#[derive(Clone)]
pub struct Ingest {
    queue: mpsc::Sender<Submission>,
}

impl Ingest {
    /// Starts the two tasks; they end when the last `Ingest` is dropped and all is delivered.
    pub fn start(slots: Arc<Slots>, broker: Arc<Broker>, tasks: &Background) -> Self {
        let (queue, submissions) = mpsc::channel(WAITING);
        let (committed, deliveries) = mpsc::channel(UNDELIVERED);
        tasks.spawn(commit(submissions, slots, committed));
        tasks.spawn(deliver(deliveries, broker));
        Ingest { queue }
    }

    /// Submits messages of one sender, in order. The answer has an outcome for each.
    ///
    /// Never waits: a full queue answers `Unavailable`, which the sender's own window makes rare.
    pub fn submit(&self, messages: Vec<Incoming>) -> oneshot::Receiver<Vec<Outcome>> {
        let (reply, answer) = oneshot::channel();
        if let Err(refused) = self.queue.try_send(Submission { messages, reply }) {
            let Submission { messages, reply } = match refused {
                mpsc::error::TrySendError::Full(s) | mpsc::error::TrySendError::Closed(s) => s,
            };
            let outcome = Outcome::Unavailable("too many messages wait to be stored".to_owned());
            let _ = reply.send(vec![outcome; messages.len()]);
        }
        answer
    }
}

type Committed = Vec<(Delivery, Vec<Place>)>;

async fn commit(
    mut submissions: mpsc::Receiver<Submission>,
    slots: Arc<Slots>,
    committed: mpsc::Sender<Committed>,
) {
    let mut waiting: Vec<Submission> = Vec::new();
    while submissions.recv_many(&mut waiting, BATCH).await > 0 {
        let mut rest = std::mem::take(&mut waiting).into_iter().peekable();
        while rest.peek().is_some() {
            let mut batch = Vec::new();
            let mut size = 0;
            while let Some(next) = rest.next_if(|next| size == 0 || size + next.messages.len() <= BATCH) {
                size += next.messages.len();
                batch.push(next);
            }
            let stored = store_batch(batch, &slots).await;
            if !stored.is_empty() && committed.send(stored).await.is_err() {
                return;
            }
        }
    }
}

/// One transaction; answers every submission, gives what is new.
async fn store_batch(batch: Vec<Submission>, slots: &Slots) -> Committed {
    let mut messages = Vec::new();
    let batch: Vec<_> = batch
        .into_iter()
        .map(|submission| {
            let take = |m: Incoming| {
                messages.push(m.stored);
                m.delivery
            };
            (submission.messages.into_iter().map(take).collect::<Vec<_>>(), submission.reply)
        })
        .collect();
    let expected = messages.len();
    let answer = slots.store().save(messages).await;
    let mut saved = match answer {
        Ok(saved) if saved.len() == expected => Ok(saved.into_iter()),
        Ok(saved) => Err(format!("the plugin answered {} of {expected} messages", saved.len())),
        Err(CallError::Answer(StoreError::Unavailable(why))) => Err(why),
        Err(CallError::Down(down)) => Err(down.to_string()),
    };
    if let Err(why) = &saved {
        warn!(messages = expected, why, "storage refused a batch");
        metrics::counter!("postern_store_refused_total").increment(expected as u64);
    }
    let mut fresh = Vec::with_capacity(expected);
    for (deliveries, reply) in batch {
        let outcomes = deliveries.into_iter().map(|delivery| match &mut saved {
            Err(why) => Outcome::Unavailable(why.clone()),
            Ok(saved) => match saved.next() {
                Some(Saved::Stored(places)) => {
                    fresh.push((delivery, places));
                    Outcome::Durable
                }
                Some(Saved::Duplicate) => {
                    metrics::counter!("postern_store_duplicates_total").increment(1);
                    Outcome::Durable
                }
                Some(Saved::Refused(why)) => Outcome::Refused(why),
                None => Outcome::Unavailable("no answer".to_owned()),
            },
        });
        // The link may be gone: its messages are stored all the same.
        let _ = reply.send(outcomes.collect());
    }
    fresh
}

async fn deliver(mut committed: mpsc::Receiver<Committed>, broker: Arc<Broker>) {
    while let Some(batch) = committed.recv().await {
        let now = clock::now();
        for (Delivery { message, from }, places) in batch {
            let places: Vec<_> = places.into_iter().map(|p| (Text::from(p.recipient), p.seq)).collect();
            broker.publish_stored(&message, &places, from.as_deref(), now);
        }
        tokio::task::yield_now().await;
    }
}
