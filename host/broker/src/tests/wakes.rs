//! Who is woken, and how often.

use super::pair::*;
use crate::wire::{Packet, QoS};
use crate::{Cursor, Open};

#[test]
fn a_hundred_messages_in_a_row_wake_a_subscriber_once() {
    let bench = Bench::new();
    let client = bench.client("c");
    client.subscribe("t", QoS::AtMostOnce);
    client.packets(bench.now());
    client.rest();
    assert_eq!(client.woken.count(), 0);
    for _ in 0..100 {
        bench.publish("t", "m", QoS::AtMostOnce);
    }
    assert_eq!(client.woken.count(), 1);
    assert_eq!(client.read(bench.now()).len(), 100);
    client.rest();
    bench.publish("t", "m", QoS::AtMostOnce);
    assert_eq!(client.woken.count(), 2);
}

#[test]
fn registering_with_something_to_do_wakes_at_once() {
    let bench = Bench::new();
    let client = bench.client("c");
    client.link.send(Packet::PingResp);
    client.rest();
    assert_eq!(client.woken.count(), 1);
    client.packets(bench.now());
    client.rest();
    assert_eq!(client.woken.count(), 1);
    client.link.send(Packet::PingResp);
    assert_eq!(client.woken.count(), 2);
}

#[test]
fn a_closed_window_is_no_reason_to_wake_and_an_acknowledgement_is() {
    let bench = Bench::new();
    let client = bench.open(Open { receive_maximum: 1, ..durable("c") });
    client.subscribe("t", QoS::AtLeastOnce);
    bench.publish("t", "1", QoS::AtLeastOnce);
    bench.publish("t", "2", QoS::AtLeastOnce);
    let got = client.publishes(bench.now());
    client.rest();
    bench.publish("t", "3", QoS::AtLeastOnce);
    assert_eq!(client.woken.count(), 0);
    client.acknowledge(&got[0]);
    assert_eq!(client.woken.count(), 1);
    assert_eq!(client.read(bench.now()), ["2", "3"]);
}

#[test]
fn drain_stops_at_the_bytes_it_is_given_and_says_that_there_is_more() {
    let bench = Bench::new();
    let client = bench.client("c");
    client.subscribe("t", QoS::AtMostOnce);
    client.packets(bench.now());
    for _ in 0..10 {
        bench.publish("t", &"x".repeat(100), QoS::AtMostOnce);
    }
    let mut out = bytes::BytesMut::new();
    assert!(client.link.drain(&mut out, 250, bench.now()).more);
    assert!((250..400).contains(&out.len()), "{}", out.len());
    let mut rounds = 1;
    while client.link.drain(&mut out, 250, bench.now()).more {
        rounds += 1;
    }
    assert_eq!(rounds, 3);
    assert_eq!(out.len(), 10 * 106);
}

#[test]
fn a_feed_that_needs_a_page_wakes_its_link() {
    let bench = Bench::new();
    let client = bench.device("alice", "phone");
    client.packets(bench.now());
    client.rest();
    client.link.start_feed(Cursor::default(), QoS::AtLeastOnce);
    assert_eq!(client.woken.count(), 1);
    client.rest();
    assert_eq!(client.woken.count(), 2, "until it asks");
    assert_eq!(client.link.feed_wants(), Some(0));
    client.rest();
    assert_eq!(client.woken.count(), 2);
    client.link.feed_page(vec![], true);
    assert_eq!(client.woken.count(), 3);
}

#[test]
fn a_takeover_wakes_the_displaced_link() {
    let bench = Bench::new();
    let old = bench.durable("c");
    old.rest();
    let _new = bench.durable("c");
    assert_eq!(old.woken.count(), 1);
    old.rest();
    assert_eq!(old.woken.count(), 2, "and whenever it thinks of resting");
}
