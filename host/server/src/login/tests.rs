//! The HTTP side against an in-process bus with an invented dynamic group.

use std::{collections::BTreeSet, net::SocketAddr};

use axum::{
    body::{Body as HttpBody, to_bytes},
    extract::Request,
};
use postern_guest::Keyring;
use postern_store::Database;
use serde_json::{Value, json};
use tower::ServiceExt;

use super::*;
use crate::{
    control::{
        ask::answer,
        wire::{
            CheckBearer, Denied, FindPerson, HistoryPage, Holder, Profile, ReadHistory, RevokeTokens, Revoked,
        },
    },
    listen::{http::Peer, tls::Certificates},
    tasks::Background,
};

#[test]
fn the_description_names_every_route_and_no_other() {
    let described = openapi::describe();
    let mut in_description = BTreeSet::new();
    for (path, operations) in described["paths"].as_object().unwrap() {
        for method in operations.as_object().unwrap().keys() {
            in_description.insert((method.clone(), path.clone()));
        }
    }
    let served = routes().into_iter().map(|(m, p, _)| (m.to_owned(), p.to_owned())).collect();
    assert_eq!(in_description, served);
}

#[test]
fn the_description_refers_to_nothing_that_is_not_there() {
    fn references(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(fields) => fields.iter().for_each(|(key, value)| match value {
                Value::String(target) if key == "$ref" => found.push(target.clone()),
                other => references(other, found),
            }),
            Value::Array(items) => items.iter().for_each(|item| references(item, found)),
            _ => {}
        }
    }
    let described = openapi::describe();
    let mut found = Vec::new();
    references(&described, &mut found);
    assert!(found.len() > 10);
    for target in found {
        assert!(described.pointer(target.trim_start_matches('#')).is_some(), "{target}");
    }
}

fn context(role: Option<LoginRole>, limits: Limits) -> (LoginContext, Bus) {
    let bus = Bus::local();
    (LoginContext { role, bus: bus.clone(), limits }, bus)
}

/// A login role without a plugin, and its folder.
async fn role() -> (Option<LoginRole>, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let keyring = Keyring::from_material(&"07".repeat(32), "test").unwrap();
    let url = format!("sqlite:{}/postern.db", path.display());
    let database = Database::open(&url, path).await.unwrap();
    let keys = KeyLogins::new(&keyring, &database, Certificates::for_tests(path));
    (Some(LoginRole { slots: Arc::new(Slots::new()), keys }), folder)
}

async fn send(
    router: &Router,
    method: &str,
    path: &str,
    bearer: Option<&str>,
    body: Option<Value>,
) -> (u16, Value) {
    let response = respond(router, method, path, bearer, body).await;
    let status = response.status().as_u16();
    let bytes = to_bytes(response.into_body(), 1 << 20).await.unwrap();
    (status, serde_json::from_slice(&bytes).unwrap_or(Value::Null))
}

async fn respond(
    router: &Router,
    method: &str,
    path: &str,
    bearer: Option<&str>,
    body: Option<Value>,
) -> Response {
    let peer: SocketAddr = "192.0.2.7:4000".parse().unwrap();
    let mut request = Request::builder().method(method).uri(path).extension(Peer::Network(peer));
    if let Some(bearer) = bearer {
        request = request.header("authorization", format!("Bearer {bearer}"));
    }
    let body = match body {
        Some(json) => {
            request = request.header("content-type", "application/json");
            HttpBody::from(json.to_string())
        }
        None => HttpBody::empty(),
    };
    router.clone().oneshot(request.body(body).unwrap()).await.unwrap()
}

fn login_body(user: &str) -> Option<Value> {
    Some(json!({ "user": user, "password": "secret-password", "client_id": "phone" }))
}

#[tokio::test]
async fn a2_a_server_without_the_login_role_takes_no_logins() {
    let router = router(context(None, Limits::default()).0);
    let (status, problem) = send(&router, "POST", "/v1/login", None, login_body("alice")).await;
    assert_eq!(status, 421);
    assert_eq!(problem["type"], "urn:postern:problem:wrong-server");
    assert_eq!(problem["title"], "This server takes no logins");
    assert_eq!(send(&router, "GET", "/v1/login/challenge", None, None).await.0, 421);
}

#[tokio::test]
async fn c6_without_a_login_plugin_logins_fail_closed() {
    let (role, _folder) = role().await;
    let router = router(context(role, Limits::default()).0);
    let (status, problem) = send(&router, "POST", "/v1/login", None, login_body("alice")).await;
    assert_eq!(status, 503);
    assert_eq!(problem.get("detail"), None);
}

#[tokio::test]
async fn logins_are_limited_by_user_and_by_address_before_anything_else() {
    let limits =
        Limits { login_per_user_per_minute: 2, login_per_address_per_minute: 4, ..Limits::default() };
    let (role, _folder) = role().await;
    let router = router(context(role, limits).0);
    let status = async |user| send(&router, "POST", "/v1/login", None, login_body(user)).await.0;
    assert_eq!([status("alice").await, status("alice").await], [503, 503]);
    let response = respond(&router, "POST", "/v1/login", None, login_body("alice")).await;
    assert_eq!(response.status(), 429);
    let wait: u64 = response.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=30).contains(&wait));
    // The third of alice counted for the address.
    assert_eq!([status("bob").await, status("carol").await], [503, 429]);
}

