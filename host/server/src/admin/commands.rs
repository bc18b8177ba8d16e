//! `postern command …`.

use axum::{
    Extension, Json,
    extract::{Path, Query, State},
};
use serde::Deserialize;

use super::{Ctx, acts::act};
use crate::{
    command::{
        ask::CommandView,
        cancel::{By, CancelCommand},
    },
    control::ask::ask,
    listen::http::Peer,
    login::{Kind, Problem, cancelled},
};

/// Commands that are listed when the operator does not say, and at most.
const LISTED: (u32, u32) = (50, 1_000);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Which {
    terminal: Option<String>,
    limit: Option<u32>,
}

/// What terminals said stays between them and the requester.
fn shown(mut view: CommandView) -> CommandView {
    (view.result, view.result_base64) = (None, None);
    view
}

fn unavailable(e: &postern_store::SqlError) -> Problem {
    Problem::detailed(Kind::Unavailable, e.to_string())
}

pub(super) async fn list(
    State(ctx): State<Ctx>,
    Query(which): Query<Which>,
) -> Result<Json<Vec<CommandView>>, Problem> {
    let limit = which.limit.unwrap_or(LISTED.0).clamp(1, LISTED.1);
    let found = ctx.admin.commands.newest(which.terminal.as_deref(), limit).await;
    let found = found.map_err(|e| unavailable(&e))?;
    Ok(Json(found.iter().map(|row| shown(CommandView::from(row))).collect()))
}

pub(super) async fn show(
    State(ctx): State<Ctx>,
    Path(id): Path<String>,
) -> Result<Json<CommandView>, Problem> {
    let found = ctx.admin.commands.get(&id).await.map_err(|e| unavailable(&e))?;
    let none = || Problem::detailed(Kind::NotFound, format!("no command {id:?}"));
    found.map(|row| Json(shown(CommandView::from(&row)))).ok_or_else(none)
}

pub(super) async fn cancel(
    State(ctx): State<Ctx>,
    Extension(peer): Extension<Peer>,
    Path(id): Path<String>,
) -> Result<Json<CommandView>, Problem> {
    let (work, target) = (ctx.clone(), id.clone());
    act(&ctx, peer, "command.cancel", &target, "", async move {
        let outcome = ask(&work.admin.bus, &CancelCommand { by: By::Operator, id }).await?;
        cancelled(outcome).map(|Json(view)| Json(shown(view)))
    })
    .await
}
