//! What ended, or confused, another broker that was looked at (docs: ARCHITECTURE.md, decision 1): one
//! ordinary client does it no harm here.

use postern_broker::wire::{Connect, MessageProperties, Packet, Publish, QoS, ReasonCode, Version};
use postern_tests::{Peer, Postern, body, connect, publish, text};

use super::*;

/// Whether the server still does what it is there for.
async fn still_serves(postern: &Postern) {
    let mut reader = subscriber(postern, "still there", "still/#", QoS::ExactlyOnce).await;
    let mut sender = client(postern, "still here").await;
    for qos in QOS {
        assert_eq!(deliver(&mut sender, "still/there", "m", qos).await, ReasonCode::Success);
        take(&mut reader).await;
    }
}

/// The last member of a shared group leaves with messages that it has not acknowledged, by whatever way.
#[tokio::test(flavor = "multi_thread")]
async fn the_last_member_of_a_group_leaves_with_unacknowledged_messages() {
    let postern = open().await;
    let mut sender = client(&postern, "sender").await;
    for version in [Version::V311, Version::V5] {
        for way in ["disconnect", "loss", "unsubscribe", "takeover", "clean start", "kick", "expiry"] {
            let session_expiry = (version == Version::V5).then_some(u32::from(way == "expiry"));
            let (mut last, _) = join(&postern, Connect { session_expiry, ..connect(version, "last") }).await;
            last.subscribe("$share/g/t", QoS::ExactlyOnce).await;
            for n in 0..10 {
                deliver(&mut sender, "t", "m", QOS[1 + n % 2]).await;
            }
            for _ in 0..5 {
                next(&mut last).await;
            }
            match way {
                "disconnect" => last.send(Packet::Disconnect(Default::default())).await,
                "unsubscribe" => last.send_bytes(&unsubscribe_bytes(version, "$share/g/t")).await,
                "takeover" => drop(join(&postern, durable(version, "last")).await),
                "clean start" => drop(join(&postern, connect(version, "last")).await),
                "kick" => drop(postern.done(&["client", "kick", "last"]).await),
                "expiry" => {
                    last.cut().await;
                    seconds_pass(&postern, 2).await;
                }
                _ => last.cut().await,
            }
            drop(last);
            deliver(&mut sender, "t", "to nobody, or to a session that sleeps", QoS::AtLeastOnce).await;
            still_serves(&postern).await;
            drop(join(&postern, connect(version, "last")).await);
        }
    }
}

fn unsubscribe_bytes(version: Version, filter: &str) -> Vec<u8> {
    let properties: &[u8] = if version == Version::V5 { &[0] } else { &[] };
    packet(0xA2, &[&[0, 9], properties, &field(filter)])
}

/// Links go while messages for them are on their way, and others come with the same id.
#[tokio::test(flavor = "multi_thread")]
async fn links_go_while_messages_are_on_their_way() {
    let postern = open().await;
    let mut sender = client(&postern, "sender").await;
    for round in 0..30 {
        let (mut reader, _) = join(&postern, durable(Version::V5, "reader")).await;
        reader.subscribe("t", QoS::ExactlyOnce).await;
        for n in 0..50 {
            let qos = QOS[n % 3];
            let packet_id = (qos != QoS::AtMostOnce).then(|| sender.next_id());
            sender.send(Publish { packet_id, ..publish("t", vec![b'x'; 2_000], qos) }).await;
        }
        match round % 3 {
            0 => drop(reader), // a reset: what came is not read
            1 => drop(join(&postern, connect(Version::V5, "reader")).await), // a takeover
            _ => reader.cut().await,
        }
        // QoS 2 is not released: the sender starts anew.
        sender = client(&postern, "sender").await;
    }
    still_serves(&postern).await;
}

