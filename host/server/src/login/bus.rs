//! The static group's answers about people, for the dynamic group and for other login servers (A4).

use std::sync::Arc;

use postern_bus::{Bus, BusError};
use postern_guest::{
    CallError, Slots,
    roles::login::{DirectoryError, Entry},
};
use tracing::warn;

use crate::{
    control::{
        ask::answer,
        wire::{
            Denied, DirectoryPage, FindHolder, FindPerson, GroupMembers, Partner, Person, PersonAndPartners,
            Profile, VisiblePeople,
        },
    },
    tasks::Background,
};

/// People of the longest page.
const MAX_PAGE: u32 = 1_000;

/// Answers on the bus until it closes.
///
/// # Errors
/// When the bus takes no subscription.
pub async fn answer_bus(slots: Arc<Slots>, bus: &Bus, tasks: &Background) -> Result<(), BusError> {
    let (finds, holds, lists, shows) = (slots.clone(), slots.clone(), slots.clone(), slots.clone());
    answer::<FindPerson, _, _>(bus, tasks, move |question| {
        let slots = finds.clone();
        async move { find(&slots, &question.user).await }
    })
    .await?;
    answer::<FindHolder, _, _>(bus, tasks, move |question| {
        let slots = holds.clone();
        async move {
            let Some(profile) = find(&slots, &question.user).await? else { return Ok(None) };
            let partners = partners(&slots, &profile.org).await?;
            Ok(Some(PersonAndPartners { profile, partners }))
        }
    })
    .await?;
    answer::<GroupMembers, _, _>(bus, tasks, move |question| {
        let slots = lists.clone();
        async move { slots.login().members(&question.group).await.map_err(denied) }
    })
    .await?;
    answer::<VisiblePeople, _, _>(bus, tasks, move |question| {
        let slots = shows.clone();
        async move { visible(&slots, question).await }
    })
    .await
}

async fn find(slots: &Slots, user: &str) -> Result<Option<Profile>, Denied> {
    Ok(slots.login().find(user).await.map_err(denied)?.map(Into::into))
}

/// The partner organisations of an organisation.
pub(super) async fn partners(slots: &Slots, org: &str) -> Result<Vec<Partner>, Denied> {
    let partners = slots.login().partners(org).await.map_err(denied)?;
    Ok(partners.into_iter().map(Into::into).collect())
}

/// A page of the people whom a user may see (A13).
pub(super) async fn visible(slots: &Slots, question: VisiblePeople) -> Result<DirectoryPage, Denied> {
    let VisiblePeople { user, after, limit } = question;
    let limit = limit.clamp(1, MAX_PAGE);
    // One more than asked tells whether there is a next page.
    let found = slots.login().visible(&user, after.as_deref(), limit + 1).await.map_err(denied)?;
    let mut entries: Vec<Person> = found.into_iter().map(person).collect();
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let more = entries.len() > limit;
    entries.truncate(limit);
    let next_after = if more { entries.last().map(|last| last.user.clone()) } else { None };
    Ok(DirectoryPage { entries, next_after })
}

fn person(entry: Entry) -> Person {
    Person {
        user: entry.user,
        name: entry.name,
        org: entry.org,
        department: entry.department,
        title: entry.title,
        relation: entry.relation.into(),
    }
}

fn denied(e: CallError<DirectoryError>) -> Denied {
    match e {
        CallError::Answer(DirectoryError::Unavailable(detail)) => Denied::Unavailable { detail },
        CallError::Down(down) => {
            warn!(%down, "login role");
            Denied::Unavailable { detail: format!("role login: {down}") }
        }
    }
}
