//! Retained messages.

use postern_broker::wire::{Publish, QoS, RetainHandling, Version};
use postern_tests::{body, connect, publish};

use super::*;

/// 5.0: MQTT-3.3.1-5, MQTT-3.3.1-9. 3.1.1: MQTT-3.3.1-5, MQTT-3.3.1-6, MQTT-3.3.1-8.
#[tokio::test(flavor = "multi_thread")]
async fn a_new_subscription_gets_the_last_retained_message_of_each_topic() {
    let postern = open().await;
    let mut sender = client(&postern, "sender").await;
    for (topic, text, qos) in [("r/a", "old", QOS[2]), ("r/a", "new", QOS[1]), ("r/b/c", "deep", QOS[2])] {
        retain(&mut sender, topic, text, qos).await;
    }
    retain(&mut sender, "elsewhere", "not asked for", QOS[1]).await;
    for version in [Version::V31, Version::V311, Version::V5] {
        let (mut reader, _) = join(&postern, connect(version, "reader")).await;
        reader.subscribe("r/#", QoS::ExactlyOnce).await;
        let mut got = [next(&mut reader).await, next(&mut reader).await];
        got.sort_by(|a, b| a.topic.cmp(&b.topic));
        let seen = got.each_ref().map(|p| (&*p.topic, body(p), p.qos, p.retain));
        assert_eq!(seen, [("r/a", "new", QOS[1], true), ("r/b/c", "deep", QOS[2], true)]);
        assert_eq!(everything(&mut reader).await, []);
    }
}

/// 3.1.1: MQTT-3.3.1-7. 5.0: section 3.3.1.3. A message of QoS 0 replaces what was retained.
#[tokio::test(flavor = "multi_thread")]
async fn a_retained_message_of_qos_0_replaces_the_former_one() {
    let postern = open().await;
    let mut sender = older(&postern, "sender").await;
    retain(&mut sender, "r", "of QoS 2", QoS::ExactlyOnce).await;
    retain(&mut sender, "r", "of QoS 0", QoS::AtMostOnce).await;
    let mut reader = subscriber(&postern, "reader", "r", QoS::ExactlyOnce).await;
    let got = next(&mut reader).await;
    assert_eq!((body(&got), got.qos, got.retain), ("of QoS 0", QoS::AtMostOnce, true));
    assert_eq!(everything(&mut reader).await, []);
}

/// 5.0: MQTT-3.3.1-6, MQTT-3.3.1-7. 3.1.1: MQTT-3.3.1-10, MQTT-3.3.1-11.
#[tokio::test(flavor = "multi_thread")]
async fn an_empty_retained_message_is_delivered_and_forgets_the_topic() {
    let postern = open().await;
    for version in [Version::V311, Version::V5] {
        for qos in QOS {
            let (mut sender, _) = join(&postern, connect(version, "sender")).await;
            retain(&mut sender, "r", "kept", qos).await;
            let mut early = subscriber(&postern, "early", "r", QoS::ExactlyOnce).await;
            assert_eq!(body(&take(&mut early).await), "kept");
            retain(&mut sender, "r", "", qos).await;
            let got = take(&mut early).await;
            assert_eq!((body(&got), got.qos, got.retain), ("", qos, false), "processed as any other");
            retain(&mut sender, "never kept", "", qos).await;
            let mut late = subscriber(&postern, "late", "#", QoS::ExactlyOnce).await;
            assert_eq!(everything(&mut late).await, []);
        }
    }
}

/// 5.0: MQTT-3.3.1-8. 3.1.1: MQTT-3.3.1-12.
#[tokio::test(flavor = "multi_thread")]
async fn a_message_without_retain_changes_nothing_that_is_retained() {
    let postern = open().await;
    let mut sender = client(&postern, "sender").await;
    retain(&mut sender, "r", "kept", QoS::AtLeastOnce).await;
    for qos in QOS {
        deliver(&mut sender, "r", "passing", qos).await;
        deliver(&mut sender, "r", "", qos).await;
        deliver(&mut sender, "other", "passing", qos).await;
    }
    let mut reader = subscriber(&postern, "reader", "#", QoS::AtLeastOnce).await;
    assert_eq!(body(&take(&mut reader).await), "kept");
    assert_eq!(everything(&mut reader).await, []);
}

