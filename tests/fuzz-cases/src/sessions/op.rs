//! What may happen. Numbers are folded to what there is.

use crate::script::from_bytes;

from_bytes! {
    #[derive(Clone, Copy, Debug)]
    pub(super) enum Op {
        /// The server's own message.
        Publish {
            topic: u8,
            qos: u8,
            size: u8,
            expires: bool,
        },
        Subscribe {
            session: u8,
            filter: u8,
            qos: u8,
            no_local: bool,
        },
        Unsubscribe {
            session: u8,
            filter: u8,
        },
        /// Writes at most so many bytes, once.
        Drain {
            session: u8,
            bytes: u8,
        },
        /// Acknowledges the n-th of what is not acknowledged.
        Acknowledge {
            session: u8,
            nth: u8,
        },
        /// Refuses it, where a PUBREC can.
        Refuse {
            session: u8,
            nth: u8,
        },
        /// Answers it with the wrong packet.
        Confuse {
            session: u8,
            nth: u8,
        },
        /// Acknowledges what was never sent.
        Invent {
            session: u8,
            which: u8,
        },
        Rest {
            session: u8,
        },
        /// The link is lost, with what was on the wire.
        Lose {
            session: u8,
            unread: u8,
        },
        Leave {
            session: u8,
            with_will: bool,
            expiry: Option<u8>,
        },
        /// A CONNECT, displacing the former link if it is still there.
        Attach {
            session: u8,
            connect: Connect,
        },
        /// The server sees to the n-th of the displaced links.
        Ghost {
            nth: u8,
            finish: bool,
        },
        Disconnect {
            session: u8,
        },
        /// The client publishes. The server may take its time, or refuse.
        Send {
            session: u8,
            topic: u8,
            qos: u8,
            later: bool,
            refused: bool,
        },
        /// The client sends an unanswered one again, on the same link.
        Repeat {
            session: u8,
            nth: u8,
        },
        /// The server is through with the first that it took its time for.
        Answer {
            session: u8,
        },
        Pass {
            secs: u8,
            tick: bool,
        },
    }
}

from_bytes! {
    #[derive(Clone, Copy, Debug, Default)]
    pub(super) struct Connect {
        pub(super) version: u8,
        pub(super) clean: bool,
        pub(super) expiry: u8,
        pub(super) window: u8,
        pub(super) small_packets: bool,
        pub(super) aliases: u8,
        /// With this delay in seconds.
        pub(super) will: Option<u8>,
    }
}
