//! The static group: takes logins (A5), sends personal information (A6), and is the application's
//! way to history and directory.
//!
//! `POST /v1/login`: [`handler`] (limits → [`by_key`]: challenge → role login → bus: issue token) → [`answer`]
//! everything else: [`bearer`] (bus: who holds this?) → [`api`] (bus: the group that knows)
//! the other way round: [`bus`] answers what the dynamic group asks about people

mod answer;
mod api;
mod bearer;
pub mod bus;
mod by_key;
mod commands;
mod crowd;
mod extract;
mod handler;
mod openapi;
mod pace;
mod problem;
#[cfg(test)]
mod tests;

use std::{net::IpAddr, sync::Arc, time::Duration};

use axum::{
    BoxError, Router,
    error_handling::HandleErrorLayer,
    extract::DefaultBodyLimit,
    http::{HeaderValue, header},
    middleware::{from_fn, from_fn_with_state, map_response},
    response::Response,
    routing::{MethodRouter, delete, get, post, put},
};
use parking_lot::Mutex;
use postern_bus::Bus;
use postern_guest::Slots;
use tokio::sync::Semaphore;
use tower::{
    ServiceBuilder,
    limit::GlobalConcurrencyLimitLayer,
    load_shed::{LoadShedLayer, error::Overloaded},
    timeout::{TimeoutLayer, error::Elapsed},
};

pub use by_key::KeyLogins;
pub use commands::cancelled;
pub use extract::Body;
pub use pace::neighbourhood;
pub use problem::{Kind, Problem};

use crate::{config::Limits, listen::traced::traced};
use crowd::Crowd;
use pace::Pace;

/// At most so many under way at once, in at most so many seconds each. One more is
/// refused at once: a queue would only let everybody time out together.
macro_rules! bounded {
    ($at_once:expr, $secs:expr) => {{
        ServiceBuilder::new()
            .layer(HandleErrorLayer::new(overdue))
            .layer(LoadShedLayer::new())
            .layer(GlobalConcurrencyLimitLayer::with_semaphore(Arc::new(Semaphore::new(at_once($at_once)))))
            .layer(TimeoutLayer::new(Duration::from_secs($secs.into())))
    }};
}

/// What a node that holds the login role has more than others.
pub struct LoginRole {
    /// The role.
    pub slots: Arc<Slots>,
    /// Challenges of logins by key.
    pub keys: KeyLogins,
}

/// What the HTTP side needs.
pub struct LoginContext {
    /// None on a node that does not hold the login role, which takes no logins (A2).
    pub role: Option<LoginRole>,
    /// To the group that knows.
    pub bus: Bus,
    /// Bounds.
    pub limits: Limits,
}

/// Shared by all requests.
struct Shared {
    role: Option<LoginRole>,
    bus: Bus,
    addresses: Mutex<Pace<IpAddr>>,
    users: Mutex<Pace<String>>,
    /// Renewals, by token and by user.
    renewals: Mutex<Pace<String>>,
    renewers: Mutex<Pace<String>>,
    /// Held while the login role is at work, and at no other time: each holds an argon2.
    logins: Semaphore,
}

type Ctx = Arc<Shared>;

/// A route: method, path, what serves it.
type Route = (&'static str, &'static str, MethodRouter<Ctx>);

/// All routes; the description of the API is held against this list.
fn routes() -> Vec<Route> {
    vec![
        ("post", "/v1/login", post(handler::login)),
        ("get", "/v1/login/challenge", get(by_key::challenge)),
        ("get", "/v1/me", get(api::me)),
        ("get", "/v1/directory", get(api::directory)),
        ("get", "/v1/messages", get(api::messages)),
        ("put", "/v1/messages/read", put(api::mark_read)),
        ("post", "/v1/commands", post(commands::ask_for)),
        ("get", "/v1/commands/{id}", get(commands::find)),
        ("delete", "/v1/commands/{id}", delete(commands::cancel)),
        ("post", "/v1/token", post(api::renew)),
        ("delete", "/v1/token", delete(api::logout)),
        ("get", "/v1/openapi.json", get(openapi::document)),
    ]
}

/// The HTTP side. The connection's [`crate::listen::http::Peer`] must be among the extensions.
pub fn router(ctx: LoginContext) -> Router {
    let limits = &ctx.limits;
    let shared = Shared {
        role: ctx.role,
        bus: ctx.bus,
        addresses: Mutex::new(Pace::per_minute(limits.login_per_address_per_minute)),
        users: Mutex::new(Pace::per_minute(limits.login_per_user_per_minute)),
        renewals: Mutex::new(Pace::per_minute(limits.renewals_per_token_per_minute)),
        renewers: Mutex::new(Pace::per_minute(limits.renewals_per_user_per_minute)),
        logins: Semaphore::new(at_once(limits.logins_at_once)),
    };
    let mut router = Router::new();
    for (_, path, route) in routes() {
        router = router.route(path, route);
    }
    router
        .fallback(|| async { Problem::from(Kind::NotFound) })
        .method_not_allowed_fallback(|| async { Problem::from(Kind::WrongMethod) })
        .layer(bounded!(limits.http_requests, limits.http_timeout_secs))
        // Outside of it: what one address may not have is no place of the others.
        .layer(from_fn_with_state(Crowd::of(limits.http_requests_per_address), crowd::one_more))
        .layer(DefaultBodyLimit::max(usize::try_from(limits.http_body_bytes).unwrap_or(usize::MAX)))
        .layer(map_response(private))
        .layer(from_fn(traced))
        .with_state(Arc::new(shared))
}

/// Answers are one person's: nothing on the way keeps them.
async fn private(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

async fn overdue(error: BoxError) -> Problem {
    if error.is::<Elapsed>() {
        Kind::Timeout.into()
    } else if error.is::<Overloaded>() {
        busy("http-busy")
    } else {
        tracing::error!(%error, "HTTP");
        Kind::Internal.into()
    }
}

/// No place at the moment: refused at once, and counted.
fn busy(reason: &'static str) -> Problem {
    metrics::counter!("postern_refused_total", "reason" => reason).increment(1);
    Problem { retry_after_secs: Some(1), ..Kind::Unavailable.into() }
}

/// An allowance is used up: refused, with when there is some again, and counted.
fn too_many(reason: &'static str, wait: Duration) -> Problem {
    metrics::counter!("postern_refused_total", "reason" => reason).increment(1);
    Problem::too_many(u32::try_from(wait.as_millis().div_ceil(1_000)).unwrap_or(u32::MAX))
}

fn at_once(permits: u32) -> usize {
    usize::try_from(permits).unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS)
}
