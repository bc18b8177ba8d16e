//! What travels with a message from its publisher to its subscribers.

use bytes::Bytes;
use postern_broker::wire::{MessageProperties, Publish, QoS, ReasonCode, Version};
use postern_tests::{body, publish, text};

use super::*;

fn carrying(topic: &str, qos: QoS, properties: MessageProperties) -> Publish {
    Publish { properties: Some(Box::new(properties)), ..publish(topic, "m", qos) }
}

fn expiring(topic: &str, secs: u32, qos: QoS) -> Publish {
    carrying(topic, qos, MessageProperties { message_expiry: Some(secs), ..MessageProperties::default() })
}

/// 5.0: MQTT-3.3.2-4, MQTT-3.3.2-15, MQTT-3.3.2-16, MQTT-3.3.2-17, MQTT-3.3.2-18, MQTT-3.3.2-20.
#[tokio::test(flavor = "multi_thread")]
async fn properties_arrive_as_they_were_sent_and_in_order() {
    let postern = open().await;
    let mut sender = client(&postern, "sender").await;
    let mut reader = subscriber(&postern, "reader", "t", QoS::ExactlyOnce).await;
    let (mut sleeper, _) = join(&postern, durable(Version::V5, "sleeper")).await;
    sleeper.subscribe("t", QoS::ExactlyOnce).await;
    leave(&mut sleeper).await;
    let pairs = [("z", "1"), ("a", "2"), ("z", "1"), ("a", ""), ("", "x"), ("\u{1f680}", "\u{feff}")];
    let whole = MessageProperties {
        payload_format_utf8: Some(false),
        message_expiry: None,
        response_topic: Some(text("answers/\u{e9}")),
        correlation_data: Some(Bytes::from((0..=255).collect::<Vec<u8>>())),
        content_type: Some(text("application/x-\u{feff}")),
        user_properties: pairs.iter().map(|(k, v)| (text(k), text(v))).collect(),
    };
    let utf8 = MessageProperties { payload_format_utf8: Some(true), ..MessageProperties::default() };
    let empty = MessageProperties { correlation_data: Some(Bytes::new()), ..MessageProperties::default() };
    let all = [whole, utf8, empty];
    for (properties, qos) in all.iter().zip(QOS.into_iter().rev()) {
        let message = Publish { retain: true, ..carrying("t", qos, properties.clone()) };
        hand_in(&mut sender, message).await;
        assert_eq!(take(&mut reader).await.properties.as_deref(), Some(properties));
        let mut late = subscriber(&postern, "late", "t", QoS::ExactlyOnce).await;
        assert_eq!(take(&mut late).await.properties.as_deref(), Some(properties), "retained");
    }
    // What waited for a sleeper has them too; QoS 0 did not wait.
    let (mut sleeper, _) = join(&postern, durable(Version::V5, "sleeper")).await;
    for properties in &all[..2] {
        assert_eq!(next(&mut sleeper).await.properties.as_deref(), Some(properties));
    }
}

/// 5.0: MQTT-2.2.2-1. A message without properties is written with a property length of zero.
#[tokio::test(flavor = "multi_thread")]
async fn no_properties_are_a_length_of_zero() {
    let postern = open().await;
    let mut reader = subscriber(&postern, "reader", "t", QoS::AtLeastOnce).await;
    let mut sender = older(&postern, "sender").await;
    deliver(&mut sender, "t", "m", QoS::AtLeastOnce).await;
    assert_eq!(reader.bytes(9).await, *b"\x32\x07\0\x01t\0\x01\0m");
}

/// 5.0: MQTT-3.3.2-6. What is forwarded is what is left of the expiry interval.
#[tokio::test(flavor = "multi_thread")]
async fn the_time_that_is_left_is_passed_on() {
    let postern = open().await;
    let mut sender = client(&postern, "sender").await;
    let mut reader = subscriber(&postern, "reader", "t", QoS::AtLeastOnce).await;
    let (mut sleeper, _) = join(&postern, durable(Version::V5, "sleeper")).await;
    sleeper.subscribe("t", QoS::AtLeastOnce).await;
    leave(&mut sleeper).await;
    let message = Publish { retain: true, ..expiring("t", 1_000_000, QoS::AtLeastOnce) };
    hand_in(&mut sender, message).await;
    let left = |message: Publish| message.properties.and_then(|p| p.message_expiry).expect("an expiry");
    assert!(left(take(&mut reader).await) > 999_000);
    seconds_pass(&postern, 2).await;
    let (mut sleeper, _) = join(&postern, durable(Version::V5, "sleeper")).await;
    let mut late = subscriber(&postern, "late", "t", QoS::AtLeastOnce).await;
    for peer in [&mut sleeper, &mut late] {
        let left = left(take(peer).await);
        assert!((900_000..=999_998).contains(&left), "two seconds less at least: {left}");
    }
}

