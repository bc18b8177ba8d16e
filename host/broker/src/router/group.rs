//! Shared subscriptions: each message goes to one member (5.0, section 4.8.2).

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use parking_lot::Mutex;

use super::Options;
use crate::broker::Core;
use crate::message::Message;
use crate::queue::{Queued, Via};
use crate::session::{Session, Wakes};
use crate::topic::TopicFilter;

/// How many members are looked at for one that is online before one that sleeps gets the message:
/// a group of sleepers must not make publishers walk through all of it.
const LOOKS: usize = 64;

/// The members of one shared filter.
#[derive(Debug)]
pub(crate) struct Group {
    /// From the same counter as the sessions'.
    pub(crate) id: u64,
    /// The shared filter.
    pub(crate) filter: TopicFilter,
    members: Mutex<Members>,
}

#[derive(Debug, Default)]
struct Members {
    list: Vec<(Arc<Session>, Options)>,
    /// Whose turn is next.
    turn: usize,
}

impl Group {
    pub(super) fn new(id: u64, filter: TopicFilter) -> Self {
        Group { id, filter, members: Mutex::default() }
    }

    pub(super) fn join(&self, session: &Arc<Session>, options: Options) {
        let mut members = self.members.lock();
        match members.list.iter_mut().find(|(member, _)| member.id == session.id) {
            Some((_, former)) => *former = options,
            None => members.list.push((Arc::clone(session), options)),
        }
    }

    /// Whether the group is empty now.
    pub(super) fn leave(&self, session: u64) -> bool {
        let mut members = self.members.lock();
        members.list.retain(|(member, _)| member.id != session);
        members.list.is_empty()
    }

    /// Queues the message for one member: the next in turn that is online and has room, else, with
    /// QoS 1 and 2, the next that sleeps. Nobody is closed for being full here, others are there to
    /// take it; when nobody can, it is dropped and counted.
    pub(crate) fn deliver(self: &Arc<Self>, core: &Core, message: &Arc<Message>, wakes: &mut Wakes) -> bool {
        let mut members = self.members.lock();
        let count = members.list.len();
        let turn = members.turn;
        for online in [true, false] {
            for step in 0..count.min(LOOKS) {
                let index = (turn + step) % count;
                let Some((session, options)) = members.list.get(index) else { continue };
                if session.online.load(Relaxed) != online || session.denied.has(&message.topic) {
                    continue;
                }
                let via = Via::Shared(Arc::clone(self), options.id);
                let retain = message.retain && options.retain_as_published;
                let item = Queued::new(message, via, options.qos.min(message.qos), retain);
                if session.offer(core, item, wakes) {
                    members.turn = index + 1;
                    return true;
                }
            }
        }
        core.stats.dropped_queue_full.add(1);
        false
    }
}
