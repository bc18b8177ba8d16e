//! One client: what it keeps over its links, and what has to come to it.

use std::collections::{BTreeMap, HashMap, HashSet};

use postern_broker::Timestamp;
use postern_broker::wire::{Packet, PacketId, Publish, QoS, ReasonCode};

use super::sending::{Pending, Sending};
use super::world::Published;
use crate::client::Client;

#[derive(Clone, Copy, Debug)]
pub(super) struct Grant {
    pub(super) qos: QoS,
    pub(super) no_local: bool,
}

/// A session as it must be, whether linked or not.
#[derive(Debug, Default)]
pub(super) struct Peer {
    pub(super) link: Option<Client>,
    /// The server's: publishes of this link that it is not through with.
    pub(super) pending: Vec<Pending>,
    /// The will of this link, by its number.
    pub(super) will: Option<u32>,
    /// The broker keeps the session.
    pub(super) alive: bool,
    pub(super) expiry_secs: u32,
    pub(super) ends_at: Option<Timestamp>,
    /// The client takes only small packets.
    pub(super) picky: bool,
    pub(super) filters: BTreeMap<usize, Grant>,
    /// Serial numbers that may arrive, and whether they have to.
    pub(super) expected: HashMap<u32, bool>,
    pub(super) got: HashSet<u32>,
    /// The last serial that came first.
    last: Option<u32>,
    /// Identifiers of QoS 2 messages that are received and not released.
    pub(super) held: HashSet<PacketId>,
    /// Not acknowledged yet on this link.
    pub(super) open: Vec<Packet>,
    /// Its own messages that are not finished.
    pub(super) sending: BTreeMap<PacketId, Sending>,
    pub(super) last_id: u16,
    /// Topics that it has set an alias for on this link.
    pub(super) aliases_set: HashSet<usize>,
}

/// What the world has to know of what came.
#[derive(Debug, Default)]
pub(super) struct Came {
    /// Serial numbers of shared messages that came first, and in which QoS.
    pub(super) shared: Vec<(u32, QoS)>,
    /// Own messages that the server said it has, by their tokens.
    pub(super) taken: Vec<u32>,
}

impl Peer {
    /// The session is over: neither side knows anything of it any more.
    pub(super) fn forget(&mut self) {
        let Peer { link, pending, will, .. } = std::mem::take(self);
        *self = Peer { link, pending, will, ..Peer::default() };
    }

    pub(super) fn receive(&mut self, packets: Vec<Packet>, told: &[Published], now: Timestamp) -> Came {
        let mut came = Came::default();
        for packet in packets {
            match packet {
                Packet::Publish(publish) => {
                    self.take(&publish, told, now, &mut came);
                    if publish.qos != QoS::AtMostOnce {
                        self.open.push(Packet::Publish(publish));
                    }
                }
                Packet::PubRel(_) => self.open.push(packet),
                Packet::PubAck(ack) => {
                    let sent = self.sending.remove(&ack.packet_id).expect("PUBACK for what was sent");
                    assert_eq!(sent.qos, QoS::AtLeastOnce);
                    if !ack.reason.is_error() {
                        came.taken.push(sent.token);
                    }
                }
                Packet::PubRec(ref ack) => {
                    let Some(sent) = self.sending.get_mut(&ack.packet_id) else {
                        panic!("PUBREC for what was not sent")
                    };
                    assert_eq!(sent.qos, QoS::ExactlyOnce);
                    if ack.reason.is_error() {
                        assert!(!sent.received, "refused after it was taken");
                        self.sending.remove(&ack.packet_id);
                    } else {
                        came.taken.push(sent.token);
                        sent.received = true;
                        self.open.push(packet);
                    }
                }
                Packet::PubComp(ack) => {
                    // A repeated PUBREC was answered twice.
                    self.sending.remove(&ack.packet_id);
                }
                Packet::SubAck(_) | Packet::UnsubAck(_) => {}
                other => panic!("the broker wrote {other:?}"),
            }
        }
        came
    }

    fn take(&mut self, publish: &Publish, told: &[Published], now: Timestamp, came: &mut Came) {
        if let (QoS::ExactlyOnce, Some(id)) = (publish.qos, publish.packet_id)
            && !self.held.insert(id)
        {
            assert!(publish.dup, "an identifier in use came as new");
            return;
        }
        if publish.payload.is_empty() {
            return; // the retained message is taken away
        }
        let serial: u32 = std::str::from_utf8(&publish.payload).unwrap().trim_end().parse().unwrap();
        let published = &told[serial as usize];
        assert_eq!(*publish.topic, *published.topic);
        assert!(publish.qos <= published.qos);
        assert!(publish.dup || published.expires_at.is_none_or(|at| now < at), "{serial} had expired");
        if published.retained {
            // Comes with each subscription anew.
            return;
        }
        let shared = published.group.is_some();
        assert!(shared || self.expected.contains_key(&serial), "{serial} is not for it");
        if !self.got.insert(serial) {
            assert_eq!(publish.qos, QoS::AtLeastOnce, "{serial} came twice");
            assert!(publish.dup, "{serial} came twice without DUP");
            return;
        }
        if shared {
            came.shared.push((serial, publish.qos));
            return;
        }
        assert!(self.last < Some(serial), "{serial} after {:?}", self.last);
        self.last = Some(serial);
    }

    /// Answers one of the open packets. False when that breaks the rules and the link has to end.
    pub(super) fn answer(&mut self, nth: u8, how: How) -> bool {
        let (Some(client), false) = (&self.link, self.open.is_empty()) else { return true };
        let packet = self.open.remove(usize::from(nth) % self.open.len());
        let link = &client.link;
        let (id, exactly_once) = match &packet {
            Packet::Publish(publish) => (publish.packet_id.unwrap(), publish.qos == QoS::ExactlyOnce),
            Packet::PubRel(ack) | Packet::PubRec(ack) => (ack.packet_id, true),
            other => panic!("{other:?}"),
        };
        let ack = crate::client::success(id);
        match (packet, how) {
            (Packet::Publish(_), How::Wrong) => {
                let answered = if exactly_once { link.puback(&ack) } else { link.pubrec(&ack) };
                assert_eq!(answered, Err(ReasonCode::ProtocolError));
                return false;
            }
            (Packet::Publish(_), How::Refusing) if exactly_once => {
                let refusal = postern_broker::wire::Ack { reason: ReasonCode::QuotaExceeded, ..ack };
                link.pubrec(&refusal).unwrap();
                self.held.remove(&id);
            }
            (Packet::Publish(publish), _) => client.acknowledge(&publish),
            (Packet::PubRec(_), _) => link.pubrel(&ack).unwrap(),
            (Packet::PubRel(_), _) => {
                self.held.remove(&id);
                link.pubcomp(&ack).unwrap();
            }
            (other, _) => panic!("{other:?}"),
        }
        true
    }
}

/// How a client answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum How {
    Rightly,
    Refusing,
    Wrong,
}
