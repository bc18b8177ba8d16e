//! What clients publish, and what the server makes of it in its own time.

use postern_broker::Begin;
use postern_broker::wire::{PacketId, Publish, QoS, ReasonCode, Text, Version};

use super::world::{TOPICS, World};
use crate::client::Client;

/// A client's own message of QoS 1 or 2 that is not finished.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sending {
    pub(super) qos: QoS,
    topic: usize,
    /// PUBREC came.
    pub(super) received: bool,
    /// Its place in `World::routed`.
    pub(super) token: u32,
}

/// A publish that the server has begun.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pending {
    id: Option<PacketId>,
    message: Sending,
    /// A repeat, not to be handled.
    again: bool,
    refused: bool,
}

impl World {
    pub(super) fn send(&mut self, session: usize, topic: usize, qos: QoS, later: bool, refused: bool) {
        let limit = usize::from(self.broker.limits().receive_maximum);
        let peer = &mut self.peers[session];
        if peer.link.is_none() || peer.sending.len() >= limit {
            return;
        }
        let message = Sending { qos, topic, received: false, token: self.routed.len() as u32 };
        self.routed.push(0);
        let mut id = None;
        if qos != QoS::AtMostOnce {
            peer.last_id += 1;
            id = PacketId::new(peer.last_id);
            peer.sending.insert(id.unwrap(), message);
        }
        self.begin(session, id, message, false, refused);
        if !later {
            self.answer_all(session);
        }
    }

    /// The n-th of its QoS 2 messages that was not answered yet. Not one whose answer is under way:
    /// MQTT 5 forbids repeats within a link [MQTT-4.4.0-1] for they may come behind a refusal, and are
    /// new messages then.
    pub(super) fn repeat(&mut self, session: usize, nth: u8) {
        let peer = &self.peers[session];
        let unanswered = |id: &PacketId, message: &Sending| {
            message.qos == QoS::ExactlyOnce
                && !message.received
                && peer.pending.iter().any(|pending| pending.id == Some(*id) && !pending.again)
        };
        let mut unanswered = peer.sending.iter().filter(|(id, message)| unanswered(id, message));
        if let (Some(_), Some((id, message))) = (&peer.link, unanswered.nth(usize::from(nth))) {
            let (id, message) = (*id, *message);
            self.begin(session, Some(id), message, true, false);
        }
    }

    /// A client that is back sends what is unfinished again, in order [MQTT-4.4.0-1].
    pub(super) fn send_again(&mut self, session: usize) {
        let unfinished: Vec<_> = self.peers[session].sending.iter().map(|(id, m)| (*id, *m)).collect();
        for (id, message) in unfinished {
            if message.received {
                let client = self.peers[session].link.as_ref().unwrap();
                client.link.pubrel(&crate::client::success(id)).unwrap();
            } else {
                self.begin(session, Some(id), message, true, false);
            }
        }
        // Whether they are answered now or later is for the operations to say.
        if self.peers[session].last_id.is_multiple_of(2) {
            self.answer_all(session);
        }
    }

    fn begin(&mut self, session: usize, id: Option<PacketId>, message: Sending, dup: bool, refused: bool) {
        let limit = usize::from(self.broker.limits().topic_aliases_in);
        let peer = &mut self.peers[session];
        let client = peer.link.as_ref().unwrap();
        let alias = client.link.version() == Version::V5 && message.topic < limit;
        let known = alias && !peer.aliases_set.insert(message.topic);
        let mut publish = Publish {
            dup,
            qos: message.qos,
            retain: false,
            topic: if known { Text::new() } else { TOPICS[message.topic].into() },
            packet_id: id,
            payload: Default::default(),
            topic_alias: alias.then_some(message.topic as u16 + 1),
            subscription_ids: Default::default(),
            properties: None,
        };
        let begun = client.link.begin_publish(&mut publish).unwrap();
        assert_eq!(&*publish.topic, TOPICS[message.topic]);
        peer.pending.push(Pending { id, message, again: begun == Begin::Duplicate, refused });
    }

    fn answer_all(&mut self, session: usize) {
        while !self.peers[session].pending.is_empty() {
            self.answer_first(session);
        }
    }

    /// The server is through with the first that this link had begun.
    pub(super) fn answer_first(&mut self, session: usize) {
        let peer = &mut self.peers[session];
        if peer.pending.is_empty() {
            return;
        }
        let pending = peer.pending.remove(0);
        let client = peer.link.take().unwrap();
        self.settle(&client, Some(session), pending);
        let unspeakable = pending.refused && !pending.again && pending.id.is_some();
        let lost = unspeakable && client.link.version() != Version::V5;
        self.peers[session].link = Some(client);
        if lost {
            self.lose(session, 0);
        }
    }

    /// Routes it, unless it is a repeat or refused, and acknowledges it.
    pub(super) fn settle(&mut self, client: &Client, session: Option<usize>, pending: Pending) {
        let Pending { id, message: Sending { qos, topic, token, .. }, again, refused } = pending;
        let refused = refused && !again;
        if !refused && !again {
            self.routed[token as usize] += 1;
            assert!(qos != QoS::ExactlyOnce || self.routed[token as usize] == 1, "QoS 2 was taken twice");
            self.route(topic, qos, 8, false, Some((&client.link, session)));
        }
        if let Some(id) = id {
            let reason = if refused { ReasonCode::NotAuthorized } else { ReasonCode::Success };
            client.link.finish_publish(id, qos, reason, None);
        }
    }
}
