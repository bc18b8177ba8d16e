//! `POST /v1/commands`, `GET` and `DELETE /v1/commands/{id}`: a phone asks for a command, how it stands, and that
//! it be taken back (B2).

use axum::{
    Json,
    extract::{Path, State},
    http::{HeaderMap, StatusCode},
};

use super::{
    Body, Ctx, Kind, Problem,
    bearer::{Bearer, Unjudged},
};
use crate::{
    command::{
        accept::NewCommand,
        ask::{AskCommand, CommandView, FindCommand},
        cancel::{By, CancelCommand, Cancelled},
    },
    control::{ask::ask, wire::Denied},
};

/// The header that names a request (draft-ietf-httpapi-idempotency-key-header).
const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// `POST /v1/commands`: 202 with the command; with a known `Idempotency-Key` the one of before.
pub(super) async fn ask_for(
    State(ctx): State<Ctx>,
    Unjudged(bearer): Unjudged,
    headers: HeaderMap,
    Body(mut command): Body<NewCommand>,
) -> Result<(StatusCode, Json<CommandView>), Problem> {
    if let Some(key) = headers.get(IDEMPOTENCY_KEY) {
        let key = key.to_str().ok().map(|key| key.trim_matches('"').to_owned());
        let Some(key) = key.filter(|key| command.key.as_ref().is_none_or(|other| other == key)) else {
            return Err(Problem::detailed(
                Kind::Invalid,
                "Idempotency-Key is unreadable, or another than `key`",
            ));
        };
        command.key = Some(key);
    }
    match ask(&ctx.bus, &AskCommand { bearer, command }).await {
        Ok(command) => Ok((StatusCode::ACCEPTED, Json(command))),
        Err(Denied::Denied) => Err(Kind::Forbidden.into()),
        Err(other) => Err(other.into()),
    }
}

/// `GET /v1/commands/{id}`: one's own only.
pub(super) async fn find(
    State(ctx): State<Ctx>,
    Bearer(holder): Bearer,
    Path(id): Path<String>,
) -> Result<Json<CommandView>, Problem> {
    let found = ask(&ctx.bus, &FindCommand { requester: holder.profile.user, id }).await?;
    found.map(Json).ok_or_else(|| Kind::NotFound.into())
}

/// `DELETE /v1/commands/{id}`: one's own only, and not what was sent already.
pub(super) async fn cancel(
    State(ctx): State<Ctx>,
    Bearer(holder): Bearer,
    Path(id): Path<String>,
) -> Result<Json<CommandView>, Problem> {
    cancelled(ask(&ctx.bus, &CancelCommand { by: By::Requester(holder.profile.user), id }).await?)
}

/// The answer to who wants a command taken back.
pub fn cancelled(outcome: Cancelled) -> Result<Json<CommandView>, Problem> {
    match outcome {
        Cancelled::Done(command) => Ok(Json(command)),
        Cancelled::TooLate(command) => {
            Err(Problem::detailed(Kind::Conflict, format!("it is {} already", command.state)))
        }
        Cancelled::NoSuch => Err(Problem::detailed(Kind::NotFound, "no such command")),
    }
}
