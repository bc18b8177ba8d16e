//! Sessions over a restart: what was acknowledged is there again, and nothing is kept of who has
//! nothing to keep.

use super::disk::Disk;
use super::pair::*;
use crate::wire::{Packet, QoS, Version};
use crate::{Close, Limits, Open, SessionKey};

struct Node {
    bench: Bench,
    disk: Disk,
}

impl Node {
    fn new() -> Self {
        let mut bench = Bench::new();
        bench.broker = Disk::default().start(Limits::default(), bench.now());
        Node { bench, disk: Disk::default() }
    }

    fn write(&mut self) {
        self.disk.write(&self.bench.broker);
    }

    /// What is not written is lost.
    fn kill(&mut self) {
        self.bench.broker = self.disk.start(Limits::default(), self.bench.now());
    }
}

#[test]
fn subscriptions_and_queued_messages_are_there_after_a_kill() {
    let mut node = Node::new();
    let client = node.bench.durable("c");
    client.subscribe("a/+", QoS::AtLeastOnce);
    client.link.close(Close::Lost, node.bench.now());
    node.bench.publish("a/1", "one", QoS::AtLeastOnce);
    node.bench.publish("a/2", "none", QoS::AtMostOnce);
    node.write();
    node.bench.publish("a/3", "unwritten", QoS::AtLeastOnce);
    node.kill();
    node.bench.publish("a/4", "two", QoS::ExactlyOnce);

    let client = node.bench.durable("c");
    assert!(client.present);
    let texts = client.read(node.bench.now());
    assert_eq!(texts, ["one", "two"]);
}

#[test]
fn an_acknowledgement_waits_until_what_it_says_is_written() {
    let mut node = Node::new();
    let client = node.bench.durable("c");
    client.subscribe("a", QoS::AtLeastOnce);
    let mark = client.mark(node.bench.now());
    assert!(!node.bench.broker.is_settled(mark), "SUBACK");
    node.write();
    assert!(node.bench.broker.is_settled(mark));

    let publisher = node.bench.client("p");
    let message = std::sync::Arc::new(node.bench.message("a", "m", QoS::AtLeastOnce));
    node.bench.broker.publish(&message, Some(&publisher.link), node.bench.now());
    let mark = publisher.mark(node.bench.now());
    assert!(!node.bench.broker.is_settled(mark), "PUBACK");
    node.write();
    assert!(node.bench.broker.is_settled(mark));
}

#[test]
fn qos_0_and_clean_sessions_wait_for_nothing_and_keep_nothing() {
    let mut node = Node::new();
    let (clean, durable) = (node.bench.client("clean"), node.bench.durable("durable"));
    clean.subscribe("#", QoS::ExactlyOnce);
    node.write();
    assert_eq!(node.disk.size(), (0, 0), "a session without anything to keep");
    durable.subscribe("#", QoS::ExactlyOnce);
    node.write();
    let publisher = node.bench.client("p");
    for qos in [QoS::AtMostOnce, QoS::AtMostOnce] {
        let message = std::sync::Arc::new(node.bench.message("a", "m", qos));
        node.bench.broker.publish(&message, Some(&publisher.link), node.bench.now());
    }
    assert!(node.bench.broker.is_settled(publisher.mark(node.bench.now())));
    assert!(node.bench.broker.is_settled(clean.mark(node.bench.now())));
    node.write();
    assert_eq!(node.disk.size(), (1, 0));
}

#[test]
fn an_ended_session_leaves_nothing() {
    let mut node = Node::new();
    let client = node.bench.durable("c");
    client.subscribe("a", QoS::AtLeastOnce);
    node.bench.publish("a", "m", QoS::AtLeastOnce);
    node.write();
    assert_eq!(node.disk.size(), (1, 1));
    let anew = node.bench.open(Open { clean_start: true, ..durable("c") });
    assert!(!anew.present);
    assert!(!node.bench.broker.is_settled(anew.mark(node.bench.now())), "CONNACK says it is gone");
    node.write();
    assert_eq!(node.disk.size(), (0, 0));
}

#[test]
fn a_session_expires_while_nobody_runs() {
    let mut node = Node::new();
    let client = node.bench.durable("c");
    client.subscribe("a", QoS::AtLeastOnce);
    client.link.close(Close::Lost, node.bench.now());
    node.write();
    node.bench.pass_secs(3601);
    node.kill();
    node.bench.broker.tick(node.bench.now());
    node.write();
    assert_eq!(node.disk.size(), (0, 0));
    assert!(!node.bench.durable("c").present);
}

