//! What one session, and all of them together, may use.

/// Limits of a broker. The defaults suit a server of a few thousand clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Messages that wait in one session's queue. Beyond it QoS 0 goes first; a connected session
    /// that cannot take a message of QoS 1 or 2 is closed with 0x97, a sleeping one loses that
    /// message.
    pub queued_messages: usize,
    /// The same in bytes of topic, payload and properties.
    pub queued_bytes: usize,
    /// Control packets that wait for one slow reader, in bytes, before it is closed with 0x97.
    pub queued_control_bytes: usize,
    /// Messages of QoS 1 and 2 on their way to one client, whatever larger Receive Maximum it allows.
    pub inflight: u16,
    /// Receive Maximum told to clients: publishes of QoS 1 and 2 that one client may have on their
    /// way to the server [MQTT-3.3.4-7].
    pub receive_maximum: u16,
    /// Topic aliases the server accepts from one client (the CONNACK's Topic Alias Maximum).
    pub topic_aliases_in: u16,
    /// Topic aliases the server uses towards one client, whatever larger maximum it allows.
    pub topic_aliases_out: u16,
    /// Subscriptions of one session.
    pub subscriptions: usize,
    /// Retained messages of the whole server; further topics are not retained, and counted.
    pub retained_messages: usize,
    /// The same in bytes of topic, payload and properties.
    pub retained_bytes: usize,
    /// Seconds a session may outlive its link, whatever longer interval the client asks for;
    /// `u32::MAX` for ever.
    pub session_expiry_secs: u32,
    /// Stored messages that wait in one session's queue as live deliveries; beyond it the feed lets
    /// go and catches up from the store later.
    pub feed_queued: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            queued_messages: 10_000,
            queued_bytes: 16 << 20,
            queued_control_bytes: 1 << 20,
            inflight: 1_024,
            receive_maximum: 1_024,
            topic_aliases_in: 64,
            topic_aliases_out: 16,
            subscriptions: 1_000,
            retained_messages: 1_000_000,
            retained_bytes: 256 << 20,
            session_expiry_secs: 7 * 24 * 3600,
            feed_queued: 256,
        }
    }
}
