//! The pump of one live link: what came in is applied, what is to go out is written, in batches.
//!
//! One poll reads all that has come, applies it, and ends in one write. Nothing here waits inside a
//! step: questions, commits and pages are polled beside the socket, so a slow one holds back only
//! what must come after it.

use std::{
    collections::VecDeque,
    future::poll_fn,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use postern_broker::{
    Link, Timestamp,
    wire::{Packet, ReasonCode, Text, Version},
};
use tokio::time::{Instant, Sleep};

use super::{ending::Ending, framed::Framed, inflow::Inflow, live::Expiry, publish::Sender, reauth::Reauth};
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
    pub(super) expiry: Arc<Expiry>,
    pub(super) token: Option<String>,
    pub(super) method: Option<Text>,
    pub(super) reauth: Option<Box<Reauth>>,
    pub(super) ending: Option<Ending>,
    /// The client asked for a session that outlives its link.
    pub(super) outlives: bool,
    /// Packets read and not yet applied: one before them waits for an answer.
    backlog: VecDeque<Packet>,
    pub(super) feed: Option<Box<Feed>>,
    keep_alive: Option<Duration>,
    heard: Instant,
    timer: Option<Pin<Box<Sleep>>>,
}

/// Stored messages for a signed-in device.
pub(super) struct Feed {
    pub(super) who: Welcomed,
    work: Option<Work>,
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
        Pump {
            node,
            conn,
            link,
            sender,
            version,
            origin,
            inflow: Inflow::default(),
            expiry: Expiry::new(None),
            token: None,
            method: None,
            reauth: None,
            ending: None,
            outlives: false,
            backlog: VecDeque::new(),
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

    /// The token it signed in with, and how to sign in again.
    pub fn token(mut self, token: Option<String>, expiry: Arc<Expiry>, method: Option<Text>) -> Self {
        (self.token, self.expiry, self.method) = (token, expiry, method);
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

    /// Whether the client asked for a session that outlives its link.
    pub fn outlives(mut self, outlives: bool) -> Self {
        self.outlives = outlives;
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
        while self.ending.is_none() && !self.inflow.is_asking() {
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
        let may_read = self.ending.is_none()
            && self.backlog.is_empty()
            && self.inflow.has_room()
            && !self.conn.is_clogged();
        if !may_read {
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

    fn poll_timer(&mut self, cx: &mut Context<'_>, now: Timestamp) -> Poll<()> {
        loop {
            let Some((deadline, refusal)) = self.next_deadline(now) else {
                self.timer = None;
                return Poll::Pending;
            };
            if deadline <= Instant::now() && self.ending.is_none() {
                self.refuse(refusal);
                // What was under way is finished; the next poll ends the link.
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            if self.ending.is_some() {
                return Poll::Pending; // a commit that is under way wakes us
            }
            let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
            // A timer that goes off early is set anew; one that is late is what it costs to leave
            // it alone at every packet.
            if timer.deadline() > deadline || timer.is_elapsed() {
                timer.as_mut().reset(deadline);
            }
            if timer.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
        }
    }

    fn next_deadline(&self, now: Timestamp) -> Option<(Instant, Refusal)> {
        let silence = self.keep_alive.map(|k| (self.heard + k, Refusal::KeepAlive));
        let expiry = match self.expiry.at() {
            u64::MAX => None,
            at => Some((Instant::now() + Duration::from_millis(at.saturating_sub(now.0)), Refusal::Expired)),
        };
        match (silence, expiry) {
            (Some(a), Some(b)) => Some(if a.0 <= b.0 { a } else { b }),
            (a, b) => a.or(b),
        }
    }
}
