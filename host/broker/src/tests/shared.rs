//! Shared subscriptions (5.0, section 4.8.2).

use super::pair::*;
use crate::wire::{Ack, QoS, ReasonCode};
use crate::{Close, Limits, Open};

const F: &str = "$share/g/t";

#[test]
fn each_message_goes_to_one_member_in_turn() {
    let bench = Bench::new();
    let members: Vec<_> = (0..3).map(|n| bench.client(&n.to_string())).collect();
    members.iter().for_each(|member| assert!(!member.subscribe(F, QoS::AtLeastOnce).is_error()));
    for n in 0..9 {
        assert_eq!(bench.publish("t", &n.to_string(), QoS::AtLeastOnce), 1);
    }
    for (n, member) in members.iter().enumerate() {
        assert_eq!(member.read(bench.now()), [n, n + 3, n + 6].map(|n| n.to_string()));
    }
}

#[test]
fn groups_and_plain_subscriptions_stand_apart() {
    let bench = Bench::new();
    let client = bench.client("c");
    client.ask(request(F, QoS::AtMostOnce), Some(1));
    client.ask(request("$share/h/t", QoS::AtLeastOnce), Some(2));
    client.ask(request("t", QoS::ExactlyOnce), Some(3));
    assert_eq!(bench.publish("t", "m", QoS::ExactlyOnce), 3);
    let mut got = client.publishes(bench.now());
    got.sort_by_key(|p| p.qos);
    let seen: Vec<_> = got.iter().map(|p| (p.qos, p.subscription_ids.to_vec())).collect();
    assert_eq!(seen, [(QOS[0], vec![1]), (QOS[1], vec![2]), (QOS[2], vec![3])]);
}

#[test]
fn members_that_are_online_come_first_and_a_sleeping_group_queues() {
    let bench = Bench::new();
    let (a, b) = (bench.durable("a"), bench.durable("b"));
    for client in [&a, &b] {
        client.subscribe(F, QoS::AtLeastOnce);
    }
    b.link.close(Close::Lost, bench.now());
    for n in 0..4 {
        bench.publish("t", &n.to_string(), QoS::AtLeastOnce);
    }
    assert_eq!(a.read(bench.now()).len(), 4);
    a.link.close(Close::Lost, bench.now());
    for n in 0..4 {
        bench.publish("t", &n.to_string(), QoS::AtLeastOnce);
        bench.publish("t", "lost", QoS::AtMostOnce);
    }
    assert_eq!(bench.durable("a").read(bench.now()).len(), 2);
    assert_eq!(bench.durable("b").read(bench.now()).len(), 2);
}

#[test]
fn a_leaving_members_unacknowledged_messages_go_to_another() {
    let bench = Bench::new();
    let leaver = bench.durable("leaver");
    leaver.subscribe(F, QoS::ExactlyOnce);
    for n in 0..4 {
        bench.publish("t", &n.to_string(), QOS[1 + n % 2]);
    }
    let got = leaver.publishes(bench.now());
    leaver.acknowledge(&got[0]);
    bench.publish("t", "queued", QoS::ExactlyOnce);
    let heir = bench.durable("heir");
    heir.subscribe(F, QoS::ExactlyOnce);
    leaver.link.close(Close::Lost, bench.now());
    assert!(heir.publishes(bench.now()).is_empty(), "it may come back [MQTT-4.8.2-4]");
    bench.pass_secs(3600);
    bench.broker.tick(bench.now());
    // [MQTT-4.8.2-5]: 1 and 3 are on their way in QoS 2 and go to nobody else.
    assert_eq!(heir.read(bench.now()), ["2", "queued"]);
}

#[test]
fn what_a_closed_window_held_back_goes_to_another_too() {
    let bench = Bench::new();
    let leaver = bench.open(Open { receive_maximum: 1, session_expiry_secs: 0, ..durable("leaver") });
    leaver.subscribe(F, QoS::AtLeastOnce);
    for n in 0..3 {
        bench.publish("t", &n.to_string(), QoS::AtLeastOnce);
    }
    assert_eq!(leaver.publishes(bench.now()).len(), 1);
    let heir = bench.client("heir");
    heir.subscribe(F, QoS::AtLeastOnce);
    leaver.link.close(Close::Lost, bench.now());
    assert_eq!(heir.read(bench.now()), ["0", "1", "2"]);
}

#[test]
fn the_last_member_may_leave_with_unacknowledged_messages() {
    let bench = Bench::new();
    let client = bench.client("c");
    client.subscribe(F, QoS::AtLeastOnce);
    bench.publish("t", "1", QoS::AtLeastOnce);
    assert_eq!(client.publishes(bench.now()).len(), 1);
    bench.publish("t", "2", QoS::AtLeastOnce);
    client.link.close(Close::Lost, bench.now());
    assert_eq!(bench.publish("t", "3", QoS::AtLeastOnce), 0);
}

#[test]
fn unsubscribing_hands_on_what_was_not_written_and_keeps_what_was() {
    let bench = Bench::new();
    let (a, b) = (bench.client("a"), bench.client("b"));
    a.subscribe(F, QoS::AtLeastOnce);
    a.subscribe("own", QoS::AtLeastOnce);
    bench.publish("t", "written", QoS::AtLeastOnce);
    let written = a.publishes(bench.now());
    bench.publish("t", "waiting", QoS::AtLeastOnce);
    bench.publish("own", "mine", QoS::AtLeastOnce);
    b.subscribe(F, QoS::AtLeastOnce);
    assert_eq!(a.unsubscribe(F), ReasonCode::Success);
    assert_eq!(b.read(bench.now()), ["waiting"]);
    a.acknowledge(&written[0]);
    assert_eq!(a.read(bench.now()), ["mine"]);
}

#[test]
fn mqtt_4_8_2_6_a_refused_message_is_not_tried_on_another_member() {
    let bench = Bench::new();
    let (a, b) = (bench.client("a"), bench.client("b"));
    for client in [&a, &b] {
        client.subscribe(F, QoS::AtLeastOnce);
    }
    bench.publish("t", "m", QoS::AtLeastOnce);
    let id = a.publishes(bench.now())[0].packet_id.unwrap();
    a.link.puback(&Ack::new(id, ReasonCode::NotAuthorized)).unwrap();
    a.link.close(Close::Lost, bench.now());
    assert!(b.publishes(bench.now()).is_empty());
}

#[test]
fn a_member_without_room_is_passed_by_and_not_closed() {
    let bench = Bench::with(Limits { queued_messages: 2, ..Limits::default() });
    let (slow, quick) = (bench.client("slow"), bench.client("quick"));
    for client in [&slow, &quick] {
        client.subscribe(F, QoS::AtLeastOnce);
    }
    let mut read = 0;
    for n in 0..10 {
        bench.publish("t", &n.to_string(), QoS::AtLeastOnce);
        read += quick.read(bench.now()).len();
    }
    assert_eq!(read, 8);
    assert_eq!(slow.read(bench.now()).len(), 2);
    assert_eq!(slow.closing(bench.now()), None);
}
