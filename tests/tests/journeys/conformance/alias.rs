//! Topic aliases, both ways.

use postern_broker::wire::{Connect, Publish, QoS, ReasonCode, Version};
use postern_tests::{Postern, body, connect, publish};

use super::*;

fn aliased(topic: &str, alias: u16, body: &'static str) -> Publish {
    Publish { topic_alias: Some(alias), ..publish(topic, body, QoS::AtMostOnce) }
}

/// 5.0: MQTT-3.3.2-12, MQTT-3.2.2-17. Every alias up to the maximum that the CONNACK told stands for the
/// topic it came with last, for every QoS.
#[tokio::test(flavor = "multi_thread")]
async fn a_clients_alias_stands_for_the_topic_it_came_with_last() {
    let postern = open().await;
    let mut reader = subscriber(&postern, "reader", "#", QoS::ExactlyOnce).await;
    let (mut sender, ack) = join(&postern, connect(Version::V5, "sender")).await;
    let maximum = ack.topic_alias_maximum.expect("aliases are taken");
    for alias in [1, 2, maximum] {
        let topic = format!("topic/{alias}");
        hand_in(&mut sender, aliased(&topic, alias, "named")).await;
        assert_eq!(*next(&mut reader).await.topic, *topic);
    }
    for alias in [maximum, 1, 2] {
        for qos in QOS {
            hand_in(&mut sender, Publish { qos, ..aliased("", alias, "aliased") }).await;
            assert_eq!(*take(&mut reader).await.topic, *format!("topic/{alias}"));
        }
    }
    hand_in(&mut sender, aliased("another", 1, "named anew")).await;
    hand_in(&mut sender, aliased("", 1, "aliased")).await;
    hand_in(&mut sender, aliased("", 2, "aliased")).await;
    for topic in ["another", "another", "topic/2"] {
        assert_eq!(&*next(&mut reader).await.topic, topic);
    }
}

/// 5.0: MQTT-3.3.2-8, MQTT-3.3.2-9, MQTT-3.2.2-17, MQTT-3.2.2-18.
#[tokio::test(flavor = "multi_thread")]
async fn an_alias_that_cannot_be_ends_the_link() {
    let postern = Postern::start(|c| {
        c.policy_file("open");
        c.set("limits.topic_aliases", 3);
    })
    .await;
    for (topic, alias, told) in [
        ("t", 0, ReasonCode::TopicAliasInvalid),
        ("t", 4, ReasonCode::TopicAliasInvalid),
        ("", 4, ReasonCode::TopicAliasInvalid),
        ("t", u16::MAX, ReasonCode::TopicAliasInvalid),
        ("", 3, ReasonCode::ProtocolError),
    ] {
        let mut peer = client(&postern, "c").await;
        peer.send(aliased(topic, alias, "m")).await;
        assert_eq!(ended(&mut peer).await, Some(told), "{topic:?} {alias}");
    }
    let twice = packet(0x30, &[&field("t"), &[6, 0x23, 0, 1, 0x23, 0, 1]]);
    assert_eq!(told_for(&postern, &twice).await, Some(ReasonCode::ProtocolError));
}

/// 5.0: MQTT-3.2.2-18. A server that takes none says so, and none is taken.
#[tokio::test(flavor = "multi_thread")]
async fn no_alias_is_taken_where_none_is_allowed() {
    let postern = Postern::start(|c| {
        c.policy_file("open");
        c.set("limits.topic_aliases", 0);
    })
    .await;
    let (mut peer, ack) = join(&postern, connect(Version::V5, "c")).await;
    assert_eq!(ack.topic_alias_maximum.unwrap_or(0), 0);
    peer.send(aliased("t", 1, "m")).await;
    assert_eq!(ended(&mut peer).await, Some(ReasonCode::TopicAliasInvalid));
}

/// 5.0: MQTT-3.3.2-7. Aliases are a link's own: the next link of the session, and other clients, know
/// nothing of them.
#[tokio::test(flavor = "multi_thread")]
async fn aliases_end_with_their_link() {
    let postern = open().await;
    let (mut peer, _) = join(&postern, durable(Version::V5, "c")).await;
    hand_in(&mut peer, aliased("t", 1, "m")).await;
    let mut other = client(&postern, "other").await;
    other.send(aliased("", 1, "m")).await;
    assert_eq!(ended(&mut other).await, Some(ReasonCode::ProtocolError));
    leave(&mut peer).await;
    let (mut peer, ack) = join(&postern, durable(Version::V5, "c")).await;
    assert!(ack.session_present);
    peer.send(aliased("", 1, "m")).await;
    assert_eq!(ended(&mut peer).await, Some(ReasonCode::ProtocolError));
}

/// 5.0: MQTT-3.1.2-26, MQTT-3.1.2-27, MQTT-3.3.2-8, MQTT-3.3.2-10, MQTT-3.3.2-11. The server uses no more
/// aliases than a client takes; read with them, every topic is the one that was published.
#[tokio::test(flavor = "multi_thread")]
async fn the_servers_aliases_keep_to_the_clients_maximum() {
    let postern = open().await;
    let mut sender = client(&postern, "sender").await;
    for maximum in [0, 1, 3, u16::MAX] {
        let connect = Connect { topic_alias_maximum: maximum, ..connect(Version::V5, "reader") };
        let (mut reader, _) = join(&postern, connect).await;
        reader.subscribe("#", QoS::AtMostOnce).await;
        let mut known = std::collections::HashMap::new();
        let mut used = 0;
        for n in 0..100 {
            let topic = format!("a/long/topic/{}", n % 5);
            deliver(&mut sender, &topic, topic.clone(), QoS::AtMostOnce).await;
            let got = next(&mut reader).await;
            if let Some(alias) = got.topic_alias {
                assert!((1..=maximum).contains(&alias), "{alias} of {maximum}");
                used += usize::from(got.topic.is_empty());
                if !got.topic.is_empty() {
                    known.insert(alias, got.topic.to_string());
                }
            }
            let named = match got.topic_alias {
                Some(alias) if got.topic.is_empty() => known[&alias].clone(),
                _ => got.topic.to_string(),
            };
            assert_eq!((named.as_str(), body(&got)), (&*topic, &*topic));
        }
        assert!(used > 0 || maximum < 5, "five topics, and none was left out");
    }
}
