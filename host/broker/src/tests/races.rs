//! Threads against each other: nothing is lost, doubled, out of order, or left asleep.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Barrier};
use std::task::{Wake, Waker};
use std::thread;

use super::pair::*;
use crate::wire::{QoS, ReasonCode};
use crate::{Broker, Close, Link, Message, Open, Requested, SessionKey, Timestamp};

const NOW: Timestamp = Timestamp(1);

/// Unparks a thread: the smallest runtime there is.
struct Unpark(thread::Thread, AtomicBool);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.1.store(true, SeqCst);
        self.0.unpark();
    }
}

fn message(topic: &str, payload: String, qos: QoS) -> Arc<Message> {
    Arc::new(Message::new(topic.try_into().unwrap(), payload, qos, NOW))
}

fn open(broker: &Broker, id: &str) -> Link {
    broker.open(Open { ..durable(id) }, NOW).link
}

fn subscribe(link: &Link, filter: &str) {
    let asked: Requested = request(filter, QoS::AtLeastOnce);
    link.subscribe(packet_id(1), None, &[Ok(asked)], NOW).unwrap();
}

/// Reads and acknowledges until `count` messages came, sleeping whenever there is nothing to do: a
/// lost wake-up hangs the test.
fn read(client: &Client, count: usize) -> Vec<String> {
    let unpark = Arc::new(Unpark(thread::current(), AtomicBool::new(false)));
    let waker = Waker::from(Arc::clone(&unpark));
    let mut got = Vec::new();
    while got.len() < count {
        let new = client.read(NOW);
        if !new.is_empty() {
            got.extend(new);
            continue;
        }
        client.link.register(&waker);
        while !unpark.1.swap(false, SeqCst) {
            thread::park();
        }
    }
    got
}

#[test]
fn publishers_keep_their_order_and_the_subscriber_is_never_left_asleep() {
    let bench = Bench::new();
    let client = bench.client("c");
    client.subscribe("t/+", QoS::AtLeastOnce);
    let broker = &bench.broker;
    thread::scope(|scope| {
        for publisher in 0..2 {
            scope.spawn(move || {
                for n in 0..3000 {
                    let qos = QOS[n % 2];
                    // QoS 0 may be dropped at the limit only, which 6,000 do not reach.
                    let message = message(&format!("t/{publisher}"), format!("{publisher} {n}"), qos);
                    assert_eq!(broker.publish(&message, None, NOW), 1);
                }
            });
        }
        let got = read(&client, 6000);
        for publisher in ["0", "1"] {
            let of = got
                .iter()
                .filter_map(|p| p.strip_prefix(publisher))
                .map(|n| n.trim().parse::<usize>().unwrap());
            assert!(of.eq(0..3000));
        }
    });
}

#[test]
fn takeovers_against_publishers_lose_no_qos_1_message() {
    let bench = Bench::new();
    let first = bench.durable("c");
    first.subscribe("t", QoS::AtLeastOnce);
    let broker = &bench.broker;
    let sent = AtomicUsize::new(0);
    let mut got = Vec::new();
    thread::scope(|scope| {
        scope.spawn(|| {
            for n in 0..2000 {
                assert_eq!(broker.publish(&message("t", n.to_string(), QoS::AtLeastOnce), None, NOW), 1);
                sent.fetch_add(1, SeqCst);
            }
        });
        let mut client = first;
        while sent.load(SeqCst) < 2000 {
            // Some are read and not acknowledged when the next link takes over.
            client.publishes(NOW);
            client = bench.durable("c");
            assert!(client.present);
            got.extend(client.read(NOW));
        }
        got.extend(client.read(NOW));
    });
    let numbers: Vec<usize> = got.iter().map(|n| n.parse().unwrap()).collect();
    assert!(numbers.into_iter().eq(0..2000), "each once and in order: it was acknowledged when read");
}

#[test]
fn two_links_racing_for_a_session_leave_exactly_one() {
    let broker = Broker::new(Default::default());
    for _ in 0..200 {
        let start = Barrier::new(2);
        let links: Vec<Link> = thread::scope(|scope| {
            let racers: Vec<_> = (0..2)
                .map(|_| {
                    scope.spawn(|| {
                        start.wait();
                        open(&broker, "c")
                    })
                })
                .collect();
            racers.into_iter().map(|racer| racer.join().unwrap()).collect()
        });
        assert_eq!(links.iter().filter(|link| link.is_attached()).count(), 1);
        assert_eq!(broker.sessions().len(), 1);
        assert_eq!(broker.stats().connected.get(), 1);
        for link in links {
            link.close(Close::Lost, NOW);
        }
        assert_eq!(broker.stats().connected.get(), 0);
    }
}

#[test]
fn sessions_that_end_while_others_publish_leave_nothing_behind() {
    let broker = Broker::new(Default::default());
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(SeqCst) {
                broker.publish(&message("t", "m".into(), QoS::AtLeastOnce), None, NOW);
            }
        });
        for n in 0..500 {
            let key = SessionKey::new(None, &(n % 3).to_string());
            let link = broker.open(Open::new(key, crate::wire::Version::V5), NOW).link;
            subscribe(&link, "t");
            subscribe(&link, "$share/g/t");
            if n % 2 == 0 {
                broker.disconnect(link.key(), ReasonCode::AdministrativeAction);
            }
            link.close(Close::Lost, NOW);
        }
        stop.store(true, SeqCst);
    });
    let stats = broker.stats();
    assert_eq!((stats.sessions.get(), stats.connected.get(), stats.subscriptions.get()), (0, 0, 0));
    assert_eq!(broker.publish(&message("t", "m".into(), QoS::AtLeastOnce), None, NOW), 0);
}

#[test]
fn a_newer_retained_message_never_comes_before_an_older_one() {
    let bench = Bench::new();
    let broker = &bench.broker;
    for round in 0..100 {
        let client = bench.client("c");
        let topic = format!("t/{round}");
        let start = Barrier::new(2);
        thread::scope(|scope| {
            scope.spawn(|| {
                start.wait();
                for n in 0..20 {
                    let message =
                        Message::clone(&message(&topic, n.to_string(), QoS::AtLeastOnce)).retained();
                    broker.publish(&Arc::new(message), None, NOW);
                }
            });
            start.wait();
            client.subscribe(&topic, QoS::AtLeastOnce);
        });
        let got: Vec<u32> = client.read(NOW).iter().map(|n| n.parse().unwrap()).collect();
        assert!(got.is_sorted(), "{got:?}");
        assert_eq!(got.last(), Some(&19));
    }
}
