//! `postern plugin …`: what changes something. Each is an act of the audit log.

use std::{path::Path, sync::Arc};

use axum::{
    Extension, Json,
    body::Bytes,
    extract::{Path as Segment, State},
};
use postern_guest::{Canary, Report, cases::Cases};

use super::{
    Ctx,
    acts::act,
    plugins::{shadow_view, view},
    wire::{ActivatePlugin, BeginShadow, PluginView, RecordCalls, ReportView, ShadowView},
};
use crate::{
    listen::http::Peer,
    login::{Body, Kind, Problem},
    plugins::{Digest, Refused, Serves},
};

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Problem {
        let kind = match &refused {
            Refused::NotFound(_) => Kind::NotFound,
            Refused::Unfit(_) => Kind::Refused,
            Refused::Conflict(_) => Kind::Conflict,
            Refused::Failed(_) => Kind::Internal,
        };
        Problem::detailed(kind, refused)
    }
}

fn serves(serves: &Serves, state: &str) -> PluginView {
    view(&serves.plugin, &serves.roles, state)
}

pub(super) async fn activate(
    State(ctx): State<Ctx>,
    Extension(peer): Extension<Peer>,
    Segment(name): Segment<String>,
    Body(how): Body<ActivatePlugin>,
) -> Result<Json<PluginView>, Problem> {
    let part = how.canary.as_deref().map(str::parse::<Canary>).transpose();
    let part = part.map_err(|e| Problem::detailed(Kind::Invalid, e))?;
    let (work, target, detail) = (ctx.clone(), name.clone(), how.canary.clone().unwrap_or_default());
    let state = if part.is_some() { "canary" } else { "active" };
    let done = act(&ctx, peer, "plugin.activate", &target, &detail, async move {
        Ok(serves(&work.admin.life.activate(&name, part).await?, state))
    });
    let mut plugin = done.await?;
    plugin.part = how.canary;
    Ok(Json(plugin))
}

pub(super) async fn promote(
    State(ctx): State<Ctx>,
    Extension(peer): Extension<Peer>,
    Segment(name): Segment<String>,
) -> Result<Json<PluginView>, Problem> {
    let (work, target) = (ctx.clone(), name.clone());
    let done = act(&ctx, peer, "plugin.promote", &target, "", async move {
        Ok(serves(&work.admin.life.promote(&name).await?, "active"))
    });
    done.await.map(Json)
}

pub(super) async fn roll_back(
    State(ctx): State<Ctx>,
    Extension(peer): Extension<Peer>,
    Segment(name): Segment<String>,
) -> Result<Json<PluginView>, Problem> {
    let (work, target) = (ctx.clone(), name.clone());
    let done = act(&ctx, peer, "plugin.rollback", &target, "", async move {
        Ok(serves(&work.admin.life.roll_back(&name, None).await?, "active"))
    });
    done.await.map(Json)
}

pub(super) async fn remove(
    State(ctx): State<Ctx>,
    Extension(peer): Extension<Peer>,
    Segment(name): Segment<String>,
) -> Result<Json<()>, Problem> {
    let (work, target) = (ctx.clone(), name.clone());
    let done =
        act(
            &ctx,
            peer,
            "plugin.remove",
            &target,
            "",
            async move { Ok(work.admin.life.remove(&name).await?) },
        );
    done.await.map(Json)
}

pub(super) async fn pause(
    state: State<Ctx>,
    peer: Extension<Peer>,
    name: Segment<String>,
) -> Result<Json<()>, Problem> {
    set_paused(state, peer, name, "plugin.pause", true).await
}

pub(super) async fn resume(
    state: State<Ctx>,
    peer: Extension<Peer>,
    name: Segment<String>,
) -> Result<Json<()>, Problem> {
    set_paused(state, peer, name, "plugin.resume", false).await
}

async fn set_paused(
    State(ctx): State<Ctx>,
    Extension(peer): Extension<Peer>,
    Segment(name): Segment<String>,
    verb: &'static str,
    paused: bool,
) -> Result<Json<()>, Problem> {
    let (work, target) = (ctx.clone(), name.clone());
    let done =
        act(&ctx, peer, verb, &target, "", async move { Ok(work.admin.life.pause(&name, paused).await?) });
    done.await.map(Json)
}

