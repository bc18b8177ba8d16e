//! Messages of QoS 1 and 2 on their way to a client: packet identifiers and what each waits for.

use std::collections::VecDeque;

use crate::queue::Queued;
use crate::wire::{PacketId, QoS};

/// How many packet identifiers there are.
const IDS: u64 = 65_535;

/// What a packet identifier waits for.
#[derive(Debug)]
pub(crate) enum Stage {
    /// PUBACK or PUBREC.
    Publish(Queued),
    /// PUBCOMP: the client owns the message already.
    Release,
    /// The same as `Publish`, of a link that is gone; the body comes from the store again.
    Stored {
        /// Sequence number in the user's inbox.
        seq: u64,
        /// As it was written.
        qos: QoS,
    },
}

/// One message on its way.
#[derive(Debug)]
pub(crate) struct Entry {
    /// Counts messages of the session; tells the packet identifier too.
    serial: u64,
    /// Its number among what the session keeps on disk; 0 when it is not kept.
    pub(crate) number: u64,
    pub(crate) stage: Stage,
    /// Written on this link.
    sent: bool,
}

impl Entry {
    pub(crate) fn id(&self) -> PacketId {
        id_of(self.serial)
    }

    fn qos(&self) -> QoS {
        match &self.stage {
            Stage::Publish(queued) => queued.qos,
            Stage::Stored { qos, .. } => *qos,
            Stage::Release => QoS::ExactlyOnce,
        }
    }

    /// The place in the user's inbox, while the client does not own the message.
    pub(crate) fn seq(&self) -> Option<u64> {
        match &self.stage {
            Stage::Publish(queued) => queued.seq(),
            Stage::Stored { seq, .. } => Some(*seq),
            Stage::Release => None,
        }
    }
}

/// What an acknowledgement did.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Acked {
    /// No such packet identifier in flight.
    Unknown,
    /// It waits for another packet than this.
    Unexpected,
    /// The message is the client's now; the place in the inbox, if it came from there. `finished`
    /// when the packet identifier is free again.
    Owned {
        /// Place in the inbox.
        seq: Option<u64>,
        /// The flow is over.
        finished: bool,
        /// Serial of the message.
        serial: u64,
        /// Its number on disk; 0 when it is not kept.
        number: u64,
    },
}

/// What is to be written again on a new link.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Resend {
    /// Nothing (more).
    Nothing,
    /// The next one's body is not back from the store yet.
    Waiting,
    /// The entry at this index.
    At(usize),
}

/// The messages in flight, in the order they were first written, which is the order they are
/// written again [MQTT-4.6.0-1].
#[derive(Debug, Default)]
pub(crate) struct Inflight {
    entries: VecDeque<Entry>,
    /// The serial of the next message.
    next: u64,
    /// Everything before it has been looked at on this link.
    resend: u64,
    /// Entries not written on this link.
    unsent: usize,
}

impl Inflight {
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The identifier for a new message: the next one in turn that is free [MQTT-2.2.1-3].
    pub(crate) fn next_id(&mut self) -> PacketId {
        while self.may_wrap() && self.find(id_of(self.next)).is_some() {
            self.next += 1;
        }
        id_of(self.next)
    }

    /// The serial that goes with [`Inflight::next_id`].
    pub(crate) fn next_serial(&mut self) -> u64 {
        let _ = self.next_id();
        self.next
    }

    /// Takes in a message that was written with [`Inflight::next_id`].
    pub(crate) fn push(&mut self, queued: Queued) {
        let serial = self.next_serial();
        let number = queued.number;
        self.entries.push_back(Entry { serial, number, stage: Stage::Publish(queued), sent: true });
        self.next += 1;
    }

    /// Takes in what an earlier process had in flight.
    pub(crate) fn restore(&mut self, mut former: Vec<(u64, u64, Stage)>) {
        former.sort_unstable_by_key(|(serial, ..)| *serial);
        former.dedup_by_key(|(serial, ..)| *serial);
        self.next = former.last().map_or(self.next, |(serial, ..)| serial + 1);
        let entry = |(serial, number, stage)| Entry { serial, number, stage, sent: false };
        self.entries = former.into_iter().map(entry).collect();
    }