#[tokio::test]
async fn bad_requests_are_problems() {
    let limits = Limits { http_body_bytes: 1024, ..Limits::default() };
    let (role, _folder) = role().await;
    let router = router(context(role, limits).0);
    let long = json!({ "user": "x".repeat(2000), "password": "p", "client_id": "c" });
    let both = json!({ "user": "a", "client_id": "c", "password": "p", "challenge": "x", "signature": "y" });
    let cases: [(&str, &str, Option<Value>, u16, &str); 10] = [
        ("GET", "/", None, 404, "not-found"),
        ("GET", "/v1/login/", None, 404, "not-found"),
        ("GET", "/v1/login", None, 405, "wrong-method"),
        ("POST", "/v1/login", None, 415, "wrong-media-type"),
        ("POST", "/v1/login", Some(json!({ "user": "alice" })), 400, "invalid"),
        (
            "POST",
            "/v1/login",
            Some(json!({ "user": "a/b", "password": "p", "client_id": "c" })),
            400,
            "invalid",
        ),
        ("POST", "/v1/login", Some(long), 413, "too-large"),
        ("POST", "/v1/login", Some(both), 400, "invalid"),
        ("POST", "/v1/login/challenge", None, 405, "wrong-method"),
        ("GET", "/v1/me", None, 401, "token-denied"),
    ];
    for (method, path, body, status, kind) in cases {
        let response = respond(&router, method, path, None, body).await;
        assert_eq!(response.status().as_u16(), status, "{method} {path}");
        assert_eq!(response.headers()["content-type"], "application/problem+json");
        assert_eq!(response.headers()["cache-control"], "no-store");
        let body: Value =
            serde_json::from_slice(&to_bytes(response.into_body(), 4096).await.unwrap()).unwrap();
        assert_eq!(body["type"], format!("urn:postern:problem:{kind}"));
        assert_eq!(body["status"], status);
    }
}

#[tokio::test]
async fn a4_without_a_broker_on_the_bus_tokens_cannot_be_checked() {
    let router = router(context(None, Limits::default()).0);
    let (status, problem) = send(&router, "GET", "/v1/me", Some("t:b"), None).await;
    assert_eq!((status, &problem["title"]), (503, &json!("Temporarily unavailable")));
}

/// A dynamic group that knows one token, `good:bearer`, and one without the right to messages.
async fn dynamic_group(bus: &Bus, tasks: &Background) {
    answer::<CheckBearer, _, _>(bus, tasks, |question| async move {
        let messaging = match question.bearer.as_str() {
            "good:bearer" => true,
            "mute:bearer" => false,
            _ => return Err(Denied::Denied),
        };
        assert_eq!(question.address, "192.0.2.7");
        let profile = Profile { user: "alice".into(), ..Profile::default() };
        let (token_id, client_id) = ("good".to_owned(), "phone".to_owned());
        Ok(Holder { token_id, client_id, profile, messaging, expires_at: Some(9) })
    })
    .await
    .unwrap();
    answer::<FindPerson, _, _>(bus, tasks, |question| async move {
        Ok(Some(Profile { user: question.user, name: "Alice".into(), ..Profile::default() }))
    })
    .await
    .unwrap();
    answer::<ReadHistory, _, _>(bus, tasks, |question| async move {
        assert_eq!((question.user.as_str(), question.limit, question.before), ("alice", 7, Some(40)));
        Ok(HistoryPage { messages: Vec::new(), next_before: None, markers: Vec::new() })
    })
    .await
    .unwrap();
    answer::<RevokeTokens, _, _>(bus, tasks, |question| async move {
        match question {
            RevokeTokens::Token { id } => Ok(Revoked { tokens: vec![id] }),
            _ => Err(Denied::Denied),
        }
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn a_token_opens_what_its_rights_say() {
    let (ctx, bus) = context(None, Limits::default());
    let tasks = Background::default();
    dynamic_group(&bus, &tasks).await;
    let router = router(ctx);
    let (status, me) = send(&router, "GET", "/v1/me", Some("good:bearer"), None).await;
    assert_eq!((status, &me["profile"]["name"], &me["client_id"]), (200, &json!("Alice"), &json!("phone")));
    let history = "/v1/messages?with=bob&before=40&limit=7";
    assert_eq!(send(&router, "GET", history, Some("good:bearer"), None).await.0, 200);
    assert_eq!(send(&router, "GET", history, Some("mute:bearer"), None).await.0, 403);
    assert_eq!(send(&router, "GET", history, Some("bad:bearer"), None).await.0, 401);
    assert_eq!(send(&router, "GET", "/v1/messages?wiht=bob", Some("good:bearer"), None).await.0, 400);
    assert_eq!(send(&router, "DELETE", "/v1/token", Some("good:bearer"), None).await.0, 204);
    // Without a login server there is no directory.
    assert_eq!(send(&router, "GET", "/v1/directory", Some("good:bearer"), None).await.0, 503);
    assert_eq!(send(&router, "GET", "/v1/openapi.json", None, None).await.0, 200);
    tasks.finish().await;
}

#[tokio::test]
async fn what_is_not_answered_in_time_is_a_problem() {
    let (ctx, bus) = context(None, Limits { http_timeout_secs: 1, ..Limits::default() });
    let tasks = Background::default();
    answer::<CheckBearer, _, _>(&bus, &tasks, |_| async {
        std::future::pending::<()>().await;
        Err(Denied::Denied)
    })
    .await
    .unwrap();
    let router = router(ctx);
    let (status, problem) = send(&router, "GET", "/v1/me", Some("good:bearer"), None).await;
    assert_eq!((status, &problem["type"]), (504, &json!("urn:postern:problem:timeout")));
}