/// 5.0: MQTT-3.3.2-5. An expired message is neither delivered nor kept.
#[tokio::test(flavor = "multi_thread")]
async fn an_expired_message_goes_to_nobody() {
    let postern = open().await;
    let mut sender = client(&postern, "sender").await;
    let (mut sleeper, _) = join(&postern, durable(Version::V5, "sleeper")).await;
    sleeper.subscribe("#", QoS::ExactlyOnce).await;
    leave(&mut sleeper).await;
    for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
        hand_in(&mut sender, Publish { retain: true, ..expiring("short", 1, qos) }).await;
    }
    let lasting = Publish { retain: true, ..expiring("long", 1_000_000, QoS::AtLeastOnce) };
    hand_in(&mut sender, lasting).await;
    seconds_pass(&postern, 2).await;
    let mut late = subscriber(&postern, "late", "#", QoS::AtMostOnce).await;
    assert_eq!(bodies(&mut late).await.len(), 1, "one retained message is left");
    let (mut sleeper, _) = join(&postern, durable(Version::V5, "sleeper")).await;
    assert_eq!(&*take(&mut sleeper).await.topic, "long");
    assert_eq!(everything(&mut sleeper).await, []);
}

/// Section 4.10: request and response find each other by response topic and correlation data.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_answered() {
    let postern = open().await;
    let mut asker = subscriber(&postern, "asker", "answers/asker", QoS::AtLeastOnce).await;
    let mut answerer = subscriber(&postern, "answerer", "questions", QoS::AtLeastOnce).await;
    let correlation_data = Some(Bytes::from_static(b"\0 4711 \xFF"));
    let question = MessageProperties {
        response_topic: Some(text("answers/asker")),
        correlation_data: correlation_data.clone(),
        ..MessageProperties::default()
    };
    hand_in(&mut asker, carrying("questions", QoS::AtLeastOnce, question)).await;
    let properties = take(&mut answerer).await.properties.expect("properties");
    let answer =
        MessageProperties { correlation_data: properties.correlation_data, ..MessageProperties::default() };
    let to = properties.response_topic.expect("where the answer goes");
    hand_in(&mut answerer, carrying(&to, QoS::AtLeastOnce, answer)).await;
    let got = take(&mut asker).await;
    assert_eq!(got.properties.expect("properties").correlation_data, correlation_data);
}

/// 5.0: MQTT-3.3.2-14, MQTT-3.3.4-6, MQTT-4.13.1-1. Properties that a PUBLISH cannot have end the link.
#[tokio::test(flavor = "multi_thread")]
async fn properties_that_cannot_be_end_the_link() {
    let postern = open().await;
    let (protocol, malformed) = (ReasonCode::ProtocolError, ReasonCode::MalformedPacket);
    let cases: [(&str, &[u8], ReasonCode); 9] = [
        ("a response topic with a wildcard", b"\x08\0\x03a/+", protocol),
        ("an empty response topic", b"\x08\0\0", protocol),
        ("a subscription identifier", &[0x0B, 1], protocol),
        ("payload format 2", &[0x01, 2], protocol),
        ("payload format twice", &[0x01, 1, 0x01, 1], protocol),
        ("expiry twice", &[2, 0, 0, 0, 1, 2, 0, 0, 0, 1], protocol),
        ("content type twice", b"\x03\0\x01a\x03\0\x01a", protocol),
        ("a property of CONNECT", &[0x11, 0, 0, 0, 1], malformed),
        ("an unknown property", &[0x7F, 0], malformed),
    ];
    for (what, property, reason) in cases {
        let bytes = packet(0x30, &[&field("t"), &[property.len() as u8], property, b"m"]);
        assert_eq!(told_for(&postern, &bytes).await, Some(reason), "{what}");
    }
    let mut neighbour = client(&postern, "neighbour").await;
    assert_eq!(everything(&mut neighbour).await, [], "nobody else is touched");
    // MQTT 3.1.1 has no properties: the same bytes are payload.
    let mut old = older(&postern, "older").await;
    old.subscribe("t", QoS::AtMostOnce).await;
    old.send_bytes(&packet(0x30, &[&field("t"), b"\x02\x01\x02"])).await;
    assert_eq!(body(&next(&mut old).await), "\x02\x01\x02");
}
