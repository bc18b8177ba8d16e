//! `postern plugin …`: what is shown.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use axum::{
    Json,
    extract::{Path, Query, State},
};
use postern_guest::{LogLevel, LogLine, Part, Plugin, PluginLimits, Role, Shadow, SlotInfo, SlotState};
use serde::Deserialize;

use super::{
    Admin, Ctx,
    wire::{GenerationView, LogPage, LogView, PluginDetail, PluginView, ShadowView},
};
use crate::{
    login::{Kind, Problem},
    plugins::{Candidate, Digest},
};

/// How long a request for the next line waits.
const PATIENCE: Duration = Duration::from_secs(20);

/// The plugins that serve, each with its roles.
pub(super) fn serving(admin: &Admin, activated: &BTreeSet<Role>) -> Vec<(Arc<Plugin>, PluginView)> {
    let mut found: Vec<(Arc<Plugin>, PluginView)> = Vec::new();
    for info in Role::ALL.into_iter().flat_map(|role| admin.slots.infos(role)) {
        let known = found
            .iter_mut()
            .find(|(plugin, view)| Arc::ptr_eq(plugin, &info.plugin) && view.part == part_of(&info));
        match known {
            Some((_, view)) => {
                view.roles.push(info.role.name().to_owned());
                if info.state != SlotState::Serving {
                    state_of(&info).clone_into(&mut view.state);
                }
            }
            None => {
                let mut view = view(&info.plugin, &[info.role], state_of(&info));
                view.part = part_of(&info);
                let by = if activated.contains(&info.role) || view.part.is_some() {
                    "activation"
                } else {
                    "policy"
                };
                view.chosen_by = Some(by.to_owned());
                found.push((info.plugin, view));
            }
        }
    }
    found
}

fn state_of(info: &SlotInfo) -> &'static str {
    match (info.state, &info.part) {
        (SlotState::Paused, _) => "paused",
        (SlotState::Recovering, _) => "failed",
        (SlotState::Serving, Part::Canary(_)) => "canary",
        (SlotState::Serving, Part::Main) => "active",
    }
}

fn part_of(info: &SlotInfo) -> Option<String> {
    match &info.part {
        Part::Main => None,
        Part::Canary(part) => Some(part.to_string()),
    }
}

pub(super) fn view(plugin: &Plugin, roles: &[Role], state: &str) -> PluginView {
    PluginView {
        name: plugin.name().to_owned(),
        roles: roles.iter().map(|role| role.name().to_owned()).collect(),
        version: plugin.version().to_owned(),
        generation: plugin.generation(),
        state: state.to_owned(),
        file: plugin.path().display().to_string(),
        digest: Digest::new(plugin.digest()).into(),
        part: None,
        chosen_by: None,
        why: None,
    }
}

fn candidate_view(candidate: &Candidate) -> PluginView {
    let (report, why) = (&candidate.report, candidate.wrong());
    PluginView {
        name: candidate.name(),
        roles: report.roles.iter().map(|role| role.name().to_owned()).collect(),
        version: report.version.clone().unwrap_or_default(),
        generation: 0,
        state: if why.is_none() { "candidate" } else { "failed" }.to_owned(),
        file: candidate.path.display().to_string(),
        digest: Digest::new(&report.digest).into(),
        part: None,
        chosen_by: None,
        why,
    }
}

/// What serves, what served before, and what the folder offers.
async fn all(ctx: &Ctx) -> Vec<PluginView> {
    let life = &ctx.admin.life;
    let mut all: Vec<PluginView> =
        serving(&ctx.admin, &life.activated().await).into_iter().map(|(_, view)| view).collect();
    for (role, plugin) in life.ready().await {
        match all.iter_mut().find(|it| it.state == "previous" && it.generation == plugin.generation()) {
            Some(known) => known.roles.push(role.name().to_owned()),
            None => all.push(view(&plugin, &[role], "previous")),
        }
    }
    // What serves, or has served, is no candidate, though its file was tried out while it did not.
    let candidates: Vec<PluginView> = life.candidates.all().iter().map(candidate_view).collect();
    let is_known =
        |it: &PluginView| all.iter().any(|known| known.name == it.name && known.digest == it.digest);
    let (_, offered): (Vec<_>, Vec<_>) = candidates.into_iter().partition(is_known);
    all.extend(offered);
    all
}

pub(super) async fn list(State(ctx): State<Ctx>) -> Json<Vec<PluginView>> {
    Json(all(&ctx).await)
}

