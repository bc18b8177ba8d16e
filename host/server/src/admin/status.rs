//! How the server is: `postern status`, and what probes and Prometheus ask.

use axum::{
    Json,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use postern_guest::{Role, SlotState};
use serde_json::json;

use super::{
    Ctx,
    plugins::serving,
    wire::{ListenerView, Status},
};
use crate::policy::is_run_by;

/// Alive.
pub(super) async fn healthz() -> &'static str {
    "ok\n"
}

/// What is missing for the node's work, one line each.
async fn missing(ctx: &Ctx) -> Vec<String> {
    let admin = &ctx.admin;
    let mut missing = Vec::new();
    for role in Role::ALL.into_iter().filter(|role| is_run_by(*role, admin.roles)) {
        match admin.slots.info(role).map(|info| info.state) {
            Some(SlotState::Serving) => {}
            Some(SlotState::Recovering) => missing.push(format!("role {role}: the plugin is recovering")),
            None => missing.push(format!("role {role}: no plugin serves")),
        }
    }
    if !admin.bus.is_up() {
        missing.push("bus: not connected".to_owned());
    }
    if let Err(e) = admin.database.ping().await {
        tracing::warn!(error = %e, "database");
        missing.push("store: the database does not answer".to_owned());
    }
    missing
}

/// Able to serve.
pub(super) async fn readyz(State(ctx): State<Ctx>) -> Response {
    let missing = missing(&ctx).await;
    let status = if missing.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(json!({ "ready": missing.is_empty(), "missing": missing }))).into_response()
}

/// Prometheus' text format.
pub(super) async fn metrics(State(ctx): State<Ctx>) -> impl IntoResponse {
    if let Some(broker) = &ctx.admin.broker {
        let sessions = broker.sessions();
        let connected = sessions.iter().filter(|s| s.connected).count();
        ::metrics::gauge!("postern_sessions").set(sessions.len() as f64);
        ::metrics::gauge!("postern_clients_connected").set(connected as f64);
    }
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], super::metrics::page())
}

pub(super) async fn status(State(ctx): State<Ctx>) -> Json<Status> {
    let admin = &ctx.admin;
    let missing = missing(&ctx).await;
    let sessions = admin.broker.as_ref().map(|b| b.sessions()).unwrap_or_default();
    let listeners = admin.listeners.iter();
    Json(Status {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        roles: admin.roles.names().into_iter().map(str::to_owned).collect(),
        uptime_secs: ctx.since.elapsed().as_secs(),
        listeners: listeners
            .map(|(n, a)| ListenerView { name: (*n).to_owned(), address: a.clone() })
            .collect(),
        ready: missing.is_empty(),
        missing,
        clients_connected: sessions.iter().filter(|s| s.connected).count() as u64,
        sessions: sessions.len() as u64,
        plugins: serving(admin).into_iter().map(|(_, view)| view).collect(),
    })
}
