//! One generation after the other serves, and what each had is given back.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // helpers of a test

mod support;

use std::sync::Arc;

use postern_guest::roles::classify::Facts;
use postern_guest::{Role, Slots};
use support::{Bench, built, facts};

const POLICY: &str = "grants = ['log', 'config']";

/// Resident heap, stacks and memories of instances, KiB (proc(5)).
fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// From two threads, so that there may be two instances.
fn call(slots: &Arc<Slots>) {
    let told = Facts { topic: "sensors/1", ..facts(0) };
    let many = || (0..200).for_each(|_| drop(slots.classify().classify(&told).unwrap()));
    std::thread::scope(|scope| {
        scope.spawn(many);
        scope.spawn(many);
    });
}

#[tokio::test]
async fn c2_generations_that_have_gone_leave_no_memory_behind() {
    let bench = Bench::new().await;
    let slots = Arc::new(Slots::new());
    let first = std::fs::read(built("classify-topic")).unwrap();
    // The same plugin in other bytes: a custom section at its end.
    let other = [&first[..], &[0, 3, 1, b'v', 1]].concat();
    let files = [bench.file("first.wasm", first), bench.file("other.wasm", other)];
    let swap = async |number: usize| {
        let plugin = bench.load_file(&files[number % 2], POLICY).await.unwrap();
        slots.activate(Role::Classify, plugin).unwrap();
        call(&slots);
    };
    for number in 0..10 {
        swap(number).await;
    }
    let early = resident_kib();
    for number in 10..150 {
        swap(number).await;
    }
    let late = resident_kib();
    assert!(late < early + 2_048, "after 10 swaps {early} KiB, after 150 {late} KiB");
}
