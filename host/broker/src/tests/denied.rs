//! What a session is denied, it gets by no subscription; and everything else as before.

use std::collections::BTreeSet;
use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::*;

use super::pair::*;
use crate::Close;
use crate::topic::TopicFilter;
use crate::wire::QoS;

/// How a message may come to a subscriber.
#[derive(Clone, Copy, Debug)]
enum Way {
    Live,
    Shared,
    Retained,
    /// It waited for a session that slept, before anything was denied.
    Slept,
}

fn level() -> impl Strategy<Value = &'static str> {
    proptest::sample::select(&["a", "b", "c"][..])
}

fn topics() -> impl Strategy<Value = String> {
    vec(level(), 1..4).prop_map(|levels| levels.join("/"))
}

fn filters() -> impl Strategy<Value = String> {
    let level = prop_oneof![2 => level(), 2 => Just("+")];
    (vec(level, 0..4), any::<bool>()).prop_map(|(mut levels, open)| {
        if open || levels.is_empty() {
            levels.push("#");
        }
        levels.join("/")
    })
}

fn ways() -> impl Strategy<Value = Way> {
    proptest::sample::select(&[Way::Live, Way::Shared, Way::Retained, Way::Slept][..])
}

fn filter(text: &str) -> TopicFilter {
    TopicFilter::try_from(text).unwrap()
}

proptest! {
    #[test]
    fn what_is_denied_comes_by_no_subscription(
        asked in vec(filters(), 1..4),
        denied in vec(filters(), 0..3),
        said in vec(topics(), 1..12),
        way in ways(),
    ) {
        let bench = Bench::new();
        let deny: Vec<TopicFilter> = denied.iter().map(|text| filter(text)).collect();
        let deny = Arc::new(deny);
        let mut client = bench.durable("c");
        let say = || said.iter().for_each(|topic| {
            if matches!(way, Way::Retained) {
                bench.retain(topic, "m", QoS::AtLeastOnce);
            } else {
                bench.publish(topic, "m", QoS::AtLeastOnce);
            }
        });
        let subscribe = |client: &Client| asked.iter().for_each(|asked| {
            let shared = if matches!(way, Way::Shared) { "$share/g/" } else { "" };
            client.ask(request(&format!("{shared}{asked}"), QoS::AtLeastOnce), None);
        });
        match way {
            Way::Live | Way::Shared => {
                client.link.deny(&deny);
                subscribe(&client);
                say();
            }
            Way::Retained => {
                say();
                client.link.deny(&deny);
                subscribe(&client);
            }
            Way::Slept => {
                subscribe(&client);
                client.publishes(bench.now());
                client.link.close(Close::Lost, bench.now());
                say();
                client = bench.durable("c");
                client.link.deny(&deny);
            }
        }
        let got: BTreeSet<String> =
            client.publishes(bench.now()).iter().map(|publish| publish.topic.to_string()).collect();
        let wanted = |topic: &&String| asked.iter().any(|f| filter(f).matches(topic));
        let kept_back = |topic: &&String| deny.iter().any(|f| f.matches(topic));
        let expected: BTreeSet<String> =
            said.iter().filter(wanted).filter(|topic| !kept_back(topic)).cloned().collect();
        prop_assert_eq!(got, expected);
    }
}

#[test]
fn it_holds_while_the_session_sleeps_and_until_it_is_set_anew() {
    let bench = Bench::new();
    let client = bench.durable("c");
    client.link.deny(&Arc::new(vec![filter("a/secret")]));
    client.subscribe("a/#", QoS::AtLeastOnce);
    client.publishes(bench.now());
    client.link.close(Close::Lost, bench.now());
    bench.publish("a/secret", "m", QoS::AtLeastOnce);
    bench.publish("a/open", "m", QoS::AtLeastOnce);
    let client = bench.durable("c");
    client.link.deny(&Arc::default());
    bench.publish("a/secret", "allowed now", QoS::AtLeastOnce);
    let got: Vec<String> = client.publishes(bench.now()).iter().map(payload).collect();
    assert_eq!(got, ["m", "allowed now"]);
}
