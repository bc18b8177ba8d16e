//! Every task has an owner. Links, wills and admin acts are in a tracker that a drain waits for;
//! background tasks run until those are done and are then stopped.

use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Owner of the tasks that serve the links: doors, answers on the bus, group commit, cursors.
#[derive(Clone, Default)]
pub struct Background {
    tracker: TaskTracker,
    stop: CancellationToken,
}

impl Background {
    /// Runs `work` until it ends or everything is stopped.
    pub fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        let stop = self.stop.clone();
        self.tracker.spawn(async move { stop.run_until_cancelled_owned(work).await });
    }

    /// Runs `work` with the token that tells it to finish by itself.
    pub fn spawn_until<F: Future<Output = ()> + Send + 'static>(
        &self,
        work: impl FnOnce(CancellationToken) -> F,
    ) {
        self.tracker.spawn(work(self.stop.clone()));
    }

    /// Stops everything and waits for it.
    pub async fn finish(&self) {
        self.stop.cancel();
        self.tracker.close();
        self.tracker.wait().await;
    }
}
