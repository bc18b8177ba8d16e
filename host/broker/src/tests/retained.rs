//! Retained messages.

use std::sync::Arc;

use super::pair::*;
use crate::wire::{MessageProperties, Packet, QoS, RetainHandling};
use crate::{Limits, Requested};

#[test]
fn mqtt_3_3_1_a_new_subscription_gets_the_last_one_of_each_topic_with_retain() {
    let bench = Bench::new();
    bench.retain("a/1", "old", QoS::AtLeastOnce);
    bench.retain("a/1", "new", QoS::AtLeastOnce);
    bench.retain("a/2", "x", QoS::AtMostOnce);
    bench.retain("b", "y", QoS::AtMostOnce);
    bench.publish("a/3", "not retained", QoS::AtMostOnce);
    let client = bench.client("c");
    client.ask(request("a/+", QoS::AtLeastOnce), Some(7));
    let packets = client.packets(bench.now());
    assert!(matches!(packets[0], Packet::SubAck(_)));
    let mut got: Vec<_> = packets[1..]
        .iter()
        .map(|packet| match packet {
            Packet::Publish(p) => (payload(p), p.retain, p.qos, p.subscription_ids.to_vec()),
            other => panic!("{other:?}"),
        })
        .collect();
    got.sort();
    assert_eq!(got, [("new".into(), true, QOS[1], vec![7]), ("x".into(), true, QOS[0], vec![7])]);
    assert_eq!(bench.broker.retained_count(), 3);
    assert_eq!(bench.broker.stats().retained.get(), 3);
}

#[test]
fn mqtt_3_3_1_6_an_empty_payload_deletes_and_is_still_delivered() {
    let bench = Bench::new();
    let live = bench.client("live");
    live.subscribe("t", QoS::AtMostOnce);
    bench.retain("t", "m", QoS::AtMostOnce);
    bench.retain("t", "", QoS::AtMostOnce);
    assert_eq!(payloads(&live.publishes(bench.now())), ["m", ""]);
    let late = bench.client("late");
    late.subscribe("t", QoS::AtMostOnce);
    assert!(late.publishes(bench.now()).is_empty());
    assert_eq!(bench.broker.retained_count(), 0);
}

#[test]
fn mqtt_3_3_1_9_to_11_retain_handling() {
    let bench = Bench::new();
    bench.retain("t", "m", QoS::AtMostOnce);
    let client = bench.client("c");
    for (how, first, again) in
        [(RetainHandling::Send, 1, 1), (RetainHandling::SendIfNew, 1, 0), (RetainHandling::DoNotSend, 0, 0)]
    {
        for expected in [first, again] {
            client.ask(handling("t", QoS::AtMostOnce, how), None);
            assert_eq!(client.publishes(bench.now()).len(), expected, "{how:?}");
        }
        client.unsubscribe("t");
    }
}

#[test]
fn shared_subscriptions_get_no_retained_messages() {
    let bench = Bench::new();
    bench.retain("t", "m", QoS::AtMostOnce);
    let client = bench.client("c");
    client.subscribe("$share/g/t", QoS::AtMostOnce);
    assert!(client.publishes(bench.now()).is_empty());
}

#[test]
fn no_local_holds_for_retained_messages_too() {
    let bench = Bench::new();
    let (me, you) = (bench.client("me"), bench.client("you"));
    let message = Arc::new(bench.message("t", "m", QoS::AtMostOnce).retained());
    bench.broker.publish(&message, Some(&me.link), bench.now());
    for (client, expected) in [(&me, 0), (&you, 1)] {
        client.ask(Requested { no_local: true, ..request("t", QoS::AtMostOnce) }, None);
        assert_eq!(client.publishes(bench.now()).len(), expected);
    }
}

