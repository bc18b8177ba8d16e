//! Publishes from clients: QoS 2 once, Receive Maximum, aliases, acknowledgements.

use super::pair::*;
use crate::wire::{Ack, Packet, QoS, ReasonCode, Version};
use crate::{Begin, Close, Limits, Open, SessionKey};

const LOST: Close = Close::Lost;

#[test]
fn qos_1_and_2_are_acknowledged_with_the_servers_reason() {
    let bench = Bench::new();
    let client = bench.client("c");
    for (id, qos) in [(1, QoS::AtLeastOnce), (2, QoS::ExactlyOnce)] {
        assert_eq!(client.link.begin_publish(&mut publish("t", "m", qos, id)), Ok(Begin::New));
        client.link.finish_publish(packet_id(id), qos, ReasonCode::NoMatchingSubscribers, None);
    }
    let ack = |id| Ack::new(packet_id(id), ReasonCode::NoMatchingSubscribers);
    assert_eq!(client.packets(bench.now()), [Packet::PubAck(ack(1)), Packet::PubRec(ack(2))]);
    client.link.pubrel(&success(packet_id(2))).unwrap();
    assert_eq!(client.packets(bench.now()), [Packet::PubComp(success(packet_id(2)))]);
}

#[test]
fn mqtt_4_3_3_10_a_repeat_of_qos_2_is_known_until_pubrel_also_on_a_new_link() {
    let bench = Bench::new();
    let client = bench.durable("c");
    let mut p = publish("t", "m", QoS::ExactlyOnce, 9);
    assert_eq!(client.link.begin_publish(&mut p), Ok(Begin::New));
    client.link.finish_publish(packet_id(9), p.qos, ReasonCode::Success, None);
    client.link.close(LOST, bench.now());

    let client = bench.durable("c");
    assert!(client.present);
    assert_eq!(client.link.begin_publish(&mut p), Ok(Begin::Duplicate));
    client.link.finish_publish(packet_id(9), p.qos, ReasonCode::Success, None);
    assert_eq!(client.packets(bench.now()), [Packet::PubRec(success(packet_id(9)))]);
    client.link.pubrel(&success(packet_id(9))).unwrap();
    assert_eq!(client.link.begin_publish(&mut p), Ok(Begin::New), "the identifier is free again");
}

#[test]
fn mqtt_4_3_3_9_an_error_in_pubrec_frees_the_identifier() {
    let bench = Bench::new();
    let client = bench.client("c");
    let mut p = publish("t", "m", QoS::ExactlyOnce, 9);
    client.link.begin_publish(&mut p).unwrap();
    client.link.finish_publish(packet_id(9), p.qos, ReasonCode::NotAuthorized, Some("no".into()));
    let packets = client.packets(bench.now());
    assert!(matches!(&packets[..], [Packet::PubRec(ack)] if ack.reason_string.as_deref() == Some("no")));
    assert_eq!(client.link.publishes_in_progress(), 0);
    assert_eq!(client.link.begin_publish(&mut p), Ok(Begin::New));
}

#[test]
fn mqtt_3_3_4_9_over_the_receive_maximum_the_link_ends() {
    let bench = Bench::with(Limits { receive_maximum: 2, ..Limits::default() });
    let client = bench.client("c");
    for (id, qos) in [(1, QoS::AtLeastOnce), (2, QoS::ExactlyOnce)] {
        client.link.begin_publish(&mut publish("t", "", qos, id)).unwrap();
    }
    let mut third = publish("t", "", QoS::AtLeastOnce, 3);
    assert_eq!(client.link.begin_publish(&mut third), Err(ReasonCode::ReceiveMaximumExceeded));
    client.link.finish_publish(packet_id(2), QoS::ExactlyOnce, ReasonCode::Success, None);
    assert_eq!(client.link.publishes_in_progress(), 2, "PUBREC does not free it, PUBCOMP does");
    client.link.pubrel(&success(packet_id(2))).unwrap();
    assert_eq!(client.link.begin_publish(&mut third), Ok(Begin::New));
}

