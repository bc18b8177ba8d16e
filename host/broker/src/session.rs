//! One session: what MQTT calls the session state, and the link it may have.
//!
//! It has two halves with a lock each. The [`Mailbox`] is where anybody puts something in: a
//! publisher a message, the server a control packet; it is locked for moments. The [`Flow`] is the
//! link's own: what is in flight, aliases, the feed's cursor; the link's task writes from it while
//! publishers go on filling the mailbox. Who needs both locks the flow first.
//!
//! mailbox (what comes in, and whom it wakes) → drain (what goes out) → outbound (its
//! acknowledgements) · inbound (publishes from the client) · subscribe · feeding · life (link comes
//! and goes) · denied (what no subscription brings) · keeping (what of it outlives the process)

mod denied;
mod drain;
mod feeding;
mod inbound;
mod keeping;
mod life;
mod link;
mod mailbox;
mod outbound;
mod subscribe;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use hashbrown::HashMap;
use parking_lot::Mutex;

pub use drain::Drained;
pub use inbound::Begin;
pub use life::{Close, Open, Opened};
pub use link::Link;
pub use subscribe::Requested;

pub(crate) use denied::Denied;
pub(crate) use life::{Ended, wake_all};
pub(crate) use mailbox::{Mailbox, Wakes};

use crate::alias;
use crate::feed::Tracker;
use crate::inflight::Inflight;
use crate::queue::Queued;
use crate::router::Options;
use crate::time::Timestamp;
use crate::topic::TopicFilter;
use crate::will::Will;
use crate::wire::{Text, Version};

/// What names a session. Two users may both call a device "phone": the owner keeps them apart, and
/// no one can take another user's session over.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionKey {
    /// User id of a signed-in device; None for an anonymous client.
    pub owner: Option<Text>,
    /// Client id.
    pub client_id: Text,
}

impl SessionKey {
    /// A key in bytes of its own, apart from the packet that the client id came in.
    pub fn new(owner: Option<&str>, client_id: &str) -> Self {
        SessionKey { owner: owner.map(Text::from), client_id: Text::from(client_id) }
    }
}

/// A session.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) key: Arc<SessionKey>,
    /// Never given twice.
    pub(crate) id: u64,
    /// Whether it has a link; for those who need no more than a guess.
    pub(crate) online: AtomicBool,
    fed: AtomicBool,
    /// What it must not get by any subscription.
    pub(crate) denied: Denied,
    pub(crate) mailbox: Mutex<Mailbox>,
    pub(crate) flow: Mutex<Flow>,
}

/// The half that belongs to the link's task.
#[derive(Debug)]
pub(crate) struct Flow {
    /// Number of the link that is attached; 0 for none.
    pub(crate) link: u32,
    /// Number of the last link there was.
    last_link: u32,
    /// Taken over from the queue and not written yet.
    taken: VecDeque<Queued>,
    pub(crate) inflight: Inflight,
    /// Publishes of QoS 1 and 2 that may still be written (section 4.9), and where that began.
    quota: u16,
    window: u16,
    pub(crate) version: Version,
    /// The mailbox was told that nothing can be written.
    blocked: bool,
    /// The session is over.
    pub(crate) ended: bool,
    /// The link has started the feed.
    feeding: bool,
    aliases_in: Option<Box<alias::Inbound>>,
    aliases_out: Option<Box<alias::Outbound>>,
    tracker: Option<Box<Tracker>>,
    pub(crate) subscriptions: HashMap<TopicFilter, Options>,
    will: Option<Box<KeptWill>>,
    /// Seconds the session outlives its link; `u32::MAX` for ever.
    pub(crate) expiry_secs: u32,
    /// When the link came, or went.
    pub(crate) since: Timestamp,
    /// What the broker's timers hold for this session.
    pub(crate) timer: Option<Timestamp>,
}

#[derive(Debug)]
struct KeptWill {
    will: Will,
    /// Set when the link is gone.
    due: Option<Timestamp>,
}

impl Session {
    pub(crate) fn new(key: Arc<SessionKey>, id: u64) -> Self {
        Session {
            key,
            id,
            online: AtomicBool::new(false),
            fed: AtomicBool::new(false),
            denied: Denied::default(),
            mailbox: Mutex::default(),
            flow: Mutex::new(Flow {
                link: 0,
                last_link: 0,
                taken: VecDeque::new(),
                inflight: Inflight::default(),
                quota: 0,
                window: 0,
                version: Version::V311,
                blocked: false,
                ended: false,
                feeding: false,
                aliases_in: None,
                aliases_out: None,
                tracker: None,
                subscriptions: HashMap::new(),
                will: None,
                expiry_secs: 0,
                since: Timestamp::default(),
                timer: None,
            }),
        }
    }

    /// Entries that it has memory for, in its queues and in flight.
    #[cfg(test)]
    pub(crate) fn capacity(&self) -> usize {
        let flow = self.flow.lock();
        flow.taken.capacity() + flow.inflight.capacity() + self.mailbox.lock().queue.capacity()
    }

    /// Whether a feed brings it the messages stored for its user.
    pub(crate) fn has_feed(&self) -> bool {
        self.fed.load(Relaxed)
    }
}

impl Flow {
    /// Messages taken over from the queue and not written yet.
    pub(crate) fn taken(&self) -> usize {
        self.taken.len()
    }
}