#[test]
fn retained_messages_expire_and_tell_what_is_left() {
    let bench = Bench::new();
    let properties = MessageProperties { message_expiry: Some(10), ..Default::default() };
    let message = bench.message("t", "m", QoS::AtMostOnce).with_properties(Some(Box::new(properties)));
    bench.broker.publish(&Arc::new(message.retained()), None, bench.now());
    assert_eq!(bench.broker.next_deadline(), Some(bench.now().plus_secs(10)));
    bench.pass_secs(4);
    let client = bench.client("c");
    client.subscribe("t", QoS::AtMostOnce);
    let got = client.publishes(bench.now());
    assert_eq!(got[0].properties.as_ref().unwrap().message_expiry, Some(6));
    bench.pass_secs(6);
    let filter = "t".try_into().unwrap();
    assert!(bench.broker.retained(&filter, bench.now()).is_empty(), "not even before the tick");
    bench.broker.tick(bench.now());
    assert_eq!(bench.broker.retained_count(), 0);
    assert_eq!(bench.broker.stats().retained.get(), 0);
}

#[test]
fn the_limit_keeps_new_topics_out_and_lets_known_ones_change() {
    let bench = Bench::with(Limits { retained_messages: 1, ..Limits::default() });
    bench.retain("a", "1", QoS::AtMostOnce);
    bench.retain("b", "2", QoS::AtMostOnce);
    bench.retain("a", "3", QoS::AtMostOnce);
    let all = bench.broker.retained(&"#".try_into().unwrap(), bench.now());
    assert_eq!(all.iter().map(|m| &m.payload[..]).collect::<Vec<_>>(), [b"3"]);
    assert_eq!(bench.broker.stats().dropped_retained.get(), 1);
}

#[test]
fn more_retained_messages_than_the_queue_holds_all_arrive_and_close_nobody() {
    let bench = Bench::with(Limits { queued_messages: 10, ..Limits::default() });
    for n in 0..500 {
        bench.retain(&format!("t/{n}"), "m", QoS::AtLeastOnce);
    }
    let client = bench.client("c");
    client.subscribe("#", QoS::AtLeastOnce);
    bench.publish("live", "l", QoS::AtLeastOnce);
    let got = client.read(bench.now());
    assert_eq!((got.len(), got.last().map(String::as_str)), (501, Some("l")));
}

#[test]
fn the_limit_of_bytes_holds_and_what_goes_makes_room() {
    // Topic and payload: 10 bytes each.
    let bench = Bench::with(Limits { retained_bytes: 20, ..Limits::default() });
    let kept = |topic: &str| {
        let filter = topic.try_into().unwrap();
        bench
            .broker
            .retained(&filter, bench.now())
            .first()
            .map(|m| String::from_utf8(m.payload.to_vec()).unwrap())
    };
    bench.retain("t1", "01234567", QoS::AtMostOnce);
    bench.retain("t2", "01234567", QoS::AtMostOnce);
    bench.retain("t3", "01234567", QoS::AtMostOnce);
    bench.retain("t1", "012345678", QoS::AtMostOnce);
    assert_eq!((kept("t1").as_deref(), kept("t3")), (Some("01234567"), None), "one byte too many");
    assert_eq!(bench.broker.stats().dropped_retained.get(), 2);
    bench.retain("t2", "", QoS::AtMostOnce);
    bench.retain("t3", "01234567", QoS::AtMostOnce);
    bench.retain("t1", "abcdefgh", QoS::AtMostOnce);
    assert_eq!((kept("t1").as_deref(), kept("t3").as_deref()), (Some("abcdefgh"), Some("01234567")));
    let brief = Some(Box::new(MessageProperties { message_expiry: Some(1), ..MessageProperties::default() }));
    bench.retain("t3", "", QoS::AtMostOnce);
    let message = bench.message("t4", "01234567", QoS::AtMostOnce).retained().with_properties(brief);
    bench.broker.publish(&Arc::new(message), None, bench.now());
    bench.pass_secs(2);
    bench.broker.tick(bench.now());
    bench.retain("t5", "01234567", QoS::AtMostOnce);
    assert_eq!(kept("t5").as_deref(), Some("01234567"), "an expired one makes room too");
}
