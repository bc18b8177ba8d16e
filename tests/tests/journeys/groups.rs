//! Group messages and announcements to everyone.

use postern_broker::wire::ReasonCode;
use postern_tests::{Postern, body};

#[tokio::test(flavor = "multi_thread")]
async fn a10_a_group_message_reaches_every_member_and_nobody_else() {
    let postern = Postern::start(|_| {}).await;
    for (user, groups) in
        [("alice", &["ops"][..]), ("bob", &["ops", "dev"]), ("carol", &["ops"]), ("dave", &["dev"])]
    {
        postern.user_of(user, "acme", groups).await;
    }
    let mut alice = postern.session("alice", "phone").await;
    let mut alice_pc = postern.session("alice", "pc").await;
    let mut bob = postern.session("bob", "phone").await;
    let mut dave = postern.session("dave", "phone").await;

    let ack = alice.publish("im/g/ops/alice", "g1", "to all of ops").await;
    assert!((ack.reason as u8) < 0x80, "{ack:?}");
    for member in [&mut bob, &mut alice_pc] {
        let got = member.message().await;
        assert_eq!((&*got.topic, body(&got)), ("im/g/ops/alice", "to all of ops"));
    }
    // A member who was away gets it at the next sign-in.
    assert_eq!(body(&postern.session("carol", "phone").await.message().await), "to all of ops");
    assert_eq!(dave.messages_so_far().await, []);

    // Who is no member may not write to it; nor to a group that does not exist.
    for topic in ["im/g/ops/dave", "im/g/nobody/dave"] {
        assert_eq!(dave.publish(topic, "x", "let me in").await.reason, ReasonCode::NotAuthorized, "{topic}");
    }
    assert_eq!(bob.messages_so_far().await, []);
}
