//! Messages to clients: QoS, packet identifiers, window, size, expiry, aliases.

use std::sync::Arc;

use super::pair::*;
use crate::wire::{Ack, MessageProperties, Packet, QoS, ReasonCode, Version};
use crate::{Limits, Open, SessionKey};

#[test]
fn mqtt_3_8_4_8_a_message_comes_in_the_lower_of_its_and_the_granted_qos() {
    let bench = Bench::new();
    for granted in QOS {
        for published in QOS {
            let client = bench.client("c");
            client.subscribe("t", granted);
            assert_eq!(bench.publish("t", "m", published), 1);
            let got = client.publishes(bench.now());
            assert_eq!(got[0].qos, granted.min(published));
            assert_eq!(got[0].packet_id.is_some(), granted.min(published) != QoS::AtMostOnce);
        }
    }
}

#[test]
fn mqtt_3_3_4_7_no_more_in_flight_than_the_clients_receive_maximum() {
    let bench = Bench::new();
    let open = Open { receive_maximum: 2, ..Open::new(SessionKey::new(None, "c"), Version::V5) };
    let client = bench.open(open);
    client.subscribe("t", QoS::ExactlyOnce);
    for n in 0..5 {
        bench.publish("t", &n.to_string(), QOS[1 + n % 2]);
    }
    let first = client.publishes(bench.now());
    assert_eq!(payloads(&first), ["0", "1"]);
    client.acknowledge(&first[0]);
    let second = client.publishes(bench.now());
    assert_eq!(payloads(&second), ["2"], "PUBACK opens the window");
    client.acknowledge(&first[1]);
    let packets = client.packets(bench.now());
    assert!(matches!(packets[..], [Packet::PubRel(_)]), "PUBREC alone does not: {packets:?}");
    client.link.pubcomp(&success(first[1].packet_id.unwrap())).unwrap();
    assert_eq!(payloads(&client.publishes(bench.now())), ["3"], "PUBCOMP does");
}

#[test]
fn mqtt_4_3_3_4_a_pubrec_with_an_error_ends_the_flow() {
    let bench = Bench::new();
    let client = bench.open(Open { receive_maximum: 1, ..durable("c") });
    client.subscribe("t", QoS::ExactlyOnce);
    bench.publish("t", "a", QoS::ExactlyOnce);
    bench.publish("t", "b", QoS::ExactlyOnce);
    let id = client.publishes(bench.now())[0].packet_id.unwrap();
    client.link.pubrec(&Ack::new(id, ReasonCode::QuotaExceeded)).unwrap();
    let next = client.packets(bench.now());
    assert!(matches!(&next[..], [Packet::Publish(p)] if payload(p) == "b"), "{next:?}");
}

#[test]
fn unknown_identifiers_are_answered_0x92_or_ignored() {
    let bench = Bench::new();
    let client = bench.client("c");
    let ack = success(packet_id(7));
    client.link.puback(&ack).unwrap();
    client.link.pubcomp(&ack).unwrap();
    assert!(client.packets(bench.now()).is_empty());
    client.link.pubrec(&ack).unwrap();
    client.link.pubrel(&ack).unwrap();
    let not_found = Ack::new(ack.packet_id, ReasonCode::PacketIdentifierNotFound);
    let expected = [Packet::PubRel(not_found.clone()), Packet::PubComp(not_found)];
    assert_eq!(client.packets(bench.now()), expected);
}

#[test]
fn an_acknowledgement_of_the_wrong_kind_is_a_protocol_error() {
    let bench = Bench::new();
    let client = bench.client("c");
    client.subscribe("t", QoS::ExactlyOnce);
    bench.publish("t", "1", QoS::AtLeastOnce);
    bench.publish("t", "2", QoS::ExactlyOnce);
    let got = client.publishes(bench.now());
    let (one, two) = (success(got[0].packet_id.unwrap()), success(got[1].packet_id.unwrap()));
    let wrong = Err(ReasonCode::ProtocolError);
    assert_eq!(client.link.pubrec(&one), wrong);
    assert_eq!(client.link.pubcomp(&one), wrong);
    assert_eq!(client.link.puback(&two), wrong);
    assert_eq!(client.link.pubcomp(&two), wrong, "before PUBREC");
    assert_eq!(client.link.puback(&one), Ok(()));
}

