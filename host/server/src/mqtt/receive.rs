//! PUBLISH on a live link: admitted, stored or routed, acknowledged.

use std::{
    sync::Arc,
    task::{Context, Poll},
    time::SystemTime,
};

use postern_broker::{
    Begin, Message, Timestamp,
    topic::TopicName,
    wire::{Publish, QoS, ReasonCode, Text, Version},
};
use postern_trace::{By, Work, child, message};
use tokio::sync::oneshot;
use tracing::debug;

use super::{
    ending::Ending,
    inflow::{Done, Receipt},
    link::Pump,
    publish::{Admitted, Arrived},
};
use crate::{
    control::{ingest::Outcome, wire::Denied},
    refuse::Refusal,
};

/// What a command that is being decided counts for beside its body, of what may wait on one link: they are
/// decided one after the other, so that reading many ahead gains nothing.
const COMMAND: usize = 128 << 10;

impl Pump {
    /// Takes one PUBLISH.
    pub(super) fn publish(&mut self, mut publish: Publish, work: Work, now: Timestamp) {
        // It was there when it was read, and has waited since.
        let since = || SystemTime::now() - self.heard.elapsed();
        let by = if self.sender.profile.is_some() { By::SignedIn } else { By::Anonymous };
        let said = traceparent(&publish).map(|traceparent| (by, traceparent));
        let mut span = message(work, said, "mqtt.publish", since);
        let _work = span.enter();
        span.note("messaging.system", || "mqtt".into());
        span.note("messaging.message.body.size", || {
            i64::try_from(publish.payload.len()).unwrap_or(i64::MAX).into()
        });
        span.note("postern.qos", || i64::from(publish.qos as u8).into());
        match self.link.begin_publish(&mut publish) {
            Ok(Begin::New) => {}
            Ok(Begin::Duplicate) => {
                let receipt = Receipt { owed: publish.packet_id.map(|id| (id, publish.qos)), span };
                return self.inflow.repeat(receipt, &self.node.ingest);
            }
            Err(reason) => {
                return self.refuse(Refusal::Packet(reason, "PUBLISH against the session's rules"));
            }
        }
        let Ok(topic) = TopicName::new(publish.topic.clone()) else {
            return self.refuse(Refusal::Packet(ReasonCode::TopicNameInvalid, "topic name"));
        };
        if topic.split('/').count() > usize::from(self.node.limits.topic_levels) {
            return self.refuse(Refusal::Packet(ReasonCode::TopicNameInvalid, "too many topic levels"));
        }
        let receipt = Receipt { owed: publish.packet_id.map(|id| (id, publish.qos)), span };
        let mut message =
            Message::new(topic, publish.payload, publish.qos, now).with_properties(publish.properties);
        message.retain = publish.retain;
        let repeats =
            publish.packet_id.filter(|_| message.qos == QoS::AtLeastOnce).map(|id| (id, publish.dup));
        let arrived = Arrived { message, repeats };
        self.admit(receipt, arrived, now);
    }

    fn admit(&mut self, receipt: Receipt, arrived: Arrived, now: Timestamp) {
        match self.sender.admit(&self.node, &arrived, Some(&self.link), now) {
            Admitted::Route(message) => {
                if let Some((receipt, message)) = self.inflow.route(receipt, message, &self.node.ingest) {
                    self.route(receipt, &message, now);
                }
            }
            Admitted::Store(incoming) => self.inflow.store(receipt, *incoming),
            Admitted::Command(terminal, verb, body) => {
                let (commands, bytes) = (self.node.commands.clone(), body.len());
                let span = child(verb.step());
                let work = commands.took(self.sender.clone(), self.link.clone(), terminal, verb, body);
                let work = span.run(work);
                let (reply, answer) = oneshot::channel();
                let (before, over) = self.inflow.decide(receipt, answer, bytes + COMMAND, &self.node.ingest);
                // On a task of its own, because what was begun is finished when the link is gone; one after
                // the other, in the order in which they came.
                self.node.tasks.spawn(async move {
                    if let Some(before) = before {
                        let _ = before.await;
                    }
                    let _ = reply.send(vec![work.await]);
                    drop((over, span));
                });
            }
            Admitted::Ask(question) => self.inflow.ask(receipt, arrived, question),
            Admitted::Refuse(refusal) => {
                if let Some((receipt, refusal)) = self.inflow.refuse(receipt, refusal, &self.node.ingest) {
                    self.refuse_message(receipt, refusal);
                }
            }
        }
    }