    fn may_wrap(&self) -> bool {
        self.entries.front().is_some_and(|oldest| self.next - oldest.serial >= IDS)
    }

    /// A new link: all that is in flight is to be written again.
    pub(crate) fn begin_link(&mut self) {
        self.entries.iter_mut().for_each(|entry| entry.sent = false);
        self.unsent = self.entries.len();
        self.resend = 0;
    }

    /// What to write again next. Entries whose body is in the store are waited for (`wait`) or left
    /// for later.
    pub(crate) fn resend(&mut self, wait: bool) -> Resend {
        if self.unsent == 0 {
            return Resend::Nothing;
        }
        let start = self.entries.partition_point(|entry| entry.serial < self.resend);
        for (index, entry) in self.entries.iter().enumerate().skip(start) {
            self.resend = entry.serial;
            if entry.sent {
                continue;
            }
            match entry.stage {
                Stage::Stored { .. } if wait => return Resend::Waiting,
                Stage::Stored { .. } => {}
                Stage::Publish(_) | Stage::Release => return Resend::At(index),
            }
        }
        self.resend = self.next;
        Resend::Nothing
    }

    /// Whether something is still to be written again, as [`Inflight::resend`] would find it.
    pub(crate) fn has_unsent(&mut self, wait: bool) -> bool {
        self.resend(wait) != Resend::Nothing
    }

    /// Looks at all entries again: bodies may be back that were left for later.
    pub(crate) fn resend_from_start(&mut self) {
        self.resend = 0;
    }

    pub(crate) fn get(&self, index: usize) -> Option<&Entry> {
        self.entries.get(index)
    }

    pub(crate) fn mark_sent(&mut self, index: usize) {
        if let Some(entry) = self.entries.get_mut(index) {
            self.unsent -= usize::from(!entry.sent);
            entry.sent = true;
        }
    }

    /// Removes the entry at `index` as if it had been acknowledged.
    pub(crate) fn remove(&mut self, index: usize) -> Option<Entry> {
        let entry = self.entries.remove(index)?;
        self.unsent -= usize::from(!entry.sent);
        Some(entry)
    }

    /// PUBACK [MQTT-4.3.2-3].
    pub(crate) fn puback(&mut self, id: PacketId) -> Acked {
        match self.entry_waiting(id, QoS::AtLeastOnce) {
            Ok((index, seq)) => self.finish(index, seq),
            Err(not) => not,
        }
    }

    /// PUBREC: with an error it ends the flow, else PUBCOMP is waited for [MQTT-4.3.3-4].
    pub(crate) fn pubrec(&mut self, id: PacketId, error: bool) -> Acked {
        let (index, seq) = match self.find(id) {
            None => return Acked::Unknown,
            Some(index) => match self.entries.get(index) {
                Some(entry) if entry.qos() == QoS::ExactlyOnce => (index, entry.seq()),
                _ => return Acked::Unexpected,
            },
        };
        if error {
            return self.finish(index, seq);
        }
        self.mark_sent(index);
        let Some(entry) = self.entries.get_mut(index) else { return Acked::Unknown };
        entry.stage = Stage::Release;
        Acked::Owned { seq, finished: false, serial: entry.serial, number: entry.number }
    }

    /// PUBCOMP [MQTT-4.3.3-7].
    pub(crate) fn pubcomp(&mut self, id: PacketId) -> Acked {
        match self.find(id) {
            None => Acked::Unknown,
            Some(index) => match self.entries.get(index).map(|entry| &entry.stage) {
                Some(Stage::Release) => self.finish(index, None),
                _ => Acked::Unexpected,
            },
        }
    }

