//! The section `[limits]`: every bound with its unit and default.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

macro_rules! limits {
    ($( $(#[$doc:meta])* $key:ident: $type:ty = $default:expr, $least:expr; )*) => {
        /// Bounds of the host. Plugins may ask for less, never for more.
        #[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
        #[serde(deny_unknown_fields, default)]
        pub struct Limits {
            $( $(#[$doc])* #[schemars(range(min = $least))] pub $key: $type, )*
        }

        impl Default for Limits {
            fn default() -> Self {
                Limits { $( $key: $default, )* }
            }
        }

        impl Limits {
            /// The keys that are below their least value, and that value.
            pub fn too_small(&self) -> Vec<(&'static str, u64)> {
                let mut found = Vec::new();
                $( if is_below(self.$key.into(), $least) { found.push((stringify!($key), $least)); } )*
                found
            }
        }
    };
}

fn is_below(value: u64, least: u64) -> bool {
    value < least
}

limits! {
    /// Open connections of all listeners together; fewer where the system allows fewer open files.
    connections: u32 = 50_000, 1;
    /// Open connections from one IP address (an IPv6 /64 counts as one).
    connections_per_address: u32 = 10_000, 1;
    /// Of the open connections, those that have not signed in, at most a quarter of all; one more sends
    /// away the oldest, if that has been there for two seconds, or waits until it has. Connections of
    /// the HTTP side are counted apart, to the same number.
    connections_before_sign_in: u32 = 4_096, 1;
    /// New connections a second from one IP address (an IPv6 /64 counts as one).
    connects_per_address_per_second: u32 = 1_000, 1;
    /// Seconds for the TLS and WebSocket handshakes, the CONNECT and the sign-in together.
    handshake_timeout_secs: u32 = 10, 1;
    /// Logins a minute from one IP address (an IPv6 /64 counts as one).
    login_per_address_per_minute: u32 = 300, 1;
    /// Logins a minute for one user name, known or not.
    login_per_user_per_minute: u32 = 20, 1;
    /// Renewals a minute of one token.
    renewals_per_token_per_minute: u32 = 6, 1;
    /// Renewals a minute of one user's tokens.
    renewals_per_user_per_minute: u32 = 60, 1;
    /// Logins that the login role works on at once; one more is refused as busy, for each holds an
    /// argon2.
    logins_at_once: u32 = 16, 1;
    /// HTTP requests under way at once.
    http_requests: u32 = 512, 1;
    /// HTTP requests under way at once from one IP address (an IPv6 /64 counts as one).
    http_requests_per_address: u32 = 64, 1;
    /// Bytes of an HTTP request's body.
    http_body_bytes: u32 = 64 * 1024, 1024;
    /// Seconds until an HTTP request must be answered.
    http_timeout_secs: u32 = 30, 1;
    /// Bytes of one MQTT packet from a client. MQTT's own bound is 256 MiB.
    packet_bytes: u32 = 1024 * 1024, 1024;
    /// Messages that wait for one session.
    queue_messages: u32 = 10_000, 1;
    /// Bytes that wait for one session.
    queue_bytes: u32 = 16 * 1024 * 1024, 1024;
    /// Bytes of messages that wait to be stored and delivered, of all clients together; then no more is
    /// read until there is room.
    ingest_bytes: u32 = 64 * 1024 * 1024, 1024;
    /// Messages a second that one link may publish; then it is read no further until it is within its
    /// rate again. A second's worth may come at once. 0: as many as come.
    publish_per_sec: u32 = 0, 0;
    /// The same in bytes of topic, payload and properties. 0: as many as come.
    publish_bytes_per_sec: u32 = 0, 0;
    /// Unacknowledged QoS 1 and 2 messages each way (the server's Receive Maximum).
    inflight: u16 = 1_024, 1;
    /// Topic aliases a client may use towards us. 0 is none.
    topic_aliases: u16 = 32, 0;
    /// Subscriptions of one session.
    subscriptions: u32 = 1_000, 1;
    /// Levels of a topic name or filter.
    topic_levels: u16 = 32, 1;
    /// Seconds that a session may outlive its link.
    session_expiry_secs: u32 = 7 * 24 * 3600, 0;
    /// The longest keep alive in seconds; MQTT 5 clients that ask for more are told.
    keep_alive_secs: u16 = u16::MAX, 1;
    /// Commands of one requester that wait for one terminal.
    commands_per_requester: u32 = 100, 1;
    /// Instructions to reconnect that one terminal gets within an hour.
    instructions_per_terminal_per_hour: u32 = 60, 1;
    /// Instructions to reconnect of all terminals together, a second; more are spread over time.
    instructions_per_second: u32 = 500, 1;
    /// The longest time that a terminal stays on TLS without a command that needs it, whatever the policy
    /// says.
    idle_max_secs: u32 = 7 * 24 * 3600, 1;
    /// Retained messages in all.
    retained_messages: u32 = 100_000, 0;
    /// Bytes of retained messages in all; further ones are not retained, and counted.
    retained_bytes: u32 = 256 * 1024 * 1024, 0;
    /// Seconds between two publications of the `$SYS` topics; 0 is none.
    sys_interval_secs: u32 = 10, 0;
    /// Seconds that work under way gets when the server stops.
    drain_secs: u32 = 10, 0;
}

impl Limits {
    /// What of it is the MQTT core's.
    pub fn broker(&self) -> postern_broker::Limits {
        let size = |n: u32| usize::try_from(n).unwrap_or(usize::MAX);
        postern_broker::Limits {
            queued_messages: size(self.queue_messages),
            queued_bytes: size(self.queue_bytes),
            inflight: self.inflight,
            receive_maximum: self.inflight,
            topic_aliases_in: self.topic_aliases,
            subscriptions: size(self.subscriptions),
            retained_messages: size(self.retained_messages),
            retained_bytes: size(self.retained_bytes),
            session_expiry_secs: self.session_expiry_secs,
            ..postern_broker::Limits::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_keep_their_own_bounds() {
        assert_eq!(Limits::default().too_small(), []);
        let none = Limits { connections: 0, ..Limits::default() };
        assert_eq!(none.too_small(), [("connections", 1)]);
    }
}
