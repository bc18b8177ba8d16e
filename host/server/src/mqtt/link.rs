//! The pump of one live link: what came in is applied, what is to go out is written, in batches.
//!
//! One poll reads all that has come, applies it, and ends in one write. Nothing here waits inside a
//! step: questions, commits and pages are polled beside the socket, so a slow one holds back only
//! what must come after it.

use std::{
    collections::VecDeque,
    future::poll_fn,
    pin::Pin,
    sync::{Arc, atomic::Ordering},
    task::{Context, Poll},
    time::Duration,
};

use postern_broker::{
    Close, Link, Timestamp,
    wire::{Disconnect, Packet, ReasonCode, Text, Version},
};
use tokio::time::{Instant, Sleep};
use tracing::{debug, info};

use super::{
    framed::{End, Framed},
    inflow::Inflow,
    live::SignIn,
    pace::Pace,
    publish::Sender,
    reauth::Reauth,
};
use crate::{
    clock,
    control::{cursors::Device, welcome::Welcomed},
    listen::wire::Origin,
    node::Node,
    refuse::Refusal,
};

/// Rounds in one poll before other links get their turn.
const ROUNDS: usize = 8;
/// Bytes encoded before they are written.
const CHUNK: usize = 64 << 10;
/// How long a peer may take to read its last packet.
pub(super) const FAREWELL: Duration = Duration::from_secs(2);

type Work = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A live link.
pub struct Pump {
    pub(super) node: Arc<Node>,
    pub(super) conn: Framed,
    pub(super) link: Arc<Link>,
    pub(super) sender: Arc<Sender>,
    pub(super) version: Version,
    pub(super) origin: Origin,
    pub(super) inflow: Inflow,
    pub(super) signed_in: Option<Arc<SignIn>>,
    pub(super) method: Option<Text>,
    pub(super) reauth: Option<Box<Reauth>>,
    pub(super) ending: Option<Ending>,
    /// Packets read and not yet applied: one before them waits for an answer.
    pub(super) backlog: VecDeque<Packet>,
    /// How fast its messages are applied.
    pub(super) pace: Option<Box<Pace>>,
    feed: Option<Box<Feed>>,
    pub(super) keep_alive: Option<Duration>,
    pub(super) heard: Instant,
    pub(super) timer: Option<Pin<Box<Sleep>>>,
}

/// Stored messages for a signed-in device.
struct Feed {
    who: Welcomed,
    work: Option<Work>,
}

/// Why a link ends.
#[derive(Debug)]
pub enum Ending {
    /// DISCONNECT from the client.
    Left(Close),
    /// The network or the peer is gone.
    Gone,
    /// Refused; an MQTT 5 peer is told why.
    Refused(Refusal),
}

impl Pump {
    /// A link that has signed in.
    pub fn new(
        node: Arc<Node>,
        conn: Framed,
        link: Arc<Link>,
        sender: Arc<Sender>,
        version: Version,
        origin: Origin,
    ) -> Self {
        let pace = Pace::of(&node.limits);
        Pump {
            node,
            conn,
            link,
            sender,
            version,
            origin,
            inflow: Inflow::default(),
            signed_in: None,
            method: None,
            reauth: None,
            ending: None,
            backlog: VecDeque::new(),
            pace,
            feed: None,
            keep_alive: None,
            heard: Instant::now(),
            timer: None,
        }
    }

    /// The silence after which the link ends; None for never.
    pub fn keep_alive(mut self, keep_alive: Option<Duration>) -> Self {
        self.keep_alive = keep_alive;
        self
    }

    /// What it signed in with, and how to sign in again.
    pub fn signed_in(mut self, signed_in: Arc<SignIn>, method: Option<Text>) -> Self {
        (self.signed_in, self.method) = (Some(signed_in), method);
        self
    }

    /// Whether it gets its user's stored messages and presence.
    pub fn messaging(mut self, messaging: bool) -> Self {
        let (Some(profile), true) = (&self.sender.profile, messaging) else { return self };
        let device = Device { user: profile.user.clone(), client_id: self.sender.key.client_id.to_string() };
        let who = Welcomed {
            profile: profile.clone(),
            partners: self.sender.partners.clone(),
            device,
            counted: Arc::default(),
        };
        let begin: Work = Box::pin(who.clone().begin(self.node.clone(), self.link.clone()));
        self.feed = Some(Box::new(Feed { who, work: Some(begin) }));
        self
    }

