//! The broker, everything that was published, and three clients.

use std::sync::{Arc, Weak};

use postern_broker::topic::TopicFilter;
use postern_broker::wire::{MessageProperties, Packet, PacketId, PublishProperties, QoS, ReasonCode};
use postern_broker::{Broker, Limits, Link, Message, Requested, SessionKey, Timestamp};

use super::links::Ghost;
use super::op::{Connect, Op};
use super::peer::{Grant, How, Peer};
use crate::client::QOS;

pub(super) const SESSIONS: usize = 3;
/// The last is the one that is retained; `s/…` are matched by shared filters only.
pub(super) const TOPICS: [&str; 5] = ["a/x", "b/x", "s/one", "s/two", "kept"];
const RETAINED: usize = 4;
const FILTERS: [&str; 7] = ["a/x", "b/x", "+/x", "a/#", "kept", "$share/g/s/one", "$share/h/s/two"];
/// The first shared filter, and the topic that it matches.
const SHARED: (usize, usize) = (5, 2);

/// A message as it was published; its serial number is its place and its payload.
#[derive(Debug)]
pub(super) struct Published {
    pub(super) topic: &'static str,
    pub(super) qos: QoS,
    pub(super) expires_at: Option<Timestamp>,
    pub(super) retained: bool,
    /// The shared filter whose members get it, one of them.
    pub(super) group: Option<usize>,
    /// It was taken by a group that must not lose it.
    owed: bool,
    /// A member got it; a member got it in QoS 2.
    got: (bool, bool),
    weak: Weak<Message>,
}

#[derive(Debug)]
pub(super) struct World {
    pub(super) broker: Broker,
    pub(super) now: Timestamp,
    tight: bool,
    pub(super) peers: [Peer; SESSIONS],
    pub(super) ghosts: Vec<Ghost>,
    pub(super) published: Vec<Published>,
    /// How often each of the clients' messages was routed, by its token.
    pub(super) routed: Vec<u32>,
    /// What became of each will: it came, or must not come any more.
    pub(super) wills: Vec<bool>,
}

impl World {
    pub(super) fn new(tight: bool) -> Self {
        let small = Limits {
            queued_messages: 3,
            queued_bytes: 64,
            queued_control_bytes: 24,
            inflight: 2,
            receive_maximum: 3,
            topic_aliases_in: 2,
            topic_aliases_out: 1,
            subscriptions: 3,
            retained_messages: 1,
            retained_bytes: 1_000,
            session_expiry_secs: 50,
            feed_queued: 2,
        };
        World {
            broker: Broker::new(if tight { small } else { Limits::default() }),
            now: Timestamp(1_000_000),
            tight,
            peers: Default::default(),
            ghosts: Vec::new(),
            published: Vec::new(),
            routed: Vec::new(),
            wills: Vec::new(),
        }
    }

    pub(super) fn key(session: usize) -> SessionKey {
        // Two of them are two users' devices of one name.
        SessionKey::new([None, Some("alice"), Some("bob")][session], ["phone", "pc", "pc"][session])
    }

    pub(super) fn apply(&mut self, op: &Op) {
        let at = |session: u8| usize::from(session) % SESSIONS;
        match *op {
            Op::Publish { topic, qos, size, expires } => {
                let topic = usize::from(topic) % TOPICS.len();
                let clears = topic == RETAINED && size.is_multiple_of(8);
                let size = if clears { 0 } else { usize::from(size).max(8) };
                self.route(topic, QOS[usize::from(qos % 3)], size, expires, None);
            }
            Op::Subscribe { session, filter, qos, no_local } => {
                let filter = usize::from(filter) % FILTERS.len();
                self.subscribe(at(session), filter, Grant { qos: QOS[usize::from(qos % 3)], no_local });
            }
            Op::Unsubscribe { session, filter } => {
                self.unsubscribe(at(session), usize::from(filter) % FILTERS.len());
            }
            Op::Drain { session, bytes } => {
                self.drain(at(session), usize::from(bytes));
            }
            Op::Acknowledge { session, nth } => self.answer(at(session), nth, How::Rightly),
            Op::Refuse { session, nth } => self.answer(at(session), nth, How::Refusing),
            Op::Confuse { session, nth } => self.answer(at(session), nth, How::Wrong),
            Op::Invent { session, which } => {
                let id = PacketId::MAX; // never given in a run as short as ours
                let ack = crate::client::success(id);
                let Some(client) = &self.peers[at(session)].link else { return };
                match which % 4 {
                    0 => client.link.puback(&ack),
                    1 => client.link.pubrec(&ack),
                    2 => client.link.pubrel(&ack),
                    _ => client.link.pubcomp(&ack),
                }
                .unwrap();
                // PUBREL, PUBCOMP 0x92: what a client makes of them is nothing.
                self.drain(at(session), 1);
                let invented = |packet: &Packet| matches!(packet, Packet::PubRel(ack) if ack.packet_id == id);
                self.peers[at(session)].open.retain(|packet| !invented(packet));
            }
            Op::Rest { session } => {
                if let Some(client) = &mut self.peers[at(session)].link {
                    client.rest();
                }
            }
            Op::Lose { session, unread } => self.lose(at(session), unread),
            Op::Leave { session, with_will, expiry } => self.leave(at(session), with_will, expiry),
            Op::Attach { session, connect } => self.attach(at(session), connect),
            Op::Ghost { nth, finish } => self.see_to_ghost(nth, finish),
            Op::Disconnect { session } => {
                let reason = ReasonCode::AdministrativeAction;
                let had = self.broker.disconnect(&Self::key(at(session)), reason);
                assert_eq!(had, self.peers[at(session)].link.is_some());
            }
            Op::Send { session, topic, qos, later, refused } => {
                let topic = usize::from(topic) % TOPICS.len();
                self.send(at(session), topic, QOS[usize::from(qos % 3)], later, refused);
            }
            Op::Repeat { session, nth } => self.repeat(at(session), nth),
            Op::Answer { session } => self.answer_first(at(session)),
            Op::Pass { secs, tick } => {
                self.now = self.now.plus_secs(u32::from(secs));
                if tick {
                    self.tick();
                }
            }
        }
    }

