//! Topic names and filters: what matches, and what each subscriber sees of whom.

use postern_broker::wire::{QoS, ReasonCode, Version};
use postern_tests::{Postern, body, connect};

use super::*;

/// 5.0: MQTT-4.7.1-1, MQTT-4.7.1-2. 3.1.1: MQTT-4.7.1-2, MQTT-4.7.1-3. Wildcards are whole levels, `#` the
/// last one.
#[tokio::test(flavor = "multi_thread")]
async fn wildcards_stand_alone_in_their_level() {
    let postern = open().await;
    let mut peer = client(&postern, "c").await;
    for bad in ["a/#/b", "#/a", "a#", "a/b#", "+a", "a/b+", "a/+b/c", "##", "++", "a/#/"] {
        assert_eq!(peer.subscribe(bad, QoS::AtMostOnce).await, ReasonCode::TopicFilterInvalid, "{bad}");
    }
    for good in ["#", "+", "/#", "+/+", "/+", "+/#", "a/+/#", "a/+/+/b"] {
        assert_eq!(peer.subscribe(good, QoS::AtMostOnce).await, ReasonCode::Success, "{good}");
    }
}

/// 5.0: MQTT-4.7.3-1, MQTT-4.7.3-4. 3.1.1: MQTT-4.7.3-1, MQTT-4.7.3-4. Each filter brings what it matches
/// and no more; levels may be empty, and case and spaces count.
#[tokio::test(flavor = "multi_thread")]
async fn filters_match_what_they_should() {
    let postern = open().await;
    let topics = ["a", "a/", "/a", "a/b", "a/b/c", "a//c", "A", "/", "a b", " a"];
    let mut sender = client(&postern, "sender").await;
    let cases: [(&str, &[&str]); 11] = [
        ("a", &["a"]),
        ("#", &topics),
        ("a/#", &["a", "a/", "a/b", "a/b/c", "a//c"]),
        ("a/+", &["a/", "a/b"]),
        ("+", &["a", "A", "a b", " a"]),
        ("+/+", &["a/", "/a", "a/b", "/"]),
        ("/+", &["/a", "/"]),
        ("a/+/c", &["a/b/c", "a//c"]),
        ("+/b/#", &["a/b", "a/b/c"]),
        ("a/+/#", &["a/", "a/b", "a/b/c", "a//c"]),
        ("/#", &["/a", "/"]),
    ];
    for (filter, expected) in cases {
        let mut reader = subscriber(&postern, "reader", filter, QoS::AtMostOnce).await;
        for topic in topics {
            deliver(&mut sender, topic, topic, QoS::AtMostOnce).await;
        }
        assert_eq!(bodies(&mut reader).await, expected, "{filter}");
    }
}

/// 5.0: MQTT-4.7.2-1. 3.1.1: MQTT-4.7.2-1. A leading wildcard does not match a topic that begins with `$`.
#[tokio::test(flavor = "multi_thread")]
async fn a_leading_wildcard_does_not_match_a_dollar() {
    let postern = Postern::start(|c| {
        c.policy_file("open");
        let rights = "plugins.token-hmac.config.rights.anonymous";
        c.policy(&format!("{rights}.publish"), vec!["#", "$test/#"]);
        c.policy(&format!("{rights}.subscribe"), vec!["#", "$test/#"]);
    })
    .await;
    let mut sender = client(&postern, "sender").await;
    retain(&mut sender, "$test/a", "retained", QoS::AtMostOnce).await;
    for version in [Version::V311, Version::V5] {
        for (filter, comes) in [
            ("#", false),
            ("+/a", false),
            ("+/#", false),
            ("$test/#", true),
            ("$test/+", true),
            ("$test/a", true),
        ] {
            let (mut reader, _) = join(&postern, connect(version, "reader")).await;
            assert!(!reader.subscribe(filter, QoS::AtMostOnce).await.is_error());
            deliver(&mut sender, "$test/a", "live", QoS::AtMostOnce).await;
            let expected: &[&str] = if comes { &["retained", "live"] } else { &[] };
            assert_eq!(bodies(&mut reader).await, expected, "{filter}");
        }
    }
}

/// 5.0: MQTT-4.6.0-5, MQTT-4.6.0-6. 3.1.1: MQTT-4.6.0-5, MQTT-4.6.0-6. Whatever two publishers do at the
/// same time, each one's messages come in its own order, in every QoS.
#[tokio::test(flavor = "multi_thread")]
async fn each_publishers_order_is_kept() {
    let postern = open().await;
    for qos in QOS {
        let mut reader = subscriber(&postern, "reader", "from/+", QoS::ExactlyOnce).await;
        let (mut one, mut two) = (client(&postern, "one").await, client(&postern, "two").await);
        let send = async |peer: &mut Peer, topic: &str| {
            for n in 0..50 {
                deliver(peer, topic, n.to_string(), qos).await;
            }
        };
        tokio::join!(send(&mut one, "from/one"), send(&mut two, "from/two"));
        let mut expected = [0, 0];
        for _ in 0..100 {
            let got = next(&mut reader).await;
            let publisher = usize::from(&*got.topic == "from/two");
            assert_eq!(body(&got), expected[publisher].to_string());
            expected[publisher] += 1;
        }
    }
}

/// Section 4.7.3: a level of 32 is the default limit; deeper topics are refused and harm nobody.
#[tokio::test(flavor = "multi_thread")]
async fn topics_that_are_too_deep_are_refused() {
    let postern = open().await;
    let (deep, too_deep) = ("/".repeat(31), "/".repeat(32));
    let mut peer = client(&postern, "c").await;
    assert_eq!(peer.subscribe(&deep, QoS::AtMostOnce).await, ReasonCode::Success);
    assert_eq!(peer.subscribe(&too_deep, QoS::AtMostOnce).await, ReasonCode::TopicFilterInvalid);
    let mut sender = client(&postern, "sender").await;
    deliver(&mut sender, &deep, "m", QoS::AtMostOnce).await;
    assert_eq!(body(&next(&mut peer).await), "m");
    sender.send(postern_tests::publish(&too_deep, "m", QoS::AtMostOnce)).await;
    assert_eq!(ended(&mut sender).await, Some(ReasonCode::TopicNameInvalid));
}
