//! The bounded queues between the bus and who reads from it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};
use tracing::warn;

/// Messages that wait for one reader. At some 500 bytes each, 2 MiB.
const DEPTH: usize = 4096;

/// The sending end of a reader's queue.
#[derive(Debug)]
pub(crate) struct Inlet<T> {
    subject: Arc<str>,
    sender: mpsc::Sender<T>,
    lost: Arc<AtomicU64>,
}

impl<T> Clone for Inlet<T> {
    fn clone(&self) -> Self {
        Self { subject: Arc::clone(&self.subject), sender: self.sender.clone(), lost: Arc::clone(&self.lost) }
    }
}

/// The receiving end.
#[derive(Debug)]
pub(crate) struct Outlet<T> {
    receiver: mpsc::Receiver<T>,
    lost: Arc<AtomicU64>,
}

/// A new queue for a reader of `subject`.
pub(crate) fn queue<T>(subject: &str) -> (Inlet<T>, Outlet<T>) {
    let (sender, receiver) = mpsc::channel(DEPTH);
    let lost = Arc::new(AtomicU64::new(0));
    (Inlet { subject: subject.into(), sender, lost: Arc::clone(&lost) }, Outlet { receiver, lost })
}

impl<T> Inlet<T> {
    /// Puts `message` in; where the queue is full, it is lost, counted and logged. False: nobody reads
    /// here any more.
    pub(crate) fn put(&self, message: T) -> bool {
        match self.sender.try_send(message) {
            Ok(()) => true,
            Err(mpsc::error::TrySendError::Full(_)) => {
                let lost = self.lost.fetch_add(1, Ordering::Relaxed) + 1;
                // Once at the first and then at each power of two: a log that can be read.
                if lost.is_power_of_two() {
                    warn!(subject = %self.subject, lost, "a reader of the bus is too slow, messages are lost to it");
                }
                true
            }
            Err(mpsc::error::TrySendError::Closed(_)) => false,
        }
    }

    pub(crate) fn is_open(&self) -> bool {
        !self.sender.is_closed()
    }

    /// Resolves when nobody reads here any more.
    pub(crate) async fn closed(&self) {
        self.sender.closed().await;
    }
}

/// What is published to a subject. Dropping it ends the subscription.
#[derive(Debug)]
pub struct Subscription(pub(crate) Outlet<Bytes>);

impl Subscription {
    /// The next payload; None when the bus has closed. Cancel-safe.
    pub async fn next(&mut self) -> Option<Bytes> {
        self.0.receiver.recv().await
    }

    /// Messages that were lost because this reader was too slow.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.0.lost.load(Ordering::Relaxed)
    }
}

/// Requests to be answered. Dropping it ends the service.
#[derive(Debug)]
pub struct Requests(pub(crate) Outlet<Request>);

impl Requests {
    /// The next request; None when the bus has closed. Cancel-safe.
    pub async fn next(&mut self) -> Option<Request> {
        self.0.receiver.recv().await
    }

    /// Requests that were lost because this server was too slow.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.0.lost.load(Ordering::Relaxed)
    }
}

/// One request.
#[derive(Debug)]
pub struct Request {
    /// What is asked.
    pub payload: Bytes,
    pub(crate) reply: Reply,
}

/// Where an answer goes.
#[derive(Clone)]
pub(crate) enum Reply {
    /// The first of the groups that were asked takes the sender.
    Local(Arc<Mutex<Option<oneshot::Sender<Bytes>>>>),
    Nats {
        client: async_nats::Client,
        subject: async_nats::Subject,
    },
    /// A message that came without an address to answer to.
    Nowhere,
}

impl std::fmt::Debug for Reply {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Reply")
    }
}

impl Request {
    /// Answers. Who no longer waits does not get it; that is not an error here.
    pub async fn reply(self, answer: Bytes) {
        match self.reply {
            Reply::Local(sender) => {
                let sender = sender.lock().take();
                if let Some(sender) = sender {
                    let _ = sender.send(answer);
                }
            }
            Reply::Nats { client, subject } => {
                if let Err(error) = client.publish(subject, answer).await {
                    warn!(%error, "an answer could not be sent on the bus");
                }
            }
            Reply::Nowhere => {}
        }
    }
}
