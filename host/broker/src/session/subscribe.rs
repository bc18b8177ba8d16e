//! SUBSCRIBE and UNSUBSCRIBE, with rights checked by the server already.

use std::num::NonZeroU32;

use super::{Flow, Link, Wakes, wake_all};
use crate::journal::Change;
use crate::queue::{Queued, Via};
use crate::router::Options;
use crate::time::Timestamp;
use crate::topic::TopicFilter;
use crate::wire::{Packet, PacketId, QoS, ReasonCode, RetainHandling, SubAck};

/// One filter of a SUBSCRIBE that the server admits, as it admits it.
#[derive(Clone, Debug, PartialEq)]
pub struct Requested {
    /// The filter.
    pub filter: TopicFilter,
    /// The QoS to grant.
    pub qos: QoS,
    /// No Local.
    pub no_local: bool,
    /// Retain As Published; what MQTT 3.x asks for is false [MQTT-3.3.1-9 of 3.1.1].
    pub retain_as_published: bool,
    /// Retain Handling; `Send` for MQTT 3.x.
    pub retain_handling: RetainHandling,
}

impl Requested {
    /// A subscription without options.
    pub fn new(filter: TopicFilter, qos: QoS) -> Self {
        Requested {
            filter,
            qos,
            no_local: false,
            retain_as_published: false,
            retain_handling: RetainHandling::Send,
        }
    }
}

impl Link {
    /// Subscribes to what the server admits and queues the SUBACK, then the retained messages.
    /// Returns the reasons in it: the server's own, the granted QoS, or `QuotaExceeded` at the
    /// session's limit.
    ///
    /// # Errors
    /// `ProtocolError` for No Local on a shared subscription [MQTT-3.8.3-4], `SessionTakenOver` on a
    /// link that has the session no more: nothing is done.
    pub fn subscribe(
        &self,
        packet_id: PacketId,
        subscription_id: Option<u32>,
        filters: &[Result<Requested, ReasonCode>],
        now: Timestamp,
    ) -> Result<Vec<ReasonCode>, ReasonCode> {
        if filters.iter().flatten().any(|asked| asked.no_local && asked.filter.is_shared()) {
            return Err(ReasonCode::ProtocolError);
        }
        let id = subscription_id.and_then(NonZeroU32::new);
        let mut reasons = Vec::with_capacity(filters.len());
        {
            let mut flow = self.flow().ok_or(ReasonCode::SessionTakenOver)?;
            let _whole = self.core.journal.together();
            for asked in filters {
                reasons.push(match asked {
                    Ok(asked) => self.subscribe_one(&mut flow, asked, id, now),
                    Err(reason) => *reason,
                });
            }
        }
        self.send(Packet::SubAck(answer(packet_id, reasons.clone())));
        Ok(reasons)
    }

    fn subscribe_one(
        &self,
        flow: &mut Flow,
        asked: &Requested,
        id: Option<NonZeroU32>,
        now: Timestamp,
    ) -> ReasonCode {
        let core = &self.core;
        let options = Options {
            qos: asked.qos,
            no_local: asked.no_local,
            retain_as_published: asked.retain_as_published,
            id,
        };
        let new = !flow.subscriptions.contains_key(&asked.filter);
        if new && flow.subscriptions.len() >= core.limits.subscriptions {
            return ReasonCode::QuotaExceeded;
        }
        let filter = asked.filter.detached();
        core.router.write().subscribe(&self.session, &filter, options, || core.next_id());
        flow.subscriptions.insert(filter.clone(), options);
        if let Some(mut mailbox) = self.mailbox() {
            mailbox.note_first(core, |id| Change::Subscribed(id, filter, options));
        }
        core.stats.subscriptions.add(u64::from(new));
        let wanted = match asked.retain_handling {
            RetainHandling::Send => true,
            RetainHandling::SendIfNew => new,
            RetainHandling::DoNotSend => false,
        };
        if wanted && !asked.filter.is_shared() {
            self.send_retained(asked, options, now);
        }
        match asked.qos {
            QoS::AtMostOnce => ReasonCode::Success,
            QoS::AtLeastOnce => ReasonCode::GrantedQoS1,
            QoS::ExactlyOnce => ReasonCode::GrantedQoS2,
        }
    }

    /// [MQTT-3.3.1-9, 3.3.1-10, 3.3.1-11]. The retained messages stay locked while they are queued:
    /// who retains a newer one has to wait, so the newer one comes behind the older.
    fn send_retained(&self, asked: &Requested, options: Options, now: Timestamp) {
        let retained = self.core.retained.read();
        let kept = retained.len();
        let mut wakes = Wakes::new(); // the link is at work: nobody is to be woken
        retained.for_each(asked.filter.matched(), now, |entry| {
            let own = options.no_local && entry.publisher.as_ref() == Some(&self.session.key);
            if own || self.session.denied.has(&entry.message.topic) {
                return;
            }
            let qos = options.qos.min(entry.message.qos);
            let item = Queued::new(&entry.message, Via::Retained(options.id), qos, true);
            self.session.offer_retained(&self.core, item, kept, &mut wakes);
        });
    }

    /// Ends subscriptions and queues the UNSUBACK. Returns the reasons in it. Messages of a shared
    /// subscription that were not written yet go to its other members.
    pub fn unsubscribe(
        &self,
        packet_id: PacketId,
        filters: &[Result<TopicFilter, ReasonCode>],
    ) -> Vec<ReasonCode> {
        let reasons = filters
            .iter()
            .map(|filter| match filter {
                Ok(filter) if self.withdraw(filter) => ReasonCode::Success,
                Ok(_) => ReasonCode::NoSubscriptionExisted,
                Err(reason) => *reason,
            })
            .collect::<Vec<_>>();
        self.send(Packet::UnsubAck(answer(packet_id, reasons.clone())));
        reasons
    }

    /// Ends one subscription without a word, for instance because the right to it is gone. False
    /// when there is none.
    pub fn withdraw(&self, filter: &TopicFilter) -> bool {
        let core = &self.core;
        let mut orphans = Vec::new();
        // What the group's others are given and what is taken here is kept together.
        let _whole = core.journal.together();
        {
            let Some(mut flow) = self.flow() else { return false };
            if flow.subscriptions.remove(filter).is_none() {
                return false;
            }
            core.stats.subscriptions.sub(1);
            let mut router = core.router.write();
            let group = router.group(filter).map(|group| group.id);
            router.unsubscribe(&self.session, filter);
            drop(router);
            if let Some(mut mailbox) = self.mailbox() {
                mailbox.note_first(core, |id| Change::Unsubscribed(id, filter.clone()));
                if let Some(group) = group {
                    mailbox.queue.put_back(std::mem::take(&mut flow.taken));
                    orphans = mailbox.queue.split_off(|item| !item.is_of(group));
                }
            }
        }
        orphans.iter().for_each(|orphan| self.session.kept_is_done(core, orphan.number));
        let mut wakes = Wakes::new();
        core.hand_on(orphans, &mut wakes);
        wake_all(wakes);
        true
    }
}

fn answer(packet_id: PacketId, reasons: Vec<ReasonCode>) -> SubAck {
    SubAck { packet_id, reason_string: None, user_properties: Vec::new(), reasons }
}
