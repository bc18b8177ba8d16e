//! Storing messages before they are acknowledged (A10): group commit and delivery in commit order.
//!
//! Links submit what one read brought. One task takes all submissions that wait, hands them to the
//! store role as one batch (one transaction), and answers the links after the commit. A second task
//! delivers what was committed, in the order of the sequence numbers, while the next batch is
//! already being written; so no device ever sees a gap that is not one.

use std::{collections::VecDeque, sync::Arc};

use postern_broker::{Broker, wire::Text};
use postern_guest::{
    CallError, Down,
    roles::store::{self, Place, Saved, StoreError},
};
use postern_trace::{batch as together, child};
use tokio::sync::{mpsc, oneshot};
use tracing::warn;

pub use super::incoming::{Delivery, Incoming};
use super::{
    room::{Room, Taken},
    saving::Saving,
};
use crate::{clock, tasks::Background};

/// Messages in one transaction, at most: bounds the time that the first of them waits.
const BATCH: usize = 2_048;
/// Bytes of bodies in one transaction, at most, unless one message has more: the plugin's memory holds
/// them twice.
const BATCH_BYTES: usize = 4 << 20;
/// Places in inboxes that one transaction fills, at most, unless one message has more recipients: each
/// is a row, and a name in the plugin's memory.
const BATCH_PLACES: usize = 20_000;
/// Committed batches that may wait for their delivery.
const UNDELIVERED: usize = 64;

/// What became of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is durable, now or since before.
    Durable,
    /// The store role refused it; the text is for the sender.
    Refused(String),
    /// Storage is down: nothing of it is kept (C6).
    Unavailable(String),
    /// Something else is, which is named: temporary too.
    Down(&'static str, String),
}

/// A message that waits.
struct Waiting {
    incoming: Incoming,
    taken: Taken,
}

struct Submission {
    messages: VecDeque<Waiting>,
    answer: Answer,
}

/// What a submitter is told when all of his messages are done.
struct Answer {
    outcomes: Vec<Outcome>,
    reply: oneshot::Sender<Vec<Outcome>>,
}

/// Where links submit.
#[derive(Clone)]
pub struct Ingest {
    /// Bounded by the room: a link that finds none is read no further.
    queue: mpsc::UnboundedSender<Submission>,
    room: Arc<Room>,
}

impl Ingest {
    /// Starts the two tasks. They run until the background work is stopped, which is after the links
    /// and wills: who still waits then gets no answer, and what is committed and not delivered is
    /// delivered from the store. There is room for so many bytes to wait.
    pub fn start(saving: Saving, broker: Arc<Broker>, bytes: usize, tasks: &Background) -> Self {
        let (queue, submissions) = mpsc::unbounded_channel();
        let (committed, deliveries) = mpsc::channel(UNDELIVERED);
        tasks.spawn(commit(submissions, saving, committed));
        tasks.spawn(deliver(deliveries, broker));
        Ingest { queue, room: Room::new(bytes) }
    }

    /// To be asked before more is read of a link.
    pub fn room(&self) -> &Arc<Room> {
        &self.room
    }

    /// Submits a message of somebody who cannot be left unread, as a link is: a will, a notification of ours. None
    /// when twice the room is taken, so that who makes many of them does not keep all links from being read.
    pub fn try_submit(&self, message: Incoming) -> Option<oneshot::Receiver<Vec<Outcome>>> {
        (!self.room.is_over(2)).then(|| self.submit(vec![message]))
    }

