//! After the dynamic login, and only then: presence, notifications and stored messages (A11, A12, A14).

use std::sync::{Arc, atomic::AtomicBool};

use postern_broker::{Cursor, Link, wire::QoS};
use tracing::warn;

use super::{
    cursors::Device,
    stored::{is_last, to_message},
    wire::{Partner, Profile},
};
use crate::node::Node;

/// Stored messages that a device never seen before gets at most; older ones are history's.
const FIRST_BACKLOG: u64 = 1_000;
/// Stored messages fetched at a time while a device catches up.
const PAGE: u32 = 64;
/// The pause after a store that did not answer, in milliseconds.
const PAUSE_MS: u64 = 1_000;

/// A signed-in device that gets its user's messages.
#[derive(Clone)]
pub struct Welcomed {
    /// Whose device.
    pub profile: Profile,
    /// For whose presence it may see.
    pub partners: Vec<Partner>,
    /// Which cursor.
    pub device: Device,
    /// Whether presence has counted this link.
    pub counted: Arc<AtomicBool>,
}

impl Welcomed {
    /// Whether this device gets just what `other` would.
    pub fn sees_as(&self, other: &Self) -> bool {
        self.profile == other.profile && self.partners == other.partners
    }

    /// Pushes presence, then begins the feed of notifications and instant messages.
    pub async fn begin(self, node: Arc<Node>, link: Arc<Link>) {
        node.presence.arrived(&self.profile, &self.partners, &link, &self.counted).await;
        node.presence.snapshot(&self.profile, &self.partners, &link);
        loop {
            match self.cursor(&node).await {
                Ok(cursor) => return link.start_feed(cursor, QoS::AtLeastOnce),
                Err(why) => warn!(why, "a device's cursor cannot be read, will try again"),
            }
            tokio::time::sleep(std::time::Duration::from_millis(PAUSE_MS)).await;
        }
    }

    async fn cursor(&self, node: &Node) -> Result<Cursor, String> {
        if let Some(cursor) = node.cursors.load(&self.device).await.map_err(|e| e.to_string())? {
            return Ok(cursor);
        }
        let head = node.slots.store().head(&self.profile.user).await.map_err(|e| e.to_string())?;
        Ok(Cursor { watermark: head.saturating_sub(FIRST_BACKLOG), above: Vec::new() })
    }

    /// Fetches the page that the feed asked for and hands it over.
    pub async fn page(self, node: Arc<Node>, link: Arc<Link>, after: u64) {
        match node.slots.store().inbox(&self.profile.user, after, PAGE).await {
            Ok(page) => {
                let end = is_last(&page, PAGE as usize);
                let last = page.last().map(|delivery| delivery.seq);
                let page: Vec<_> = page
                    .into_iter()
                    .filter_map(|delivery| {
                        let own = delivery.sender == self.profile.user
                            && delivery.sender_device == self.device.client_id;
                        Some((delivery.seq, to_message(delivery)?, own))
                    })
                    .collect();
                // Rows that are no message are passed over with the next good one; alone they would be
                // asked for for ever.
                let whole = page.last().map(|(seq, ..)| *seq) == last;
                if page.is_empty() && !whole {
                    warn!("the store gives messages whose topics are none; a feed waits");
                    pause_after_failure(&link).await;
                } else {
                    link.feed_page(page, end && whole);
                }
            }
            Err(e) => {
                warn!(error = %e, "role store: a page of an inbox was not read");
                pause_after_failure(&link).await;
            }
        }
    }
}

async fn pause_after_failure(link: &Link) {
    tokio::time::sleep(std::time::Duration::from_millis(PAUSE_MS)).await;
    link.feed_failed();
}
