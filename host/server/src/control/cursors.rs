//! How far each device has read its inbox, written behind its acknowledgements (A14).
//!
//! A cursor that is written late only repeats messages after a crash, which QoS 1 allows; so links
//! note their cursor here and one task writes them in bulk.

use std::{collections::HashMap, sync::Arc, time::Duration};

use parking_lot::Mutex;
use postern_broker::Cursor;
use postern_store::{CursorRow, Cursors as Table, StoreError};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::warn;

/// Acknowledgements of this span are written together.
const GATHER: Duration = Duration::from_millis(100);

/// One device of one user.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Device {
    /// User id.
    pub user: String,
    /// Client id.
    pub client_id: String,
}

/// Cursors that wait to be written.
pub struct Cursors {
    table: Table,
    changed: Mutex<HashMap<Device, Cursor>>,
    wake: Notify,
}

impl Cursors {
    /// Nothing waits.
    pub fn new(table: Table) -> Arc<Self> {
        Arc::new(Cursors { table, changed: Mutex::default(), wake: Notify::new() })
    }

    /// Where a device is; what waits to be written counts. None for a device never seen.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn load(&self, device: &Device) -> Result<Option<Cursor>, StoreError> {
        if let Some(waiting) = self.changed.lock().get(device) {
            return Ok(Some(waiting.clone()));
        }
        let row = self.table.load(&device.user, &device.client_id).await?;
        Ok(row.map(|(watermark, above)| Cursor { watermark, above }))
    }

    /// Notes where a device is now.
    pub fn note(&self, device: &Device, cursor: Cursor) {
        let first = {
            let mut changed = self.changed.lock();
            let first = changed.is_empty();
            match changed.get_mut(device) {
                Some(waiting) => *waiting = cursor,
                None => drop(changed.insert(device.clone(), cursor)),
            }
            first
        };
        if first {
            self.wake.notify_one();
        }
    }

    /// Writes what is noted, until `stop`, and then what is left.
    pub async fn write_behind(self: Arc<Self>, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = self.wake.notified() => {}
                () = stop.cancelled() => break,
            }
            tokio::select! {
                () = tokio::time::sleep(GATHER) => {}
                () = stop.cancelled() => break,
            }
            self.write().await;
        }
        self.write().await;
    }

    async fn write(&self) {
        let taken = std::mem::take(&mut *self.changed.lock());
        if taken.is_empty() {
            return;
        }
        let row = |(device, cursor): (&Device, &Cursor)| CursorRow {
            user: device.user.clone(),
            device: device.client_id.clone(),
            watermark: cursor.watermark,
            above: cursor.above.clone(),
        };
        if let Err(e) = self.table.save(taken.iter().map(row).collect()).await {
            warn!(cursors = taken.len(), error = %e, "cursors not written, will try again");
            let mut changed = self.changed.lock();
            for (device, cursor) in taken {
                changed.entry(device).or_insert(cursor);
            }
        }
    }
}
