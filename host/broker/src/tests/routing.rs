//! Who gets what: overlapping subscriptions, options, order, and the pushes that need none.

use std::sync::Arc;

use super::pair::*;
use crate::wire::{Packet, QoS, ReasonCode};
use crate::{Limits, Requested};

#[test]
fn overlapping_subscriptions_bring_one_copy_with_the_highest_qos_and_all_identifiers() {
    let bench = Bench::new();
    let client = bench.client("c");
    let other = bench.client("o");
    client.ask(request("a/+", QoS::AtMostOnce), Some(1));
    client.ask(request("a/#", QoS::ExactlyOnce), Some(2));
    client.ask(request("#", QoS::AtLeastOnce), None);
    other.ask(request("a/#", QoS::AtMostOnce), Some(9));
    assert_eq!(bench.publish("a/b", "m", QoS::ExactlyOnce), 2);
    let got = client.publishes(bench.now());
    assert_eq!(got.len(), 1);
    assert_eq!(got[0].qos, QoS::ExactlyOnce);
    let mut ids = got[0].subscription_ids.to_vec();
    ids.sort_unstable();
    assert_eq!(ids, [1, 2], "[MQTT-3.3.4-3, 3.3.4-5]");
    assert_eq!(other.publishes(bench.now())[0].subscription_ids[..], [9]);
}

#[test]
fn mqtt_3_8_4_3_the_same_filter_again_replaces_the_subscription() {
    let bench = Bench::new();
    let client = bench.client("c");
    client.ask(request("t", QoS::AtMostOnce), Some(1));
    client.ask(request("t", QoS::AtLeastOnce), Some(2));
    bench.publish("t", "m", QoS::AtLeastOnce);
    let got = client.publishes(bench.now());
    assert_eq!((got.len(), got[0].qos, &got[0].subscription_ids[..]), (1, QoS::AtLeastOnce, &[2][..]));
    assert_eq!(bench.broker.stats().subscriptions.get(), 1);
}

#[test]
fn mqtt_3_8_3_3_no_local_spares_the_publisher_only() {
    let bench = Bench::new();
    let (me, you) = (bench.client("me"), bench.client("you"));
    for client in [&me, &you] {
        client.ask(Requested { no_local: true, ..request("t", QoS::AtMostOnce) }, None);
    }
    let message = Arc::new(bench.message("t", "m", QoS::AtMostOnce));
    assert_eq!(bench.broker.publish(&message, Some(&me.link), bench.now()), 1);
    assert!(me.publishes(bench.now()).is_empty());
    assert_eq!(you.publishes(bench.now()).len(), 1);
    me.subscribe("#", QoS::AtMostOnce);
    bench.broker.publish(&message, Some(&me.link), bench.now());
    assert_eq!(me.publishes(bench.now()).len(), 1, "another subscription does not forbid it");
}

#[test]
fn mqtt_3_3_1_12_and_13_retain_as_published() {
    let bench = Bench::new();
    let (keeps, clears) = (bench.client("k"), bench.client("c"));
    keeps.ask(Requested { retain_as_published: true, ..request("t", QoS::AtMostOnce) }, None);
    clears.subscribe("t", QoS::AtMostOnce);
    bench.retain("t", "m", QoS::AtMostOnce);
    bench.publish("t", "n", QoS::AtMostOnce);
    let flags = |client: &Client| client.publishes(bench.now()).iter().map(|p| p.retain).collect::<Vec<_>>();
    assert_eq!(flags(&keeps), [true, false]);
    assert_eq!(flags(&clears), [false, false]);
}

#[test]
fn mqtt_4_6_0_5_order_is_kept_over_all_qos() {
    let bench = Bench::new();
    let client = bench.client("c");
    client.subscribe("#", QoS::ExactlyOnce);
    let sent: Vec<String> = (0..100).map(|n| n.to_string()).collect();
    for (n, payload) in sent.iter().enumerate() {
        bench.publish(["a", "b"][n % 2], payload, QOS[n % 3]);
    }
    assert_eq!(client.read(bench.now()), sent);
}

