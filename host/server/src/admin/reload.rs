//! `postern reload`.

use axum::{Extension, Json, extract::State};

use super::{Ctx, acts::act, wire::Reloaded};
use crate::{listen::http::Peer, login::Problem, reload::Cause};

/// What is refused is part of the answer: the other half may have been applied.
pub(super) async fn reload(
    State(ctx): State<Ctx>,
    Extension(peer): Extension<Peer>,
) -> Result<Json<Reloaded>, Problem> {
    let reloader = ctx.admin.reloader.clone();
    let work = async move { Ok(reloader.reload(Cause::Operator).await) };
    act(&ctx, peer, "reload", "certificate, policy", "", work).await.map(Json)
}