#[test]
fn mqtt_2_2_1_3_packet_identifiers_go_round_and_pass_by_those_in_use() {
    let bench = Bench::with(Limits { inflight: 3, ..Limits::default() });
    let client = bench.client("c");
    client.subscribe("t", QoS::AtLeastOnce);
    bench.publish("t", "stuck", QoS::AtLeastOnce);
    let stuck = client.publishes(bench.now())[0].packet_id.unwrap();
    assert_eq!(stuck.get(), 1);
    for n in 2..=65_535u32 {
        bench.publish("t", "", QoS::AtLeastOnce);
        let got = client.publishes(bench.now());
        assert_eq!(u32::from(got[0].packet_id.unwrap().get()), n);
        client.acknowledge(&got[0]);
    }
    bench.publish("t", "", QoS::AtLeastOnce);
    let after = client.publishes(bench.now());
    assert_eq!(ids(&after), [2], "1 is still in use");
    client.link.puback(&success(stuck)).unwrap();
    client.acknowledge(&after[0]);
}

#[test]
fn mqtt_3_1_2_25_a_message_over_the_maximum_packet_size_is_dropped_for_that_subscriber_only() {
    let bench = Bench::new();
    let open = |id| Open::new(SessionKey::new(None, id), Version::V5);
    let small = bench.open(Open { max_packet_size: 30, ..open("small") });
    let large = bench.open(open("large"));
    for client in [&small, &large] {
        client.subscribe("t", QoS::AtLeastOnce);
    }
    let long = "x".repeat(30);
    bench.publish("t", &long, QoS::AtLeastOnce);
    bench.publish("t", "short", QoS::AtLeastOnce);
    assert_eq!(small.read(bench.now()), ["short"]);
    assert_eq!(large.read(bench.now()), [long.as_str(), "short"]);
    assert_eq!(bench.broker.stats().dropped_too_large.get(), 1);
}

#[test]
fn mqtt_3_3_2_5_and_6_expiry_is_forwarded_as_what_is_left_and_ends_delivery() {
    let bench = Bench::new();
    let client = bench.client("c");
    client.subscribe("t", QoS::AtLeastOnce);
    for (payload, secs) in [("soon", 5), ("later", 60)] {
        let properties = MessageProperties { message_expiry: Some(secs), ..Default::default() };
        let message =
            bench.message("t", payload, QoS::AtLeastOnce).with_properties(Some(Box::new(properties)));
        bench.broker.publish(&Arc::new(message), None, bench.now());
    }
    bench.pass_secs(10);
    let got = client.publishes(bench.now());
    assert_eq!(payloads(&got), ["later"]);
    assert_eq!(got[0].properties.as_ref().unwrap().message_expiry, Some(50));
    assert_eq!(bench.broker.stats().dropped_expired.get(), 1);
}

#[test]
fn topic_aliases_are_used_as_far_as_the_client_allows() {
    let bench = Bench::new();
    let open = Open { topic_alias_maximum: 1, ..Open::new(SessionKey::new(None, "c"), Version::V5) };
    let client = bench.open(open);
    client.subscribe("#", QoS::AtMostOnce);
    for topic in ["a/long/topic", "a/long/topic", "another/topic"] {
        bench.publish(topic, "m", QoS::AtMostOnce);
    }
    let got = client.publishes(bench.now());
    let seen: Vec<_> = got.iter().map(|p| (&*p.topic, p.topic_alias)).collect();
    assert_eq!(seen[..2], [("a/long/topic", Some(1)), ("", Some(1))]);
    assert_eq!(seen[2].0, "another/topic");
}

#[test]
fn properties_reach_mqtt_5_and_do_not_disturb_3_1_1() {
    let bench = Bench::new();
    let old = bench.open(Open::new(SessionKey::new(None, "old"), Version::V311));
    let new = bench.client("new");
    for client in [&old, &new] {
        client.subscribe("t", QoS::AtLeastOnce);
    }
    let properties = Box::new(MessageProperties {
        content_type: Some("text/plain".into()),
        user_properties: vec![("b".into(), "1".into()), ("a".into(), "2".into())],
        ..Default::default()
    });
    let message = bench.message("t", "m", QoS::AtLeastOnce).with_properties(Some(properties.clone()));
    bench.broker.publish(&Arc::new(message), None, bench.now());
    assert_eq!(old.publishes(bench.now())[0].properties, None);
    assert_eq!(new.publishes(bench.now())[0].properties, Some(properties));
}
