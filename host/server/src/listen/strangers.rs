//! Connections that have not said who they are: there is room for so many. Who signs in does so in moments;
//! who has only held a place for a while is the one to lose it. Without such a one, new ones wait.

use std::{
    collections::BTreeMap,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use tokio::{sync::Notify, time::Instant};
use tokio_util::sync::CancellationToken;

/// How long a stranger keeps a place that others wait for. Shorter, and a crowd that comes back all at
/// once would send itself away half-way through its handshakes.
const PATIENCE: Duration = Duration::from_secs(2);

/// The strangers of some listeners.
#[derive(Debug)]
pub struct Strangers {
    most: usize,
    /// In the order in which they came.
    here: Mutex<BTreeMap<u64, Place>>,
    came: AtomicU64,
    freed: Notify,
}

#[derive(Debug)]
struct Place {
    since: Instant,
    sent_away: CancellationToken,
}

/// A stranger's place; given back when dropped, which is when it is none any more.
#[derive(Debug)]
pub struct Stranger {
    of: Arc<Strangers>,
    number: u64,
    sent_away: CancellationToken,
}

impl Strangers {
    /// Room for `most` of them.
    pub fn new(most: usize) -> Arc<Self> {
        let here = Mutex::default();
        Arc::new(Strangers { most: most.max(1), here, came: AtomicU64::new(0), freed: Notify::new() })
    }

    /// A place for one more, when there is one.
    pub async fn admit(self: &Arc<Self>) -> Stranger {
        loop {
            // Listened for before it is looked, so that none is missed.
            let mut freed = pin!(self.freed.notified());
            freed.as_mut().enable();
            match self.try_admit(Instant::now()) {
                Ok(stranger) => return stranger,
                Err(at) => tokio::select! {
                    () = freed => {}
                    () = tokio::time::sleep_until(at) => {}
                },
            }
        }
    }

    /// A place now, perhaps that of the oldest; else when the oldest will have to go.
    fn try_admit(self: &Arc<Self>, now: Instant) -> Result<Stranger, Instant> {
        let mut here = self.here.lock();
        if here.len() >= self.most
            && let Some(oldest) = here.first_entry()
        {
            let until = oldest.get().since + PATIENCE;
            if now < until {
                return Err(until);
            }
            metrics::counter!("postern_refused_total", "reason" => "connections-before-sign-in").increment(1);
            oldest.remove().sent_away.cancel();
        }
        let number = self.came.fetch_add(1, Ordering::Relaxed);
        let sent_away = CancellationToken::new();
        here.insert(number, Place { since: now, sent_away: sent_away.clone() });
        Ok(Stranger { of: self.clone(), number, sent_away })
    }
}

impl Stranger {
    /// Does `work` as long as the place is its own; None when it was sent away meanwhile.
    pub async fn while_here<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        self.sent_away.run_until_cancelled(work).await
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        if self.of.here.lock().remove(&self.number).is_some() {
            self.of.freed.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use super::*;

    #[tokio::test]
    async fn the_oldest_goes_after_a_while_and_who_is_known_stays() {
        let (strangers, start) = (Strangers::new(2), Instant::now());
        let known = strangers.try_admit(start).unwrap();
        let oldest = strangers.try_admit(start).unwrap();
        drop(known);
        let younger = strangers.try_admit(start).unwrap();
        assert_eq!(strangers.try_admit(start).unwrap_err(), start + PATIENCE);
        assert_eq!(oldest.while_here(async { 1 }).await, Some(1));
        let _youngest = strangers.try_admit(start + PATIENCE).unwrap();
        assert_eq!(oldest.while_here(pending::<()>()).await, None);
        assert_eq!(younger.while_here(async { 1 }).await, Some(1));
        drop(oldest);
        assert_eq!(strangers.here.lock().len(), 2);
    }

    #[tokio::test]
    async fn who_waits_gets_the_place_that_comes_free() {
        let strangers = Strangers::new(1);
        let first = strangers.admit().await;
        let waiting = tokio::spawn({
            let strangers = strangers.clone();
            async move { strangers.admit().await.number }
        });
        tokio::task::yield_now().await;
        drop(first);
        assert_eq!(waiting.await.unwrap(), 1);
    }
}
