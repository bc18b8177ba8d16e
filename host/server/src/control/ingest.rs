//! Storing messages before they are acknowledged (A10): group commit and delivery in commit order.
//!
//! Links submit what one read brought. One task takes all submissions that wait, hands them to the
//! store role as one batch (one transaction), and answers the links after the commit. A second task
//! delivers what was committed, in the order of the sequence numbers, while the next batch is
//! already being written; so no device ever sees a gap that is not one.

use std::sync::Arc;

use postern_broker::{Broker, Link, Message, wire::Text};
use postern_guest::{
    CallError, Down, Slots,
    roles::store::{self, Place, Saved, StoreError},
};
use tokio::sync::{mpsc, oneshot};
use tracing::warn;

use crate::{clock, tasks::Background};

/// Messages in one transaction, at most: bounds the time that the first of them waits.
const BATCH: usize = 2_048;
/// Bytes of bodies in one transaction, at most, unless one submission has more: the plugin's memory
/// holds them twice.
const BATCH_BYTES: usize = 4 << 20;
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
    /// Starts the two tasks. They run until the background work is stopped, which is after the links
    /// and wills: who still waits then gets no answer, and what is committed and not delivered is
    /// delivered from the store.
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
            let (mut count, mut bytes) = (0, 0);
            while let Some(next) = rest.next_if(|next| {
                count == 0 || (count + next.messages.len() <= BATCH && bytes + next.bytes() <= BATCH_BYTES)
            }) {
                count += next.messages.len();
                bytes += next.bytes();
                batch.push(next);
            }
            let stored = store_batch(batch, &slots).await;
            if !stored.is_empty() && committed.send(stored).await.is_err() {
                return;
            }
        }
    }
}

impl Submission {
    fn bytes(&self) -> usize {
        self.messages.iter().map(|m| m.stored.body.len() + m.stored.properties.len()).sum()
    }
}

/// What a submission needs after its messages went to the store role.
struct Sent {
    deliveries: Vec<Delivery>,
    reply: oneshot::Sender<Vec<Outcome>>,
}

/// One transaction; answers every submission, gives what is new.
async fn store_batch(batch: Vec<Submission>, slots: &Slots) -> Committed {
    let mut messages = Vec::new();
    let mut sent = Vec::new();
    for submission in batch {
        let mut deliveries = Vec::with_capacity(submission.messages.len());
        for Incoming { stored, delivery } in submission.messages {
            messages.push(stored);
            deliveries.push(delivery);
        }
        sent.push(Sent { deliveries, reply: submission.reply });
    }
    let messages: Arc<[store::Message]> = messages.into();
    let mut fresh = Vec::with_capacity(messages.len());
    match slots.store().save(messages.clone()).await {
        // C5: what breaks the plugin costs its own call. Somebody's message did; it must not take its
        // neighbours along again and again, so each sender's are tried apart.
        Err(CallError::Down(Down::Trapped | Down::Slow)) if sent.len() > 1 => {
            let mut at = 0;
            for part in sent {
                let end = at + part.deliveries.len();
                let own: Arc<[store::Message]> = messages.get(at..end).unwrap_or_default().into();
                at = end;
                let answer = slots.store().save(own).await;
                settle(vec![part], answer, &mut fresh);
            }
        }
        answer => settle(sent, answer, &mut fresh),
    }
    fresh
}

/// Tells the senders what became of their messages.
fn settle(sent: Vec<Sent>, answer: Result<Vec<Saved>, CallError<StoreError>>, fresh: &mut Committed) {
    let mut saved = match answer {
        Ok(saved) => Ok(saved.into_iter()),
        Err(CallError::Answer(StoreError::Unavailable(why))) => Err(why),
        Err(CallError::Down(down)) => Err(down.to_string()),
    };
    if let Err(why) = &saved {
        let count: usize = sent.iter().map(|s| s.deliveries.len()).sum();
        warn!(messages = count, why, "storage refused a batch");
        metrics::counter!("postern_store_refused_total").increment(count as u64);
    }
    for Sent { deliveries, reply } in sent {
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
