//! SUBSCRIBE and UNSUBSCRIBE on a live link: rights first, the session does the rest.

use postern_broker::{
    Requested, Timestamp,
    topic::TopicFilter,
    wire::{QoS, ReasonCode, Subscribe, SubscribeFilter, Unsubscribe},
};

use super::link::Pump;
use crate::{control::topics::is_own_feed, refuse::Refusal};

impl Pump {
    /// Answers a SUBSCRIBE: each filter by itself, with the right, the QoS or the reason.
    pub(super) fn subscribe(&mut self, subscribe: &Subscribe, now: Timestamp) {
        let mut feed_qos = None;
        let asked: Vec<Result<Requested, ReasonCode>> =
            subscribe.filters.iter().map(|filter| self.may_subscribe(filter, &mut feed_qos)).collect();
        if let Err(reason) = self.link.subscribe(subscribe.packet_id, subscribe.subscription_id, &asked, now)
        {
            return self.refuse(Refusal::Packet(reason, "No Local on a shared subscription"));
        }
        if let Some(qos) = feed_qos {
            self.link.set_feed_qos(qos);
        }
    }

    fn may_subscribe(
        &self,
        asked: &SubscribeFilter,
        feed_qos: &mut Option<QoS>,
    ) -> Result<Requested, ReasonCode> {
        let filter = TopicFilter::new(asked.filter.clone()).map_err(|e| e.for_filter())?;
        if filter.as_str().split('/').count() > usize::from(self.node.limits.topic_levels) {
            return Err(ReasonCode::TopicFilterInvalid);
        }
        if let Some(profile) = self.sender.profile.as_ref().filter(|_| self.sender.rights.messaging)
            && is_own_feed(filter.as_str(), &profile.user, &profile.groups)
        {
            // It comes anyway, once; the subscription only sets the QoS (decision 8).
            if !filter.as_str().starts_with("status/") {
                *feed_qos = Some(feed_qos.map_or(asked.qos, |q| q.max(asked.qos)));
            }
            return Err(granted(asked.qos));
        }
        if !self.sender.rights.may_subscribe(&filter) {
            Refusal::NotAllowed("subscribe").count();
            return Err(ReasonCode::NotAuthorized);
        }
        Ok(Requested {
            filter,
            qos: asked.qos,
            no_local: asked.no_local,
            retain_as_published: asked.retain_as_published,
            retain_handling: asked.retain_handling,
        })
    }

    /// Answers an UNSUBSCRIBE.
    pub(super) fn unsubscribe(&mut self, unsubscribe: &Unsubscribe) {
        let filters: Vec<_> = unsubscribe
            .filters
            .iter()
            .map(|f| TopicFilter::new(f.clone()).map_err(|e| e.for_filter()))
            .collect();
        self.link.unsubscribe(unsubscribe.packet_id, &filters);
    }

    /// Ends subscriptions that the grant does not allow any more, and keeps back what it denies: at
    /// sign-in, and when a grant has changed.
    pub(super) fn withdraw_forbidden(&self) {
        self.link.deny(self.sender.rights.denied());
        for filter in self.link.subscriptions() {
            if !self.sender.rights.may_subscribe(&filter) {
                self.link.withdraw(&filter);
            }
        }
    }
}

fn granted(qos: QoS) -> ReasonCode {
    match qos {
        QoS::AtMostOnce => ReasonCode::Success,
        QoS::AtLeastOnce => ReasonCode::GrantedQoS1,
        QoS::ExactlyOnce => ReasonCode::GrantedQoS2,
    }
}
