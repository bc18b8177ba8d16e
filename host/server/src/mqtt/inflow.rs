//! A link's messages between their arrival and their acknowledgement, in arrival order.
//!
//! Commits overlap: reading goes on while batches are written. Routing and acknowledging keep the
//! order in which messages came [MQTT-4.6.0-2].

use std::{
    collections::VecDeque,
    sync::Arc,
    task::{Context, Poll},
};

use postern_broker::{
    Message,
    wire::{PacketId, QoS},
};
use postern_trace::{Span, Work};
use tokio::sync::oneshot;

use super::publish::{Arrived, Question};
use crate::control::{
    ingest::{Incoming, Ingest, Outcome},
    wire::Denied,
};

/// Messages that may wait on one link before it is read no further.
const PENDING: usize = 2_048;
/// The same in bytes; one read more may be on top.
const PENDING_BYTES: usize = 4 << 20;

/// What follows a message to its end.
pub struct Receipt {
    /// What it is owed when it is done: nothing for QoS 0.
    pub owed: Option<(PacketId, QoS)>,
    /// What it is known by; its step of a trace ends when it is acknowledged.
    pub span: Span,
}

enum Pending {
    /// Submitted together, answered together.
    Committing(Vec<Receipt>, oneshot::Receiver<Vec<Outcome>>, usize),
    /// Only waits for its turn.
    Routing(Receipt, Arc<Message>),
    /// Refused, and told in its turn.
    Refused(Receipt, crate::refuse::Refusal),
    /// Handled already: acknowledged again in its turn.
    Repeated(Receipt),
}

/// One message whose turn has come.
pub enum Done {
    /// To be routed and acknowledged.
    Route(Receipt, Arc<Message>),
    /// Stored, refused by the store, or not stored.
    Stored(Receipt, Outcome),
    /// To be refused.
    Refused(Receipt, crate::refuse::Refusal),
    /// Handled already: to be acknowledged again.
    Repeated(Receipt),
}

impl Done {
    /// Which message it is.
    pub fn work(&self) -> Work {
        let (Done::Route(receipt, _)
        | Done::Stored(receipt, _)
        | Done::Refused(receipt, _)
        | Done::Repeated(receipt)) = self;
        receipt.span.work()
    }
}

/// The messages of one link that are under way. Without any it is a null pointer: most links rest.
#[derive(Default)]
pub struct Inflow(Option<Box<UnderWay>>);

#[derive(Default)]
struct UnderWay {
    question: Option<Box<(Receipt, Arrived, Question)>>,
    /// Ends when the last message that is decided elsewhere has been.
    decided: Option<oneshot::Receiver<()>>,
    gathered: Vec<(Receipt, Incoming)>,
    pending: VecDeque<Pending>,
    count: usize,
    /// Of all that is gathered or pending, and of that what is gathered.
    bytes: usize,
    gathered_bytes: usize,
}

impl Inflow {
    /// Whether nothing is under way.
    pub fn is_idle(&self) -> bool {
        self.0.as_ref().is_none_or(|it| it.is_over())
    }

    /// Whether more may be read.
    pub fn has_room(&self) -> bool {
        let room = |it: &UnderWay| it.question.is_none() && it.count < PENDING && it.bytes < PENDING_BYTES;
        self.0.as_deref().is_none_or(room)
    }

    /// Whether a message waits for an answer of the directory: nothing behind it may be applied.
    pub fn is_asking(&self) -> bool {
        self.0.as_ref().is_some_and(|it| it.question.is_some())
    }

    fn under_way(&mut self) -> &mut UnderWay {
        self.0.get_or_insert_default()
    }

    /// Holds a message until its question is answered.
    pub fn ask(&mut self, receipt: Receipt, arrived: Arrived, question: Question) {
        self.under_way().question = Some(Box::new((receipt, arrived, question)));
    }

    /// The message whose question is answered.
    pub fn poll_question(&mut self, cx: &mut Context<'_>) -> Poll<(Receipt, Arrived, Result<(), Denied>)> {
        let Some(it) = &mut self.0 else { return Poll::Pending };
        let Some(asked) = &mut it.question else { return Poll::Pending };
        let _work = asked.0.span.enter();
        let Poll::Ready(answer) = asked.2.as_mut().poll(cx) else { return Poll::Pending };
        match it.question.take() {
            Some(asked) => Poll::Ready((asked.0, asked.1, answer)),
            None => Poll::Pending,
        }
    }

    /// A message to be stored; submitted with its neighbours at [`Inflow::submit`].
    pub fn store(&mut self, receipt: Receipt, incoming: Incoming) {
        let it = self.under_way();
        it.count += 1;
        it.bytes += incoming.cost();
        it.gathered_bytes += incoming.cost();
        it.gathered.push((receipt, incoming));
    }