#[test]
fn mqtt_3_clients_are_not_bound_by_a_receive_maximum_they_cannot_know() {
    let bench = Bench::with(Limits { receive_maximum: 1, ..Limits::default() });
    let client = bench.open(Open::new(SessionKey::new(None, "c"), Version::V311));
    for id in 1..=3 {
        let begun = client.link.begin_publish(&mut publish("t", "", QoS::AtLeastOnce, id));
        assert_eq!(begun, Ok(Begin::New));
    }
    assert_eq!(client.link.publishes_in_progress(), 3, "the server reads no further meanwhile");
}

#[test]
fn c6_a_3_1_1_client_gets_no_acknowledgement_of_what_is_refused() {
    let bench = Bench::new();
    let client = bench.open(Open::new(SessionKey::new(None, "c"), Version::V311));
    for (id, qos) in [(1, QoS::AtLeastOnce), (2, QoS::ExactlyOnce)] {
        client.link.begin_publish(&mut publish("t", "", qos, id)).unwrap();
        client.link.finish_publish(packet_id(id), qos, ReasonCode::ServerBusy, None);
    }
    assert!(client.packets(bench.now()).is_empty());
    let mut again = publish("t", "", QoS::ExactlyOnce, 2);
    assert_eq!(client.link.begin_publish(&mut again), Ok(Begin::New));
}

#[test]
fn a_reason_that_puback_does_not_know_is_replaced() {
    let bench = Bench::new();
    let client = bench.client("c");
    client.link.begin_publish(&mut publish("t", "", QoS::AtLeastOnce, 1)).unwrap();
    client.link.finish_publish(packet_id(1), QoS::AtLeastOnce, ReasonCode::ServerUnavailable, None);
    let told = Ack::new(packet_id(1), ReasonCode::ImplementationSpecificError);
    assert_eq!(client.packets(bench.now()), [Packet::PubAck(told)]);
}

#[test]
fn pubrel_before_pubrec_is_a_protocol_error() {
    let bench = Bench::new();
    let client = bench.client("c");
    client.link.begin_publish(&mut publish("t", "", QoS::ExactlyOnce, 1)).unwrap();
    assert_eq!(client.link.pubrel(&success(packet_id(1))), Err(ReasonCode::ProtocolError));
}

#[test]
fn mqtt_3_3_2_aliases_stand_for_topics_on_one_link_only() {
    let bench = Bench::new();
    let client = bench.durable("c");
    let mut named = publish("a/b", "", QoS::AtMostOnce, 0);
    named.topic_alias = Some(1);
    client.link.begin_publish(&mut named).unwrap();
    let mut aliased = publish("", "", QoS::AtMostOnce, 0);
    aliased.topic_alias = Some(1);
    client.link.begin_publish(&mut aliased).unwrap();
    assert_eq!(&*aliased.topic, "a/b");
    client.link.close(LOST, bench.now());

    let client = bench.durable("c");
    let mut stale = publish("", "", QoS::AtMostOnce, 0);
    stale.topic_alias = Some(1);
    assert_eq!(client.link.begin_publish(&mut stale), Err(ReasonCode::ProtocolError));
    stale.topic_alias = Some(bench.broker.limits().topic_aliases_in + 1);
    assert_eq!(client.link.begin_publish(&mut stale), Err(ReasonCode::TopicAliasInvalid));
}

/// A publish is still being stored for a link that is gone when its client sends it again.
#[test]
fn a_repeat_gets_the_outcome_of_the_first_which_a_displaced_link_still_handles() {
    for (outcome, again) in [(ReasonCode::Success, Begin::Duplicate), (ReasonCode::QuotaExceeded, Begin::New)]
    {
        let bench = Bench::new();
        let (old, id) = (bench.durable("c"), packet_id(5));
        let mut p = publish("t", "m", QoS::ExactlyOnce, 5);
        old.link.begin_publish(&mut p).unwrap();

        let new = bench.durable("c");
        assert_eq!(new.link.begin_publish(&mut p), Ok(Begin::Duplicate));
        new.link.finish_publish(id, p.qos, ReasonCode::Success, None);
        assert!(new.packets(bench.now()).is_empty(), "nobody knows yet");

        new.rest();
        old.link.finish_publish(id, p.qos, outcome, None);
        assert_eq!(new.woken.count(), 1);
        assert_eq!(new.packets(bench.now()), [Packet::PubRec(Ack::new(id, outcome))]);
        assert_eq!(new.link.begin_publish(&mut p), Ok(again));
    }
}

