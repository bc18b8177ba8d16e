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
    stored::is_last,
    wire::{Conversation, Denied, HistoryMessage, HistoryPage, MarkRead, Marker, ReadHistory},
};

use crate::tasks::Background;

/// Messages in one page, at most.
const PAGE: u32 = 200;
/// Read markers that come with a page, at most: those that are furthest on.
const MARKERS: usize = 200;

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
        async move { mark_read(&slots, q).await }
    })
    .await
}

/// Only what has been said can be read: so a user has no more markers than conversations.
async fn mark_read(slots: &Slots, question: MarkRead) -> Result<(), Denied> {
    let MarkRead { user, marker } = question;
    let conversation: store::Conversation = marker.conversation.into();
    let said = slots.store().history(&user, Some(conversation.clone()), None, 1).await.map_err(denied)?;
    if said.is_empty() {
        return Err(Denied::Invalid { detail: "there is nothing to read in this conversation".to_owned() });
    }
    slots.store().mark_read(&user, store::Marker { conversation, seq: marker.seq }).await.map_err(denied)
}

async fn page(slots: &Slots, question: ReadHistory) -> Result<HistoryPage, Denied> {
    let limit = question.limit.clamp(1, PAGE);
    let conversation: Option<store::Conversation> = question.conversation.map(Into::into);
    let mut found = slots
        .store()
        .history(&question.user, conversation.clone(), question.before, limit + 1)
        .await
        .map_err(denied)?;
    let more = !is_last(&found, limit as usize + 1);
    found.truncate(limit as usize);
    let next_before = if more { found.last().map(|d| d.seq) } else { None };
    let markers = match question.before {
        None => slots.store().markers(&question.user).await.map_err(denied)?,
        // They came with the first page.
        Some(_) => Vec::new(),
    };
    Ok(HistoryPage {
        messages: found.into_iter().map(shown).collect(),
        next_before,
        markers: bounded(markers, conversation.as_ref()),
    })
}

/// The markers of a page: of its conversation, or those furthest on of all.
fn bounded(mut markers: Vec<store::Marker>, of: Option<&store::Conversation>) -> Vec<Marker> {
    markers.retain(|marker| of.is_none_or(|of| *of == marker.conversation));
    markers.sort_by_key(|marker| std::cmp::Reverse(marker.seq));
    markers.truncate(MARKERS);
    markers.into_iter().map(|m| Marker { conversation: m.conversation.into(), seq: m.seq }).collect()
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
