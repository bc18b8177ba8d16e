//! The message bus: how the groups talk to each other (A4), and the only way they do.
//!
//! [`Bus::local`] joins the parts of one process, [`Bus::connect`] those of several through NATS. Both
//! promise the same, and the same tests hold them to it:
//!
//! - a request goes to one server of each group that serves its subject, and the first answer counts; a
//!   request that nobody serves fails at once;
//! - what is published goes to every subscriber of its subject, in the publisher's order;
//! - queues are bounded and nobody waits for a slow reader: what does not fit in its queue is lost to
//!   that reader, counted in [`Subscription::lost`] and [`Requests::lost`], and logged without its
//!   payload. Who publishes state must therefore be able to say it again, and who asks must bear a
//!   [`BusError::Timeout`].
//!
//! Subjects are words of `A-Z a-z 0-9 _ -` joined by dots; inside they get the prefix `postern.`.

mod local;
mod nats;
mod queue;
mod subject;
mod url;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

pub use queue::{Request, Requests, Subscription};

/// What can go wrong with a message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BusError {
    /// Nobody serves the subject.
    #[error("nobody answers on the bus")]
    NoResponder,
    /// Somebody serves the subject, but no answer came in time.
    #[error("no answer from the bus in time")]
    Timeout,
    /// The bus is closed, or its server cannot be reached.
    #[error("the bus is down: {0}")]
    Closed(String),
    /// The subject or URL is not allowed, or the payload is too large.
    #[error("{0}")]
    Refused(String),
}

/// The bus. Cheap to clone.
#[derive(Clone)]
pub struct Bus(Arc<Kind>);

enum Kind {
    Local(local::Local),
    Nats(nats::Nats),
}

impl std::fmt::Debug for Bus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match &*self.0 {
            Kind::Local(_) => "Bus(local)",
            Kind::Nats(_) => "Bus(nats)",
        })
    }
}

impl Bus {
    /// A bus within this process: clones of it are connected.
    #[must_use]
    pub fn local() -> Self {
        Self(Arc::new(Kind::Local(local::Local::default())))
    }

    /// Whether [`Bus::connect`] would take this URL; nobody is asked.
    ///
    /// # Errors
    /// [`BusError::Refused`].
    pub fn check(url: &str) -> Result<(), BusError> {
        url::parse(url).map(drop)
    }

    /// Connects to NATS: `nats://HOST:PORT` on loopback, elsewhere `tls://USER:PASSWORD@HOST:PORT`
    /// (rule 11); several separated by commas. Certificates are checked against the system's roots
    /// (`SSL_CERT_FILE` names others). Later a lost connection is made again for as long as it takes.
    ///
    /// # Errors
    /// [`BusError::Refused`] for the URL, [`BusError::Closed`] when no server answers; one line each,
    /// without the password.
    pub async fn connect(url: &str) -> Result<Self, BusError> {
        Ok(Self(Arc::new(Kind::Nats(nats::Nats::connect(url).await?))))
    }

    /// Asks whoever serves `subject` and waits for the first answer.
    ///
    /// # Errors
    /// [`BusError`].
    pub async fn request(&self, subject: &str, payload: Bytes, timeout: Duration) -> Result<Bytes, BusError> {
        let subject = subject::inner(subject)?;
        match &*self.0 {
            Kind::Local(local) => local.request(&subject, payload, timeout).await,
            Kind::Nats(nats) => nats.request(subject, payload, timeout).await,
        }
    }

    /// Serves a subject: of all that name the same `group`, one gets each request. Once this returns,
    /// requests from anywhere on the bus arrive.
    ///
    /// # Errors
    /// [`BusError`].
    pub async fn serve(&self, subject: &str, group: &str) -> Result<Requests, BusError> {
        let subject = subject::inner(subject)?;
        subject::check(group)?;
        match &*self.0 {
            Kind::Local(local) => Ok(local.serve(subject, group)),
            Kind::Nats(nats) => nats.serve(subject, group).await,
        }
    }

    /// Tells every subscriber of `subject`, if there is one.
    ///
    /// # Errors
    /// [`BusError::Closed`] when the bus is down: it was told to nobody.
    pub async fn publish(&self, subject: &str, payload: Bytes) -> Result<(), BusError> {
        let subject = subject::inner(subject)?;
        match &*self.0 {
            Kind::Local(local) => {
                local.publish(&subject, &payload);
                Ok(())
            }
            Kind::Nats(nats) => nats.publish(subject, payload).await,
        }
    }

    /// Everything that is published to `subject` after this has returned.
    ///
    /// # Errors
    /// [`BusError`].
    pub async fn subscribe(&self, subject: &str) -> Result<Subscription, BusError> {
        let subject = subject::inner(subject)?;
        match &*self.0 {
            Kind::Local(local) => Ok(local.subscribe(subject)),
            Kind::Nats(nats) => nats.subscribe(subject).await,
        }
    }

    /// Whether messages get anywhere now.
    #[must_use]
    pub fn is_up(&self) -> bool {
        match &*self.0 {
            Kind::Local(_) => true,
            Kind::Nats(nats) => nats.is_up(),
        }
    }

    /// Sends what is still to be sent. For an orderly stop.
    pub async fn flush(&self) {
        if let Kind::Nats(nats) = &*self.0 {
            nats.flush().await;
        }
    }
}