    /// Submits messages of one sender, in order. The answer has an outcome for each.
    ///
    /// Never waits, and refuses nothing while the tasks run.
    pub fn submit(&self, messages: Vec<Incoming>) -> oneshot::Receiver<Vec<Outcome>> {
        let (reply, answer) = oneshot::channel();
        let taken = |incoming: Incoming| Waiting { taken: self.room.take(incoming.cost()), incoming };
        let messages: VecDeque<Waiting> = messages.into_iter().map(taken).collect();
        let submission =
            Submission { answer: Answer { outcomes: Vec::with_capacity(messages.len()), reply }, messages };
        if let Err(mpsc::error::SendError(Submission { messages, answer })) = self.queue.send(submission) {
            let outcome = Outcome::Unavailable("stopping".to_owned());
            let _ = answer.reply.send(vec![outcome; messages.len()]);
        }
        answer
    }
}

/// What was committed: to whom it is delivered, and the room that it takes until then.
type Committed = Vec<(Delivery, Vec<Place>, Taken)>;

async fn commit(
    mut submissions: mpsc::UnboundedReceiver<Submission>,
    saving: Saving,
    committed: mpsc::Sender<Committed>,
) {
    let mut fresh: Vec<Submission> = Vec::new();
    while submissions.recv_many(&mut fresh, BATCH).await > 0 {
        let mut waiting: VecDeque<Submission> = fresh.drain(..).collect();
        while !waiting.is_empty() {
            let parts = gather(&mut waiting);
            let works = parts.iter().flat_map(|part| &part.messages).map(|it| it.incoming.delivery.work);
            let (stored, unfinished) = together(works.collect(), store_batch(parts, &saving)).await;
            if let Some(first) = waiting.front_mut() {
                first.answer.outcomes.extend(unfinished);
            }
            if !stored.is_empty() && committed.send(stored).await.is_err() {
                return;
            }
        }
    }
}

/// One sender's part of a batch.
struct Part {
    messages: Vec<Waiting>,
    /// None when it is only the beginning of a submission, of which the rest still waits.
    answer: Option<Answer>,
}

/// As many messages, from the front, as one transaction may have; one at least. A submission that does
/// not fit is split.
fn gather(waiting: &mut VecDeque<Submission>) -> Vec<Part> {
    let mut parts = Vec::new();
    let (mut count, mut bytes, mut places) = (0, 0, 0);
    while let Some(mut submission) = waiting.pop_front() {
        let mut messages = Vec::new();
        while let Some(next) = submission.messages.pop_front() {
            let stored = &next.incoming.stored;
            let (more_bytes, more_places) =
                (stored.body.len() + stored.properties.len(), stored.recipients.len());
            let fits =
                count < BATCH && bytes + more_bytes <= BATCH_BYTES && places + more_places <= BATCH_PLACES;
            if count > 0 && !fits {
                submission.messages.push_front(next);
                break;
            }
            (count, bytes, places) = (count + 1, bytes + more_bytes, places + more_places);
            messages.push(next);
        }
        if submission.messages.is_empty() {
            parts.push(Part { messages, answer: Some(submission.answer) });
            continue;
        }
        if !messages.is_empty() {
            parts.push(Part { messages, answer: None });
        }
        waiting.push_front(submission);
        break;
    }
    parts
}

/// What a part needs after its messages went to the store role.
struct Sent {
    deliveries: Vec<(Delivery, Taken)>,
    answer: Option<Answer>,
}

/// One transaction; answers every submission that is done, gives what is new, and the outcomes of one
/// that is not done.
async fn store_batch(batch: Vec<Part>, saving: &Saving) -> (Committed, Vec<Outcome>) {
    let mut messages = Vec::new();
    let mut sent = Vec::new();
    for part in batch {
        let mut deliveries = Vec::with_capacity(part.messages.len());
        for Waiting { incoming: Incoming { stored, delivery }, taken } in part.messages {
            messages.push(stored);
            deliveries.push((delivery, taken));
        }
        sent.push(Sent { deliveries, answer: part.answer });
    }
    let messages: Arc<[store::Message]> = messages.into();
    let (mut fresh, mut unfinished) = (Vec::with_capacity(messages.len()), Vec::new());
    match saving.save(messages.clone()).await {
        // C5: what breaks the plugin costs its own call. Somebody's message did; it must not take its
        // neighbours along again and again, so each sender's are tried apart.
        Err(CallError::Down(Down::Trapped | Down::Slow)) if sent.len() > 1 => {
            let mut at = 0;
            for part in sent {
                let end = at + part.deliveries.len();
                let own: Arc<[store::Message]> = messages.get(at..end).unwrap_or_default().into();
                at = end;
                let works = part.deliveries.iter().map(|(delivery, _)| delivery.work).collect();
                let tried = async { settle(vec![part], saving.save(own).await, &mut fresh) };
                unfinished.extend(together(works, tried).await);
            }
        }
        answer => unfinished = settle(sent, answer, &mut fresh),
    }
    (fresh, unfinished)
}