    /// Publishes a message, and notes who must get it. `from` is the link it came from, and the
    /// session if that still is the link's.
    pub(super) fn route(
        &mut self,
        topic: usize,
        qos: QoS,
        size: usize,
        expires: bool,
        from: Option<(&Link, Option<usize>)>,
    ) {
        let serial = self.published.len() as u32;
        let payload = if size == 0 { String::new() } else { format!("{serial:<size$}") };
        let topic_name = TOPICS[topic].try_into().unwrap();
        let mut message = Message::new(topic_name, payload, qos, self.now);
        let properties = MessageProperties { message_expiry: Some(5), ..MessageProperties::default() };
        let properties: PublishProperties = expires.then(|| Box::new(properties));
        message = message.with_properties(properties);
        message.retain = topic == RETAINED;
        let message = Arc::new(message);

        let group = (SHARED.1..RETAINED).contains(&topic).then(|| SHARED.0 + topic - SHARED.1);
        let sure = !self.tight && !expires;
        for (session, peer) in self.peers.iter_mut().enumerate() {
            let own = from.is_some_and(|(_, from)| from == Some(session));
            let granted = peer.filters.iter().filter(|(filter, grant)| {
                let fits = TopicFilter::try_from(FILTERS[**filter]).unwrap().matches(TOPICS[topic]);
                fits && **filter < SHARED.0 && !(grant.no_local && own)
            });
            if let Some(granted) = granted.map(|(_, grant)| grant.qos).max()
                && topic != RETAINED
            {
                let must = sure && !peer.picky && granted.min(qos) != QoS::AtMostOnce;
                peer.expected.insert(serial, must);
            }
        }
        let owed = sure && qos != QoS::AtMostOnce && group.is_some_and(|group| self.is_reliable(group));
        self.published.push(Published {
            topic: TOPICS[topic],
            qos,
            expires_at: message.expires_at,
            retained: topic == RETAINED,
            group,
            owed,
            got: (false, false),
            weak: Arc::downgrade(&message),
        });
        self.broker.publish(&message, from.map(|(link, _)| link), self.now);
    }

    /// Whether a group has members, and none of them may lose what is at least QoS 1.
    fn is_reliable(&self, group: usize) -> bool {
        let mut members = self.peers.iter().filter(|peer| peer.filters.contains_key(&group)).peekable();
        members.peek().is_some()
            && members.all(|peer| !peer.picky && peer.filters[&group].qos != QoS::AtMostOnce)
    }

    /// Something befell the members of groups: what they hold may now be lost, of QoS 2 (that no
    /// other member gets) or of all that a group no longer keeps.
    pub(super) fn weaken_groups(&mut self, ended: bool, all: bool) {
        let reliable = [self.is_reliable(SHARED.0), self.is_reliable(SHARED.0 + 1)];
        for message in &mut self.published {
            if let Some(group) = message.group {
                let lost = all || !reliable[group - SHARED.0] || ended && message.qos == QoS::ExactlyOnce;
                message.owed &= !lost;
            }
        }
    }

    fn subscribe(&mut self, session: usize, filter: usize, grant: Grant) {
        let Some(client) = &self.peers[session].link else { return };
        let requested = Requested {
            no_local: grant.no_local,
            ..Requested::new(FILTERS[filter].try_into().unwrap(), grant.qos)
        };
        let id = filter as u32 + 1;
        let answer = client.link.subscribe(PacketId::MIN, Some(id), &[Ok(requested)], self.now);
        match answer {
            Err(reason) => {
                assert!(grant.no_local && filter >= SHARED.0);
                assert_eq!(reason, ReasonCode::ProtocolError);
            }
            Ok(reasons) if reasons == [ReasonCode::QuotaExceeded] => assert!(self.tight),
            Ok(reasons) => {
                assert_eq!(reasons, [ReasonCode::from_u8(grant.qos as u8).unwrap()]);
                self.peers[session].filters.insert(filter, grant);
            }
        }
    }

