//! `$SYS` topics: what the broker counts, under the names that mosquitto gave it (mosquitto(8),
//! "Broker status"), retained.

use std::{sync::Arc, time::Duration};

use postern_broker::{
    Message, Stats,
    topic::TopicName,
    wire::{QoS, Text},
};
use tokio::time::Instant;

use crate::{clock, node::Node};

/// What loads are given over, in minutes, as mosquitto names them.
const SPANS: [(f64, &str); 3] = [(1.0, "1min"), (5.0, "5min"), (15.0, "15min")];

/// Publishes until it is stopped.
pub async fn publish(node: Arc<Node>) {
    let secs = node.limits.sys_interval_secs;
    if secs == 0 {
        return;
    }
    let started = Instant::now();
    let mut sys = Sys::default();
    say(&node, "version", concat!("postern version ", env!("CARGO_PKG_VERSION")).to_owned());
    let mut step = tokio::time::interval(Duration::from_secs(secs.into()));
    step.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    loop {
        step.tick().await;
        say(&node, "uptime", format!("{} seconds", started.elapsed().as_secs()));
        for (topic, value) in sys.values(node.broker.stats(), f64::from(secs) / 60.0) {
            say(&node, &topic, value);
        }
    }
}

fn say(node: &Node, topic: &str, value: String) {
    if let Ok(topic) = TopicName::new(Text::from(format!("$SYS/broker/{topic}"))) {
        let message = Message::new(topic, value, QoS::AtMostOnce, clock::now()).retained();
        node.broker.publish(&Arc::new(message), None, clock::now());
    }
}

/// What has to be remembered from one publication to the next.
#[derive(Default)]
struct Sys {
    most_connected: u64,
    loads: Vec<Load>,
}

/// A counter's rate a minute, decaying over each of the spans.
struct Load {
    last: u64,
    averages: [f64; 3],
}

impl Sys {
    fn values(&mut self, stats: &Stats, minutes: f64) -> Vec<(String, String)> {
        let (connected, sessions) = (stats.connected.get(), stats.sessions.get());
        self.most_connected = self.most_connected.max(connected);
        let away = sessions.saturating_sub(connected);
        let dropped = stats.dropped_queue_full.get()
            + stats.dropped_offline.get()
            + stats.dropped_expired.get()
            + stats.dropped_too_large.get();
        let numbers = [
            ("clients/total", sessions),
            ("clients/connected", connected),
            ("clients/active", connected),
            ("clients/disconnected", away),
            ("clients/inactive", away),
            ("clients/maximum", self.most_connected),
            ("clients/expired", stats.sessions_expired.get()),
            ("messages/received", stats.packets_in.get()),
            ("messages/sent", stats.packets_out.get()),
            ("publish/messages/received", stats.messages_in.get()),
            ("publish/messages/sent", stats.messages_out.get()),
            ("publish/messages/dropped", dropped),
            ("publish/bytes/received", stats.bytes_in.get()),
            ("publish/bytes/sent", stats.bytes_out.get()),
            ("bytes/received", stats.octets_in.get()),
            ("bytes/sent", stats.octets_out.get()),
            ("subscriptions/count", stats.subscriptions.get()),
            ("retained messages/count", stats.retained.get()),
        ];
        let mut values: Vec<_> =
            numbers.iter().map(|(topic, number)| ((*topic).to_owned(), number.to_string())).collect();
        let counters = [
            ("messages/received", stats.packets_in.get()),
            ("messages/sent", stats.packets_out.get()),
            ("publish/received", stats.messages_in.get()),
            ("publish/sent", stats.messages_out.get()),
            ("publish/dropped", dropped),
            ("bytes/received", stats.octets_in.get()),
            ("bytes/sent", stats.octets_out.get()),
            ("connections", stats.connections.get()),
        ];
        self.loads.resize_with(counters.len(), || Load { last: 0, averages: [0.0; 3] });
        for (load, (name, count)) in self.loads.iter_mut().zip(counters) {
            load.step(count, minutes);
            for (average, (_, span)) in load.averages.iter().zip(SPANS) {
                values.push((format!("load/{name}/{span}"), format!("{average:.2}")));
            }
        }
        values
    }
}

impl Load {
    fn step(&mut self, count: u64, minutes: f64) {
        let rate = count.saturating_sub(self.last) as f64 / minutes;
        self.last = count;
        for (average, (span, _)) in self.averages.iter_mut().zip(SPANS) {
            let kept = (-minutes / span).exp();
            *average = rate + kept * (*average - rate);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_load_follows_the_rate_and_the_short_span_first() {
        let mut load = Load { last: 0, averages: [0.0; 3] };
        for step in 1..=6 {
            load.step(step * 10, 1.0 / 6.0);
        }
        let [one, five, fifteen] = load.averages;
        assert!(one > 37.0 && one < 39.0, "{one}: 60 a minute, for a minute");
        assert!(one > five && five > fifteen && fifteen > 0.0);
    }
}
