//! `postern token revoke`: asked of the dynamic group over the bus, like any other (A4).

use axum::{Extension, Json, extract::State};

use super::{Ctx, acts::act};
use crate::{
    control::{
        ask::ask,
        wire::{Denied, RevokeTokens, Revoked},
    },
    listen::http::Peer,
    login::{Body, Kind, Problem},
};

pub(super) async fn revoke(
    State(ctx): State<Ctx>,
    Extension(peer): Extension<Peer>,
    Body(which): Body<RevokeTokens>,
) -> Result<Json<Revoked>, Problem> {
    let target = match &which {
        RevokeTokens::Token { id } => format!("token:{id}"),
        RevokeTokens::User { user } => format!("user:{user}"),
        RevokeTokens::Device { user, client_id } => format!("device:{user}/{client_id}"),
    };
    let work = ctx.clone();
    act(&ctx, peer, "token.revoke", &target, "", async move {
        ask(&work.admin.bus, &which).await.map(Json).map_err(|e| told(&e))
    })
    .await
}

/// An operator may know the cause.
pub(super) fn told(denied: &Denied) -> Problem {
    match denied {
        Denied::Unavailable { .. } => Problem::detailed(Kind::Unavailable, denied),
        Denied::Invalid { .. } => Problem::detailed(Kind::Invalid, denied),
        other => other.clone().into(),
    }
}
