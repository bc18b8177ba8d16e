//! `postern plugin …`.

use std::sync::Arc;

use axum::{
    Extension, Json,
    extract::{Path, State},
};
use postern_guest::{Plugin, PluginLimits, Role, SlotState, is_plugin_name};
use tracing::info;

use super::{
    Admin, Ctx,
    acts::act,
    wire::{PluginDetail, PluginView},
};
use crate::{
    listen::http::Peer,
    login::{Kind, Problem},
    plugins::{self, PluginError},
    policy::is_run_by,
};

/// The plugins that serve, each with its roles.
pub(super) fn serving(admin: &Admin) -> Vec<(Arc<Plugin>, PluginView)> {
    let mut found: Vec<(Arc<Plugin>, PluginView)> = Vec::new();
    for info in Role::ALL.into_iter().filter_map(|role| admin.slots.info(role)) {
        let failed = info.state == SlotState::Recovering;
        match found.iter_mut().find(|(plugin, _)| Arc::ptr_eq(plugin, &info.plugin)) {
            Some((_, view)) => {
                view.roles.push(info.role.name().to_owned());
                if failed {
                    "failed".clone_into(&mut view.state);
                }
            }
            None => {
                let view = view(&info.plugin, &[info.role], if failed { "failed" } else { "active" });
                found.push((info.plugin, view));
            }
        }
    }
    found
}

fn view(plugin: &Plugin, roles: &[Role], state: &str) -> PluginView {
    PluginView {
        name: plugin.name().to_owned(),
        roles: roles.iter().map(|role| role.name().to_owned()).collect(),
        version: plugin.version().to_owned(),
        generation: plugin.generation(),
        state: state.to_owned(),
        file: plugin.path().display().to_string(),
    }
}

pub(super) async fn list(State(ctx): State<Ctx>) -> Json<Vec<PluginView>> {
    Json(serving(&ctx.admin).into_iter().map(|(_, view)| view).collect())
}

pub(super) async fn describe(
    State(ctx): State<Ctx>,
    Path(name): Path<String>,
) -> Result<Json<PluginDetail>, Problem> {
    let found = serving(&ctx.admin).into_iter().find(|(plugin, _)| plugin.name() == name);
    let Some((loaded, plugin)) = found else {
        return Err(Problem::detailed(Kind::NotFound, format!("no plugin {name:?} serves")));
    };
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
    } = *loaded.limits();
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
    let policy = ctx.admin.policy.plugin(&name);
    Ok(Json(PluginDetail {
        plugin,
        grants: policy.grants.into_iter().collect(),
        used: loaded.used().iter().cloned().collect(),
        keys: policy.keys,
        limits: limits.into_iter().map(|(name, value)| (name.to_owned(), u64::from(value))).collect(),
    }))
}

pub(super) async fn activate(
    State(ctx): State<Ctx>,
    Extension(peer): Extension<Peer>,
    Path(name): Path<String>,
) -> Result<Json<PluginView>, Problem> {
    if !is_plugin_name(&name) {
        return Err(Problem::detailed(Kind::Invalid, format!("{name:?} is not a plugin name")));
    }
    let (work, target) = (ctx.clone(), name.clone());
    act(&ctx, peer, "plugin.activate", &target, "", async move { swap(&work, &name).await }).await.map(Json)
}

/// Loads the file anew beside what serves, checks it, and only then swaps (C3).
async fn swap(ctx: &Ctx, name: &str) -> Result<PluginView, Problem> {
    let admin = &ctx.admin;
    let _one_at_a_time = ctx.activating.lock().await;
    let path = plugins::file_of(&admin.plugin_dir, name);
    let loaded = admin.runtime.load(&path, &|name| admin.policy.plugin(name)).await;
    let plugin = loaded.map_err(|e| Problem::detailed(Kind::Refused, e))?;
    plugins::check_name(&plugin, name).map_err(|e| Problem::detailed(Kind::Refused, e))?;
    let roles: Vec<Role> = plugin.roles().iter().copied().filter(|r| is_run_by(*r, admin.roles)).collect();
    if roles.is_empty() {
        let detail = format!("{}: fills no role that this node runs", path.display());
        return Err(Problem::detailed(Kind::Conflict, detail));
    }
    if roles.contains(&Role::Token) {
        let harmless = plugins::check_anonymous(&plugin, &admin.public).await;
        harmless.map_err(|e| Problem::detailed(Kind::Conflict, e))?;
    }
    // What cannot be remembered is not done: after a restart the old one would serve again.
    let unusable = |e: PluginError| Problem::detailed(Kind::Internal, e);
    plugins::remember(&admin.activations, name, &roles).map_err(unusable)?;
    plugins::activate(&admin.slots, &plugin, &roles).map_err(unusable)?;
    info!(
        plugin = plugin.name(),
        version = plugin.version(),
        generation = plugin.generation(),
        "plugin activated"
    );
    ::metrics::counter!("postern_plugin_activations_total").increment(1);
    Ok(view(&plugin, &roles, "active"))
}