#[test]
fn subscribe_answers_for_each_filter_in_order() {
    let bench = Bench::with(Limits { subscriptions: 2, ..Limits::default() });
    let client = bench.client("c");
    let filters = [
        Ok(request("a", QoS::AtMostOnce)),
        Err(ReasonCode::NotAuthorized),
        Ok(request("b", QoS::ExactlyOnce)),
        Ok(request("c", QoS::AtLeastOnce)),
    ];
    let reasons = client.link.subscribe(packet_id(3), None, &filters, bench.now()).unwrap();
    let expected =
        [ReasonCode::Success, ReasonCode::NotAuthorized, ReasonCode::GrantedQoS2, ReasonCode::QuotaExceeded];
    assert_eq!(reasons, expected);
    assert_eq!(suback_reasons(&client.packets(bench.now())[0]), expected);
    assert_eq!(client.link.subscriptions().len(), 2);
}

#[test]
fn mqtt_3_8_3_4_no_local_on_a_shared_subscription_is_a_protocol_error() {
    let bench = Bench::new();
    let client = bench.client("c");
    let asked = Requested { no_local: true, ..request("$share/g/t", QoS::AtMostOnce) };
    let answer = client.link.subscribe(packet_id(1), None, &[Ok(asked)], bench.now());
    assert_eq!(answer, Err(ReasonCode::ProtocolError));
    assert!(client.packets(bench.now()).is_empty());
}

#[test]
fn mqtt_3_10_4_unsubscribe_stops_delivery_and_answers_for_each_filter() {
    let bench = Bench::new();
    let client = bench.client("c");
    client.subscribe("t", QoS::AtLeastOnce);
    bench.publish("t", "before", QoS::AtLeastOnce);
    let filters = ["t", "t"].map(|filter| Ok(filter.try_into().unwrap()));
    let reasons = client.link.unsubscribe(packet_id(4), &filters);
    assert_eq!(reasons, [ReasonCode::Success, ReasonCode::NoSubscriptionExisted]);
    assert_eq!(bench.publish("t", "after", QoS::AtLeastOnce), 0);
    let packets = client.packets(bench.now());
    assert_eq!(suback_reasons(&packets[1]), reasons);
    assert!(matches!(&packets[2], Packet::Publish(p) if payload(p) == "before"), "[MQTT-3.10.4-3]");
}

#[test]
fn leaving_sessions_leave_nothing_in_the_router() {
    let bench = Bench::new();
    for n in 0..10 {
        let client = bench.client(&n.to_string());
        for filter in ["a/+", "b/#", "$share/g/c"] {
            client.subscribe(filter, QoS::AtMostOnce);
        }
        if n % 2 == 0 {
            client.unsubscribe("b/#");
        }
        client.link.close(crate::Close::Lost, bench.now());
    }
    let stats = bench.broker.stats();
    assert_eq!((stats.sessions.get(), stats.connected.get(), stats.subscriptions.get()), (0, 0, 0));
    assert_eq!(bench.publish("a/x", "m", QoS::AtMostOnce) + bench.publish("c", "m", QoS::AtMostOnce), 0);
}

#[test]
fn a14_a_push_reaches_all_online_devices_of_the_user_and_no_one_else() {
    let bench = Bench::new();
    let (phone, pc) = (bench.device("alice", "phone"), bench.device("alice", "pc"));
    let bob = bench.device("bob", "phone");
    let asleep = bench.device("alice", "old");
    asleep.link.close(crate::Close::Lost, bench.now());
    let message = Arc::new(bench.message("status/bob", "online", QoS::AtLeastOnce));
    assert_eq!(bench.broker.deliver_to_user("alice", &message, bench.now()), 2);
    for (client, count) in [(phone, 1), (pc, 1), (bob, 0), (bench.device("alice", "old"), 0)] {
        assert_eq!(client.publishes(bench.now()).len(), count);
    }
    let one = bench.device("carol", "phone");
    assert!(bench.broker.deliver_to_link(&one.link, &message));
    assert_eq!(one.publishes(bench.now()).len(), 1);
}
