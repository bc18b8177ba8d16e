//! The pump of one live link: what came in is applied, what is to go out is written, in batches.
//!
//! One poll reads all that has come, applies it, and ends in one write. Nothing here waits inside a
//! step: questions, commits and pages are polled beside the socket, so a slow one holds back only
//! what must come after it.

use std::{
    collections::VecDeque,
    num::NonZeroU32,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use postern_broker::{
    Link, Timestamp,
    journal::Mark,
    wire::{Packet, ReasonCode, Text, Version},
};
use postern_trace::Work;
use tokio::time::{Instant, Sleep};

use super::{
    ending::Ending, feed::Feed, framed::Framed, inflow::Inflow, live::SignIn, pace::Pace, publish::Sender,
    reauth::Reauth,
};
use crate::{clock, listen::wire::Origin, node::Node, refuse::Refusal};

/// Rounds in one poll before other links get their turn.
const ROUNDS: usize = 8;
/// Bytes encoded before they are written.
const CHUNK: usize = 64 << 10;

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
    pub(super) method: Option<Box<Text>>,
    pub(super) reauth: Option<Box<Reauth>>,
    pub(super) ending: Option<Box<Ending>>,
    /// The client asked for a session that outlives its link.
    pub(super) outlives: bool,
    /// Packets applied so far, its CONNECT among them.
    pub(super) packets: u32,
    /// Packets read and not yet applied: one before them waits for an answer.
    pub(super) backlog: VecDeque<Packet>,
    /// How fast its messages are applied.
    pub(super) pace: Option<Box<Pace>>,
    pub(super) feed: Option<Box<Feed>>,
    /// What is encoded may be written when the journal is settled so far.
    pub(super) mark: Mark,
    /// Where the journal was asked to wake us.
    asked: Mark,
    /// Milliseconds of silence after which the link ends.
    pub(super) keep_alive: Option<NonZeroU32>,
    pub(super) heard: Instant,
    pub(super) timer: Option<Pin<Box<Sleep>>>,
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
            outlives: false,
            packets: 1,
            backlog: VecDeque::new(),
            pace,
            feed: None,
            mark: Mark::default(),
            asked: Mark::default(),
            keep_alive: None,
            heard: Instant::now(),
            timer: None,
        }
    }

    /// The silence after which the link ends, in milliseconds; None for never.
    pub fn keep_alive(mut self, keep_alive: Option<NonZeroU32>) -> Self {
        self.keep_alive = keep_alive;
        self
    }

    /// What it signed in with, and how to sign in again.
    pub fn signed_in(mut self, signed_in: Arc<SignIn>, method: Option<Text>) -> Self {
        (self.signed_in, self.method) = (Some(signed_in), method.map(Box::new));
        self
    }

    /// Whether the client asked for a session that outlives its link.
    pub fn outlives(mut self, outlives: bool) -> Self {
        self.outlives = outlives;
        self
    }

    /// To be called once, before it is polled: what its rights forbid ends, and what came behind its
    /// CONNECT is the first to be applied.
    pub fn begin(&mut self) {
        self.withdraw_forbidden();
        self.welcome();
        let mut packets = Vec::new();
        if let Err(end) = self.conn.leftover(&mut packets) {
            self.end(end);
        }
        self.backlog.extend(packets);
    }

    /// What it is known by.
    pub fn work(&self) -> Work {
        self.origin.work()
    }

    /// Goes on with the link; ready when it is over, and [`Pump::finish`] is to be called.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let now = clock::now();
        let _work = self.work().enter();
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
                if self.backlog.is_empty() {
                    self.backlog = VecDeque::new();
                }
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
        self.packets = self.packets.wrapping_add(1);
        let work = self.work().packet(self.packets);
        if let Packet::Publish(publish) = packet {
            return self.publish(publish, work, now);
        }
        let _work = work.enter();
        let acked = match packet {
            Packet::Publish(_) => return,
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

    fn poll_input(&mut self, cx: &mut Context<'_>) -> bool {
        let may_read = self.ending.is_none() && self.backlog.is_empty() && !self.conn.is_clogged();
        if !may_read {
            return false;
        }
        if !self.inflow.has_room() || self.node.ingest.room().poll(self.origin.link, cx).is_pending() {
            // Who is not read cannot be heard.
            self.heard = Instant::now();
            return false;
        }
        let mut packets = std::mem::take(&mut self.backlog).into();
        let polled = self.conn.poll_packets(cx, &mut packets);
        self.backlog = packets.into();
        match polled {
            Poll::Pending => false,
            Poll::Ready(Ok(octets)) => {
                self.node.broker.note_read(self.backlog.len(), octets);
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
                self.mark = drained.mark;
                if let Some(reason) = drained.closing
                    && self.ending.is_none()
                {
                    self.ending = Some(Box::new(Ending::Refused(Refusal::Closed(reason), self.work())));
                    moved = true;
                }
            }
            if self.conn.is_flushed() || !self.is_settled(cx) {
                break;
            }
            let unsent = self.conn.output().len();
            let written = self.conn.poll_write(cx);
            self.node.broker.note_written(unsent.saturating_sub(self.conn.output().len()));
            match written {
                Poll::Ready(Ok(())) => moved = true,
                Poll::Ready(Err(_)) => {
                    self.ending.get_or_insert_with(|| Box::new(Ending::Gone));
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

    /// Whether what is encoded may be written: everything it acknowledges is safe on disk.
    fn is_settled(&mut self, cx: &mut Context<'_>) -> bool {
        if self.asked == self.mark {
            return self.node.broker.is_settled(self.mark);
        }
        let settled = self.node.broker.poll_settled(cx, self.mark).is_ready();
        if !settled {
            self.asked = self.mark;
        }
        settled
    }
}
