//! The bus between processes: NATS.
//!
//! One task per subscription moves messages from the client library's queue into ours as fast as they
//! come, so that what is lost to a slow reader is lost, counted and logged in one place for both buses.

use std::time::Duration;

use async_nats::client::{PublishErrorKind, RequestErrorKind};
use async_nats::connection::State;
use async_nats::{Client, ConnectOptions, Event, Message, Subscriber};
use bytes::Bytes;
use futures_util::StreamExt;
use tracing::{debug, info, warn};

use crate::BusError;
use crate::queue::{Inlet, Reply, Request, Requests, Subscription, queue};
use crate::url::{self, Login};

/// How long the server may take for what is no request.
const PATIENCE: Duration = Duration::from_secs(5);

pub(crate) struct Nats {
    client: Client,
}

impl Nats {
    pub(crate) async fn connect(url: &str) -> Result<Self, BusError> {
        let servers = url::parse(url)?;
        let shown = servers.addresses.join(",");
        let mut options = ConnectOptions::new()
            .name("postern")
            .require_tls(servers.tls)
            // Only servers that the operator named: others could be off loopback without TLS.
            .ignore_discovered_servers()
            .connection_timeout(PATIENCE)
            .subscription_capacity(1 << 16)
            .event_callback(|event| async move { log(&event) });
        options = match servers.login {
            Some(Login::Password { user, password }) => options.user_and_password(user, password),
            Some(Login::Token(token)) => options.token(token),
            None => options,
        };
        let client = options
            .connect(servers.addresses)
            .await
            .map_err(|error| BusError::Closed(format!("{shown}: {}", one_line(&error))))?;
        Ok(Self { client })
    }

    pub(crate) fn is_up(&self) -> bool {
        self.client.connection_state() == State::Connected
    }

    pub(crate) async fn request(
        &self,
        subject: String,
        payload: Bytes,
        timeout: Duration,
    ) -> Result<Bytes, BusError> {
        let request = async_nats::Request::new().payload(payload).timeout(None);
        // Around all of it: with the server away, even handing the request over may wait.
        let answer = tokio::time::timeout(timeout, self.client.send_request(subject, request)).await;
        match answer {
            Ok(Ok(message)) => Ok(message.payload),
            Ok(Err(error)) => Err(match error.kind() {
                RequestErrorKind::NoResponders => BusError::NoResponder,
                RequestErrorKind::TimedOut => BusError::Timeout,
                RequestErrorKind::InvalidSubject | RequestErrorKind::MaxPayloadExceeded => {
                    BusError::Refused(one_line(&error))
                }
                RequestErrorKind::Other => BusError::Closed(one_line(&error)),
            }),
            Err(_) if self.is_up() => Err(BusError::Timeout),
            Err(_) => Err(BusError::Closed("not connected".into())),
        }
    }

    pub(crate) async fn serve(&self, subject: String, group: &str) -> Result<Requests, BusError> {
        let subscriber = self
            .client
            .queue_subscribe(subject.clone(), group.to_owned())
            .await
            .map_err(|error| BusError::Closed(one_line(&error)))?;
        self.settle().await?;
        let (inlet, outlet) = queue(&subject);
        let client = self.client.clone();
        tokio::spawn(pump(subscriber, inlet, move |message| {
            let reply = match message.reply {
                Some(subject) => Reply::Nats { client: client.clone(), subject },
                None => Reply::Nowhere,
            };
            Request { payload: message.payload, reply }
        }));
        Ok(Requests(outlet))
    }

    pub(crate) async fn publish(&self, subject: String, payload: Bytes) -> Result<(), BusError> {
        // Not kept for later: who publishes is told now that nobody heard it.
        if !self.is_up() {
            return Err(BusError::Closed("not connected".into()));
        }
        self.client.publish(subject, payload).await.map_err(|error| match error.kind() {
            PublishErrorKind::Send => BusError::Closed(one_line(&error)),
            _ => BusError::Refused(one_line(&error)),
        })
    }

    pub(crate) async fn subscribe(&self, subject: String) -> Result<Subscription, BusError> {
        let subscriber = self
            .client
            .subscribe(subject.clone())
            .await
            .map_err(|error| BusError::Closed(one_line(&error)))?;
        self.settle().await?;
        let (inlet, outlet) = queue(&subject);
        tokio::spawn(pump(subscriber, inlet, |message| message.payload));
        Ok(Subscription(outlet))
    }

    pub(crate) async fn flush(&self) {
        let _ = tokio::time::timeout(PATIENCE, self.client.flush()).await;
    }

    /// Waits until the server has taken what was sent so far: it handles one connection's words in
    /// order, so an echo of our own tells. Subscribing itself is not answered.
    async fn settle(&self) -> Result<(), BusError> {
        let closed = |error: &dyn std::fmt::Display| BusError::Closed(one_line(error));
        let echo = async {
            let inbox = self.client.new_inbox();
            let mut echo = self.client.subscribe(inbox.clone()).await.map_err(|error| closed(&error))?;
            self.client.publish(inbox, Bytes::new()).await.map_err(|error| closed(&error))?;
            echo.next().await.map(drop).ok_or_else(|| closed(&"connection closed"))
        };
        match tokio::time::timeout(PATIENCE, echo).await {
            Ok(done) => done,
            Err(_) => Err(closed(&"the server does not answer")),
        }
    }
}

/// Moves messages until the reader or the bus is gone.
async fn pump<T>(mut from: Subscriber, to: Inlet<T>, mut read: impl FnMut(Message) -> T) {
    loop {
        let message = tokio::select! {
            message = from.next() => message,
            () = to.closed() => None,
        };
        let Some(message) = message else { break };
        if !to.put(read(message)) {
            break;
        }
    }
    let _ = from.unsubscribe().await;
}

fn log(event: &Event) {
    match event {
        Event::Connected => info!("bus connected"),
        Event::Disconnected => warn!("bus disconnected, trying again"),
        Event::SlowConsumer(_) => warn!("messages of the bus are lost: this process is too slow"),
        Event::ServerError(error) => warn!(%error, "bus"),
        Event::ClientError(error) => debug!(%error, "bus"),
        other => debug!(event = %other, "bus"),
    }
}

fn one_line(error: &(impl std::fmt::Display + ?Sized)) -> String {
    error.to_string().split_whitespace().collect::<Vec<_>>().join(" ")
}
