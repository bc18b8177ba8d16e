//! Sessions that outlive their links: what is delivered again, in which order.

use super::pair::*;
use crate::wire::{Packet, QoS, ReasonCode, Version};
use crate::{Close, Open, SessionKey};

#[test]
fn mqtt_4_4_0_1_what_was_not_acknowledged_comes_again_with_dup_its_id_and_in_order() {
    let bench = Bench::new();
    let client = bench.durable("c");
    client.subscribe("t", QoS::ExactlyOnce);
    for (n, qos) in [QOS[1], QOS[2], QOS[2], QOS[1]].into_iter().enumerate() {
        bench.publish("t", &n.to_string(), qos);
    }
    let first = client.publishes(bench.now());
    client.acknowledge(&first[2]); // PUBREC for "2"
    client.link.close(Close::Lost, bench.now());
    bench.publish("t", "offline", QoS::AtLeastOnce);

    let client = bench.durable("c");
    assert!(client.present);
    let packets = client.packets(bench.now());
    let seen: Vec<_> = packets
        .iter()
        .map(|packet| match packet {
            Packet::Publish(p) => (payload(p), p.packet_id.unwrap().get(), p.dup),
            Packet::PubRel(ack) => ("PUBREL".to_owned(), ack.packet_id.get(), false),
            other => panic!("{other:?}"),
        })
        .collect();
    let expected =
        [("0", 1, true), ("1", 2, true), ("PUBREL", 3, false), ("3", 4, true), ("offline", 5, false)];
    assert_eq!(seen, expected.map(|(what, id, dup)| (what.to_owned(), id, dup)));
    assert_eq!(bench.broker.stats().redelivered.get(), 3);
}

#[test]
fn redelivery_keeps_to_a_receive_maximum_that_has_shrunk() {
    let bench = Bench::new();
    let client = bench.durable("c");
    client.subscribe("t", QoS::AtLeastOnce);
    for n in 0..4 {
        bench.publish("t", &n.to_string(), QoS::AtLeastOnce);
    }
    assert_eq!(client.publishes(bench.now()).len(), 4);
    let client = bench.open(Open { receive_maximum: 1, ..durable("c") });
    for n in 0..4 {
        let got = client.publishes(bench.now());
        assert_eq!(payloads(&got), [n.to_string()]);
        client.acknowledge(&got[0]);
    }
}

#[test]
fn an_acknowledgement_before_the_redelivery_spares_it() {
    let bench = Bench::new();
    let client = bench.durable("c");
    client.subscribe("t", QoS::ExactlyOnce);
    bench.publish("t", "1", QoS::AtLeastOnce);
    bench.publish("t", "2", QoS::ExactlyOnce);
    let got = client.publishes(bench.now());
    let client = bench.durable("c");
    got.iter().for_each(|publish| client.acknowledge(publish));
    let packets = client.packets(bench.now());
    assert!(matches!(packets[..], [Packet::PubRel(_)]), "{packets:?}");
}

#[test]
fn qos_0_is_not_kept_for_a_sleeping_session() {
    let bench = Bench::new();
    let client = bench.durable("c");
    client.subscribe("t", QoS::ExactlyOnce);
    bench.publish("t", "unread", QoS::AtMostOnce);
    client.link.close(Close::Lost, bench.now());
    bench.publish("t", "asleep", QoS::AtMostOnce);
    bench.publish("t", "kept", QoS::AtLeastOnce);
    assert_eq!(bench.durable("c").read(bench.now()), ["kept"]);
    assert_eq!(bench.broker.stats().dropped_offline.get(), 2);
}

#[test]
fn mqtt_3_1_2_4_clean_start_forgets_the_session() {
    let bench = Bench::new();
    let client = bench.durable("c");
    client.subscribe("t", QoS::AtLeastOnce);
    bench.publish("t", "m", QoS::AtLeastOnce);
    client.link.close(Close::Lost, bench.now());
    let client = bench.open(Open { clean_start: true, ..durable("c") });
    assert!(!client.present);
    assert_eq!(bench.publish("t", "m", QoS::AtLeastOnce), 0);
    assert!(client.packets(bench.now()).is_empty());
    assert_eq!(bench.broker.stats().subscriptions.get(), 0);
    assert_eq!(bench.broker.stats().sessions.get(), 1);
}

#[test]
fn a_session_without_expiry_ends_with_its_link_also_at_takeover() {
    let bench = Bench::new();
    let open = || Open { session_expiry_secs: 0, ..durable("c") };
    let first = bench.open(open());
    first.subscribe("t", QoS::AtLeastOnce);
    let second = bench.open(open());
    assert!(!second.present);
    second.link.close(Close::Lost, bench.now());
    assert!(bench.broker.sessions().is_empty());
    assert_eq!(bench.publish("t", "m", QoS::AtLeastOnce), 0);
}

