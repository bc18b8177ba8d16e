//! How far each device has got in its user's inbox (A14; ARCHITECTURE.md, Delivery).

use std::collections::BTreeMap;

use crate::database::Own;
use crate::{Access, Row, SqlError, Value};

/// A device's place: everything up to `watermark` is done, and what is listed above it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CursorRow {
    /// Whose inbox.
    pub user: String,
    /// The device's client id.
    pub device: String,
    /// All sequence numbers up to this one are done.
    pub watermark: u64,
    /// Done beyond the watermark.
    pub above: Vec<u64>,
}

/// The table of cursors.
#[derive(Clone)]
pub struct Cursors {
    own: Own,
}

impl std::fmt::Debug for Cursors {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Cursors")
    }
}

impl Cursors {
    pub(crate) fn new(own: Own) -> Self {
        Self { own }
    }

    /// A device's watermark and what is done above it; None for a device never saved.
    ///
    /// # Errors
    /// [`SqlError`].
    pub async fn load(&self, user: &str, device: &str) -> Result<Option<(u64, Vec<u64>)>, SqlError> {
        let sql = "SELECT watermark, above FROM device_cursor WHERE user_id = $1 AND device = $2";
        let (_, rows) = self.own.run(Access::Read, sql, vec![user.into(), device.into()]).await?;
        Ok(rows.first().and_then(|row| match row.as_slice() {
            [Value::Integer(watermark), Value::Blob(above)] => {
                Some((watermark.cast_unsigned(), unpack(above)))
            }
            _ => None,
        }))
    }

    /// Saves many in one transaction. A row whose watermark is lower than the saved one is ignored; of
    /// two for one device the later of those with the greatest watermark counts.
    ///
    /// # Errors
    /// [`SqlError`]; none is saved then.
    pub async fn save(&self, rows: Vec<CursorRow>) -> Result<(), SqlError> {
        // Sorted, so that two nodes that save the same devices do not wait for each other in a circle.
        let mut latest: BTreeMap<(String, String), (u64, Vec<u64>)> = BTreeMap::new();
        for CursorRow { user, device, watermark, above } in rows {
            let place = latest.entry((user, device)).or_default();
            if watermark >= place.0 {
                *place = (watermark, above);
            }
        }
        if latest.is_empty() {
            return Ok(());
        }
        let rows: Vec<Row> = latest
            .into_iter()
            .map(|((user, device), (watermark, above))| {
                vec![user.into(), device.into(), Value::Integer(watermark.cast_signed()), pack(&above).into()]
            })
            .collect();
        let sql = "INSERT INTO device_cursor (user_id, device, watermark, above) VALUES :rows
            ON CONFLICT (user_id, device) DO UPDATE SET watermark = excluded.watermark, above = excluded.above
            WHERE excluded.watermark >= device_cursor.watermark";
        let mut transaction = self.own.sql().begin(Access::Write).await?;
        transaction.execute_rows(sql, rows).await?;
        transaction.commit().await
    }
}

/// 8 bytes each, most significant first.
fn pack(above: &[u64]) -> Vec<u8> {
    above.iter().flat_map(|seq| seq.to_be_bytes()).collect()
}

fn unpack(bytes: &[u8]) -> Vec<u64> {
    bytes.as_chunks::<8>().0.iter().map(|seq| u64::from_be_bytes(*seq)).collect()
}
