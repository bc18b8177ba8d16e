//! How links come and go, and sessions and wills with them.

use postern_broker::topic::TopicName;
use postern_broker::wire::{QoS, Version};
use postern_broker::{Close, DueWill, Open, Will};

use super::op::Connect;
use super::peer::Peer;
use super::sending::Pending;
use super::world::World;
use crate::client::Client;

const VERSIONS: [Version; 4] = [Version::V5, Version::V5, Version::V311, Version::V31];
/// Seconds that a session is to outlive its link.
const EXPIRIES: [u32; 4] = [0, 100, 20, u32::MAX];
/// The topic of all wills, by its place.
const WILL: usize = 1;

/// A link that was displaced, and that the server has not closed yet.
#[derive(Debug)]
pub(super) struct Ghost {
    client: Client,
    pending: Vec<Pending>,
    /// Whose it was, while that session lives.
    session: Option<usize>,
}

impl World {
    pub(super) fn attach(&mut self, session: usize, connect: Connect) {
        let version = VERSIONS[usize::from(connect.version % 4)];
        let asked = match version {
            Version::V5 => EXPIRIES[usize::from(connect.expiry % 4)],
            _ if connect.clean => 0,
            _ => u32::MAX,
        };
        let aliases = if version == Version::V5 { u16::from(connect.aliases % 4) } else { 0 };
        let small = connect.small_packets && version == Version::V5;
        let open = Open {
            key: Self::key(session).into(),
            version,
            clean_start: connect.clean,
            session_expiry_secs: asked,
            receive_maximum: if version == Version::V5 {
                u16::from(connect.window % 4 + 1)
            } else {
                u16::MAX
            },
            max_packet_size: if small { 24 } else { u32::MAX },
            topic_alias_maximum: aliases,
            problem_information: true,
            will: connect.will.map(|delay| self.will(delay)),
        };
        let will = open.will.is_some().then(|| self.wills.len() as u32 - 1);

        let now = self.now;
        let peer = &mut self.peers[session];
        let displaced = peer.link.take();
        let ends_at = if displaced.is_some() { Some(now.plus_secs(peer.expiry_secs)) } else { peer.ends_at };
        let over = peer.alive && (connect.clean || ends_at.is_some_and(|at| at <= now));
        let present = peer.alive && !over;
        if let Some(client) = displaced {
            let pending = std::mem::take(&mut peer.pending);
            self.ghosts.push(Ghost { client, pending, session: Some(session) });
        }
        let former_will = self.peers[session].will.take();
        if !present {
            self.end(session);
        }

        let opened = self.broker.open(open, now);
        assert_eq!(opened.session_present, present);
        let expiry_secs = asked.min(self.broker.limits().session_expiry_secs);
        assert_eq!(opened.session_expiry_secs, expiry_secs);
        assert!(opened.cursor.is_none());
        let peer = &mut self.peers[session];
        peer.link = Some(Client::new(opened.link, aliases));
        peer.alive = true;
        (peer.expiry_secs, peer.ends_at) = (expiry_secs, None);
        peer.will = will;
        peer.picky = small;
        peer.open.clear();
        peer.aliases_set.clear();
        if small {
            peer.expected.values_mut().for_each(|must| *must = false);
            self.weaken_groups(false, true);
        }
        self.fire(opened.will);
        // One that was not due is not sent when its client is back in time.
        if let Some(will) = former_will {
            let came = std::mem::replace(&mut self.wills[will as usize], true);
            assert!(came || !over, "a session ended without its will");
        }
        self.send_again(session);
    }

    /// The model of a session's end.
    fn end(&mut self, session: usize) {
        if self.peers[session].alive {
            self.peers[session].forget();
            self.weaken_groups(true, false);
            for ghost in &mut self.ghosts {
                ghost.session = ghost.session.filter(|of| *of != session);
            }
        }
    }

