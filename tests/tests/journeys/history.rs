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