#[test]
fn mqtt_3_1_2_23_a_session_ends_when_its_expiry_is_over() {
    let bench = Bench::new();
    let client = bench.durable("c");
    client.subscribe("t", QoS::AtLeastOnce);
    client.link.close(Close::Lost, bench.now());
    assert_eq!(bench.broker.next_deadline(), Some(bench.now().plus_secs(3600)));
    bench.pass_secs(3599);
    assert!(bench.broker.tick(bench.now()).is_empty());
    assert_eq!(bench.broker.sessions().len(), 1);
    bench.pass_secs(1);
    bench.broker.tick(bench.now());
    assert!(bench.broker.sessions().is_empty());
    assert_eq!(bench.broker.next_deadline(), None);
    assert!(!bench.durable("c").present);
}

#[test]
fn an_expired_session_is_gone_even_if_nobody_ticked() {
    let bench = Bench::new();
    bench.durable("c").link.close(Close::Lost, bench.now());
    bench.pass_secs(3600);
    assert!(!bench.durable("c").present);
}

#[test]
fn disconnect_may_change_the_expiry_but_not_raise_it_from_zero() {
    let bench = Bench::new();
    let normal = |secs| Close::Normal { session_expiry_secs: Some(secs) };
    bench.durable("c").link.close(normal(10), bench.now());
    assert_eq!(bench.broker.next_deadline(), Some(bench.now().plus_secs(10)));
    bench.durable("c").link.close(normal(0), bench.now());
    assert!(bench.broker.sessions().is_empty());
    bench.client("c").link.close(normal(10), bench.now());
    assert!(bench.broker.sessions().is_empty());
}

#[test]
fn a_longer_expiry_than_the_limit_is_cut_down_and_told() {
    let bench = Bench::new();
    let client = bench.open(Open { session_expiry_secs: u32::MAX, ..durable("c") });
    assert_eq!(client.expiry, bench.broker.limits().session_expiry_secs);
}

#[test]
fn mqtt_3_1_4_3_a_displaced_link_is_told_and_inert() {
    let bench = Bench::new();
    let old = bench.durable("c");
    old.subscribe("t", QoS::AtLeastOnce);
    bench.publish("t", "m", QoS::AtLeastOnce);
    old.rest();
    let id = old.woken.count();
    let new = bench.durable("c");
    assert!(old.woken.count() >= id);
    assert_eq!(old.drain(bench.now()), (vec![], Some(ReasonCode::SessionTakenOver)));
    old.link.send(Packet::PingResp);
    let asked = [Ok(request("other", QoS::AtLeastOnce))];
    assert!(old.link.subscribe(packet_id(1), None, &asked, bench.now()).is_err());
    old.unsubscribe("t");
    let mut late = publish("t", "", QoS::AtLeastOnce, 1);
    assert_eq!(old.link.begin_publish(&mut late), Err(ReasonCode::SessionTakenOver));
    assert!(old.link.close(Close::Normal { session_expiry_secs: Some(0) }, bench.now()).is_none());
    assert_eq!(new.read(bench.now()), ["m"]);
    assert_eq!(bench.publish("t", "n", QoS::AtLeastOnce), 1);
    assert_eq!(bench.publish("other", "n", QoS::AtLeastOnce), 0);
    assert_eq!(bench.broker.stats().takeovers.get(), 1);
    assert_eq!(bench.broker.stats().connected.get(), 1);
}

#[test]
fn two_users_may_call_a_device_the_same() {
    let bench = Bench::new();
    let alice = bench.device("alice", "phone");
    let bob = bench.device("bob", "phone");
    let nobody = bench.durable("phone");
    for client in [&alice, &bob, &nobody] {
        assert!(!client.present);
        assert_eq!(client.closing(bench.now()), None);
    }
    assert_eq!(bench.broker.sessions().len(), 3);
}

#[test]
fn a_session_survives_a_change_of_version() {
    let bench = Bench::new();
    let client = bench.durable("c");
    client.subscribe("t", QoS::AtLeastOnce);
    client.link.close(Close::Lost, bench.now());
    bench.publish("t", "m", QoS::AtLeastOnce);
    let key = SessionKey::new(None, "c");
    let client =
        bench.open(Open { session_expiry_secs: 60, clean_start: false, ..Open::new(key, Version::V31) });
    assert!(client.present);
    assert_eq!(client.read(bench.now()), ["m"]);
}