    /// The link is lost; what is written and not read yet is lost with it.
    pub(super) fn lose(&mut self, session: usize, unread: u8) {
        if let Some(client) = &mut self.peers[session].link
            && unread > 0
        {
            client.drain(usize::from(unread), self.now);
        }
        self.close(session, Close::Lost);
    }

    /// DISCONNECT.
    pub(super) fn leave(&mut self, session: usize, with_will: bool, expiry: Option<u8>) {
        let session_expiry_secs = expiry.map(|at| EXPIRIES[usize::from(at % 4)]);
        self.close(
            session,
            if with_will {
                Close::WithWill { session_expiry_secs }
            } else {
                Close::Normal { session_expiry_secs }
            },
        );
    }

    fn close(&mut self, session: usize, how: Close) {
        let Some(client) = self.peers[session].link.take() else { return };
        let due = client.link.close(how, self.now);
        assert!(!client.link.is_attached());
        let limit = self.broker.limits().session_expiry_secs;
        let peer = &mut self.peers[session];
        peer.pending.clear();
        peer.open.clear();
        if let Close::Normal { session_expiry_secs: Some(secs) }
        | Close::WithWill { session_expiry_secs: Some(secs) } = how
            && peer.expiry_secs != 0
        {
            peer.expiry_secs = secs.min(limit);
        }
        peer.ends_at = (peer.expiry_secs != u32::MAX).then(|| self.now.plus_secs(peer.expiry_secs));
        if matches!(how, Close::Normal { .. })
            && let Some(will) = peer.will.take()
        {
            self.wills[will as usize] = true;
        }
        let will = peer.will;
        if peer.expiry_secs == 0 {
            self.end(session);
        }
        self.fire(due);
        if !self.peers[session].alive {
            self.peers[session].will = None;
            assert!(will.is_none_or(|will| self.wills[will as usize]), "a session ended without its will");
        }
    }

    pub(super) fn tick(&mut self) {
        let due = self.broker.tick(self.now);
        for session in 0..self.peers.len() {
            let Peer { link, alive, ends_at, .. } = &self.peers[session];
            if link.is_none() && *alive && ends_at.is_some_and(|at| at <= self.now) {
                self.end(session);
            }
        }
        due.into_iter().for_each(|will| self.fire(Some(will)));
        for peer in self.peers.iter_mut().filter(|peer| !peer.alive) {
            let will = peer.will.take();
            assert!(will.is_none_or(|will| self.wills[will as usize]), "a session ended without its will");
        }
        assert!(self.broker.next_deadline().is_none_or(|at| at > self.now));
    }

    /// The server sees that a link was displaced: it finishes what that had begun, or gives it up.
    pub(super) fn see_to_ghost(&mut self, nth: u8, finish: bool) {
        if self.ghosts.is_empty() {
            return;
        }
        let Ghost { mut client, pending, session } =
            self.ghosts.swap_remove(usize::from(nth) % self.ghosts.len());
        let (packets, closing) = client.drain(100, self.now);
        assert!(packets.is_empty() && closing.is_some() && !client.link.is_attached());
        for pending in pending.into_iter().filter(|_| finish) {
            self.settle(&client, session, pending);
        }
        assert!(client.link.close(Close::Lost, self.now).is_none());
    }

    fn will(&mut self, delay: u8) -> Will {
        let token = self.wills.len();
        self.wills.push(false);
        Will {
            topic: TopicName::try_from(super::world::TOPICS[WILL]).unwrap(),
            payload: token.to_string().into(),
            qos: QoS::AtLeastOnce,
            retain: false,
            delay_secs: u32::from(delay % 64),
            properties: None,
            context: None,
        }
    }

    /// Publishes a will that is due.
    fn fire(&mut self, due: Option<DueWill>) {
        let Some(DueWill { will, .. }) = due else { return };
        let token: usize = std::str::from_utf8(&will.payload).unwrap().parse().unwrap();
        assert!(!std::mem::replace(&mut self.wills[token], true), "a will came twice, or after a normal end");
        self.route(WILL, will.qos, 8, false, None);
    }
}
