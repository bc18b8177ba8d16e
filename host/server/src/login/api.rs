//! What a client with a token may ask: itself, directory, history, read markers, its token.

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, StatusCode, Uri},
};
use serde::{Deserialize, Serialize};

use super::{
    Body, Ctx, Kind, Problem,
    answer::{TokenAnswer, spoken_to},
    bearer::Bearer,
    extract::Params,
    too_many,
};
use crate::{
    clock,
    control::{
        ask::ask,
        topics::is_id,
        wire::{
            Conversation, DirectoryPage, FindPerson, HistoryPage, Holder, MarkRead, Marker, Profile,
            ReadHistory, RenewToken, RevokeTokens, VisiblePeople,
        },
    },
};

/// Entries of a page when the client does not say, and at most.
const PEOPLE: (u32, u32) = (100, 500);
const MESSAGES: (u32, u32) = (50, 200);

#[derive(Serialize)]
pub(super) struct Me {
    user: String,
    profile: Profile,
    client_id: String,
    token_id: String,
    expires_at: Option<u64>,
    server_time: u64,
}

/// `GET /v1/me`.
pub(super) async fn me(State(ctx): State<Ctx>, Bearer(holder): Bearer) -> Result<Json<Me>, Problem> {
    // As it is now; the token remembers what was when it was issued.
    let profile = ask(&ctx.bus, &FindPerson { user: holder.profile.user.clone() }).await?;
    let Some(profile) = profile else { return Err(Kind::TokenDenied.into()) };
    let Holder { client_id, token_id, expires_at, .. } = holder;
    let user = profile.user.clone();
    Ok(Json(Me { user, profile, client_id, token_id, expires_at, server_time: clock::now().0 }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DirectoryQuery {
    after: Option<String>,
    limit: Option<u32>,
}

/// `GET /v1/directory?after&limit` (A13).
pub(super) async fn directory(
    State(ctx): State<Ctx>,
    Bearer(holder): Bearer,
    Params(query): Params<DirectoryQuery>,
) -> Result<Json<DirectoryPage>, Problem> {
    let limit = page(query.limit, PEOPLE)?;
    let question = VisiblePeople { user: holder.profile.user, after: query.after, limit };
    Ok(Json(ask(&ctx.bus, &question).await?))
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct HistoryQuery {
    with: Option<String>,
    group: Option<String>,
    notifications: Option<bool>,
    before: Option<u64>,
    limit: Option<u32>,
}

impl HistoryQuery {
    fn conversation(&self) -> Result<Option<Conversation>, Problem> {
        let checked = |which| check_conversation(&which).map(|()| Some(which));
        match (&self.with, &self.group, self.notifications.unwrap_or_default()) {
            (None, None, false) => Ok(None),
            (Some(user), None, false) => checked(Conversation::With(user.clone())),
            (None, Some(group), false) => checked(Conversation::Group(group.clone())),
            (None, None, true) => Ok(Some(Conversation::Notifications)),
            _ => Err(Problem::detailed(Kind::Invalid, "give one of with, group and notifications=true")),
        }
    }
}

/// `GET /v1/messages?with=|group=|notifications=true&before&limit`.
pub(super) async fn messages(
    State(ctx): State<Ctx>,
    Bearer(holder): Bearer,
    Params(query): Params<HistoryQuery>,
) -> Result<Json<HistoryPage>, Problem> {
    may_read(&holder)?;
    let conversation = query.conversation()?;
    let limit = page(query.limit, MESSAGES)?;
    let question = ReadHistory { user: holder.profile.user, conversation, before: query.before, limit };
    Ok(Json(ask(&ctx.bus, &question).await?))
}

/// `PUT /v1/messages/read`.
pub(super) async fn mark_read(
    State(ctx): State<Ctx>,
    Bearer(holder): Bearer,
    Body(marker): Body<Marker>,
) -> Result<StatusCode, Problem> {
    may_read(&holder)?;
    check_conversation(&marker.conversation)?;
    ask(&ctx.bus, &MarkRead { user: holder.profile.user, marker }).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `POST /v1/token`: a new token for the holder of a good one; the link may stay.
pub(super) async fn renew(
    State(ctx): State<Ctx>,
    Bearer(holder): Bearer,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Json<TokenAnswer>, Problem> {
    let Holder { token_id, client_id, profile, .. } = holder;
    pace(&ctx, &token_id, &profile.user)?;
    let issued = ask(&ctx.bus, &RenewToken { token_id, user: profile.user, client_id }).await?;
    Ok(Json(TokenAnswer::new(issued, &spoken_to(&uri, &headers), clock::now().0)))
}

/// `DELETE /v1/token`: logout; links that use the token end.
pub(super) async fn logout(State(ctx): State<Ctx>, Bearer(holder): Bearer) -> Result<StatusCode, Problem> {
    ask(&ctx.bus, &RevokeTokens::Token { id: holder.token_id }).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The names of users and groups are ids, all of them.
fn check_conversation(which: &Conversation) -> Result<(), Problem> {
    match which {
        Conversation::With(name) | Conversation::Group(name) if !is_id(name) => {
            Err(Problem::detailed(Kind::Invalid, "with must be a user id, group a group's name"))
        }
        _ => Ok(()),
    }
}

/// A token is made to last: whoever wants many wants something else.
fn pace(ctx: &Ctx, token_id: &str, user: &str) -> Result<(), Problem> {
    let now = clock::now().0;
    let of_token = ctx.renewals.lock().take(token_id.to_owned(), now);
    of_token
        .and_then(|()| ctx.renewers.lock().take(user.to_owned(), now))
        .map_err(|wait| too_many("renewal-rate", wait))
}

fn may_read(holder: &Holder) -> Result<(), Problem> {
    if holder.messaging { Ok(()) } else { Err(Kind::Forbidden.into()) }
}

/// Entries of a page.
fn page(asked: Option<u32>, (usual, most): (u32, u32)) -> Result<u32, Problem> {
    match asked {
        None => Ok(usual),
        Some(n) if (1..=most).contains(&n) => Ok(n),
        Some(_) => Err(Problem::detailed(Kind::Invalid, format!("limit must be 1 to {most}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_conversation_or_all() {
        let with = HistoryQuery { with: Some("bob".into()), ..Default::default() };
        assert_eq!(with.conversation().unwrap(), Some(Conversation::With("bob".into())));
        assert_eq!(HistoryQuery::default().conversation().unwrap(), None);
        let notes = HistoryQuery { notifications: Some(true), ..Default::default() };
        assert_eq!(notes.conversation().unwrap(), Some(Conversation::Notifications));
        for wrong in [
            HistoryQuery { with: Some("b/b".into()), ..Default::default() },
            HistoryQuery { group: Some(String::new()), ..Default::default() },
            HistoryQuery { group: Some("g".repeat(65)), ..Default::default() },
            HistoryQuery { with: Some("b".into()), group: Some("g".into()), ..Default::default() },
            HistoryQuery { with: Some("b".into()), notifications: Some(true), ..Default::default() },
        ] {
            assert_eq!(wrong.conversation().unwrap_err().status, 400);
        }
    }

    #[test]
    fn pages_are_bounded() {
        assert_eq!(page(None, PEOPLE), Ok(100));
        assert_eq!(page(Some(500), PEOPLE), Ok(500));
        assert_eq!(page(Some(501), PEOPLE).unwrap_err().status, 400);
        assert_eq!(page(Some(0), PEOPLE).unwrap_err().status, 400);
    }
}
