//! What operators see and do.

use super::pair::*;
use crate::wire::{QoS, ReasonCode, Version};
use crate::{Close, SessionKey};

#[test]
fn sessions_are_listed_with_what_they_hold() {
    let bench = Bench::new();
    let client = bench.device("alice", "phone");
    client.subscribe("a", QoS::AtLeastOnce);
    client.subscribe("b", QoS::AtLeastOnce);
    bench.publish("a", "123", QoS::AtLeastOnce);
    client.publishes(bench.now());
    bench.publish("b", "45", QoS::AtLeastOnce);
    client.link.begin_publish(&mut publish("t", "", QoS::ExactlyOnce, 1)).unwrap();
    let info = bench.broker.session(client.link.key()).unwrap();
    assert_eq!(info.key.owner.as_deref(), Some("alice"));
    assert_eq!((info.connected, info.version, info.subscriptions), (true, Version::V5, 2));
    assert_eq!((info.queued_messages, info.queued_bytes, info.inflight), (1, 3, 1));
    assert_eq!((info.inbound_exactly_once, info.expiry_secs, info.since), (1, 3600, bench.now()));
    assert_eq!(info.ends_at, None);
    bench.pass_secs(5);
    client.link.close(Close::Lost, bench.now());
    let info = bench.broker.session(client.link.key()).unwrap();
    assert_eq!((info.connected, info.since), (false, bench.now()));
    assert_eq!(info.ends_at, Some(bench.now().plus_secs(3600)));
}

#[test]
fn links_can_be_ended_one_by_one_by_user_and_all_together() {
    let bench = Bench::new();
    let (phone, pc) = (bench.device("alice", "phone"), bench.device("alice", "pc"));
    let bob = bench.device("bob", "phone");
    let unknown = SessionKey::new(Some("carol"), "phone");
    assert!(!bench.broker.disconnect(&unknown, ReasonCode::AdministrativeAction));
    assert_eq!(bench.broker.disconnect_user("alice", ReasonCode::NotAuthorized), 2);
    for client in [&phone, &pc] {
        assert_eq!(client.closing(bench.now()), Some(ReasonCode::NotAuthorized));
    }
    assert_eq!(bob.closing(bench.now()), None);
    assert_eq!(bench.broker.disconnect_all(ReasonCode::ServerShuttingDown), 3);
    assert_eq!(bob.closing(bench.now()), Some(ReasonCode::ServerShuttingDown));
    assert_eq!(pc.closing(bench.now()), Some(ReasonCode::NotAuthorized), "the first reason stays");
}

#[test]
fn a_link_that_is_to_leave_begins_nothing_and_finishes_what_is_in_flight() {
    let bench = Bench::new();
    let client = bench.client("c");
    client.subscribe("t", QoS::AtLeastOnce);
    client.packets(bench.now());
    bench.publish("t", "1", QoS::AtLeastOnce);
    let sent = client.publishes(bench.now());
    client.link.begin_publish(&mut publish("u", "", QoS::ExactlyOnce, 7)).unwrap();
    let resting = bench.client("resting");
    assert_eq!(bench.broker.drain_all(ReasonCode::ServerShuttingDown), 2);
    assert_eq!(resting.closing(bench.now()), Some(ReasonCode::ServerShuttingDown));

    bench.publish("t", "2", QoS::AtLeastOnce);
    assert_eq!(client.drain(bench.now()), (vec![], None), "the second is not begun");
    let ack = crate::wire::Ack::new(sent[0].packet_id.unwrap(), ReasonCode::Success);
    client.link.puback(&ack).unwrap();
    assert_eq!(client.drain(bench.now()), (vec![], None), "a QoS 2 publish waits for its PUBREL");
    client.link.finish_publish(7.try_into().unwrap(), QoS::ExactlyOnce, ReasonCode::Success, None);
    client.link.pubrel(&crate::wire::Ack::new(7.try_into().unwrap(), ReasonCode::Success)).unwrap();
    let (packets, closing) = client.drain(bench.now());
    assert_eq!((packets.len(), closing), (2, Some(ReasonCode::ServerShuttingDown)));

    let late = bench.client("late");
    assert_eq!(late.closing(bench.now()), Some(ReasonCode::ServerShuttingDown), "whoever comes leaves, too");
}

#[test]
fn control_packets_are_written_before_a_link_ends() {
    let bench = Bench::new();
    let client = bench.client("c");
    client.link.send(crate::wire::Packet::PingResp);
    client.link.disconnect(ReasonCode::KeepAliveTimeout);
    let expected = (vec![crate::wire::Packet::PingResp], Some(ReasonCode::KeepAliveTimeout));
    assert_eq!(client.drain(bench.now()), expected);
}

#[test]
fn a_withdrawn_right_takes_the_subscription_without_a_word() {
    let bench = Bench::new();
    let client = bench.client("c");
    client.subscribe("t", QoS::AtLeastOnce);
    client.packets(bench.now());
    for filter in client.link.subscriptions() {
        assert!(client.link.withdraw(&filter));
        assert!(!client.link.withdraw(&filter));
    }
    assert_eq!(bench.publish("t", "m", QoS::AtLeastOnce), 0);
    assert!(client.packets(bench.now()).is_empty());
}
