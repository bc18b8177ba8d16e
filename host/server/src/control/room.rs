//! Room for bytes that wait for something: who finds none is woken when there is some.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Waker},
};

use parking_lot::Mutex;

/// So many bytes, and whoever waits for some. What is taken may be over it: it is asked for before
/// anybody knows how much is to come.
#[derive(Debug)]
pub struct Room {
    most: usize,
    taken: AtomicUsize,
    /// By who waits: a link that is polled often while there is none is here once.
    waiting: Mutex<HashMap<u64, Waker>>,
}

/// Bytes that are taken; given back when dropped.
#[derive(Debug)]
pub struct Taken {
    of: Arc<Room>,
    bytes: usize,
}

impl Room {
    /// Room for `most` bytes.
    pub fn new(most: usize) -> Arc<Self> {
        Arc::new(Room { most, taken: AtomicUsize::new(0), waiting: Mutex::default() })
    }

    /// Takes some.
    pub fn take(self: &Arc<Self>, bytes: usize) -> Taken {
        self.taken.fetch_add(bytes, Ordering::SeqCst);
        Taken { of: self.clone(), bytes }
    }

    /// Ready while there is room left; `who` is told apart from others by it.
    pub fn poll(&self, who: u64, cx: &Context<'_>) -> Poll<()> {
        if self.has_some() {
            return Poll::Ready(());
        }
        self.waiting.lock().insert(who, cx.waker().clone());
        // It may have come between the two.
        if self.has_some() { Poll::Ready(()) } else { Poll::Pending }
    }

    /// One who has gone waits no more.
    pub fn forget(&self, who: u64) {
        self.waiting.lock().remove(&who);
    }

    /// Whether so many times the room is taken.
    pub fn is_over(&self, times: usize) -> bool {
        self.taken.load(Ordering::SeqCst) >= self.most.saturating_mul(times)
    }

    fn has_some(&self) -> bool {
        self.taken.load(Ordering::SeqCst) < self.most
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        let before = self.of.taken.fetch_sub(self.bytes, Ordering::SeqCst);
        if before >= self.of.most && self.of.has_some() {
            let waiting = std::mem::take(&mut *self.of.waiting.lock());
            waiting.into_values().for_each(Waker::wake);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_finds_none_is_woken_when_there_is_some() {
        let room = Room::new(10);
        let small = room.take(4);
        let large = room.take(100);
        let waiting = {
            let room = room.clone();
            tokio::spawn(std::future::poll_fn(move |cx| room.poll(1, cx)))
        };
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        let noop = Context::from_waker(Waker::noop());
        assert!((0..100).all(|_| room.poll(2, &noop).is_pending()));
        assert_eq!(room.waiting.lock().len(), 2, "each waits once");
        room.forget(2);
        assert_eq!(room.waiting.lock().len(), 1, "who has gone is forgotten");
        assert!(room.is_over(10) && !room.is_over(11));
        drop(small);
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished(), "still too much");
        drop(large);
        waiting.await.unwrap();
        assert_eq!(room.taken.load(Ordering::SeqCst), 0);
    }
}
