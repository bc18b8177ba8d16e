//! An admin act: written down, done, its outcome written down (rule 10).

use std::future::Future;

use postern_trace::follow;

use super::Ctx;
use crate::{
    listen::http::Peer,
    login::{Kind, Problem},
};

/// Does `work` and keeps the audit log of it. The work goes on when the one who asked for it goes,
/// and a stop of the server waits for it.
///
/// # Errors
/// The work's own; or the act could not be written down, and was not done.
pub(super) async fn act<T: Send + 'static>(
    ctx: &Ctx,
    peer: Peer,
    name: &'static str,
    target: &str,
    detail: &str,
    work: impl Future<Output = Result<T, Problem>> + Send + 'static,
) -> Result<T, Problem> {
    let by = match peer {
        Peer::Local(uid) => format!("uid:{uid}"),
        Peer::Network(address) => format!("token@{}", address.ip()),
    };
    let begun = ctx.admin.audit.begin(&by, name, target, detail).await;
    let act = begun.map_err(|e| {
        tracing::error!(error = %e, "audit log");
        Problem::detailed(Kind::Internal, format!("the audit log cannot be written ({e}); nothing was done"))
    })?;
    let done = ctx.admin.tasks.spawn(follow(async move {
        let result = work.await;
        match &result {
            Ok(_) => act.end("done", "").await,
            Err(problem) => act.end("failed", &problem.to_string()).await,
        }
        result
    }));
    done.await.unwrap_or_else(|_| Err(Kind::Internal.into()))
}