    /// A message to be routed: at once when nothing is before it.
    pub fn route(
        &mut self,
        receipt: Receipt,
        message: Arc<Message>,
        ingest: &Ingest,
    ) -> Option<(Receipt, Arc<Message>)> {
        let Some(it) = self.0.as_mut().filter(|it| it.has_messages()) else {
            return Some((receipt, message));
        };
        it.submit(ingest);
        it.bytes += message.size();
        it.wait(Pending::Routing(receipt, message));
        None
    }

    /// A message to be refused: at once when nothing is before it.
    pub fn refuse(
        &mut self,
        receipt: Receipt,
        refusal: crate::refuse::Refusal,
        ingest: &Ingest,
    ) -> Option<(Receipt, crate::refuse::Refusal)> {
        let Some(it) = self.0.as_mut().filter(|it| it.has_messages()) else {
            return Some((receipt, refusal));
        };
        it.submit(ingest);
        it.wait(Pending::Refused(receipt, refusal));
        None
    }

    /// A message whose fate is decided elsewhere, and told in its turn. Gives what ends when the one before
    /// it is decided, and what to drop when this one is.
    pub fn decide(
        &mut self,
        receipt: Receipt,
        answer: oneshot::Receiver<Vec<Outcome>>,
        bytes: usize,
        ingest: &Ingest,
    ) -> (Option<oneshot::Receiver<()>>, oneshot::Sender<()>) {
        let it = self.under_way();
        it.submit(ingest);
        it.bytes += bytes;
        it.wait(Pending::Committing(vec![receipt], answer, bytes));
        let (over, after) = oneshot::channel();
        (it.decided.replace(after), over)
    }

    /// A QoS 2 message that is handled already: its turn is told at [`Inflow::poll_done`].
    pub fn repeat(&mut self, receipt: Receipt, ingest: &Ingest) {
        let it = self.under_way();
        it.submit(ingest);
        it.wait(Pending::Repeated(receipt));
    }

    /// Submits what was gathered.
    pub fn submit(&mut self, ingest: &Ingest) {
        if let Some(it) = &mut self.0 {
            it.submit(ingest);
        }
    }

    /// What is done, as far as its turn has come.
    pub fn poll_done(&mut self, cx: &mut Context<'_>, done: &mut Vec<Done>) {
        if let Some(it) = &mut self.0 {
            it.poll_done(cx, done);
            if it.is_over() {
                self.0 = None;
            }
        }
    }
}

impl UnderWay {
    fn has_messages(&self) -> bool {
        !self.gathered.is_empty() || !self.pending.is_empty()
    }

    fn is_over(&self) -> bool {
        self.question.is_none() && !self.has_messages()
    }

    fn wait(&mut self, pending: Pending) {
        self.count += 1;
        self.pending.push_back(pending);
    }

    fn submit(&mut self, ingest: &Ingest) {
        if self.gathered.is_empty() {
            return;
        }
        let (receipts, messages) = std::mem::take(&mut self.gathered).into_iter().unzip();
        let bytes = std::mem::take(&mut self.gathered_bytes);
        self.pending.push_back(Pending::Committing(receipts, ingest.submit(messages), bytes));
    }

    fn poll_done(&mut self, cx: &mut Context<'_>, done: &mut Vec<Done>) {
        while let Some(front) = self.pending.front_mut() {
            if let Pending::Committing(receipts, answer, bytes) = front {
                let Poll::Ready(outcomes) = std::pin::Pin::new(answer).poll(cx) else { return };
                let (receipts, bytes) = (std::mem::take(receipts), *bytes);
                self.bytes = self.bytes.saturating_sub(bytes);
                // The ingest tasks answer every submission; without an answer they are gone.
                let outcomes = outcomes
                    .unwrap_or_else(|_| vec![Outcome::Unavailable("stopping".to_owned()); receipts.len()]);
                self.count = self.count.saturating_sub(receipts.len());
                done.extend(receipts.into_iter().zip(outcomes).map(|(r, o)| Done::Stored(r, o)));
                self.pending.pop_front();
                continue;
            }
            self.count = self.count.saturating_sub(1);
            match self.pending.pop_front() {
                Some(Pending::Routing(receipt, message)) => {
                    self.bytes = self.bytes.saturating_sub(message.size());
                    done.push(Done::Route(receipt, message));
                }
                Some(Pending::Refused(receipt, refusal)) => done.push(Done::Refused(receipt, refusal)),
                Some(Pending::Repeated(receipt)) => done.push(Done::Repeated(receipt)),
                Some(Pending::Committing(..)) | None => return,
            }
        }
    }
}