pub(super) async fn describe(
    State(ctx): State<Ctx>,
    Path(name): Path<String>,
) -> Result<Json<PluginDetail>, Problem> {
    let others = all(&ctx).await.into_iter().filter(|view| view.name == name);
    let serves = serving(&ctx.admin, &ctx.admin.life.activated().await);
    let found = serves.into_iter().find(|(plugin, _)| plugin.name() == name);
    let Some((loaded, plugin)) = found else {
        let mut others = others.peekable();
        if others.peek().is_none() {
            return Err(Problem::detailed(Kind::NotFound, format!("no plugin {name:?} serves")));
        }
        let known: Vec<String> = others.map(|view| format!("{} ({})", view.file, view.state)).collect();
        let told = format!("no plugin {name:?} serves; there is {}", known.join(", "));
        return Err(Problem::detailed(Kind::NotFound, told));
    };
    let policy = ctx.admin.life.policy.load().plugin(&name);
    let infos = Role::ALL.into_iter().flat_map(|role| ctx.admin.slots.infos(role));
    let generations = infos.filter(|info| info.plugin.name() == name).map(|info| generation(&info)).collect();
    Ok(Json(PluginDetail {
        plugin,
        grants: policy.grants.into_iter().collect(),
        used: loaded.used().iter().cloned().collect(),
        keys: policy.keys,
        limits: limits(loaded.limits()),
        generations,
    }))
}

fn generation(info: &SlotInfo) -> GenerationView {
    let bytes = |bytes: usize| u64::try_from(bytes).unwrap_or(u64::MAX);
    GenerationView {
        generation: info.plugin.generation(),
        version: info.plugin.version().to_owned(),
        role: info.role.name().to_owned(),
        state: state_of(info).to_owned(),
        part: part_of(info),
        calls: info.stats.outcomes.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect(),
        p50_us: info.stats.p50_us,
        p99_us: info.stats.p99_us,
        cpu_us: info.stats.cpu_us,
        queue: info.stats.queue,
        instances: info.instances,
        idle_instances: info.idle_instances,
        memory_bytes: bytes(info.plugin.memory_bytes()),
        peak_memory_bytes: bytes(info.plugin.peak_memory_bytes()),
    }
}

fn limits(limits: &PluginLimits) -> std::collections::BTreeMap<String, u64> {
    let PluginLimits {
        memory_mib,
        call_cpu_ms,
        call_wall_ms,
        concurrency,
        calls_per_instance,
        log_lines_per_sec,
        sql_rows,
        sql_statement_ms,
        http_body_bytes,
        http_timeout_ms,
    } = *limits;
    let limits = [
        ("memory_mib", memory_mib),
        ("call_cpu_ms", call_cpu_ms),
        ("call_wall_ms", call_wall_ms),
        ("concurrency", concurrency),
        ("calls_per_instance", calls_per_instance),
        ("log_lines_per_sec", log_lines_per_sec),
        ("sql_rows", sql_rows),
        ("sql_statement_ms", sql_statement_ms),
        ("http_body_bytes", http_body_bytes),
        ("http_timeout_ms", http_timeout_ms),
    ];
    limits.into_iter().map(|(name, value)| (name.to_owned(), u64::from(value))).collect()
}

/// Which lines.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LogQuery {
    /// Those after this one.
    #[serde(default)]
    after: u64,
    /// Those that matter at least so much.
    level: Option<String>,
    /// When there are none, wait for some.
    #[serde(default)]
    wait: bool,
}

pub(super) async fn logs(
    State(ctx): State<Ctx>,
    Path(name): Path<String>,
    Query(query): Query<LogQuery>,
) -> Result<Json<LogPage>, Problem> {
    let LogQuery { after, level, wait } = query;
    let least = level.as_deref().unwrap_or("debug").parse::<LogLevel>();
    let least = least.map_err(|e| Problem::detailed(Kind::Invalid, e))?;
    let logs = ctx.admin.life.runtime.logs();
    let found = if wait {
        let next = tokio::time::timeout(PATIENCE, logs.next(&name, after, least)).await;
        next.unwrap_or_else(|_| Some(Vec::new()))
    } else {
        logs.after(&name, after, least)
    };
    let none = || Problem::detailed(Kind::NotFound, format!("no plugin {name:?} was ever loaded here"));
    Ok(Json(LogPage { lines: found.ok_or_else(none)?.into_iter().map(line).collect() }))
}

pub(super) async fn shadow(
    State(ctx): State<Ctx>,
    Path(name): Path<String>,
) -> Result<Json<ShadowView>, Problem> {
    Ok(Json(shadow_view(&*ctx.admin.life.shadow(&name)?)))
}

pub(super) fn shadow_view(shadow: &Shadow) -> ShadowView {
    let found = shadow.findings();
    let each = |all: Duration| {
        let ns = all.as_nanos().checked_div(u128::from(found.compared)).unwrap_or_default();
        u64::try_from(ns).unwrap_or(u64::MAX)
    };
    ShadowView {
        name: shadow.plugin.name().to_owned(),
        version: shadow.plugin.version().to_owned(),
        digest: Digest::new(shadow.plugin.digest()).into(),
        compared: found.compared,
        alike: found.alike,
        failed: found.failed,
        shed: found.shed,
        served_ns: each(found.served_took),
        candidate_ns: each(found.took),
        differences: found.differences,
    }
}

fn line(line: LogLine) -> LogView {
    let LogLine { seq, at, level, text, id } = line;
    LogView { seq, at, level: level.name().to_owned(), text, id }
}
