//! Wills: when they are due, and when not.

use super::pair::*;
use crate::wire::ReasonCode;
use crate::{Close, Open};

const NORMAL: Close = Close::Normal { session_expiry_secs: None };
const WITH_WILL: Close = Close::WithWill { session_expiry_secs: None };

fn with_will(delay_secs: u32, expiry: u32) -> Open {
    Open { will: Some(will("w", delay_secs)), session_expiry_secs: expiry, ..durable("c") }
}

#[test]
fn mqtt_3_1_2_8_a_lost_link_makes_it_due_and_names_the_owner() {
    let bench = Bench::new();
    for how in [Close::Lost, WITH_WILL] {
        let client = bench.open(with_will(0, 60));
        let due = client.link.close(how, bench.now()).unwrap();
        assert_eq!((&*due.key.client_id, due.will.topic.as_str()), ("c", "w"));
    }
}

#[test]
fn mqtt_3_14_4_3_a_normal_disconnect_drops_it() {
    let bench = Bench::new();
    for delay in [0, 5] {
        assert!(bench.open(with_will(delay, 60)).link.close(NORMAL, bench.now()).is_none());
        bench.pass_secs(70);
        assert!(bench.broker.tick(bench.now()).is_empty());
    }
}

#[test]
fn mqtt_3_1_3_9_the_delay_or_the_sessions_end_whichever_comes_first() {
    let bench = Bench::new();
    for (delay, expiry, due_after) in [(5, 60, 5), (60, 5, 5)] {
        let client = bench.open(with_will(delay, expiry));
        assert!(client.link.close(Close::Lost, bench.now()).is_none());
        assert_eq!(bench.broker.next_deadline(), Some(bench.now().plus_secs(due_after)));
        bench.pass_secs(u64::from(due_after) - 1);
        assert!(bench.broker.tick(bench.now()).is_empty());
        bench.pass_secs(1);
        assert_eq!(bench.broker.tick(bench.now()).len(), 1);
        bench.pass_secs(60);
        assert!(bench.broker.tick(bench.now()).is_empty(), "once");
    }
}

#[test]
fn mqtt_3_1_3_9_coming_back_in_time_spares_it() {
    let bench = Bench::new();
    bench.open(with_will(5, 60)).link.close(Close::Lost, bench.now());
    bench.pass_secs(4);
    let back = bench.durable("c");
    assert!(back.present && back.will.is_none());
    bench.pass_secs(4);
    assert!(bench.broker.tick(bench.now()).is_empty());
    assert!(back.link.close(Close::Lost, bench.now()).is_none(), "the new link has none");
}

#[test]
fn a_session_that_ends_at_once_publishes_a_delayed_will_at_once() {
    let bench = Bench::new();
    assert!(bench.open(with_will(60, 0)).link.close(Close::Lost, bench.now()).is_some());
}

#[test]
fn takeover_publishes_the_old_links_will_unless_it_is_delayed() {
    let bench = Bench::new();
    let old = bench.open(with_will(0, 60));
    let new = bench.open(with_will(9, 60));
    assert!(new.present && new.will.is_some());
    assert!(old.link.close(Close::Lost, bench.now()).is_none(), "not twice");
    let newer = bench.open(with_will(9, 60));
    assert!(newer.will.is_none());
    let clean = bench.open(Open { clean_start: true, ..durable("c") });
    assert!(clean.will.is_some(), "the session ended [MQTT-3.1.3-9]");
}

#[test]
fn a_kick_publishes_it() {
    let bench = Bench::new();
    let client = bench.open(with_will(0, 60));
    let key = client.link.key().clone();
    client.rest();
    assert!(bench.broker.disconnect(&key, ReasonCode::AdministrativeAction));
    assert_eq!(client.woken.count(), 1);
    assert_eq!(client.closing(bench.now()), Some(ReasonCode::AdministrativeAction));
    assert!(client.link.close(Close::Lost, bench.now()).is_some());
    assert!(!bench.broker.disconnect(&key, ReasonCode::AdministrativeAction), "it has no link");
    assert_eq!(bench.broker.sessions().len(), 1, "the session stays");
}
