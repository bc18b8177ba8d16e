//! The feed: stored messages to each device of a user, in order, none skipped, none doubled.

use std::sync::Arc;

use super::pair::*;
use crate::wire::{Packet, QoS};
use crate::{Close, Cursor, Limits, Message, Open};

/// A user's inbox as the store has it.
pub(super) struct Inbox {
    pub(super) user: &'static str,
    /// Sequence number, message, and the client id it came from.
    pub(super) rows: Vec<(u64, Arc<Message>, &'static str)>,
    pub(super) head: u64,
}

impl Inbox {
    pub(super) fn new(user: &'static str) -> Self {
        Inbox { user, rows: Vec::new(), head: 0 }
    }

    /// Stores a message without telling the broker yet.
    pub(super) fn store(&mut self, bench: &Bench, payload: &str, qos: QoS, origin: &'static str) -> u64 {
        self.head += 1;
        self.rows.push((self.head, Arc::new(bench.message("im/u/alice/bob", payload, qos)), origin));
        self.head
    }

    pub(super) fn deliver(&self, bench: &Bench, seq: u64) {
        let (_, message, origin) = self.rows.iter().find(|row| row.0 == seq).unwrap();
        let origin = crate::SessionKey::new(Some(self.user), origin);
        bench.broker.deliver_stored(self.user, seq, message, Some(&origin), bench.now());
    }

    /// Stores and forwards.
    fn send(&mut self, bench: &Bench, payload: &str, qos: QoS) {
        let seq = self.store(bench, payload, qos, "bobs");
        self.deliver(bench, seq);
    }

    pub(super) fn purge(&mut self, seq: u64) {
        self.rows.retain(|row| row.0 != seq);
    }

    /// Answers one wish of the client's, if it has one, with a page of `limit` rows.
    pub(super) fn serve(&self, client: &Client, limit: usize) -> bool {
        let Some(after) = client.link.feed_wants() else { return false };
        let device = &*client.link.key().client_id;
        let left: Vec<_> = self.rows.iter().filter(|row| row.0 > after).collect();
        let end = left.len() <= limit;
        let page = left.into_iter().take(limit);
        client
            .link
            .feed_page(page.map(|(seq, m, from)| (*seq, Arc::clone(m), *from == device)).collect(), end);
        true
    }

