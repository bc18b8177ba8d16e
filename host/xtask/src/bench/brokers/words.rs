//! What the report says beside its figures.

use super::Options;
use super::rows::Row;

/// Title, and how it was measured.
pub(super) fn opening(command: &str, took: &str) -> String {
    format!(
        "# Postern beside other brokers\n\nWritten by `{command}`, which took {took}. Release builds on loopback, MQTT \
         3.1.1, anonymous clients; Postern with policies/open.toml, where every role runs as a plugin. The brokers take \
         turns within each round of a case, each started afresh for each figure. A cell is the median, in brackets \
         minimum and maximum of all rounds. Broker and generator share the machine's cores; the generator is one \
         process with one thread, its share is told, and where it or the machine was full that is noted at the end.\n\n"
    )
}

/// What was asked for, and who the peers are.
pub(super) fn options(options: &Options) -> String {
    let Options { rounds, idle_rounds, soak_rounds, secs, warm_up_secs, .. } = options;
    let built = if options.no_build { " Measured what was built before." } else { "" };
    format!(
        "- rounds: {rounds} ({idle_rounds} of idle links, {soak_rounds} of the memory after many messages), {secs} s of \
         traffic each after {warm_up_secs} s that do not count.{built}\n\
         - allocators: Postern jemalloc; mosquitto, rumqttd and rmqtt glibc's malloc.\n\
         - peers: mosquitto from Debian with 1,000 messages in flight to a subscriber instead of 20; rumqttd and rmqtt \
         embedded (tests/peers), rumqttd's router as in the configuration file it ships, rmqtt with 1,000 in flight \
         and 100,000 waiting instead of 16 and 1,000. None of them stores anything or asks anybody.\n\
         - certificate: one of P-256 for all; TLS 1.3.\n"
    )
}

/// What a row measures.
pub(super) fn of(row: Row) -> &'static str {
    match row {
        Row::Rate => {
            "Windows of 1,000 messages a publisher at QoS 0, 100 at QoS 1; a message is in flight until it is delivered \
             and, at QoS 1, acknowledged. Postern is measured twice: with the classify plugin's verdict held for the \
             next message to the topic, as policies/open.toml has it, and with the plugin asked for every message."
        }
        Row::Classify => {
            "Every policy names a plugin for every role (C1), so there is no run without classify. What stands in for it \
             is the verdict that holds: the plugin is asked for the first message of a sender to a topic only, and the \
             host looks its answer up afterwards. `ask_always = true` is the price of the question itself; pairs are of \
             the same round. At full speed a broker that is slower also gathers larger batches, so that the CPU for one \
             message can be compared better at the equal rates of the next section."
        }
        Row::Latency => {
            "Every broker gets the same rate: half of what the best peer delivers at full speed. Messages are due on a \
             clock of 1 ms that does not wait for anybody; the latency is counted from the moment at which a message was \
             due. The clock itself may be 1 ms late, for all alike. A broker that cannot keep up shows it by the \
             messages delivered."
        }
        Row::Fan => {
            "1 → n: one publisher with 20 messages in flight, each delivered to all. n → 1: each publisher with 4 \
             in flight to a topic of its own, and one subscriber to all of them by a wildcard. Deliveries are counted."
        }
        Row::Idle => {
            "User memory: growth of the broker's RssAnon by link, keep alive of 6 s running (each link pings every 3 s). \
             A hundredth of the links is there before and does not count. What the kernel keeps for a connection is not \
             in it. Then each link subscribes to a filter of its own."
        }
        Row::Connect => {
            "TCP connect, TLS handshake, CONNECT, CONNACK, DISCONNECT, one after the other: the broker's CPU, user and \
             system, by connect. Resumed: with the session ticket of the connect before; where a broker gives none, or \
             forgets it, its handshakes are full ones all the same, as the last table tells."
        }
        Row::Soak => {
            "Resident memory of the process before the first client, at the end of the load, and 3 s after the last \
             client is gone."
        }
        Row::Topic => {
            "One publisher, QoS 1, one message at a time, each to a topic that nobody has published to, while other \
             clients hold the filters (1,000 each, one in ten with a wildcard), none of which matches. For comparison the \
             same to one known topic. A broker that is slow is asked for 4 s only."
        }
    }
}