pub(super) async fn record(
    State(ctx): State<Ctx>,
    Extension(peer): Extension<Peer>,
    Segment(name): Segment<String>,
    Body(which): Body<RecordCalls>,
) -> Result<Json<Cases>, Problem> {
    let (work, target, RecordCalls { calls, secs }) = (ctx.clone(), name.clone(), which);
    let detail = format!("{calls} calls in {secs} s at most");
    let done = act(&ctx, peer, "plugin.record", &target, &detail, async move {
        Ok(work.admin.life.record(&name, calls, secs).await?)
    });
    done.await.map(Json)
}

pub(super) async fn begin_shadow(
    State(ctx): State<Ctx>,
    Extension(peer): Extension<Peer>,
    Segment(name): Segment<String>,
    Body(how): Body<BeginShadow>,
) -> Result<Json<ShadowView>, Problem> {
    let (work, target, every) = (ctx.clone(), name.clone(), how.every);
    let detail = format!("one call in {every}");
    let done = act(&ctx, peer, "plugin.shadow", &target, &detail, async move {
        Ok(shadow_view(&*work.admin.life.begin_shadow(&name, every).await?))
    });
    done.await.map(Json)
}

pub(super) async fn end_shadow(
    State(ctx): State<Ctx>,
    Extension(peer): Extension<Peer>,
    Segment(name): Segment<String>,
) -> Result<Json<ShadowView>, Problem> {
    let (work, target) = (ctx.clone(), name.clone());
    let done = act(&ctx, peer, "plugin.shadow.end", &target, "", async move {
        Ok(shadow_view(&*work.admin.life.end_shadow(&name)?))
    });
    done.await.map(Json)
}

/// A component that is sent is checked, and put into the plugin folder.
pub(super) async fn install(
    State(ctx): State<Ctx>,
    Extension(peer): Extension<Peer>,
    body: Bytes,
) -> Result<Json<ReportView>, Problem> {
    let (work, source) = (ctx.clone(), Arc::<[u8]>::from(&body[..]));
    let target = Digest::of(&source).to_string();
    let done = act(&ctx, peer, "plugin.install", &target, "", async move {
        Ok(report(work.admin.life.install(source).await?))
    });
    done.await.map(Json)
}

/// A component that is sent is checked; nothing of it stays. It runs: that is an act, too.
pub(super) async fn validate_sent(
    State(ctx): State<Ctx>,
    Extension(peer): Extension<Peer>,
    body: Bytes,
) -> Result<Json<ReportView>, Problem> {
    let (work, source) = (ctx.clone(), Arc::<[u8]>::from(&body[..]));
    let target = Digest::of(&source).to_string();
    let done = act(&ctx, peer, "plugin.validate", &target, "", async move {
        Ok(report(work.admin.life.examine(Path::new("this file"), source).await))
    });
    done.await.map(Json)
}

/// The same with a file of the plugin folder.
pub(super) async fn validate(
    State(ctx): State<Ctx>,
    Extension(peer): Extension<Peer>,
    Segment(name): Segment<String>,
) -> Result<Json<ReportView>, Problem> {
    let path = ctx.admin.life.file_of(&name)?;
    let work = ctx.clone();
    let done = act(&ctx, peer, "plugin.validate", &name, "", async move {
        let source = postern_guest::read_component(&path).await;
        let unread = |reason| Problem::detailed(Kind::NotFound, format!("{}: {reason}", path.display()));
        Ok(report(work.admin.life.examine(&path, source.map_err(unread)?).await))
    });
    done.await.map(Json)
}

fn report(report: Report) -> ReportView {
    ReportView {
        name: report.name,
        version: report.version,
        roles: report.roles.iter().map(|role| role.name().to_owned()).collect(),
        imports: report.imports.into_iter().collect(),
        digest: Digest::new(&report.digest).into(),
        size_bytes: report.size as u64,
        memory_bytes: report.memory as u64,
        took_ms: u64::try_from(report.took.as_millis()).unwrap_or(u64::MAX),
        call_ns: report
            .calls
            .iter()
            .map(|(role, took)| (role.name().to_owned(), u64::try_from(took.as_nanos()).unwrap_or(u64::MAX)))
            .collect(),
        reasons: report.reasons.iter().map(ToString::to_string).collect(),
    }
}