#[test]
fn a_repeat_whose_first_is_never_finished_is_asked_for_again() {
    let bench = Bench::new();
    let old = bench.durable("c");
    let mut p = publish("t", "m", QoS::ExactlyOnce, 5);
    old.link.begin_publish(&mut p).unwrap();
    let new = bench.durable("c");
    new.link.begin_publish(&mut p).unwrap();
    new.link.finish_publish(packet_id(5), p.qos, ReasonCode::Success, None);
    old.link.close(LOST, bench.now());
    assert_eq!(new.closing(bench.now()), Some(ReasonCode::UnspecifiedError));
    new.link.close(LOST, bench.now());
    assert_eq!(bench.durable("c").link.begin_publish(&mut p), Ok(Begin::New));
}

/// The same, but the repeat's turn comes after the first has ended badly.
#[test]
fn a_repeat_gets_the_refusal_of_the_first_in_its_turn() {
    for version in [Version::V5, Version::V311] {
        let bench = Bench::new();
        let (old, id) = (bench.durable("c"), packet_id(5));
        let mut p = publish("t", "m", QoS::ExactlyOnce, 5);
        old.link.begin_publish(&mut p).unwrap();
        let new = bench.open(Open { version, ..durable("c") });
        assert_eq!(new.link.begin_publish(&mut p), Ok(Begin::Duplicate));

        old.link.finish_publish(id, p.qos, ReasonCode::QuotaExceeded, None);
        old.link.close(LOST, bench.now());
        assert!(new.packets(bench.now()).is_empty(), "it is not its turn yet");
        new.link.finish_publish(id, p.qos, ReasonCode::Success, None);
        let told = new.drain(bench.now());
        if version == Version::V5 {
            assert_eq!(told, (vec![Packet::PubRec(Ack::new(id, ReasonCode::QuotaExceeded))], None));
        } else {
            assert_eq!(told, (Vec::new(), Some(ReasonCode::UnspecifiedError)), "3.1.1 cannot be told");
        }
        assert_eq!(new.link.publishes_in_progress(), 0);
        assert_eq!(new.link.begin_publish(&mut p), Ok(Begin::New));
    }
}

#[test]
fn a_repeat_whose_first_is_given_up_before_its_turn_is_asked_for_again() {
    let bench = Bench::new();
    let old = bench.durable("c");
    let mut p = publish("t", "m", QoS::ExactlyOnce, 5);
    old.link.begin_publish(&mut p).unwrap();
    let new = bench.durable("c");
    new.link.begin_publish(&mut p).unwrap();
    old.link.close(LOST, bench.now());
    assert_eq!(new.closing(bench.now()), Some(ReasonCode::UnspecifiedError));
}

#[test]
fn mqtt_3_1_2_29_no_reason_string_for_who_did_not_ask_for_problem_information() {
    let bench = Bench::new();
    let open = Open { problem_information: false, ..Open::new(SessionKey::new(None, "c"), Version::V5) };
    let client = bench.open(open);
    client.link.begin_publish(&mut publish("t", "", QoS::AtLeastOnce, 1)).unwrap();
    client.link.finish_publish(packet_id(1), QoS::AtLeastOnce, ReasonCode::NotAuthorized, Some("no".into()));
    let ack = Ack { reason_string: Some("x".into()), ..success(packet_id(2)) };
    client.link.send(Packet::PubComp(ack));
    let expected = [
        Packet::PubAck(Ack::new(packet_id(1), ReasonCode::NotAuthorized)),
        Packet::PubComp(success(packet_id(2))),
    ];
    assert_eq!(client.packets(bench.now()), expected);
}
