//! What a broker keeps of its sessions over a restart: small records under a session and a key. What
//! they mean is the server's.

use crate::database::Own;
use crate::{Access, Row, SqlError, Value};

/// Records read at a time when a node starts.
const PAGE: i64 = 10_000;

/// Names one record.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeptKey {
    /// Whose it is; 0 for what belongs to no session.
    pub session: u64,
    /// What kind of record.
    pub kind: u8,
    /// Which one.
    pub key: Vec<u8>,
}

/// Records of one node.
#[derive(Clone)]
pub struct Kept {
    own: Own,
    node: String,
}

impl std::fmt::Debug for Kept {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Kept").field("node", &self.node).finish_non_exhaustive()
    }
}

impl Kept {
    pub(crate) fn new(own: Own, node: &str) -> Self {
        Self { own, node: node.to_owned() }
    }

    /// Writes one transaction: all records of `ended` sessions go, then `gone`, then `put` is set. The
    /// three name no record twice.
    ///
    /// # Errors
    /// [`SqlError`]; nothing is written then.
    pub async fn save(
        &self,
        ended: &[u64],
        gone: &[KeptKey],
        put: &[(KeptKey, Vec<u8>)],
    ) -> Result<(), SqlError> {
        let mut transaction = self.own.sql().begin(Access::Write).await?;
        let sessions =
            ended.iter().map(|session| vec![self.node.as_str().into(), number(*session)]).collect();
        let sql = "DELETE FROM kept WHERE (node, session) IN (VALUES :rows)";
        transaction.execute_rows(sql, sessions).await?;
        let sql = "DELETE FROM kept WHERE (node, session, kind, key) IN (VALUES :rows)";
        transaction.execute_rows(sql, gone.iter().map(|key| self.row(key)).collect()).await?;
        let sql = "INSERT INTO kept (node, session, kind, key, value) VALUES :rows
            ON CONFLICT (node, session, kind, key) DO UPDATE SET value = excluded.value";
        let row = |(key, value): &(KeptKey, Vec<u8>)| {
            let mut row = self.row(key);
            row.push(value.clone().into());
            row
        };
        transaction.execute_rows(sql, put.iter().map(row).collect()).await?;
        transaction.commit().await
    }

    /// The records after `after`, by session, kind and key; empty at the end.
    ///
    /// # Errors
    /// [`SqlError`].
    pub async fn page(&self, after: Option<&KeptKey>) -> Result<Vec<(KeptKey, Vec<u8>)>, SqlError> {
        let start = KeptKey { session: 0, kind: 0, key: Vec::new() };
        let mut params = self.row(after.unwrap_or(&start));
        params.push(PAGE.into());
        let sql = "SELECT session, kind, key, value FROM kept
            WHERE node = $1 AND (session, kind, key) > ($2, $3, $4) ORDER BY session, kind, key LIMIT $5";
        let (_, rows) = self.own.run(Access::Read, sql, params).await?;
        Ok(rows.into_iter().filter_map(record).collect())
    }

    fn row(&self, key: &KeptKey) -> Row {
        let kind = Value::Integer(i64::from(key.kind));
        vec![self.node.as_str().into(), number(key.session), kind, key.key.clone().into()]
    }
}

fn number(session: u64) -> Value {
    Value::Integer(session.cast_signed())
}

fn record(row: Row) -> Option<(KeptKey, Vec<u8>)> {
    match <[Value; 4]>::try_from(row) {
        Ok([Value::Integer(session), Value::Integer(kind), Value::Blob(key), Value::Blob(value)]) => {
            let kind = u8::try_from(kind).ok()?;
            Some((KeptKey { session: session.cast_unsigned(), kind, key }, value))
        }
        _ => None,
    }
}
