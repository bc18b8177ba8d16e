//! The durable map behind the `kv` interface of plugins (wit/host/kv.wit).
//!
//! A number is kept as its 8 bytes, most significant first: bytes then compare as numbers do in both
//! databases, up to 2^64 - 1. So [`Kv::get`] after [`Kv::advance`] gives these 8 bytes, and a value of 8
//! bytes that was [`Kv::set`] is a number to `advance`. A value of another length is no number:
//! `advance` leaves it alone and answers false, which for a proof's counter means refused.

use crate::database::Own;
use crate::{Access, Row, SqlError, Value};

/// One namespace. Times are milliseconds since the Unix epoch. Expired entries are absent; they are
/// removed when overwritten and by [`crate::Database::purge`].
#[derive(Clone)]
pub struct Kv {
    own: Own,
    namespace: String,
}

impl std::fmt::Debug for Kv {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Kv").field("namespace", &self.namespace).finish_non_exhaustive()
    }
}

impl Kv {
    pub(crate) fn new(own: Own, namespace: &str) -> Self {
        Self { own, namespace: namespace.to_owned() }
    }

    /// The value; None when absent or expired.
    ///
    /// # Errors
    /// [`SqlError`], as for all calls here.
    pub async fn get(&self, key: &str, now: u64) -> Result<Option<Vec<u8>>, SqlError> {
        let sql = "SELECT value FROM kv
            WHERE namespace = $1 AND key = $2 AND (expires_at IS NULL OR expires_at > $3)";
        let (_, rows) = self.own.run(Access::Read, sql, self.params([key.into(), time(now)])).await?;
        Ok(rows.into_iter().flatten().find_map(|value| match value {
            Value::Blob(bytes) => Some(bytes),
            _ => None,
        }))
    }

    /// Sets the value; with `expires_at` it is gone from then on.
    ///
    /// # Errors
    /// [`SqlError`].
    pub async fn set(&self, key: &str, value: Vec<u8>, expires_at: Option<u64>) -> Result<(), SqlError> {
        let sql = "INSERT INTO kv (namespace, key, value, expires_at) VALUES ($1, $2, $3, $4)
            ON CONFLICT (namespace, key) DO UPDATE SET value = excluded.value, expires_at = excluded.expires_at";
        let params = self.params([key.into(), value.into(), expires_at.map_or(Value::Null, time)]);
        self.own.run(Access::Write, sql, params).await.map(drop)
    }

    /// Removes the entry, if there is one.
    ///
    /// # Errors
    /// [`SqlError`].
    pub async fn delete(&self, key: &str) -> Result<(), SqlError> {
        let sql = "DELETE FROM kv WHERE namespace = $1 AND key = $2";
        self.own.run(Access::Write, sql, self.params([key.into()])).await.map(drop)
    }

    /// Raises the number at `key` to `to` if it is lower, absent or expired, and tells whether it did:
    /// true for exactly one of several callers with the same `to`, on any nodes.
    ///
    /// # Errors
    /// [`SqlError`].
    pub async fn advance(
        &self,
        key: &str,
        to: u64,
        expires_at: Option<u64>,
        now: u64,
    ) -> Result<bool, SqlError> {
        // Both databases look at the row again under its lock before they apply the update.
        let sql = "INSERT INTO kv (namespace, key, value, expires_at) VALUES ($1, $2, $3, $4)
            ON CONFLICT (namespace, key) DO UPDATE SET value = excluded.value, expires_at = excluded.expires_at
            WHERE kv.expires_at <= $5 OR (length(kv.value) = 8 AND kv.value < excluded.value)";
        let number = to.to_be_bytes().to_vec();
        let expires_at = expires_at.map_or(Value::Null, time);
        let params = self.params([key.into(), number.into(), expires_at, time(now)]);
        Ok(self.own.run(Access::Write, sql, params).await?.0 == 1)
    }

    /// Up to `limit` keys that begin with `prefix` and come after `after`, sorted by their bytes.
    ///
    /// # Errors
    /// [`SqlError`].
    pub async fn keys(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: u32,
        now: u64,
    ) -> Result<Vec<String>, SqlError> {
        let sql = "SELECT key FROM kv WHERE namespace = $1 AND key >= $2 AND key > $3
            AND ($4 = '' OR key < $4) AND (expires_at IS NULL OR expires_at > $5) ORDER BY key LIMIT $6";
        // No key is empty, so that "after the empty key" leaves none out but one nobody can mean.
        let end = end_of(prefix).unwrap_or_default();
        let params =
            [prefix.into(), after.unwrap_or_default().into(), end.into(), time(now), i64::from(limit).into()];
        let (_, rows) = self.own.run(Access::Read, sql, self.params(params)).await?;
        Ok(rows
            .into_iter()
            .flatten()
            .filter_map(|value| if let Value::Text(key) = value { Some(key) } else { None })
            .collect())
    }

    fn params<const N: usize>(&self, rest: [Value; N]) -> Row {
        std::iter::once(Value::from(&*self.namespace)).chain(rest).collect()
    }
}

pub(crate) async fn purge(own: &Own, now: u64) -> Result<u64, SqlError> {
    let sql = "DELETE FROM kv WHERE expires_at <= $1";
    Ok(own.run(Access::Write, sql, vec![time(now)]).await?.0)
}

/// Times beyond the year 292 million are all the same.
fn time(ms: u64) -> Value {
    Value::Integer(i64::try_from(ms).unwrap_or(i64::MAX))
}

/// The first text after all that begin with `prefix`, in byte order; None when there is no end.
fn end_of(prefix: &str) -> Option<String> {
    let mut end = prefix.to_owned();
    while let Some(last) = end.pop() {
        // The step from U+D7FF leads over the surrogates, which UTF-8 does not have.
        let next = if last == '\u{d7ff}' { Some('\u{e000}') } else { char::from_u32(u32::from(last) + 1) };
        if let Some(next) = next {
            end.push(next);
            return Some(end);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::end_of;

    #[test]
    fn the_end_of_a_prefix() {
        assert_eq!(end_of("ab").as_deref(), Some("ac"));
        assert_eq!(end_of("a\u{10ffff}").as_deref(), Some("b"));
        assert_eq!(end_of("\u{d7ff}").as_deref(), Some("\u{e000}"));
        assert_eq!(end_of(""), None);
    }
}