/// A message with properties reaches an MQTT 3.1.1 subscriber, live, queued and retained, and its link
/// goes on.
#[tokio::test(flavor = "multi_thread")]
async fn properties_do_not_break_the_link_of_an_older_client() {
    let postern = open().await;
    let mut sender = client(&postern, "sender").await;
    let properties = MessageProperties {
        payload_format_utf8: Some(true),
        message_expiry: Some(1_000_000),
        response_topic: Some(text("r")),
        correlation_data: Some("c".into()),
        content_type: Some(text("text/plain")),
        user_properties: vec![(text("k"), text("v"))],
    };
    for (version, topic) in [(Version::V31, "31"), (Version::V311, "311")] {
        let message = |qos| Publish {
            retain: true,
            topic_alias: Some(1),
            properties: Some(Box::new(properties.clone())),
            ..publish(topic, "m", qos)
        };
        let (mut old, _) = join(&postern, durable(version, "old")).await;
        old.subscribe(topic, QoS::ExactlyOnce).await;
        for qos in QOS {
            hand_in(&mut sender, message(qos)).await;
            assert_eq!(body(&take(&mut old).await), "m");
        }
        leave(&mut old).await;
        hand_in(&mut sender, message(QoS::AtLeastOnce)).await;
        let (mut old, _) = join(&postern, durable(version, "old")).await;
        assert_eq!(body(&take(&mut old).await), "m");
        let mut late = join(&postern, connect(version, "late")).await.0;
        late.subscribe(topic, QoS::AtMostOnce).await;
        assert_eq!(body(&next(&mut late).await), "m");
        for peer in [&mut old, &mut late] {
            assert_eq!(everything(peer).await, [], "the link goes on");
        }
        drop(join(&postern, connect(version, "old")).await);
    }
}

/// Subscribers with a wildcard see each topic under its own name, whatever aliases the publisher uses and
/// they themselves take.
#[tokio::test(flavor = "multi_thread")]
async fn aliases_never_show_a_wrong_topic() {
    let postern = open().await;
    let mut readers = Vec::new();
    for (id, maximum) in [("none", 0), ("one", 1), ("many", 100)] {
        let connect = Connect { topic_alias_maximum: maximum, ..connect(Version::V5, id) };
        let (mut reader, _) = join(&postern, connect).await;
        reader.subscribe("a/#", QoS::AtMostOnce).await;
        readers.push((reader, std::collections::HashMap::new()));
    }
    let mut sender = client(&postern, "sender").await;
    for n in 0..60 {
        // One alias is moved from topic to topic; each topic is its message's text.
        let topic = format!("a/topic/{}", n / 3 % 4);
        let named = if n % 3 == 0 { &*topic } else { "" };
        let message = Publish { topic_alias: Some(1), ..publish(named, topic.clone(), QoS::AtMostOnce) };
        hand_in(&mut sender, message).await;
        for (reader, known) in &mut readers {
            let got = next(reader).await;
            let topic = match got.topic_alias {
                Some(alias) if got.topic.is_empty() => known[&alias],
                Some(alias) => {
                    let text: &'static str = got.topic.to_string().leak();
                    known.insert(alias, text);
                    text
                }
                None => got.topic.to_string().leak(),
            };
            assert_eq!(body(&got), topic);
        }
    }
}

/// A password that is no UTF-8, a client that never reads, a heap of subscriptions and of links: none of
/// them is anybody else's trouble.
#[tokio::test(flavor = "multi_thread")]
async fn one_client_does_no_harm_to_the_others() {
    let postern = open().await;
    let binary = Connect {
        user_name: Some(text("u")),
        password: Some(vec![0xFF, 0x00, 0x80].into()),
        ..connect(Version::V5, "binary")
    };
    let (_binary, _) = join(&postern, binary).await;
    // It takes all topics, and reads none of what comes.
    let (mut deaf, _) = join(&postern, connect(Version::V5, "deaf")).await;
    deaf.subscribe("#", QoS::ExactlyOnce).await;
    let mut greedy = client(&postern, "greedy").await;
    let filters: Vec<String> = (0..1_100).map(|n| format!("greedy/{n}/#")).collect();
    let filters: Vec<_> = filters.iter().map(|filter| (filter.as_str(), QoS::AtMostOnce)).collect();
    let reasons = greedy.subscribe_all(&filters).await.reasons;
    assert_eq!(reasons.iter().filter(|reason| **reason == ReasonCode::QuotaExceeded).count(), 100);
    let mut sender = client(&postern, "sender").await;
    for n in 0..400 {
        let body = vec![b'x'; 100_000];
        sender
            .send(Publish { packet_id: PacketId::new(n % 9 + 1), ..publish("t", body, QoS::AtLeastOnce) })
            .await;
        let Packet::PubAck(_) = sender.packet().await else { panic!("expected PUBACK") };
    }
    for n in 0..200 {
        let mut passing = Peer::to(&postern, "tcp").await;
        passing.connect(connect(Version::V5, &format!("passing {n}"))).await.expect("CONNACK");
    }
    still_serves(&postern).await;
}
