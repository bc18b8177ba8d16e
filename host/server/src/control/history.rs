//! History and read markers, answered over the bus to whoever serves HTTP.

use std::sync::Arc;

use base64::{Engine, engine::general_purpose::STANDARD};
use postern_bus::{Bus, BusError};
use postern_guest::{
    CallError, Slots,
    roles::store::{self, Class, Delivery, StoreError},
};

use super::{
    ask::answer,
    wire::{Conversation, Denied, HistoryMessage, HistoryPage, MarkRead, Marker, ReadHistory},
};

use crate::tasks::Background;

/// Messages in one page, at most.
const PAGE: u32 = 200;

/// Answers on the bus until it closes.
///
/// # Errors
/// When the bus takes no subscription.
pub async fn serve(slots: Arc<Slots>, bus: &Bus, tasks: &Background) -> Result<(), BusError> {
    let reader = slots.clone();
    answer::<ReadHistory, _, _>(bus, tasks, move |q| {
        let slots = reader.clone();
        async move { page(&slots, q).await }
    })
    .await?;
    answer::<MarkRead, _, _>(bus, tasks, move |q| {
        let slots = slots.clone();
        async move {
            let marker = store::Marker { conversation: q.marker.conversation.into(), seq: q.marker.seq };
            slots.store().mark_read(&q.user, marker).await.map_err(denied)
        }
    })
    .await
}

async fn page(slots: &Slots, question: ReadHistory) -> Result<HistoryPage, Denied> {
    let limit = question.limit.clamp(1, PAGE);
    let conversation = question.conversation.map(Into::into);
    let mut found = slots
        .store()
        .history(&question.user, conversation, question.before, limit + 1)
        .await
        .map_err(denied)?;
    let more = found.len() > limit as usize;
    found.truncate(limit as usize);
    let next_before = if more { found.last().map(|d| d.seq) } else { None };
    let markers = slots.store().markers(&question.user).await.map_err(denied)?;
    Ok(HistoryPage {
        messages: found.into_iter().map(shown).collect(),
        next_before,
        markers: markers
            .into_iter()
            .map(|m| Marker { conversation: m.conversation.into(), seq: m.seq })
            .collect(),
    })
}

fn shown(delivery: Delivery) -> HistoryMessage {
    let (body, body_base64) = match String::from_utf8(delivery.body.into()) {
        Ok(text) => (Some(text), None),
        Err(binary) => (None, Some(STANDARD.encode(binary.as_bytes()))),
    };
    HistoryMessage {
        seq: delivery.seq,
        id: delivery.id,
        class: match delivery.class {
            Class::Notification => "notification".to_owned(),
            Class::Instant => "instant".to_owned(),
        },
        from: delivery.sender,
        device: delivery.sender_device,
        topic: delivery.topic,
        body,
        body_base64,
        sent_at: delivery.sent_at,
    }
}

fn denied(e: CallError<StoreError>) -> Denied {
    let why = match e {
        CallError::Answer(StoreError::Unavailable(why)) => why,
        CallError::Down(down) => down.to_string(),
    };
    Denied::Unavailable { detail: format!("role store: {why}") }
}

impl From<Conversation> for store::Conversation {
    fn from(c: Conversation) -> Self {
        match c {
            Conversation::With(user) => store::Conversation::With(user),
            Conversation::Group(group) => store::Conversation::Group(group),
            Conversation::Notifications => store::Conversation::Notifications,
        }
    }
}

impl From<store::Conversation> for Conversation {
    fn from(c: store::Conversation) -> Self {
        match c {
            store::Conversation::With(user) => Conversation::With(user),
            store::Conversation::Group(group) => Conversation::Group(group),
            store::Conversation::Notifications => Conversation::Notifications,
        }
    }
}
