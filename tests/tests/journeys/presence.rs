//! Presence: the user's, not one link's; pushed at sign-in and when it changes.

use postern_broker::wire::QoS;
use postern_tests::{Postern, body};

#[tokio::test(flavor = "multi_thread")]
async fn a14_presence_is_the_users_not_one_links() {
    let postern = Postern::start(|_| {}).await;
    let mut alice = postern.session("alice", "phone").await;
    let bob_phone = postern.session("bob", "phone").await;
    assert_eq!(alice.status_of("bob").await, "online");
    let bob_pc = postern.session("bob", "pc").await;

    // One of two devices goes: nothing is said. The last goes: offline.
    bob_phone.leave().await;
    let mut carol = postern.session("carol", "phone").await;
    assert_eq!(carol.status_of("bob").await, "online", "bob's pc is still there");
    bob_pc.leave().await;
    assert_eq!(carol.status_of("bob").await, "offline");
    assert_eq!(alice.status_of("bob").await, "offline", "the first change after online");
}

#[tokio::test(flavor = "multi_thread")]
async fn a12_three_classes_come_at_sign_in() {
    // By default nobody but the control unit notifies; here the operator lets users.
    let rights = toml::Value::from(vec!["im/u/+/{user}", "note/u/+"]);
    let key = "plugins.token-hmac.config.rights.tls.publish";
    let postern = Postern::start(|c| {
        c.policy(key, rights);
        c.policy("plugins.classify-topic.config.notifiers.users", vec!["alice"]);
    })
    .await;
    let mut device = postern.device("bob", "pc").await;
    let mut alice = postern.session("alice", "phone").await;
    let classified = postern.metric("postern_plugin_calls_total", "role=\"classify\"").await;
    let ack = alice.publish("note/u/bob", "n1", "a notification").await;
    assert!((ack.reason as u8) < 0x80, "{ack:?}");
    alice.send("bob", "m1", "an instant message").await;

    let mut bob = device.sign_in(&postern).await;
    assert_eq!(bob.status_of("alice").await, "online");
    let (first, second) = (bob.message().await, bob.message().await);
    assert_eq!((&*first.topic, body(&first)), ("note/u/bob", "a notification"));
    assert_eq!((&*second.topic, body(&second)), ("im/u/bob/alice", "an instant message"));
    // Two messages, and the presence that the control unit pushed.
    let calls = postern.metric("postern_plugin_calls_total", "role=\"classify\"").await - classified;
    assert!(calls >= 3.0, "what the control unit pushes passes classify too: {calls} calls");
}

#[tokio::test(flavor = "multi_thread")]
async fn a13_presence_is_for_those_who_may_see_the_person() {
    let postern = Postern::start(|_| {}).await;
    for (user, org) in [("alice", "acme"), ("carol", "globex"), ("dave", "initech")] {
        postern.user_of(user, org, &[]).await;
    }
    postern.done(&["partner", "add", "acme", "globex", "--relation", "upstream"]).await;
    let mut dave = postern.session("dave", "phone").await;
    let mut carol = postern.session("carol", "phone").await;
    let alice = postern.session("alice", "phone").await;
    assert_eq!(carol.status_of("alice").await, "online");
    alice.leave().await;
    assert_eq!(carol.status_of("alice").await, "offline");

    // Asking for it makes no difference to one who may not.
    let reason = dave.peer.subscribe("status/+", QoS::AtMostOnce).await;
    let seen: Vec<_> = dave.peer.so_far().await;
    let topics = format!("{seen:?}");
    assert!(!topics.contains("status/alice") && !topics.contains("status/carol"), "{reason:?}: {topics}");
}
