//! `postern backup`: the data folder as one archive.

use std::sync::Arc;

use axum::{
    Extension,
    body::Body,
    extract::{Query, State},
    http::header,
    response::{IntoResponse, Response},
};
use futures_util::stream;
use serde::Deserialize;

use super::{Ctx, acts::act};
use crate::{
    backup::make::Copies,
    listen::http::Peer,
    login::{Kind, Problem},
};

/// What is asked for beside the data.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct With {
    #[serde(default)]
    keys: bool,
}

pub(super) async fn backup(
    State(ctx): State<Ctx>,
    Extension(peer): Extension<Peer>,
    Query(with): Query<With>,
) -> Result<Response, Problem> {
    if with.keys && matches!(peer, Peer::Network(_)) {
        // Rule 11: an admin token can be given another value, what the keys have signed cannot.
        return Err(Problem::detailed(Kind::Forbidden, "keys are handed out by the unix socket only"));
    }
    // Until the copies are gone: sent, or given up.
    let turn = Arc::clone(&ctx.backup).try_lock_owned();
    let turn = turn.map_err(|_| Problem::detailed(Kind::Conflict, "another backup is under way"))?;
    let work = ctx.clone();
    let copies = act(&ctx, peer, "backup", "", if with.keys { "with keys" } else { "" }, async move {
        let made = Copies::make(&work.admin.data, &work.admin.database, with.keys).await;
        let made = made.map(|copies| (copies, turn));
        made.map_err(|error| {
            tracing::error!(%error, "backup");
            Problem::detailed(Kind::Internal, error)
        })
    });
    let (copies, turn) = copies.await?;
    let pieces = stream::unfold(copies.send(turn), |mut pieces| async move {
        pieces.recv().await.map(|piece| (piece, pieces))
    });
    Ok(([(header::CONTENT_TYPE, "application/x-tar")], Body::from_stream(pieces)).into_response())
}