    fn unsubscribe(&mut self, session: usize, filter: usize) {
        let Some(client) = &self.peers[session].link else { return };
        let reasons = client.link.unsubscribe(PacketId::MIN, &[Ok(FILTERS[filter].try_into().unwrap())]);
        let had = self.peers[session].filters.remove(&filter).is_some();
        assert_eq!(reasons == [ReasonCode::Success], had);
        self.weaken_groups(false, false);
    }

    /// Reads what comes in one go. True when something came.
    pub(super) fn drain(&mut self, session: usize, bytes: usize) -> bool {
        let peer = &mut self.peers[session];
        let Some(client) = &mut peer.link else { return false };
        let (packets, closing) = client.drain(bytes, self.now);
        let some = !packets.is_empty() || closing.is_some();
        let came = peer.receive(packets, &self.published, self.now);
        for (serial, qos) in came.shared {
            let (got, got_once) = &mut self.published[serial as usize].got;
            assert!(!*got_once, "{serial} of a shared subscription came twice");
            *got = true;
            *got_once = qos == QoS::ExactlyOnce;
        }
        for token in came.taken {
            assert!(self.routed[token as usize] > 0, "acknowledged and not routed");
        }
        if closing.is_some() {
            self.lose(session, 0);
        }
        some
    }

    fn answer(&mut self, session: usize, nth: u8, how: How) {
        if !self.peers[session].answer(nth, how) {
            self.lose(session, 0);
        }
    }

    /// What holds at any time.
    pub(super) fn check(&self) {
        let limits = self.broker.limits();
        let kept = self.broker.retained_count();
        let stats = self.broker.stats();
        let mut subscriptions = 0;
        for (session, peer) in self.peers.iter().enumerate() {
            let info = self.broker.session(&Self::key(session));
            assert_eq!(info.is_some(), peer.alive);
            let Some(info) = info else { continue };
            assert_eq!(info.connected, peer.link.is_some());
            assert_eq!(info.subscriptions, peer.filters.len());
            assert_eq!(info.expiry_secs, peer.expiry_secs);
            assert_eq!(info.ends_at, peer.ends_at);
            subscriptions += info.subscriptions;
            // One message of any size goes into an empty queue; retained ones are kept anyway.
            assert!(info.queued_bytes <= limits.queued_bytes.max(300), "{info:?}");
            assert!(info.queued_messages <= 3 * limits.queued_messages + 2 * kept, "{info:?}");
            assert!(info.inflight <= usize::from(limits.inflight), "{info:?}");
            if let Some(client) = &peer.link {
                assert!(client.link.publishes_in_progress() as usize <= peer.sending.len());
            }
        }
        let linked = self.peers.iter().filter(|peer| peer.link.is_some()).count();
        let alive = self.peers.iter().filter(|peer| peer.alive).count();
        assert_eq!(stats.connected.get(), linked as u64);
        assert_eq!(stats.sessions.get(), alive as u64);
        assert_eq!(stats.subscriptions.get(), subscriptions as u64);
        assert_eq!(stats.retained.get(), kept as u64);
    }

    /// All come back, read and answer everything; then all leave, and nothing is left.
    pub(super) fn finish(mut self) {
        let lasting = Connect { expiry: 1, window: 2, ..Connect::default() };
        // What one leaves to others comes to them in the next round.
        for _ in 0..3 {
            (0..SESSIONS).for_each(|session| self.level(session, lasting));
        }
        for peer in &self.peers {
            let missing: Vec<_> =
                peer.expected.iter().filter(|(serial, must)| **must && !peer.got.contains(serial)).collect();
            assert!(missing.is_empty(), "{missing:?} never came");
            assert!(peer.sending.is_empty(), "{:?} were not finished", peer.sending);
        }
        let lost = self.published.iter().position(|message| message.owed && !message.got.0);
        assert_eq!(lost, None, "of a shared subscription");
        for info in self.broker.sessions() {
            assert_eq!((info.queued_messages, info.queued_bytes, info.inflight), (0, 0, 0));
            assert_eq!(info.inbound_exactly_once, 0);
        }
        for session in 0..SESSIONS {
            self.leave(session, false, Some(0));
        }
        self.route(RETAINED, QoS::AtMostOnce, 0, false, None);
        self.check();
        assert_eq!(self.broker.next_deadline(), None);
        let left = self.published.iter().position(|message| message.weak.strong_count() > 0);
        assert_eq!(left, None, "a message is kept for nobody");
    }

    /// Reads and answers until nothing comes any more.
    fn level(&mut self, session: usize, connect: Connect) {
        let mut quiet = 0;
        for _ in 0..10_000 {
            if self.peers[session].link.is_none() || self.peers[session].picky {
                self.attach(session, connect);
            }
            while !self.ghosts.is_empty() {
                self.see_to_ghost(0, true);
            }
            while !self.peers[session].pending.is_empty() {
                self.answer_first(session);
            }
            quiet = if self.drain(session, 64) { 0 } else { quiet + 1 };
            while self.peers[session].link.is_some() && !self.peers[session].open.is_empty() {
                self.answer(session, 0, How::Rightly);
                quiet = 0;
            }
            if quiet == 2 {
                return;
            }
        }
        panic!("session {session} does not come to rest");
    }
}