    /// The link is gone: bodies that the store has are let go.
    pub(crate) fn let_stored_go(&mut self) {
        for entry in &mut self.entries {
            if let (Stage::Publish(queued), Some(seq)) = (&entry.stage, entry.seq()) {
                entry.stage = Stage::Stored { seq, qos: queued.qos };
            }
        }
    }

    /// Whether bodies are missing.
    pub(crate) fn waits_for_store(&self) -> bool {
        self.unsent > 0 && self.entries.iter().any(|entry| matches!(entry.stage, Stage::Stored { .. }))
    }

    /// A stored message is back: gives it its body if it is in flight, in the QoS it had. None
    /// hands the message back.
    pub(crate) fn fill(&mut self, seq: u64, queued: Queued) -> Option<Queued> {
        let waiting = self
            .entries
            .iter_mut()
            .find(|entry| matches!(entry.stage, Stage::Stored { seq: waits, .. } if waits == seq));
        match waiting {
            None => Some(queued),
            Some(entry) => {
                let qos = entry.qos();
                entry.stage = Stage::Publish(Queued { qos, ..queued });
                None
            }
        }
    }

    /// Those up to `last` that the store no longer has: QoS 1 is forgotten. For QoS 2 the flow is
    /// finished with PUBREL, because the client may hold the identifier as received and would take
    /// the next message with it for a repeat.
    pub(crate) fn forget_stored(&mut self, last: u64) {
        let unsent = &mut self.unsent;
        self.entries.retain_mut(|entry| match entry.stage {
            Stage::Stored { seq, qos } if seq <= last => {
                if qos == QoS::ExactlyOnce {
                    entry.stage = Stage::Release;
                    return true;
                }
                *unsent -= usize::from(!entry.sent);
                false
            }
            _ => true,
        });
    }

    /// Takes out the messages that are not the client's yet and for which `which` holds.
    pub(crate) fn take_unowned(&mut self, which: impl Fn(&Queued) -> bool) -> Vec<Queued> {
        let mut out = Vec::new();
        for entry in std::mem::take(&mut self.entries) {
            match entry.stage {
                Stage::Publish(queued) if which(&queued) => {
                    self.unsent -= usize::from(!entry.sent);
                    out.push(queued);
                }
                stage => self.entries.push_back(Entry { stage, ..entry }),
            }
        }
        out
    }

    #[cfg(test)]
    pub(crate) fn capacity(&self) -> usize {
        self.entries.capacity()
    }

    /// Gives memory back after a burst.
    pub(crate) fn rest(&mut self) {
        if self.entries.is_empty() && self.entries.capacity() > 4 {
            self.entries = VecDeque::new();
        }
    }

    fn entry_waiting(&self, id: PacketId, qos: QoS) -> Result<(usize, Option<u64>), Acked> {
        let index = self.find(id).ok_or(Acked::Unknown)?;
        match self.entries.get(index) {
            Some(entry) if entry.qos() == qos => Ok((index, entry.seq())),
            _ => Err(Acked::Unexpected),
        }
    }

    fn finish(&mut self, index: usize, seq: Option<u64>) -> Acked {
        let Some(Entry { serial, number, .. }) = self.remove(index) else { return Acked::Unknown };
        Acked::Owned { seq, finished: true, serial, number }
    }

    /// Clients acknowledge in order, so it is nearly always the first; else by binary search over
    /// the serials that have this identifier.
    fn find(&self, id: PacketId) -> Option<usize> {
        let oldest = self.entries.front()?.serial;
        let offset = (u64::from(id.get() - 1) + IDS - oldest % IDS) % IDS;
        let mut serial = oldest + offset;
        while serial < self.next {
            match self.entries.binary_search_by_key(&serial, |entry| entry.serial) {
                Ok(index) => return Some(index),
                Err(_) => serial += IDS,
            }
        }
        None
    }
}

/// 1 to 65,535 and around again.
fn id_of(serial: u64) -> PacketId {
    let id = u16::try_from(serial % IDS + 1).unwrap_or(1);
    PacketId::new(id).unwrap_or(PacketId::MIN)
}
