//! What a signed-in device gets beside its subscriptions: presence and its user's stored messages, for
//! as long as the link's rights say `messaging` (A11, A14).

use std::{
    pin::Pin,
    sync::{Arc, atomic::Ordering},
    task::Context,
};

use postern_broker::Link;
use postern_trace::follow;

use super::link::Pump;
use crate::{
    control::{cursors::Device, welcome::Welcomed},
    node::Node,
};

type Work = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Presence and stored messages of one link.
pub struct Feed {
    who: Welcomed,
    /// The welcome or a page, under way.
    work: Option<Work>,
}

impl Feed {
    /// Presence counts the link no more, if it did.
    pub(super) async fn leave(self: Box<Self>, node: &Node, link: &Arc<Link>) {
        let Feed { who, work } = *self;
        drop(work); // a welcome that is under way must not count it afterwards
        if who.counted.load(Ordering::Acquire) {
            node.presence.left(&who.profile, &who.partners, link).await;
        }
    }
}

impl Pump {
    /// The device to welcome, when the link's rights and user say so.
    fn to_welcome(&self) -> Option<Welcomed> {
        let profile = self.sender.profile.as_ref().filter(|_| self.sender.rights.messaging)?;
        Some(Welcomed {
            profile: (**profile).clone(),
            partners: self.sender.partners.clone(),
            device: Device { user: profile.user.clone(), client_id: self.sender.key.client_id.to_string() },
            counted: Arc::default(),
        })
    }

    /// Starts, stops or leaves alone what the device gets, after the sender's present grant: to be
    /// called when the link has signed in, and when it has signed in again.
    pub fn welcome(&mut self) {
        let wanted = self.to_welcome();
        match (&self.feed, &wanted) {
            (None, None) => return,
            (Some(feed), Some(who)) if feed.who.sees_as(who) => return,
            _ => {}
        }
        let (node, link) = (self.node.clone(), self.link.clone());
        // Who may see what has changed: the link leaves as who it was, and comes again as who it is.
        let left = self.feed.take().map(|feed| {
            self.note_cursor_of(&feed.who.device);
            self.link.stop_feed();
            let (node, link) = (node.clone(), link.clone());
            // On a task of its own: the link may end meanwhile.
            self.node.tasks.spawn(follow(async move { feed.leave(&node, &link).await }))
        });
        self.feed = wanted.map(|who| {
            let begin = who.clone();
            let work: Work = Box::pin(async move {
                if let Some(left) = left {
                    let _ = left.await;
                }
                begin.begin(node, link).await;
            });
            Box::new(Feed { who, work: Some(work) })
        });
    }

    /// Notes how far the device has got.
    pub(super) fn note_cursor(&self) {
        if let Some(feed) = &self.feed {
            self.note_cursor_of(&feed.who.device);
        }
    }

    fn note_cursor_of(&self, device: &Device) {
        if let Some(cursor) = self.link.take_cursor() {
            self.node.cursors.note(device, cursor);
        }
    }

    /// Goes on with the welcome, or with the page that the feed wants.
    pub(super) fn poll_feed(&mut self, cx: &mut Context<'_>) -> bool {
        self.note_cursor();
        let Some(feed) = &mut self.feed else { return false };
        if feed.work.is_none() {
            let Some(after) = self.link.feed_wants() else { return false };
            feed.work = Some(Box::pin(feed.who.clone().page(self.node.clone(), self.link.clone(), after)));
        }
        let Some(work) = &mut feed.work else { return false };
        let done = work.as_mut().poll(cx).is_ready();
        if done {
            feed.work = None;
        }
        done
    }
}