/// Tells the senders what became of their messages; gives the outcomes of one who has more to come.
fn settle(
    sent: Vec<Sent>,
    answer: Result<Vec<Saved>, CallError<StoreError>>,
    fresh: &mut Committed,
) -> Vec<Outcome> {
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
    let mut unfinished = Vec::new();
    for Sent { deliveries, answer } in sent {
        let outcomes = deliveries.into_iter().map(|(delivery, taken)| match &mut saved {
            Err(why) => Outcome::Unavailable(why.clone()),
            Ok(saved) => match saved.next() {
                Some(Saved::Stored(places)) => {
                    fresh.push((delivery, places, taken));
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
        match answer {
            Some(mut answer) => {
                answer.outcomes.extend(outcomes);
                // The link may be gone: its messages are stored all the same.
                let _ = answer.reply.send(answer.outcomes);
            }
            None => unfinished.extend(outcomes),
        }
    }
    unfinished
}

async fn deliver(mut committed: mpsc::Receiver<Committed>, broker: Arc<Broker>) {
    while let Some(batch) = committed.recv().await {
        let now = clock::now();
        for (Delivery { message, from, work }, places, _taken) in batch {
            let _work = work.enter();
            let _step = child("deliver");
            let places: Vec<_> = places.into_iter().map(|p| (Text::from(p.recipient), p.seq)).collect();
            broker.publish_stored(&message, &places, from.as_deref(), now);
        }
        tokio::task::yield_now().await;
    }
}

#[cfg(test)]
mod tests {
    use postern_broker::{Message, Timestamp, topic::TopicName, wire::QoS};
    use postern_trace::Work;

    use super::*;

    fn incoming(id: usize, recipients: usize, body: usize) -> Incoming {
        let topic = TopicName::try_from("im/g/ops/alice").unwrap();
        let body = bytes::Bytes::from(vec![0; body]);
        let stored = store::Message {
            id: id.to_string(),
            class: store::Class::Instant,
            sender: "alice".to_owned(),
            sender_device: "phone".to_owned(),
            to: store::Address::Everyone,
            topic: topic.to_string(),
            body: body.clone(),
            properties: Default::default(),
            sent_at: 1,
            expires_at: None,
            recipients: Arc::new(vec![String::new(); recipients]),
        };
        let message = Arc::new(Message::new(topic, body, QoS::AtLeastOnce, Timestamp(1)));
        Incoming { stored, delivery: Delivery { message, from: None, work: Work::default() } }
    }

    fn submission(
        room: &Arc<Room>,
        messages: Vec<Incoming>,
    ) -> (Submission, oneshot::Receiver<Vec<Outcome>>) {
        let (reply, answered) = oneshot::channel();
        let messages = messages
            .into_iter()
            .map(|incoming| Waiting { taken: room.take(incoming.cost()), incoming })
            .collect();
        (Submission { messages, answer: Answer { outcomes: Vec::new(), reply } }, answered)
    }

    fn sizes(parts: &[Part]) -> Vec<usize> {
        parts.iter().map(|part| part.messages.len()).collect()
    }

    #[test]
    fn what_one_read_brought_is_split_by_messages_bytes_and_recipients() {
        let room = Room::new(1);
        for (messages, recipients, body, first) in [
            (BATCH + 5, 1, 1, BATCH),
            (100, 2_000, 1, 10),
            (100, 1, 1 << 20, 4),
            (3, BATCH_PLACES + 1, 1, 1),
            (3, 1, BATCH_BYTES + 1, 1),
        ] {
            let all = (0..messages).map(|id| incoming(id, recipients, body)).collect();
            let mut waiting = VecDeque::from([submission(&room, all).0]);
            assert_eq!(sizes(&gather(&mut waiting)), [first], "{messages} {recipients} {body}");
            assert_eq!(waiting[0].messages.len(), messages - first);
            let mut taken = first;
            while !waiting.is_empty() {
                taken += sizes(&gather(&mut waiting)).iter().sum::<usize>();
            }
            assert_eq!(taken, messages);
        }
    }

    #[test]
    fn however_many_links_send_a_message_each_none_is_refused_while_there_is_room() {
        let (queue, submissions) = mpsc::unbounded_channel();
        let ingest = Ingest { queue, room: Room::new(64 << 20) };
        let mut waiting: Vec<_> = (0..20_000).map(|id| ingest.submit(vec![incoming(id, 1, 64)])).collect();
        assert!(waiting.iter_mut().all(|answer| answer.try_recv().is_err()));
        drop(submissions);
        let outcomes = ingest.submit(vec![incoming(0, 1, 64)]).try_recv().unwrap();
        assert!(matches!(&outcomes[..], [Outcome::Unavailable(_)]), "{outcomes:?}");
    }

    #[test]
    fn who_cannot_be_left_unread_is_refused_at_twice_the_room() {
        let (queue, _submissions) = mpsc::unbounded_channel();
        let ingest = Ingest { queue, room: Room::new(64 << 10) };
        let all: Vec<_> = (0..1_000).map_while(|id| ingest.try_submit(incoming(id, 1, 1 << 10))).collect();
        assert!((64..=128).contains(&all.len()), "{} of a KiB each", all.len());
        ingest.submit(vec![incoming(0, 1, 1)]);
    }

    #[test]
    fn a_sender_is_answered_once_with_an_outcome_for_each_in_order() {
        let room = Room::new(1);
        let (large, mut of_large) = submission(&room, (0..15).map(|id| incoming(id, 2_000, 1)).collect());
        let (small, mut of_small) = submission(&room, vec![incoming(99, 1, 1)]);
        let mut waiting = VecDeque::from([large, small]);
        let mut fresh = Vec::new();
        for (parts, refused) in [(vec![10], 0), (vec![5, 1], 4)] {
            let batch = gather(&mut waiting);
            assert_eq!(sizes(&batch), parts);
            let count: usize = parts.iter().sum();
            let saved = (0..count).map(|at| match at {
                at if at == refused => Saved::Refused(at.to_string()),
                _ => Saved::Stored(Vec::new()),
            });
            let sent = batch.into_iter().map(|part| Sent {
                deliveries: part.messages.into_iter().map(|w| (w.incoming.delivery, w.taken)).collect(),
                answer: part.answer,
            });
            let unfinished = settle(sent.collect(), Ok(saved.collect()), &mut fresh);
            if let Some(first) = waiting.front_mut() {
                first.answer.outcomes.extend(unfinished);
                assert!(of_large.try_recv().is_err(), "more is to come");
            }
        }
        let outcomes = of_large.try_recv().unwrap();
        let refused: Vec<usize> =
            outcomes.iter().enumerate().filter(|(_, o)| **o != Outcome::Durable).map(|(at, _)| at).collect();
        assert_eq!((outcomes.len(), refused), (15, vec![0, 14]));
        assert_eq!(of_small.try_recv().unwrap(), [Outcome::Durable]);
        assert_eq!(fresh.len(), 14);
    }
}
