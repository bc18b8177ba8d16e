//! Connections to one SQLite file: a pool of one for writing, a small one for reading.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection, SqliteConnection};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::limits;

/// How long a caller waits for a connection before it is told that the database is busy.
const WAIT: Duration = Duration::from_secs(5);
/// Virtual machine steps between two looks at the clock: some tens of microseconds.
const STEPS: i32 = 4000;

/// When the statement that runs must stop; read by SQLite's progress handler on its own thread.
#[derive(Debug)]
pub(super) struct Deadline {
    base: Instant,
    /// Microseconds after `base`; `u64::MAX`: never; 0: at once.
    at: AtomicU64,
}

impl Deadline {
    fn new() -> Arc<Self> {
        Arc::new(Self { base: Instant::now(), at: AtomicU64::new(u64::MAX) })
    }

    pub(super) fn after(&self, limit: Duration) {
        let at = self.base.elapsed().saturating_add(limit).as_micros();
        self.at.store(u64::try_from(at).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    pub(super) fn never(&self) {
        self.at.store(u64::MAX, Ordering::Relaxed);
    }

    fn now(&self) {
        self.at.store(0, Ordering::Relaxed);
    }

    fn go_on(&self) -> bool {
        match self.at.load(Ordering::Relaxed) {
            u64::MAX => true,
            at => self.base.elapsed().as_micros() < u128::from(at),
        }
    }
}

/// One connection.
pub(super) struct Conn {
    pub(super) sqlite: SqliteConnection,
    pub(super) deadline: Arc<Deadline>,
    /// A transaction may be open on it, or it may be of no use any more.
    pub(super) dirty: bool,
}

impl Conn {
    async fn open(options: &SqliteConnectOptions) -> sqlx::Result<Self> {
        let mut sqlite = options.connect().await?;
        limits::apply(&mut sqlite).await?;
        let deadline = Deadline::new();
        let watched = Arc::clone(&deadline);
        sqlite.lock_handle().await?.set_progress_handler(STEPS, move || watched.go_on());
        Ok(Self { sqlite, deadline, dirty: false })
    }

    /// Rolls back what an abandoned caller left. The statement that may still run is stopped first.
    async fn clean(&mut self) -> sqlx::Result<()> {
        self.deadline.now();
        // The worker thread answers in order: after this, nothing of the former caller runs.
        self.sqlite.ping().await?;
        self.deadline.never();
        match sqlx::query("ROLLBACK").execute(&mut self.sqlite).await {
            // Some errors (full, interrupted) have rolled back already.
            Ok(_) | Err(sqlx::Error::Database(_)) => {
                self.dirty = false;
                Ok(())
            }
            Err(error) => Err(error),
        }
    }
}

/// Some connections with the same options; one that fails is opened again when it is needed.
pub(super) struct Pool {
    options: SqliteConnectOptions,
    size: u32,
    permits: Arc<Semaphore>,
    idle: Mutex<Vec<Conn>>,
}

impl Pool {
    pub(super) fn new(options: SqliteConnectOptions, size: u32) -> Arc<Self> {
        let permits = Arc::new(Semaphore::new(size as usize));
        Arc::new(Self { options, size, permits, idle: Mutex::default() })
    }

    /// Lends a connection, with no transaction open.
    pub(super) async fn take(self: &Arc<Self>) -> sqlx::Result<Lease> {
        let permit = tokio::time::timeout(WAIT, Arc::clone(&self.permits).acquire_owned())
            .await
            .map_err(|_| sqlx::Error::PoolTimedOut)?
            .map_err(|_| sqlx::Error::PoolClosed)?;
        let idle = self.idle.lock().pop();
        let mut lease = Lease { conn: idle, pool: Arc::clone(self), _permit: permit };
        if lease.conn.as_ref().is_some_and(|conn| conn.dirty) {
            let clean = lease.conn()?.clean().await;
            if clean.is_err() {
                lease.conn = None;
            }
        }
        if lease.conn.is_none() {
            lease.conn = Some(Conn::open(&self.options).await?);
        }
        Ok(lease)
    }

    /// Opens all that there may be.
    pub(super) async fn fill(self: &Arc<Self>) -> sqlx::Result<()> {
        let mut all = Vec::new();
        for _ in 0..self.size {
            all.push(self.take().await?);
        }
        Ok(())
    }

    /// Waits for the borrowers and closes all connections.
    pub(super) async fn close(&self) {
        // A borrower that stays longer than this has its connection closed when it is done.
        let all = tokio::time::timeout(WAIT, self.permits.acquire_many(self.size)).await;
        self.permits.close();
        drop(all);
        let idle = std::mem::take(&mut *self.idle.lock());
        for mut conn in idle {
            if conn.dirty {
                let _ = conn.clean().await;
            }
            let _ = conn.sqlite.close().await;
        }
    }
}

/// A borrowed connection; goes back when dropped.
pub(super) struct Lease {
    conn: Option<Conn>,
    pool: Arc<Pool>,
    _permit: OwnedSemaphorePermit,
}

impl Lease {
    pub(super) fn conn(&mut self) -> sqlx::Result<&mut Conn> {
        self.conn.as_mut().ok_or(sqlx::Error::WorkerCrashed)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let Some(conn) = self.conn.take() else { return };
        if self.pool.permits.is_closed() {
            return;
        }
        let dirty = conn.dirty;
        if dirty {
            // Stops a statement that nobody waits for any more.
            conn.deadline.now();
        }
        self.pool.idle.lock().push(conn);
        if !dirty {
            return;
        }
        // Rolled back at once rather than by the next caller, who may be long in coming: taking the
        // connection cleans it.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let pool = Arc::clone(&self.pool);
            runtime.spawn(async move { drop(pool.take().await) });
        }
    }
}
