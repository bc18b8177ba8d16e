//! The admin API: what an operator's verbs ask for, on a unix socket by default (rule 10).
//!
//! [`guard`] (token on the network) → a verb in [`plugins`], [`plugin_acts`], [`clients`], [`users`], [`tokens`],
//! [`status`]; every verb that changes something goes through [`acts`], which writes it down first.

mod acts;
mod backup;
mod clients;
mod commands;
pub mod counted;
mod guard;
pub mod metrics;
mod plugin_acts;
mod plugin_wire;
mod plugins;
mod reload;
mod status;
mod tokens;
mod unix;
mod users;
pub mod wire;

use std::{collections::HashSet, path::PathBuf, sync::Arc, time::Instant};

use axum::{
    Router,
    extract::DefaultBodyLimit,
    middleware::{from_fn, from_fn_with_state},
    routing::{MethodRouter, get, post, put},
};
use parking_lot::Mutex;
use postern_broker::Broker;
use postern_bus::Bus;
use postern_guest::{MAX_COMPONENT_MIB, Slots};
use postern_store::Database;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub use unix::serve_unix;

use crate::{
    audit::Audit,
    command::Commands,
    config::{NodeRoles, SecretText},
    listen::traced::traced,
    login::{Kind, Problem},
    plugins::Life,
    reload::Reloader,
};

/// Bytes of a request's body.
const MAX_BODY: usize = 64 * 1024;

/// What the verbs act on.
pub struct Admin {
    /// The roles.
    pub slots: Arc<Slots>,
    /// What changes which plugin serves.
    pub life: Arc<Life>,
    /// Certificate and policy.
    pub reloader: Arc<Reloader>,
    /// None on a node that takes no MQTT clients.
    pub broker: Option<Arc<Broker>>,
    /// To the token role, wherever it runs.
    pub bus: Bus,
    /// Commands to terminals.
    pub commands: postern_store::Commands,
    /// Terminals; None on a node that takes no MQTT clients.
    pub terminals: Option<Arc<Commands>>,
    /// Asked whether it is there.
    pub database: Database,
    /// The node's.
    pub roles: NodeRoles,
    /// Name and address of each, as they are announced.
    pub listeners: Vec<(&'static str, String)>,
    /// What a peer on the network must bring; without one none is let in.
    pub token: Option<SecretText>,
    /// Where every act is written down.
    pub audit: Audit,
    /// The data folder.
    pub data: PathBuf,
    /// What the end of the node waits for: acts that are begun among it.
    pub tasks: TaskTracker,
    /// Set when the node stops.
    pub stop: CancellationToken,
}

/// Shared by all requests.
struct Shared {
    admin: Admin,
    since: Instant,
    /// Held while a backup is made and sent.
    backup: Arc<tokio::sync::Mutex<()>>,
    /// Of which plugins /metrics has told what they hold.
    weighed: Mutex<HashSet<status::PluginLabels>>,
}

type Ctx = Arc<Shared>;

/// What to serve.
pub struct Routers {
    /// All verbs: for the admin listener.
    pub admin: Router,
    /// `/healthz`, `/readyz`, `/metrics` only: for the health listener.
    pub health: Router,
}

/// The two routers of a node. The connection's [`crate::listen::http::Peer`] must be among the
/// extensions.
pub fn routers(admin: Admin) -> Routers {
    let ctx =
        Arc::new(Shared { admin, since: Instant::now(), backup: Arc::default(), weighed: Mutex::default() });
    let probes = || {
        Router::new()
            .route("/healthz", get(status::healthz))
            .route("/readyz", get(status::readyz))
            .route("/metrics", get(status::metrics))
    };
    // One byte more than the largest, so that the check can say so.
    let most = (MAX_COMPONENT_MIB as usize) << 20;
    let sent = |route: MethodRouter<Ctx>| route.layer(DefaultBodyLimit::max(most + 1));
    let verbs = probes()
        .route("/v1/backup", post(backup::backup))
        .route("/v1/status", get(status::status))
        .route("/v1/reload", post(reload::reload))
        .route("/v1/plugins", get(plugins::list))
        .route("/v1/plugins/{name}", get(plugins::describe).delete(plugin_acts::remove))
        .route("/v1/plugins/{name}/logs", get(plugins::logs))
        .route("/v1/plugins/{name}/activate", post(plugin_acts::activate))
        .route("/v1/plugins/{name}/promote", post(plugin_acts::promote))
        .route("/v1/plugins/{name}/rollback", post(plugin_acts::roll_back))
        .route("/v1/plugins/{name}/pause", post(plugin_acts::pause))
        .route("/v1/plugins/{name}/resume", post(plugin_acts::resume))
        .route("/v1/plugins/{name}/validate", post(plugin_acts::validate))
        .route("/v1/plugins/{name}/record", post(plugin_acts::record))
        .route(
            "/v1/plugins/{name}/shadow",
            get(plugins::shadow).post(plugin_acts::begin_shadow).delete(plugin_acts::end_shadow),
        )
        .route("/v1/components", sent(post(plugin_acts::install)))
        .route("/v1/components/validate", sent(post(plugin_acts::validate_sent)))
        .route("/v1/clients", get(clients::list))
        .route("/v1/clients/show", post(clients::show))
        .route("/v1/clients/kick", post(clients::kick))
        .route("/v1/commands", get(commands::list))
        .route("/v1/commands/{id}", get(commands::show).delete(commands::cancel))
        .route("/v1/users", get(users::list))
        .route("/v1/users/{user}", put(users::put).patch(users::patch).delete(users::remove))
        .route("/v1/partners", put(users::partner))
        .route("/v1/tokens/revoke", post(tokens::revoke));
    let finish = |router: Router<Ctx>| {
        router
            .fallback(|| async { Problem::from(Kind::NotFound) })
            .method_not_allowed_fallback(|| async { Problem::from(Kind::WrongMethod) })
            .layer(DefaultBodyLimit::max(MAX_BODY))
    };
    Routers {
        admin: finish(verbs)
            .layer(from_fn_with_state(ctx.clone(), guard::admit))
            .layer(from_fn(traced))
            .with_state(ctx.clone()),
        health: finish(probes()).with_state(ctx),
    }
}

/// A name as part of a path (RFC 3986, section 2.1).
pub fn path_segment(text: &str) -> String {
    let mut segment = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            segment.push(char::from(byte));
        } else {
            segment.push_str(&format!("%{byte:02X}"));
        }
    }
    segment
}

#[cfg(test)]
mod tests {
    #[test]
    fn names_cannot_leave_their_segment() {
        assert_eq!(super::path_segment("a/b?c %"), "a%2Fb%3Fc%20%25");
        assert_eq!(super::path_segment("login-table_1.0~x"), "login-table_1.0~x");
    }
}