/// 5.0: MQTT-3.3.1-12, MQTT-3.3.1-13. 3.1.1: MQTT-3.3.1-9. What is published while a subscription stands
/// comes without RETAIN, or as it was published for who asked so.
#[tokio::test(flavor = "multi_thread")]
async fn retain_is_cleared_unless_it_is_asked_for_as_published() {
    let postern = open().await;
    let mut old = older(&postern, "old").await;
    old.subscribe("r", QoS::AtLeastOnce).await;
    let mut plain = client(&postern, "plain").await;
    ask(&mut plain, "r", Asked::default()).await;
    let mut as_published = client(&postern, "as published").await;
    ask(&mut as_published, "r", Asked { retain_as_published: true, ..Asked::default() }).await;
    let mut sender = client(&postern, "sender").await;
    for retain in [true, false] {
        for qos in QOS {
            hand_in(&mut sender, Publish { retain, ..publish("r", "m", qos) }).await;
            assert!(!take(&mut old).await.retain);
            assert!(!take(&mut plain).await.retain);
            assert_eq!(take(&mut as_published).await.retain, retain);
        }
    }
}

/// 5.0: MQTT-3.3.1-9, MQTT-3.3.1-10, MQTT-3.3.1-11, MQTT-3.8.4-4. 3.1.1: MQTT-3.8.4-3.
#[tokio::test(flavor = "multi_thread")]
async fn retain_handling_says_when_retained_messages_are_sent() {
    let postern = open().await;
    let mut sender = client(&postern, "sender").await;
    retain(&mut sender, "r", "kept", QoS::AtLeastOnce).await;
    for (retain_handling, at_first, again) in
        [(RetainHandling::Send, 1, 1), (RetainHandling::SendIfNew, 1, 0), (RetainHandling::DoNotSend, 0, 0)]
    {
        let mut reader = client(&postern, "reader").await;
        let asked = Asked { retain_handling, qos: QoS::AtMostOnce, ..Asked::default() };
        for expected in [at_first, again, again] {
            ask(&mut reader, "r", asked).await;
            assert_eq!(everything(&mut reader).await.len(), expected, "{retain_handling:?}");
        }
        unsubscribe(&mut reader, &["r"]).await;
        ask(&mut reader, "r", asked).await;
        assert_eq!(everything(&mut reader).await.len(), at_first, "it is new again");
    }
    // MQTT 3.1.1 sends them every time.
    let mut old = older(&postern, "old").await;
    for _ in 0..2 {
        old.subscribe("r", QoS::AtMostOnce).await;
        assert_eq!(bodies(&mut old).await, ["kept"]);
    }
}

/// Section 4.8.2: no retained message is sent for a shared subscription.
#[tokio::test(flavor = "multi_thread")]
async fn a_shared_subscription_gets_no_retained_message() {
    let postern = open().await;
    let mut sender = client(&postern, "sender").await;
    retain(&mut sender, "r", "kept", QoS::AtLeastOnce).await;
    let mut reader = subscriber(&postern, "reader", "$share/g/r", QoS::AtLeastOnce).await;
    assert_eq!(everything(&mut reader).await, []);
    deliver(&mut sender, "r", "live", QoS::AtLeastOnce).await;
    assert_eq!(body(&take(&mut reader).await), "live");
}

/// Section 3.8.3.1: a retained message carries the subscription's identifier and comes in the lower QoS.
#[tokio::test(flavor = "multi_thread")]
async fn a_retained_message_belongs_to_the_subscription_it_is_sent_for() {
    let postern = open().await;
    let mut sender = client(&postern, "sender").await;
    retain(&mut sender, "r", "kept", QoS::ExactlyOnce).await;
    let mut reader = client(&postern, "reader").await;
    for (qos, id) in QOS.into_iter().zip([1, 127, 268_435_455]) {
        ask(&mut reader, "r", Asked { qos, id: Some(id), ..Asked::default() }).await;
        let got = take(&mut reader).await;
        assert_eq!((got.qos, &got.subscription_ids[..], got.retain), (qos, &[id][..], true));
    }
}
