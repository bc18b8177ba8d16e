//! The same behaviour in one process and through NATS: each test runs on both.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod support;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;

use bytes::Bytes;
use postern_bus::{Bus, BusError, Requests};
use support::Nats;

/// Long enough never to end a test that works.
const LONG: Duration = Duration::from_secs(30);

/// Two places on one bus.
struct Pair {
    one: Bus,
    two: Bus,
    _server: Option<Nats>,
}

impl Pair {
    fn local() -> Self {
        let bus = Bus::local();
        Self { one: bus.clone(), two: bus, _server: None }
    }

    async fn nats() -> Self {
        let server = Nats::start();
        let one = Bus::connect(&server.url()).await.unwrap();
        let two = Bus::connect(&server.url()).await.unwrap();
        Self { one, two, _server: Some(server) }
    }
}

macro_rules! on_both {
    ($($test:ident)*) => {
        mod local {
            $(#[tokio::test] async fn $test() { super::$test(super::Pair::local()).await; })*
        }
        mod nats {
            $(#[tokio::test] async fn $test() { super::$test(super::Pair::nats().await).await; })*
        }
    };
}

on_both! {
    a_request_is_answered
    a_request_nobody_serves_fails_at_once
    a_server_that_leaves_serves_no_more
    a_request_without_answer_ends
    one_of_a_group_answers
    each_group_is_asked_and_the_first_answer_counts
    everyone_hears_what_is_published_in_order
    a_slow_subscriber_is_told_what_it_lost
    odd_subjects_are_refused
}

/// Answers each request with `name` before it.
fn answer(mut requests: Requests, name: &'static str) -> tokio::task::JoinHandle<()> {
    tokio::spawn(async move {
        while let Some(request) = requests.next().await {
            if &request.payload[..] == b"stop" {
                request.reply(Bytes::new()).await;
                break;
            }
            let text = [name.as_bytes(), b": ", &request.payload[..]].concat();
            request.reply(text.into()).await;
        }
    })
}

async fn a_request_is_answered(pair: Pair) {
    answer(pair.two.serve("token.issue", "dynamic").await.unwrap(), "two");
    for text in ["a", "b"] {
        let got = pair.one.request("token.issue", Bytes::from(text), LONG).await;
        assert_eq!(got, Ok(Bytes::from(format!("two: {text}"))));
    }
    assert!(pair.one.is_up() && pair.two.is_up());
}

async fn a_request_nobody_serves_fails_at_once(pair: Pair) {
    let _other = pair.two.serve("token.renew", "dynamic").await.unwrap();
    let _told = pair.two.subscribe("presence").await.unwrap();
    assert_eq!(pair.one.request("token.issue", Bytes::new(), LONG).await, Err(BusError::NoResponder));
}

async fn a_server_that_leaves_serves_no_more(pair: Pair) {
    let served = answer(pair.two.serve("ask", "g").await.unwrap(), "two");
    pair.one.request("ask", Bytes::from("stop"), LONG).await.unwrap();
    served.await.unwrap();
    // Nothing tells when the server at the other end has heard of it: until then nobody answers.
    let left = async {
        loop {
            match pair.one.request("ask", Bytes::new(), Duration::from_millis(50)).await {
                Err(BusError::NoResponder) => break,
                other => assert_eq!(other, Err(BusError::Timeout)),
            }
        }
    };
    tokio::time::timeout(LONG, left).await.expect("the server hears that nobody serves any more");
}

async fn a_request_without_answer_ends(pair: Pair) {
    let mut requests = pair.two.serve("ask", "g").await.unwrap();
    let asked = pair.one.request("ask", Bytes::from("x"), Duration::from_millis(50));
    let taken = async { requests.next().await.unwrap() };
    let (answer, request) = tokio::join!(asked, taken);
    assert_eq!(answer, Err(BusError::Timeout));
    // An answer that comes too late harms nobody.
    request.reply(Bytes::from("late")).await;
}

async fn one_of_a_group_answers(pair: Pair) {
    // Counted where they are taken: of a request that both took, only one answer would be seen.
    let taken = Arc::new(AtomicU32::new(0));
    for (bus, name) in [(&pair.one, "one"), (&pair.two, "two")] {
        let (mut requests, taken) = (bus.serve("ask", "g").await.unwrap(), taken.clone());
        tokio::spawn(async move {
            while let Some(request) = requests.next().await {
                taken.fetch_add(1, Relaxed);
                request.reply(Bytes::from(name)).await;
            }
        });
    }
    let mut answered = HashMap::<Bytes, u32>::new();
    for _ in 0..100 {
        let answer = pair.one.request("ask", Bytes::from("x"), LONG).await.unwrap();
        *answered.entry(answer).or_default() += 1;
    }
    assert_eq!(taken.load(Relaxed), 100);
    assert_eq!(answered.len(), 2, "both have their turn: {answered:?}");
}

async fn each_group_is_asked_and_the_first_answer_counts(pair: Pair) {
    let mut silent = pair.one.serve("ask", "silent").await.unwrap();
    answer(pair.two.serve("ask", "g").await.unwrap(), "two");
    let got = pair.one.request("ask", Bytes::from("x"), LONG).await;
    assert_eq!(got, Ok(Bytes::from("two: x")));
    let late = silent.next().await.unwrap();
    assert_eq!(late.payload, "x");
    late.reply(Bytes::from("late")).await;
}

async fn everyone_hears_what_is_published_in_order(pair: Pair) {
    let mut heard = [
        pair.one.subscribe("presence").await.unwrap(),
        pair.two.subscribe("presence").await.unwrap(),
        pair.two.subscribe("presence").await.unwrap(),
    ];
    let mut other = pair.one.subscribe("revoked").await.unwrap();
    pair.one.publish("nobody", Bytes::from("x")).await.unwrap();
    for n in 0..1000 {
        pair.one.publish("presence", Bytes::from(n.to_string())).await.unwrap();
    }
    pair.one.publish("revoked", Bytes::from("last")).await.unwrap();
    pair.one.flush().await;
    for subscription in &mut heard {
        for n in 0..1000 {
            assert_eq!(subscription.next().await.unwrap(), n.to_string());
        }
        assert_eq!(subscription.lost(), 0);
    }
    assert_eq!(other.next().await.unwrap(), "last");
}

async fn a_slow_subscriber_is_told_what_it_lost(pair: Pair) {
    const MANY: u64 = 10_000;
    let mut slow = pair.two.subscribe("presence").await.unwrap();
    let mut quick = pair.two.subscribe("presence").await.unwrap();
    let reader = tokio::spawn(async move {
        let mut read = 0;
        while read + quick.lost() < MANY {
            quick.next().await.unwrap();
            read += 1;
        }
    });
    for n in 0..MANY {
        pair.one.publish("presence", Bytes::from(n.to_string())).await.unwrap();
        if n % 100 == 0 {
            tokio::task::yield_now().await;
        }
    }
    pair.one.flush().await;
    reader.await.unwrap();
    // The quick reader has all; once the slow one's count is complete, the rest is in its queue.
    let mut read = 0;
    while read + slow.lost() < MANY {
        assert_eq!(slow.next().await.unwrap(), read.to_string(), "the oldest are kept, in order");
        read += 1;
    }
    assert!(slow.lost() > 0);
}

async fn odd_subjects_are_refused(pair: Pair) {
    for subject in ["", "a.*", ">", "a b", "$SYS"] {
        let refused = |error: &BusError| matches!(error, BusError::Refused(_));
        assert!(refused(&pair.one.subscribe(subject).await.unwrap_err()), "{subject}");
        assert!(refused(&pair.one.publish(subject, Bytes::new()).await.unwrap_err()), "{subject}");
        assert!(refused(&pair.one.request(subject, Bytes::new(), LONG).await.unwrap_err()), "{subject}");
        assert!(refused(&pair.one.serve("a", subject).await.unwrap_err()), "{subject}");
    }
}