    /// Serves and reads until nothing moves; the payloads.
    pub(super) fn level(&self, bench: &Bench, client: &Client) -> Vec<String> {
        let mut got = client.read(bench.now());
        while self.serve(client, 3) {
            got.extend(client.read(bench.now()));
        }
        got
    }
}

fn started(bench: &Bench, cursor: Cursor) -> Client {
    let client = bench.device("alice", "phone");
    client.link.start_feed(cursor, QoS::ExactlyOnce);
    client
}

fn cursor(watermark: u64, above: &[u64]) -> Cursor {
    Cursor { watermark, above: above.to_vec() }
}

#[test]
fn a14_backlog_comes_first_then_live_and_all_in_order() {
    let bench = Bench::new();
    let mut inbox = Inbox::new("alice");
    for n in 1..=7 {
        inbox.store(&bench, &n.to_string(), QOS[n % 3], "bobs");
    }
    let client = started(&bench, cursor(2, &[4]));
    inbox.send(&bench, "8", QoS::AtLeastOnce); // while it is behind
    assert_eq!(inbox.level(&bench, &client), ["3", "5", "6", "7", "8"]);
    inbox.send(&bench, "9", QoS::ExactlyOnce);
    assert_eq!(client.link.feed_wants(), None, "level: the live message needs no page");
    assert_eq!(client.read(bench.now()), ["9"]);
    assert_eq!(client.link.take_cursor(), Some(cursor(9, &[])));
    assert_eq!(client.link.take_cursor(), None);
}

#[test]
fn a_live_message_out_of_turn_makes_the_feed_catch_up() {
    let bench = Bench::new();
    let mut inbox = Inbox::new("alice");
    let client = started(&bench, cursor(0, &[]));
    assert!(inbox.level(&bench, &client).is_empty());
    let (one, two) = (
        inbox.store(&bench, "1", QoS::AtLeastOnce, "bobs"),
        inbox.store(&bench, "2", QoS::AtLeastOnce, "bobs"),
    );
    inbox.deliver(&bench, two);
    inbox.deliver(&bench, one);
    assert!(client.read(bench.now()).is_empty());
    assert_eq!(inbox.level(&bench, &client), ["1", "2"]);
    inbox.deliver(&bench, one);
    inbox.deliver(&bench, two);
    assert_eq!(client.link.feed_wants(), None, "what it has is no reason to ask");
    assert!(inbox.level(&bench, &client).is_empty(), "not twice");
}

#[test]
fn what_comes_while_a_page_is_on_its_way_is_not_missed() {
    let bench = Bench::new();
    let mut inbox = Inbox::new("alice");
    inbox.store(&bench, "1", QoS::AtLeastOnce, "bobs");
    let client = started(&bench, cursor(0, &[]));
    assert_eq!(client.link.feed_wants(), Some(0));
    let page = vec![(1, Arc::clone(&inbox.rows[0].1), false)];
    inbox.send(&bench, "2", QoS::AtLeastOnce);
    client.link.feed_page(page, true);
    assert_eq!(client.read(bench.now()), ["1"]);
    assert_eq!(client.link.feed_wants(), Some(1), "the end of that page was not the end any more");
    client.link.feed_failed();
    assert_eq!(inbox.level(&bench, &client), ["2"]);
}

#[test]
fn gaps_of_expired_and_purged_messages_count_as_done() {
    let bench = Bench::new();
    let mut inbox = Inbox::new("alice");
    for n in 1..=6 {
        inbox.store(&bench, &n.to_string(), QoS::AtLeastOnce, "bobs");
    }
    for seq in [1, 3, 6] {
        inbox.purge(seq);
    }
    let client = started(&bench, cursor(0, &[]));
    assert_eq!(inbox.level(&bench, &client), ["2", "4", "5"]);
    assert_eq!(client.link.take_cursor().unwrap().watermark, 5);
    inbox.send(&bench, "7", QoS::AtLeastOnce);
    assert_eq!(inbox.level(&bench, &client), ["7"]);
    assert_eq!(client.link.take_cursor(), Some(cursor(7, &[])));
}

#[test]
fn a_live_message_that_vanishes_from_the_store_does_not_make_it_ask_for_ever() {
    let bench = Bench::new();
    let mut inbox = Inbox::new("alice");
    let client = started(&bench, cursor(0, &[]));
    inbox.level(&bench, &client);
    inbox.store(&bench, "1", QoS::AtLeastOnce, "bobs");
    inbox.send(&bench, "2", QoS::AtLeastOnce);
    inbox.purge(1);
    inbox.purge(2);
    let pages = std::iter::from_fn(|| inbox.serve(&client, 9).then_some(())).take(10).count();
    assert_eq!(pages, 1);
    inbox.send(&bench, "3", QoS::AtLeastOnce);
    assert_eq!(client.read(bench.now()), ["3"]);
}

#[test]
fn decision_7_done_is_when_written_acknowledged_or_received_by_qos() {
    let bench = Bench::new();
    let mut inbox = Inbox::new("alice");
    let client = started(&bench, cursor(0, &[]));
    inbox.level(&bench, &client);
    for qos in [QOS[1], QOS[0], QOS[2], QOS[1]] {
        inbox.send(&bench, "m", qos);
    }
    let got = client.publishes(bench.now());
    assert_eq!(client.link.take_cursor(), Some(cursor(0, &[2])), "QoS 0 when written");
    client.acknowledge(&got[2]);
    assert_eq!(client.link.take_cursor(), Some(cursor(0, &[2, 3])), "QoS 2 at PUBREC");
    client.acknowledge(&got[0]);
    assert_eq!(client.link.take_cursor(), Some(cursor(3, &[])), "QoS 1 at PUBACK");
    client.acknowledge(&got[3]);
    assert_eq!(client.link.take_cursor(), Some(cursor(4, &[])));
}

#[test]
fn a14_the_sending_device_does_not_get_its_own_message_back_and_the_other_one_does() {
    let bench = Bench::new();
    let mut inbox = Inbox::new("alice");
    let phone = started(&bench, cursor(0, &[]));
    let pc = bench.device("alice", "pc");
    pc.link.start_feed(cursor(0, &[]), QoS::AtLeastOnce);
    let backlog = inbox.store(&bench, "backlog", QoS::AtLeastOnce, "phone");
    inbox.deliver(&bench, backlog);
    assert!(inbox.level(&bench, &phone).is_empty());
    assert_eq!(inbox.level(&bench, &pc), ["backlog"]);
    let live = inbox.store(&bench, "live", QoS::AtLeastOnce, "phone");
    inbox.deliver(&bench, live);
    assert!(inbox.level(&bench, &phone).is_empty());
    assert_eq!(inbox.level(&bench, &pc), ["live"]);
    for client in [phone, pc] {
        assert_eq!(client.link.take_cursor(), Some(cursor(2, &[])));
    }
}

#[test]
fn a_new_link_gets_what_was_in_flight_with_its_old_id_and_dup_in_the_old_order() {
    let bench = Bench::new();
    let mut inbox = Inbox::new("alice");
    let client = started(&bench, cursor(0, &[]));
    inbox.level(&bench, &client);
    client.subscribe("plain", QoS::AtLeastOnce);
    inbox.send(&bench, "1", QoS::AtLeastOnce);
    bench.publish("plain", "p", QoS::AtLeastOnce);
    inbox.send(&bench, "2", QoS::ExactlyOnce);
    inbox.send(&bench, "3", QoS::AtLeastOnce);
    let first = client.publishes(bench.now());
    client.acknowledge(&first[3]);
    client.link.close(Close::Lost, bench.now());
    inbox.send(&bench, "4", QoS::AtLeastOnce);
    bench.publish("plain", "q", QoS::AtLeastOnce);

    let client = started(&bench, cursor(0, &[]));
    assert!(client.publishes(bench.now()).is_empty(), "the first waits for the store");
    assert!(inbox.serve(&client, 10));
    let again = client.publishes(bench.now());
    assert_eq!(payloads(&again), ["1", "p", "2", "q", "4"]);
    assert_eq!(ids(&again)[..3], ids(&first)[..3]);
    assert_eq!(again.iter().map(|p| p.dup).collect::<Vec<_>>(), [true, true, true, false, false]);
    again.iter().for_each(|p| client.acknowledge(p));
    assert_eq!(client.link.take_cursor(), Some(cursor(4, &[])));
}

#[test]
fn what_was_in_flight_and_has_expired_frees_its_identifier() {
    let bench = Bench::new();
    let mut inbox = Inbox::new("alice");
    let client = started(&bench, cursor(0, &[]));
    inbox.level(&bench, &client);
    inbox.send(&bench, "1", QoS::AtLeastOnce);
    inbox.send(&bench, "2", QoS::ExactlyOnce);
    let id = client.publishes(bench.now())[1].packet_id.unwrap();
    client.link.close(Close::Lost, bench.now());
    inbox.purge(1);
    inbox.purge(2);
    let client = started(&bench, cursor(0, &[]));
    assert!(inbox.serve(&client, 10));
    let packets = client.packets(bench.now());
    assert_eq!(packets, [Packet::PubRel(success(id))], "the client may hold the identifier of QoS 2");
    client.link.pubcomp(&success(id)).unwrap();
    assert_eq!(bench.broker.sessions()[0].inflight, 0);
    inbox.send(&bench, "3", QoS::AtLeastOnce);
    assert_eq!(inbox.level(&bench, &client), ["3"]);
}

#[test]
fn a_link_without_a_feed_is_not_held_up_by_what_only_the_feed_can_bring() {
    let bench = Bench::new();
    let mut inbox = Inbox::new("alice");
    let client = started(&bench, cursor(0, &[]));
    inbox.level(&bench, &client);
    client.subscribe("plain", QoS::AtLeastOnce);
    inbox.send(&bench, "1", QoS::AtLeastOnce);
    client.publishes(bench.now());
    let client = bench.device("alice", "phone");
    bench.publish("plain", "p", QoS::AtLeastOnce);
    assert_eq!(client.read(bench.now()), ["p"]);
    client.link.start_feed(cursor(0, &[]), QoS::AtLeastOnce);
    assert_eq!(inbox.level(&bench, &client), ["1"]);
}

#[test]
fn an_offline_session_queues_no_stored_bodies() {
    let bench = Bench::new();
    let mut inbox = Inbox::new("alice");
    let client = started(&bench, cursor(0, &[]));
    inbox.level(&bench, &client);
    for n in 0..5 {
        inbox.send(&bench, &n.to_string(), QoS::AtLeastOnce);
    }
    let mut out = bytes::BytesMut::new();
    client.link.drain(&mut out, 40, bench.now());
    client.link.close(Close::Lost, bench.now());
    let key = crate::SessionKey::new(Some("alice"), "phone");
    assert_eq!(bench.broker.session(&key).unwrap().queued_messages, 0);
    assert!(inbox.rows.iter().all(|row| Arc::strong_count(&row.1) == 1), "only the store holds them");
    assert_eq!(inbox.level(&bench, &started(&bench, cursor(0, &[]))), ["0", "1", "2", "3", "4"]);
}

#[test]
fn a_long_queue_makes_live_messages_wait_in_the_store() {
    let bench = Bench::with(Limits { feed_queued: 8, ..Limits::default() });
    let mut inbox = Inbox::new("alice");
    let client = started(&bench, cursor(0, &[]));
    inbox.level(&bench, &client);
    let sent: Vec<_> = (0..100).map(|n| n.to_string()).collect();
    for payload in &sent {
        inbox.send(&bench, payload, QoS::AtLeastOnce);
        assert!(bench.broker.sessions()[0].queued_messages <= 8);
    }
    assert_eq!(client.link.feed_wants(), None, "the queue is long");
    assert_eq!(inbox.level(&bench, &client), sent);
    assert_eq!(client.link.take_cursor(), Some(cursor(100, &[])));
}

#[test]
fn a_closed_window_bounds_the_feed_too() {
    let bench = Bench::with(Limits { feed_queued: 8, ..Limits::default() });
    let mut inbox = Inbox::new("alice");
    let client = bench.open(Open { receive_maximum: 2, key: key().into(), ..durable("phone") });
    client.link.start_feed(cursor(0, &[]), QoS::AtLeastOnce);
    for n in 0..50 {
        inbox.store(&bench, &n.to_string(), QoS::AtLeastOnce, "bobs");
    }
    while inbox.serve(&client, 3) {
        client.publishes(bench.now());
    }
    let info = &bench.broker.sessions()[0];
    assert!((info.queued_messages, info.inflight) <= (8, 2), "{info:?}");
}

fn key() -> crate::SessionKey {
    crate::SessionKey::new(Some("alice"), "phone")
}

#[test]
fn stopping_and_starting_again_misses_and_doubles_nothing() {
    let bench = Bench::new();
    let mut inbox = Inbox::new("alice");
    let client = started(&bench, cursor(0, &[]));
    inbox.level(&bench, &client);
    inbox.send(&bench, "1", QoS::AtLeastOnce);
    inbox.send(&bench, "2", QoS::AtLeastOnce);
    let written = client.publishes(bench.now());
    inbox.send(&bench, "3", QoS::AtLeastOnce);
    client.link.stop_feed();
    client.acknowledge(&written[1]);
    inbox.send(&bench, "4", QoS::AtLeastOnce);
    assert!(inbox.level(&bench, &client).is_empty());
    client.link.start_feed(cursor(0, &[]), QoS::AtLeastOnce);
    assert_eq!(inbox.level(&bench, &client), ["3", "4"]);
    client.acknowledge(&written[0]);
    assert_eq!(client.link.take_cursor(), Some(cursor(4, &[])));
}

#[test]
fn a_session_that_ends_at_clean_start_hands_its_cursor_over() {
    let bench = Bench::new();
    let mut inbox = Inbox::new("alice");
    inbox.store(&bench, "1", QoS::AtLeastOnce, "bobs");
    let client = started(&bench, cursor(0, &[]));
    assert_eq!(inbox.level(&bench, &client), ["1"]);
    let client = bench.open(Open { clean_start: true, key: key().into(), ..durable("phone") });
    assert_eq!(client.cursor, Some(cursor(1, &[])));
}

#[test]
fn a_stored_message_comes_once_to_a_device_with_a_wildcard_and_live_to_others() {
    let bench = Bench::new();
    let mut inbox = Inbox::new("alice");
    let client = started(&bench, cursor(0, &[]));
    inbox.level(&bench, &client);
    client.subscribe("im/#", QoS::AtLeastOnce);
    let auditor = bench.device("carol", "pc");
    auditor.link.start_feed(cursor(0, &[]), QoS::AtLeastOnce);
    auditor.subscribe("im/#", QoS::AtLeastOnce);
    let seq = inbox.store(&bench, "m", QoS::AtLeastOnce, "bobs");
    let recipients = [("alice".into(), seq), ("bob".into(), 77)];
    let matched = bench.broker.publish_stored(&inbox.rows[0].1, &recipients, None, bench.now());
    assert_eq!(matched, 1);
    assert_eq!(client.read(bench.now()), ["m"]);
    assert_eq!(auditor.read(bench.now()), ["m"]);
    assert!(inbox.level(&bench, &client).is_empty());
}