    /// Goes on with the message whose question has been answered.
    pub(super) fn poll_question(&mut self, cx: &mut Context<'_>, now: Timestamp) -> bool {
        let Poll::Ready((receipt, arrived, answer)) = self.inflow.poll_question(cx) else { return false };
        let _work = receipt.span.enter();
        match answer {
            Ok(()) => self.admit(receipt, arrived, now),
            Err(denied) => {
                let why = match denied {
                    Denied::Unavailable { detail } => detail,
                    other => other.to_string(),
                };
                let refusal = Refusal::Unavailable("the directory", why);
                if let Some((receipt, refusal)) = self.inflow.refuse(receipt, refusal, &self.node.ingest) {
                    self.refuse_message(receipt, refusal);
                }
            }
        }
        true
    }

    /// Routes and acknowledges what is done.
    pub(super) fn poll_done(&mut self, cx: &mut Context<'_>, now: Timestamp) -> bool {
        let mut done = Vec::new();
        self.inflow.poll_done(cx, &mut done);
        let moved = !done.is_empty();
        for item in done {
            let _work = item.work().enter();
            match item {
                Done::Route(receipt, message) => self.route(receipt, &message, now),
                Done::Refused(receipt, refusal) => self.refuse_message(receipt, refusal),
                Done::Repeated(receipt) => self.acknowledge(receipt, ReasonCode::Success, None),
                Done::Stored(receipt, Outcome::Durable) => {
                    self.acknowledge(receipt, ReasonCode::Success, None)
                }
                Done::Stored(receipt, Outcome::Refused(why)) => {
                    self.refuse_message(receipt, Refusal::ByRule(why))
                }
                Done::Stored(receipt, Outcome::Unavailable(why)) => {
                    self.refuse_message(receipt, Refusal::Unavailable("storage", why));
                }
                Done::Stored(receipt, Outcome::Down(what, why)) => {
                    self.refuse_message(receipt, Refusal::Unavailable(what, why));
                }
            }
        }
        moved
    }

    fn route(&mut self, receipt: Receipt, message: &Arc<Message>, now: Timestamp) {
        let _step = child("deliver");
        // In QoS 2 what subscribers get and that it was taken are kept together, or neither.
        let _together = (message.qos == QoS::ExactlyOnce).then(|| self.node.broker.together());
        let matched = self.node.broker.publish(message, Some(&self.link), now);
        let reason = if matched == 0 { ReasonCode::NoMatchingSubscribers } else { ReasonCode::Success };
        self.acknowledge(receipt, reason, None);
    }

    fn acknowledge(&self, receipt: Receipt, reason: ReasonCode, why: Option<Text>) {
        if let Some((id, qos)) = receipt.owed {
            self.link.finish_publish(id, qos, reason, why);
        }
    }

    /// A refused message: a reason code for MQTT 5; MQTT 3.x has none, so a link that asked for an
    /// acknowledgement is closed without one, and its sender will send again (C6). QoS 0 is dropped
    /// and counted.
    fn refuse_message(&mut self, mut receipt: Receipt, refusal: Refusal) {
        receipt.span.fail(refusal.label());
        debug!(peer = %self.origin.peer, %refusal, "message refused");
        match receipt.owed {
            None => refusal.count(),
            Some(_) if self.version == Version::V5 => {
                refusal.count();
                self.acknowledge(receipt, refusal.ack_code(), Some(Text::from(refusal.told())));
            }
            Some(_) => {
                refusal.count();
                self.ending.get_or_insert_with(|| Box::new(Ending::Refused(refusal, Work::now())));
            }
        }
    }
}

/// The trace that its publisher says that it is part of (MQTT 5).
fn traceparent(publish: &Publish) -> Option<&str> {
    let properties = &publish.properties.as_ref()?.user_properties;
    properties.iter().find(|(name, _)| &**name == "traceparent").map(|(_, value)| &**value)
}
