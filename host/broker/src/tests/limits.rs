//! Slow readers, full queues, and what a session costs at rest.

use super::pair::*;
use crate::wire::{Packet, QoS, ReasonCode};
use crate::{Close, Limits};

fn four() -> Limits {
    Limits { queued_messages: 4, ..Limits::default() }
}

#[test]
fn a_full_queue_drops_new_qos_0() {
    let bench = Bench::with(four());
    let client = bench.client("c");
    client.subscribe("t", QoS::AtMostOnce);
    for n in 0..6 {
        bench.publish("t", &n.to_string(), QoS::AtMostOnce);
    }
    assert_eq!(client.read(bench.now()), ["0", "1", "2", "3"]);
    assert_eq!(bench.broker.stats().dropped_queue_full.get(), 2);
}

#[test]
fn qos_0_makes_room_for_qos_1() {
    let bench = Bench::with(four());
    let client = bench.client("c");
    client.subscribe("t", QoS::AtLeastOnce);
    for n in 0..4 {
        bench.publish("t", &n.to_string(), QOS[n % 2]);
    }
    bench.publish("t", "4", QoS::AtLeastOnce);
    assert_eq!(client.read(bench.now()), ["1", "3", "4"]);
    assert_eq!(client.closing(bench.now()), None);
}

#[test]
fn a_slow_reader_of_qos_1_is_closed_with_0x97_and_keeps_its_queue() {
    for limits in [four(), Limits { queued_bytes: 8, ..Limits::default() }] {
        let bench = Bench::with(limits);
        let client = bench.durable("c");
        client.subscribe("t", QoS::AtLeastOnce);
        for n in 0..6 {
            bench.publish("t", &n.to_string(), QoS::AtLeastOnce);
        }
        assert_eq!(client.closing(bench.now()), Some(ReasonCode::QuotaExceeded));
        assert_eq!(bench.broker.stats().slow_readers.get(), 1);
        client.link.close(Close::Lost, bench.now());
        assert_eq!(bench.durable("c").read(bench.now()), ["0", "1", "2", "3"]);
    }
}

#[test]
fn a_client_that_comes_back_to_a_full_queue_is_not_closed_for_it() {
    let bench = Bench::with(four());
    let client = bench.durable("c");
    client.subscribe("t", QoS::AtLeastOnce);
    client.link.close(Close::Lost, bench.now());
    for n in 0..6 {
        bench.publish("t", &n.to_string(), QoS::AtLeastOnce);
    }
    let client = bench.durable("c");
    bench.publish("t", "6", QoS::AtLeastOnce);
    assert_eq!(client.read(bench.now()), ["0", "1", "2", "3"]);
    bench.publish("t", "7", QoS::AtLeastOnce);
    assert_eq!(client.read(bench.now()), ["7"]);
}

#[test]
fn one_message_of_any_size_fits_an_empty_queue() {
    let bench = Bench::with(Limits { queued_bytes: 8, ..Limits::default() });
    let client = bench.client("c");
    client.subscribe("t", QoS::AtLeastOnce);
    let long = "x".repeat(100);
    bench.publish("t", &long, QoS::AtLeastOnce);
    assert_eq!(client.read(bench.now()), [long]);
}

#[test]
fn messages_taken_over_by_the_link_still_count() {
    let bench = Bench::with(four());
    let mut open = durable("c");
    open.receive_maximum = 1;
    let client = bench.open(open);
    client.subscribe("t", QoS::AtLeastOnce);
    for n in 0..5 {
        bench.publish("t", &n.to_string(), QoS::AtLeastOnce);
        if n == 0 {
            assert_eq!(client.publishes(bench.now()).len(), 1);
        } else {
            assert!(client.publishes(bench.now()).is_empty(), "the window is closed");
        }
    }
    assert_eq!(bench.broker.sessions()[0].queued_messages, 4);
    bench.publish("t", "5", QoS::AtLeastOnce);
    assert_eq!(client.closing(bench.now()), Some(ReasonCode::QuotaExceeded));
}

#[test]
fn control_packets_that_nobody_reads_are_bounded_too() {
    let bench = Bench::with(Limits { queued_control_bytes: 100, ..Limits::default() });
    let client = bench.client("c");
    for _ in 0..100 {
        client.link.send(Packet::PingResp);
    }
    assert_eq!(client.closing(bench.now()), Some(ReasonCode::QuotaExceeded));
}

/// 3.1 and 4 of issue 3's cost list: what an idle link holds apart from its filters and key.
#[test]
fn a_session_at_rest_is_small() {
    assert!(size_of::<crate::session::Session>() <= 448, "{}", size_of::<crate::session::Session>());
    assert!(size_of::<crate::Link>() <= 40, "{}", size_of::<crate::Link>());
    assert!(size_of::<crate::queue::Queued>() <= 48, "{}", size_of::<crate::queue::Queued>());
}

#[test]
fn a_session_gives_back_what_a_burst_needed() {
    let bench = Bench::new();
    let client = bench.client("c");
    client.subscribe("t", QoS::AtLeastOnce);
    for _ in 0..1000 {
        bench.publish("t", "m", QoS::AtLeastOnce);
    }
    assert_eq!(client.read(bench.now()).len(), 1000);
    client.rest();
    let info = bench.broker.session(client.link.key()).unwrap();
    assert_eq!((info.queued_messages, info.queued_bytes, info.inflight), (0, 0, 0));
    assert!(client.link.session().capacity() <= 12);
}
