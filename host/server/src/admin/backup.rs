//! `postern backup`: the data folder as one archive.

use std::sync::Arc;

use axum::{
    Extension,
    body::Body,
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};
use futures_util::stream;

use super::{Ctx, acts::act};
use crate::{
    backup::make::Copies,
    listen::http::Peer,
    login::{Kind, Problem},
};

pub(super) async fn backup(
    State(ctx): State<Ctx>,
    Extension(peer): Extension<Peer>,
) -> Result<Response, Problem> {
    // Until all of it is sent.
    let turn = Arc::clone(&ctx.backup).try_lock_owned();
    let turn = turn.map_err(|_| Problem::detailed(Kind::Conflict, "another backup is under way"))?;
    let work = ctx.clone();
    let copies = act(&ctx, peer, "backup", "", "", async move {
        let made = Copies::make(&work.admin.data, &work.admin.database).await;
        made.map_err(|error| {
            tracing::error!(%error, "backup");
            Problem::detailed(Kind::Internal, error)
        })
    });
    let pieces = copies.await?.send();
    let pieces = stream::unfold((pieces, turn), |(mut pieces, turn)| async move {
        pieces.recv().await.map(|piece| (piece, (pieces, turn)))
    });
    Ok(([(header::CONTENT_TYPE, "application/x-tar")], Body::from_stream(pieces)).into_response())
}
