//! How the server is: `postern status`, and what probes and Prometheus ask.

use std::{collections::HashSet, time::Duration};

use axum::{
    Json,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use postern_broker::Stats;
use postern_guest::{Part, Role, SlotInfo, SlotState, Slots};
use serde_json::json;

use super::{
    Admin, Ctx,
    plugins::serving,
    wire::{ListenerView, Status, TerminalsView},
};
use crate::policy::is_run_by;

/// How long the database may take to answer: less than probes usually wait.
const PING: Duration = Duration::from_secs(2);

/// Alive.
pub(super) async fn healthz() -> &'static str {
    "ok\n"
}

/// What is missing for the node's work, one line each.
async fn missing(ctx: &Ctx) -> Vec<String> {
    let admin = &ctx.admin;
    let mut missing = Vec::new();
    if admin.stop.is_cancelled() {
        missing.push("node: it is stopping".to_owned());
    }
    for role in Role::ALL.into_iter().filter(|role| is_run_by(*role, admin.roles)) {
        match admin.slots.info(role).map(|info| info.state) {
            Some(SlotState::Serving) => {}
            Some(SlotState::Paused) => {
                missing.push(format!("role {role}: its plugin is paused by an operator"))
            }
            Some(SlotState::Recovering) => missing.push(format!(
                "role {role}: its plugin failed again and again, and is left alone for a while"
            )),
            None => missing.push(format!("role {role}: no plugin serves")),
        }
    }
    if !admin.bus.is_up() {
        missing.push("bus: no connection to the server of bus.url; it is tried again".to_owned());
    }
    match tokio::time::timeout(PING, admin.database.ping()).await {
        Ok(Ok(())) => {}
        Ok(Err(e)) => {
            tracing::warn!(error = %e, "database");
            missing.push("store: the database refuses to answer; the log says why".to_owned());
        }
        Err(_) => missing.push(format!("store: the database has not answered within {} s", PING.as_secs())),
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
        count(broker.stats());
    }
    ::metrics::gauge!("postern_ready").set(f64::from(u8::from(missing(&ctx).await.is_empty())));
    ctx.admin.slots.show();
    weigh(&ctx.admin.slots, &mut ctx.weighed.lock());
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], super::metrics::page())
}

/// Role, plugin and part.
pub(super) type PluginLabels = [(&'static str, String); 3];

/// A gauge, and what it shows of a plugin.
type Weight = (&'static str, fn(&SlotInfo) -> f64);

/// What a plugin holds.
const WEIGHTS: [Weight; 6] = [
    ("postern_plugin_generation", |info| info.plugin.generation() as f64),
    ("postern_plugin_instances", |info| f64::from(info.instances)),
    ("postern_plugin_idle_instances", |info| f64::from(info.idle_instances)),
    ("postern_plugin_queue", |info| f64::from(info.stats.queue)),
    ("postern_plugin_memory_bytes", |info| info.plugin.memory_bytes() as f64),
    ("postern_plugin_peak_memory_bytes", |info| info.plugin.peak_memory_bytes() as f64),
];

/// What plugins hold now; one that has gone since the last look holds nothing.
fn weigh(slots: &Slots, weighed: &mut HashSet<PluginLabels>) {
    let mut gone = std::mem::take(weighed);
    for info in Role::ALL.into_iter().flat_map(|role| slots.infos(role)) {
        let name = info.plugin.name().to_owned();
        let part = if info.part == Part::Main { "all" } else { "canary" };
        let labels = [("role", info.role.name().to_owned()), ("plugin", name), ("part", part.to_owned())];
        for (name, weight) in WEIGHTS {
            ::metrics::gauge!(name, &labels).set(weight(&info));
        }
        gone.remove(&labels);
        weighed.insert(labels);
    }
    for (labels, (name, _)) in gone.iter().flat_map(|labels| WEIGHTS.iter().map(move |it| (labels, it))) {
        ::metrics::gauge!(*name, labels).set(0.0);
    }
}

/// The broker counts for itself; this shows it.
fn count(stats: &Stats) {
    let counters = [
        ("postern_packets_received_total", &stats.packets_in),
        ("postern_packets_sent_total", &stats.packets_out),
        ("postern_bytes_received_total", &stats.octets_in),
        ("postern_bytes_sent_total", &stats.octets_out),
        ("postern_messages_received_total", &stats.messages_in),
        ("postern_messages_sent_total", &stats.messages_out),
        ("postern_messages_redelivered_total", &stats.redelivered),
        ("postern_messages_unrouted_total", &stats.unrouted),
        ("postern_takeovers_total", &stats.takeovers),
        ("postern_slow_readers_total", &stats.slow_readers),
        ("postern_sessions_expired_total", &stats.sessions_expired),
    ];
    for (name, counter) in counters {
        ::metrics::counter!(name).absolute(counter.get());
    }
    let dropped = [
        ("queue-full", &stats.dropped_queue_full),
        ("offline", &stats.dropped_offline),
        ("expired", &stats.dropped_expired),
        ("too-large", &stats.dropped_too_large),
        ("retained-limit", &stats.dropped_retained),
    ];
    for (why, counter) in dropped {
        ::metrics::counter!("postern_messages_dropped_total", "why" => why).absolute(counter.get());
    }
    let gauges = [
        ("postern_sessions", &stats.sessions),
        ("postern_clients_connected", &stats.connected),
        ("postern_subscriptions", &stats.subscriptions),
        ("postern_retained_messages", &stats.retained),
    ];
    for (name, gauge) in gauges {
        ::metrics::gauge!(name).set(gauge.get() as f64);
    }
}

/// None where the database does not answer, too: that is among what is missing.
async fn terminals(admin: &Admin) -> Option<TerminalsView> {
    let commands = admin.terminals.as_ref()?;
    let account = commands.accounts_total().await.ok()?;
    let (plain, tls) = commands.links.count();
    Some(TerminalsView { plain: plain as u64, tls: tls as u64, account })
}

pub(super) async fn status(State(ctx): State<Ctx>) -> Json<Status> {
    let admin = &ctx.admin;
    let missing = missing(&ctx).await;
    let listeners = admin.listeners.iter();
    let standing = admin.reloader.standing();
    Json(Status {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        roles: admin.roles.names().into_iter().map(str::to_owned).collect(),
        uptime_secs: ctx.since.elapsed().as_secs(),
        listeners: listeners
            .map(|(n, a)| ListenerView { name: (*n).to_owned(), address: a.clone() })
            .collect(),
        ready: missing.is_empty(),
        missing,
        clients_connected: admin.broker.as_ref().map_or(0, |broker| broker.stats().connected.get()),
        sessions: admin.broker.as_ref().map_or(0, |broker| broker.stats().sessions.get()),
        plugins: serving(admin, &admin.life.activated().await).into_iter().map(|(_, view)| view).collect(),
        terminals: terminals(admin).await,
        certificate_expires: admin.reloader.certificate_expires(),
        certificate_refused: standing.certificate,
        policy_refused: standing.policy,
        restart: standing.restart,
    })
}
