//! History by HTTP: paged, for its owner only, with read markers.

use phone::ApiError;
use postern_tests::Postern;
use serde_json::{Value, json};

/// GET as a device of a user.
async fn get(postern: &Postern, device: &postern_tests::Device, path: &str) -> Result<Value, ApiError> {
    let (api, token, path) = (postern.api(), device.state.login().token.clone(), path.to_owned());
    tokio::task::spawn_blocking(move || api.get(&token, &path)).await.unwrap()
}

fn bodies(page: &Value) -> Vec<&str> {
    page["messages"].as_array().unwrap().iter().map(|m| m["body"].as_str().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a10_history_is_paged_newest_first() {
    let postern = Postern::start(|_| {}).await;
    let mut device = postern.device("alice", "phone").await;
    let bob = postern.device("bob", "pc").await;
    postern.user("carol").await;
    let mut alice = device.sign_in(&postern).await;
    for n in 1..=5 {
        alice.send("bob", &format!("b{n}"), &format!("to bob {n}")).await;
        alice.send("carol", &format!("c{n}"), &format!("to carol {n}")).await;
    }

    // Both sides have the conversation; a page tells where the next begins.
    for (device, with) in [(&device, "bob"), (&bob, "alice")] {
        let first = get(&postern, device, &format!("/v1/messages?with={with}&limit=3")).await.unwrap();
        assert_eq!(bodies(&first), ["to bob 5", "to bob 4", "to bob 3"]);
        let before = first["next_before"].as_u64().expect("there is more");
        let path = format!("/v1/messages?with={with}&limit=3&before={before}");
        let second = get(&postern, device, &path).await.unwrap();
        assert_eq!(bodies(&second), ["to bob 2", "to bob 1"]);
        assert_eq!(second["next_before"], Value::Null);
    }
    let newest = &get(&postern, &bob, "/v1/messages?limit=1").await.unwrap()["messages"][0];
    assert_eq!(
        (&newest["from"], &newest["id"], &newest["class"]),
        (&json!("alice"), &json!("b5"), &json!("instant"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a10_history_is_for_its_owner_with_a_good_token() {
    let postern = Postern::start(|_| {}).await;
    let device = postern.device("alice", "phone").await;
    get(&postern, &device, "/v1/messages").await.unwrap();
    let me = get(&postern, &device, "/v1/me").await.unwrap();
    assert_eq!(me["profile"]["user"], "alice");

    let mut forged = device.state.login().token.clone();
    forged.bearer.push('x');
    let api = postern.api();
    let refused =
        tokio::task::spawn_blocking(move || api.get::<Value>(&forged, "/v1/messages")).await.unwrap();
    assert!(matches!(refused, Err(ApiError::Refused { status: 401, .. })), "{refused:?}");

    postern.done(&["token", "revoke", "--user", "alice"]).await;
    let refused = get(&postern, &device, "/v1/messages").await;
    assert!(matches!(refused, Err(ApiError::Refused { status: 401, .. })), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a10_read_markers_are_the_users_and_never_move_back() {
    let postern = Postern::start(|_| {}).await;
    let mut device = postern.device("alice", "phone").await;
    let bob = postern.device("bob", "pc").await;
    let mut alice = device.sign_in(&postern).await;
    for n in 1..=3 {
        alice.send("bob", &format!("m{n}"), "hello").await;
    }
    let (with, seq_of) =
        (json!({"kind": "with", "name": "alice"}), |page: &Value| page["markers"][0]["seq"].clone());
    for (marked, shown) in [(2, 2), (3, 3), (1, 3)] {
        let marker = json!({"conversation": with, "seq": marked});
        put(&postern, &bob, "/v1/messages/read", &marker).await;
        let page = get(&postern, &bob, "/v1/messages?with=alice").await.unwrap();
        assert_eq!((&page["markers"][0]["conversation"], seq_of(&page)), (&with, json!(shown)));
    }
    // They are bob's, not alice's.
    assert_eq!(get(&postern, &device, "/v1/messages").await.unwrap()["markers"], json!([]));
}

/// PUT as a device of a user; it must be accepted.
async fn put(postern: &Postern, device: &postern_tests::Device, path: &str, body: &Value) {
    try_put(postern, device, path, body).await.unwrap();
}

/// PUT as a device of a user.
async fn try_put(
    postern: &Postern,
    device: &postern_tests::Device,
    path: &str,
    body: &Value,
) -> Result<(), ApiError> {
    let (api, token) = (postern.api(), device.state.login().token.clone());
    let (path, body) = (path.to_owned(), body.clone());
    tokio::task::spawn_blocking(move || api.put(&token, &path, &body)).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn s_read_markers_are_of_conversations_and_few() {
    let postern = Postern::start(|_| {}).await;
    let mut device = postern.device("alice", "phone").await;
    let mut alice = device.sign_in(&postern).await;
    for other in ["bob", "carol"] {
        postern.user(other).await;
        alice.send(other, other, "hello").await;
    }
    let long = "x".repeat(60_000);
    for (kind, name) in
        [("with", long.as_str()), ("with", "b/b"), ("with", ""), ("group", &long), ("with", "dave")]
    {
        let marker = json!({"conversation": {"kind": kind, "name": name}, "seq": 1});
        let refused = try_put(&postern, &device, "/v1/messages/read", &marker).await;
        assert!(
            matches!(refused, Err(ApiError::Refused { status: 400, .. })),
            "{kind} {name:.9}: {refused:?}"
        );
    }
    let strange = json!({"conversation": {"kind": "group", "name": "ops"}, "seq": 1});
    try_put(&postern, &device, "/v1/messages/read", &strange).await.expect_err("not alice's conversation");

    for other in ["bob", "carol"] {
        let marker = json!({"conversation": {"kind": "with", "name": other}, "seq": 1});
        put(&postern, &device, "/v1/messages/read", &marker).await;
    }
    let markers = async |path: &str| {
        let page = get(&postern, &device, path).await.unwrap();
        page["markers"].as_array().unwrap().len()
    };
    assert_eq!(markers("/v1/messages").await, 2);
    assert_eq!(markers("/v1/messages?with=bob").await, 1, "the conversation's own");
    assert_eq!(markers("/v1/messages?before=2").await, 0, "with the first page only");
}

#[tokio::test(flavor = "multi_thread")]
async fn a13_the_directory_is_paged() {
    let postern = Postern::start(|_| {}).await;
    for user in ["alice", "bob", "carol", "dora", "emil"] {
        postern.user(user).await;
    }
    let device = postern.device("alice", "phone").await;
    let (mut seen, mut after) = (Vec::new(), String::new());
    loop {
        let page = get(&postern, &device, &format!("/v1/directory?limit=2{after}")).await.unwrap();
        seen.extend(
            page["entries"].as_array().unwrap().iter().map(|p| p["user"].as_str().unwrap().to_owned()),
        );
        match page["next_after"].as_str() {
            Some(user) => after = format!("&after={user}"),
            None => break,
        }
    }
    assert_eq!(seen, ["alice", "bob", "carol", "dora", "emil"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn s_the_http_api_answers_problems_and_says_what_it_is() {
    let postern = Postern::start(|_| {}).await;
    let device = postern.device("alice", "phone").await;
    for (path, expected) in
        [("/v1/messages?limit=0", 400), ("/v1/messages?nonsense=1", 400), ("/v1/nothing", 404)]
    {
        let refused = get(&postern, &device, path).await;
        let Err(ApiError::Refused { status, title, .. }) = refused else { panic!("{path}: {refused:?}") };
        assert_eq!(status, expected, "{path}");
        assert!(!title.is_empty(), "{path}: a problem document has a title");
    }
    let openapi = get(&postern, &device, "/v1/openapi.json").await.unwrap();
    for path in ["/v1/login", "/v1/me", "/v1/directory", "/v1/messages"] {
        assert!(openapi["paths"][path].is_object(), "{path}");
    }
    for path in ["/healthz", "/readyz"] {
        assert_eq!(postern_tests::Page::get(postern.address("health"), path).await.status, 200, "{path}");
    }
    assert_eq!(postern_tests::Page::get(postern.address("health"), "/v1/me").await.status, 404);
}
