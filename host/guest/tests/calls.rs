//! Calls of plugins that misbehave (C5, C6): each costs its own call, and nothing else.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // helpers of tests

mod support;

use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

use postern_guest::roles::classify::{Class, ClassifyError};
use postern_guest::roles::store::{Address, Class as Stored, Message, Saved};
use postern_guest::{CallError, Down, Role, SlotState, Slots, Who};
use support::{Bench, Text, facts, rogue};

const TIGHT: &str = "[limits]\nmemory_mib = 4\ncall_cpu_ms = 20\nconcurrency = 2";

async fn serving(bench: &Bench, policy: &str) -> Slots {
    let slots = Slots::new();
    let plugin = bench.load(&Text::default().component(), policy).await.unwrap();
    assert!(slots.activate(Role::Classify, plugin).unwrap().is_none());
    slots
}

fn down(slots: &Slots, qos: u8) -> Down {
    match slots.classify().classify(&facts(qos)) {
        Err(CallError::Down(down)) => down,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn c5_answers_and_errors_of_the_plugin_come_through() {
    let bench = Bench::new().await;
    let slots = serving(&bench, TIGHT).await;
    let verdict = slots.classify().classify(&facts(0)).unwrap();
    assert_eq!((verdict.class, verdict.payload, verdict.holds), (Class::Instant, None, true));
    let refused = slots.classify().classify(&facts(5));
    assert_eq!(refused, Err(CallError::Answer(ClassifyError::Refused("unfit".into()))));
}

#[tokio::test]
async fn c5_a_plugin_that_traps_spins_hoards_or_recurses_costs_its_own_call() {
    let bench = Bench::new().await;
    let slots = serving(&bench, TIGHT).await;
    for (qos, expected) in [(1, Down::Trapped), (2, Down::Slow), (3, Down::Trapped), (4, Down::Trapped)] {
        assert_eq!(down(&slots, qos), expected, "mode {qos}");
        assert!(slots.classify().classify(&facts(0)).is_ok(), "the next call after mode {qos}");
    }
    let info = slots.info(Role::Classify).unwrap();
    assert_eq!((info.state, info.instances, info.idle_instances), (SlotState::Serving, 1, 1));
    assert!(info.plugin.memory_bytes() <= 4 << 20);
}

#[tokio::test]
async fn c5_a_plugin_that_fails_each_time_is_left_alone_and_comes_back() {
    let bench = Bench::new().await;
    let slots = serving(&bench, TIGHT).await;
    let ended = (0..100).map(|_| down(&slots, 1)).find(|down| *down != Down::Trapped);
    assert_eq!(ended, Some(Down::Recovering));
    assert_eq!(slots.info(Role::Classify).unwrap().state, SlotState::Recovering);
    // The first call after the pause tries it, and finds it well.
    let patience = Instant::now() + Duration::from_secs(30);
    while slots.classify().classify(&facts(0)).is_err() {
        assert!(Instant::now() < patience, "the pause does not end");
        thread::yield_now();
    }
    assert_eq!(slots.info(Role::Classify).unwrap().state, SlotState::Serving);
}

#[tokio::test]
async fn c5_more_calls_than_allowed_find_it_busy() {
    let bench = Bench::new().await;
    let slots = Arc::new(serving(&bench, "[limits]\ncall_cpu_ms = 300\nconcurrency = 1").await);
    // Whoever has the one instance spins until it is stopped; there is no room for the other, who does
    // not wait for it.
    let together = Arc::new(Barrier::new(2));
    let calls = [(); 2].map(|()| {
        let (slots, together) = (slots.clone(), together.clone());
        thread::spawn(move || {
            together.wait();
            down(&slots, 2)
        })
    });
    let mut ended = calls.map(|call| call.join().unwrap());
    ended.sort_by_key(|down| *down == Down::Busy);
    assert_eq!(ended, [Down::Slow, Down::Busy]);
}

#[tokio::test]
async fn c6_an_empty_slot_says_so_and_a_swap_keeps_calls_going() {
    let bench = Bench::new().await;
    let slots = Slots::new();
    assert_eq!(down(&slots, 0), Down::Absent);
    assert_eq!(slots.classify().generation(Who::HOST), 0);

    let first = bench.load(&Text::default().component(), "").await.unwrap();
    let second = bench.load(&Text { name: "second", ..Text::default() }.component(), "").await.unwrap();
    assert!(slots.activate(Role::Store, first.clone()).is_err(), "it does not fill that role");
    slots.activate(Role::Classify, first.clone()).unwrap();
    assert!(slots.classify().classify(&facts(0)).is_ok());
    let old = slots.activate(Role::Classify, second).unwrap().unwrap();
    assert_eq!(old.generation(), first.generation());
    assert_eq!(first.memory_bytes(), 0, "the old generation's idle instances are gone");
    assert!(slots.classify().classify(&facts(0)).is_ok());
    assert_eq!(slots.classify().generation(Who::HOST), 2);
    // Rolling back is activating the former one.
    slots.activate(Role::Classify, old).unwrap();
    assert!(slots.classify().classify(&facts(0)).is_ok());
    assert!(slots.deactivate(Role::Classify).is_some());
    assert_eq!(down(&slots, 0), Down::Absent);
}

#[tokio::test]
async fn instances_are_replaced_after_their_last_call() {
    let bench = Bench::new().await;
    let slots = serving(&bench, "[limits]\ncalls_per_instance = 2").await;
    let mut idle = Vec::new();
    for _ in 0..4 {
        slots.classify().classify(&facts(0)).unwrap();
        idle.push(slots.info(Role::Classify).unwrap().idle_instances);
    }
    assert_eq!(idle, [1, 0, 1, 0]);
}

const WAITING: &str = "grants = ['log', 'config', 'clock', 'sql']
limits = { memory_mib = 8, call_cpu_ms = 100, call_wall_ms = 60_000, log_lines_per_sec = 5 }";

fn message(topic: &str) -> Message {
    Message {
        id: "1".into(),
        class: Stored::Instant,
        sender: "alice".into(),
        sender_device: "phone".into(),
        to: Address::User("bob".into()),
        topic: topic.into(),
        body: Default::default(),
        properties: Default::default(),
        sent_at: 1,
        expires_at: None,
        recipients: vec!["bob".into()].into(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c5_a_waiting_role_that_misbehaves_stores_nothing_and_costs_its_own_call() {
    let bench = Bench::new().await;
    let slots = Slots::new();
    for (misbehave, expected) in [
        ("trap", Down::Trapped),
        ("spin", Down::Slow),
        ("hoard", Down::Trapped),
        ("nonsense", Down::Nonsense),
        ("short", Down::Nonsense),
    ] {
        let policy = format!("{WAITING}\nconfig = {{ misbehave = '{misbehave}', when = 'boom' }}");
        let plugin = bench.load_file(&rogue("rogue-store"), &policy).await.unwrap();
        slots.activate(Role::Store, plugin).unwrap();
        let head = slots.store().head("bob").await.unwrap();
        // The first message of the batch is stored well; the second misbehaves, so neither is kept.
        let failed = slots.store().save(vec![message("t"), message("t/boom")]).await;
        assert_eq!(failed, Err(CallError::Down(expected)), "{misbehave}");
        assert_eq!(slots.store().head("bob").await, Ok(head), "{misbehave}");
        let saved = slots.store().save(vec![message("t")]).await.unwrap();
        assert!(matches!(&saved[..], [Saved::Stored(places)] if places[0].seq == head + 1), "{saved:?}");
    }
}

/// Waits until the store plugin has so many instances.
async fn instances(slots: &Slots, wanted: u32) {
    let changed = async {
        while slots.info(Role::Store).unwrap().instances != wanted {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), changed).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c5_a_call_that_is_given_up_takes_its_instance_along() {
    let bench = Bench::new().await;
    let slots = Arc::new(Slots::new());
    let policy = format!("{WAITING}\nconfig = {{ misbehave = 'spin', when = 'boom' }}")
        .replace("call_cpu_ms = 100", "call_cpu_ms = 60_000");
    let plugin = bench.load_file(&rogue("rogue-store"), &policy).await.unwrap();
    slots.activate(Role::Store, plugin).unwrap();
    let call = tokio::spawn({
        let slots = slots.clone();
        async move { slots.store().save(vec![message("t/boom")]).await }
    });
    instances(&slots, 1).await;
    call.abort();
    assert!(call.await.unwrap_err().is_cancelled());
    instances(&slots, 0).await;
    // Its write transaction went with it: the next one is not kept waiting.
    assert!(slots.store().save(vec![message("t")]).await.is_ok());
}