    /// Runs the link to its end.
    pub async fn run(mut self) {
        self.withdraw_forbidden();
        let mut packets = Vec::new();
        if let Err(end) = self.conn.leftover(&mut packets) {
            self.end(end);
        }
        self.backlog.extend(packets);
        poll_fn(|cx| self.poll(cx)).await;
        self.finish().await;
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let now = clock::now();
        for _ in 0..ROUNDS {
            let mut moved = self.apply_backlog(now);
            moved |= self.poll_question(cx, now);
            self.inflow.submit(&self.node.ingest);
            moved |= self.poll_done(cx, now);
            moved |= self.poll_feed(cx);
            moved |= self.poll_reauth(cx);
            moved |= self.poll_input(cx);
            moved |= self.poll_output(cx, now);
            if self.ending.is_some() && self.inflow.is_idle() {
                return Poll::Ready(());
            }
            if !moved {
                self.conn.rest();
                // At rest: whatever happened since the last drain wakes us at once.
                self.link.register(cx.waker());
                return self.poll_timer(cx, now);
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn apply_backlog(&mut self, now: Timestamp) -> bool {
        let mut moved = false;
        self.resume();
        while self.ending.is_none() && !self.inflow.is_asking() && !self.is_held() {
            let Some(packet) = self.backlog.pop_front() else {
                if self.backlog.capacity() > 64 {
                    self.backlog = VecDeque::new();
                }
                break;
            };
            moved = true;
            self.apply(packet, now);
        }
        moved
    }

    /// Each kind of packet applies itself; the server sends the others.
    fn apply(&mut self, packet: Packet, now: Timestamp) {
        let acked = match packet {
            Packet::Publish(publish) => return self.publish(publish, now),
            Packet::PubAck(ack) => self.link.puback(&ack),
            Packet::PubRec(ack) => self.link.pubrec(&ack),
            Packet::PubRel(ack) => self.link.pubrel(&ack),
            Packet::PubComp(ack) => self.link.pubcomp(&ack),
            Packet::Subscribe(subscribe) => return self.subscribe(&subscribe, now),
            Packet::Unsubscribe(unsubscribe) => return self.unsubscribe(&unsubscribe),
            Packet::PingReq => return self.link.send(Packet::PingResp),
            Packet::Disconnect(disconnect) => return self.disconnect(&disconnect),
            Packet::Auth(auth) => return self.auth(auth),
            Packet::Connect(_) => Err(ReasonCode::ProtocolError), // [MQTT-3.1.0-2]
            Packet::ConnAck(_) | Packet::SubAck(_) | Packet::UnsubAck(_) | Packet::PingResp => {
                Err(ReasonCode::ProtocolError)
            }
        };
        if let Err(reason) = acked {
            self.refuse(Refusal::Packet(reason, "packet out of place"));
        }
    }

    fn disconnect(&mut self, disconnect: &Disconnect) {
        let close = match disconnect.reason {
            ReasonCode::DisconnectWithWill => {
                Close::WithWill { session_expiry_secs: disconnect.session_expiry }
            }
            _ if disconnect.reason.is_error() => {
                Close::WithWill { session_expiry_secs: disconnect.session_expiry }
            }
            _ => Close::Normal { session_expiry_secs: disconnect.session_expiry },
        };
        self.ending = Some(Ending::Left(close));
    }

    fn poll_feed(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(feed) = &mut self.feed else { return false };
        if let Some(cursor) = self.link.take_cursor() {
            self.node.cursors.note(&feed.who.device, cursor);
        }
        if feed.work.is_none() {
            let Some(after) = self.link.feed_wants() else { return false };
            feed.work = Some(Box::pin(feed.who.clone().page(self.node.clone(), self.link.clone(), after)));
        }
        let Some(work) = &mut feed.work else { return false };
        let done = work.as_mut().poll(cx).is_ready();
        if done {
            feed.work = None;
        }
        done
    }

    fn poll_input(&mut self, cx: &mut Context<'_>) -> bool {
        let may_read = self.ending.is_none() && self.backlog.is_empty() && !self.conn.is_clogged();
        if !may_read {
            return false;
        }
        if !self.inflow.has_room() || self.node.ingest.poll_room(cx).is_pending() {
            // Who is not read cannot be heard.
            self.heard = Instant::now();
            return false;
        }
        let mut packets = std::mem::take(&mut self.backlog).into();
        let polled = self.conn.poll_packets(cx, &mut packets);
        self.backlog = packets.into();
        match polled {
            Poll::Pending => false,
            Poll::Ready(Ok(())) => {
                self.heard = Instant::now();
                true
            }
            Poll::Ready(Err(end)) => {
                // What came whole before the fault is applied first.
                let now = clock::now();
                self.apply_backlog(now);
                if self.ending.is_none() {
                    self.end(end);
                }
                true
            }
        }
    }

    fn poll_output(&mut self, cx: &mut Context<'_>, now: Timestamp) -> bool {
        let mut moved = false;
        for _ in 0..ROUNDS {
            let mut more = false;
            if !self.conn.is_clogged() {
                let drained = self.link.drain(self.conn.output(), CHUNK, now);
                more = drained.more;
                if let Some(reason) = drained.closing
                    && self.ending.is_none()
                {
                    self.ending = Some(Ending::Refused(Refusal::Closed(reason)));
                    moved = true;
                }
            }
            if self.conn.is_flushed() {
                break;
            }
            match self.conn.poll_write(cx) {
                Poll::Ready(Ok(())) => moved = true,
                Poll::Ready(Err(_)) => {
                    self.ending.get_or_insert(Ending::Gone);
                    return true;
                }
                Poll::Pending => break,
            }
            if !more {
                break;
            }
        }
        moved
    }

    /// Ends the link with a refusal.
    pub(super) fn refuse(&mut self, refusal: Refusal) {
        refusal.count();
        if self.ending.is_none() {
            self.ending = Some(Ending::Refused(refusal));
        }
    }

    fn end(&mut self, end: End) {
        match end {
            End::Gone(e) => {
                debug!(peer = %self.origin.peer, error = %e, "link gone");
                self.ending.get_or_insert(Ending::Gone);
            }
            End::Refused(fault) => self.refuse(fault.into()),
        }
    }

    /// Tells the peer, ends the session's attachment, publishes the will, notes who left.
    async fn finish(mut self) {
        let close = match self.ending.take() {
            Some(Ending::Left(close)) => close,
            Some(Ending::Refused(refusal)) => {
                info!(peer = %self.origin.peer, listener = self.origin.listener.as_str(), %refusal, "link ended");
                if self.version == Version::V5 {
                    let farewell = Disconnect {
                        reason: refusal.reason_code(),
                        reason_string: Some(Text::from(refusal.told())),
                        ..Disconnect::default()
                    };
                    let farewell = Packet::Disconnect(farewell);
                    let told = self.conn.send(&farewell, Version::V5);
                    let _ = tokio::time::timeout(FAREWELL, told).await;
                }
                if refusal.ends_sign_in() {
                    // The will was to be said by one who may speak: it is dropped, the session stays.
                    Close::Normal { session_expiry_secs: None }
                } else {
                    Close::Lost
                }
            }
            Some(Ending::Gone) | None => Close::Lost,
        };
        if let Some(cursor) = self.link.take_cursor()
            && let Some(feed) = &self.feed
        {
            self.node.cursors.note(&feed.who.device, cursor);
        }
        let due = self.link.close(close, clock::now());
        if let Some(due) = due {
            super::will::publish(self.node.clone(), due);
        }
        if let Some(feed) = &self.feed
            && feed.who.counted.load(Ordering::Acquire)
        {
            self.node.presence.left(&feed.who.profile, &feed.who.partners, &self.link).await;
        }
        let _ = tokio::time::timeout(FAREWELL, self.conn.finish()).await;
    }
}