#[test]
fn retained_messages_come_back_and_forgotten_ones_do_not() {
    let mut node = Node::new();
    node.bench.retain("kept", "k", QoS::AtLeastOnce);
    node.bench.retain("gone", "g", QoS::AtMostOnce);
    node.write();
    node.bench.retain("gone", "", QoS::AtMostOnce);
    node.write();
    node.kill();
    let client = node.bench.client("c");
    client.subscribe("#", QoS::AtLeastOnce);
    let texts = client.read(node.bench.now());
    assert_eq!(texts, ["k"]);
}

#[test]
fn a_delayed_will_is_published_by_the_next_process() {
    let mut node = Node::new();
    let client = node.bench.open(Open { will: Some(will("w", 60)), ..durable("c") });
    client.link.close(Close::Lost, node.bench.now());
    node.write();
    node.bench.pass_secs(30);
    node.kill();
    assert!(node.bench.broker.tick(node.bench.now()).is_empty());
    node.bench.pass_secs(31);
    let due = node.bench.broker.tick(node.bench.now());
    assert_eq!(due.iter().map(|due| &due.will.payload[..]).collect::<Vec<_>>(), [b"gone"]);
    node.write();
    node.kill();
    node.bench.pass_secs(100);
    assert!(node.bench.broker.tick(node.bench.now()).is_empty(), "published once");
}

#[test]
fn what_is_in_flight_keeps_its_packet_identifier() {
    let mut node = Node::new();
    let client = node.bench.durable("c");
    client.subscribe("a", QoS::ExactlyOnce);
    for text in ["1", "2"] {
        node.bench.publish("a", text, QoS::ExactlyOnce);
    }
    let sent = client.publishes(node.bench.now());
    assert!(!node.bench.broker.is_settled(client.mark(node.bench.now())), "not written before it is kept");
    client.link.pubrec(&success(sent[0].packet_id.unwrap())).unwrap();
    node.write();
    node.kill();
    let client = node.bench.durable("c");
    let again = client.packets(node.bench.now());
    let ids: Vec<_> = again
        .iter()
        .filter_map(|packet| match packet {
            Packet::PubRel(ack) => Some((None, ack.packet_id)),
            Packet::Publish(publish) => Some((Some(publish.dup), publish.packet_id.unwrap())),
            _ => None,
        })
        .collect();
    assert_eq!(ids, [(None, sent[0].packet_id.unwrap()), (Some(true), sent[1].packet_id.unwrap())]);
}

#[test]
fn a_qos_2_publish_that_was_taken_is_known_after_a_kill() {
    let mut node = Node::new();
    let client = node.bench.durable("c");
    let id = packet_id(7);
    assert_eq!(client.link.begin_publish(&mut publish("a", "", QoS::ExactlyOnce, 7)), Ok(crate::Begin::New));
    client.link.finish_publish(id, QoS::ExactlyOnce, crate::wire::ReasonCode::Success, None);
    node.write();
    node.kill();
    let client = node.bench.durable("c");
    let mut again = publish("a", "", QoS::ExactlyOnce, 7);
    assert_eq!(client.link.begin_publish(&mut again), Ok(crate::Begin::Duplicate));
    client.link.finish_publish(id, QoS::ExactlyOnce, crate::wire::ReasonCode::Success, None);
    client.link.pubrel(&success(id)).unwrap();
    node.write();
    node.kill();
    let client = node.bench.durable("c");
    assert_eq!(client.link.begin_publish(&mut publish("a", "", QoS::ExactlyOnce, 7)), Ok(crate::Begin::New));
}

#[test]
fn shared_subscriptions_find_their_group_again() {
    let mut node = Node::new();
    let client = node.bench.durable("c");
    client.subscribe("$share/g/a", QoS::AtLeastOnce);
    client.link.close(Close::Lost, node.bench.now());
    node.bench.publish("a", "m", QoS::AtLeastOnce);
    node.write();
    node.kill();
    let other = node.bench.durable("other");
    other.subscribe("$share/g/a", QoS::AtLeastOnce);
    // It leaves: what it had not acknowledged goes to the other, and to nobody a second time.
    node.bench.open(Open { clean_start: true, ..durable("c") });
    let texts = other.read(node.bench.now());
    assert_eq!(texts, ["m"]);
    node.write();
    assert_eq!(node.disk.size(), (1, 0));
}

#[test]
fn sessions_of_older_clients_are_kept_for_ever_as_far_as_the_limit_lets_them() {
    let mut node = Node::new();
    let key = SessionKey::new(None, "old");
    let open = Open { clean_start: false, session_expiry_secs: u32::MAX, ..Open::new(key, Version::V311) };
    let client = node.bench.open(open.clone());
    client.subscribe("a", QoS::AtLeastOnce);
    node.write();
    node.kill();
    node.bench.broker.tick(node.bench.now());
    assert!(node.bench.open(open).present);
}
