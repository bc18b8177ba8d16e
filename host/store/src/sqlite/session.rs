//! Statements on one borrowed SQLite connection.

use std::sync::Arc;
use std::time::Duration;

use futures_util::TryStreamExt;
use sqlx::sqlite::{SqliteArguments, SqliteRow};
use sqlx::{Arguments, AssertSqlSafe, Either, Executor, Row as _, SqliteConnection, TypeInfo, ValueRef};

use super::pool::{Conn, Lease};
use crate::engine::Answer;
use crate::{Row, SqlError, Value};

/// A connection, mostly with a transaction open on it.
pub(crate) struct Session {
    lease: Lease,
}

impl Session {
    pub(super) fn single(lease: Lease) -> Self {
        Self { lease }
    }

    pub(super) async fn begin(lease: Lease, sql: &'static str) -> sqlx::Result<Self> {
        let mut session = Self { lease };
        let conn = session.lease.conn()?;
        // Before the statement is sent: whoever stops waiting here leaves a connection to be cleaned.
        conn.dirty = true;
        conn.deadline.never();
        execute(&mut conn.sqlite, sql).await?;
        Ok(session)
    }

    /// Ends the transaction with `COMMIT` or `ROLLBACK`; the statement time limit does not apply.
    pub(crate) async fn end(mut self, sql: &'static str) -> Result<(), SqlError> {
        let conn = self.lease.conn()?;
        conn.deadline.never();
        let ended = execute(&mut conn.sqlite, sql).await;
        // An error leaves it dirty: rolled back when the connection is given back.
        conn.dirty = ended.is_err();
        Ok(ended?)
    }

    /// Runs one statement; its parameters are those of `rows`, one after the other.
    pub(crate) async fn run(
        &mut self,
        sql: Arc<str>,
        rows: Vec<Row>,
        answer: &mut Answer,
        limit: Option<Duration>,
    ) -> Result<(), SqlError> {
        let conn = self.lease.conn()?;
        let done = Self::run_on(conn, sql, rows, answer, limit).await;
        conn.deadline.never();
        conn.dirty |= done.is_err();
        done
    }

    async fn run_on(
        conn: &mut Conn,
        sql: Arc<str>,
        rows: Vec<Row>,
        answer: &mut Answer,
        limit: Option<Duration>,
    ) -> Result<(), SqlError> {
        let mut arguments = SqliteArguments::default();
        arguments.reserve(rows.iter().map(Vec::len).sum(), 0);
        for value in rows.into_iter().flatten() {
            add(&mut arguments, value).map_err(|error| SqlError::Refused(error.to_string()))?;
        }
        match limit {
            Some(limit) => conn.deadline.after(limit),
            None => conn.deadline.never(),
        }
        // The guard has passed the statement, or it is one of the host's own; values are bound.
        let query = sqlx::query_with(AssertSqlSafe(sql), arguments);
        let mut results = conn.sqlite.fetch_many(query);
        while let Some(result) = results.try_next().await? {
            match result {
                Either::Left(done) => answer.changed += done.rows_affected(),
                Either::Right(row) => answer.push(|| read(&row))?,
            }
        }
        Ok(())
    }
}

async fn execute(connection: &mut SqliteConnection, sql: &'static str) -> sqlx::Result<()> {
    sqlx::query(sql).execute(connection).await.map(drop)
}

fn add(arguments: &mut SqliteArguments, value: Value) -> Result<(), sqlx::error::BoxDynError> {
    match value {
        Value::Null => arguments.add(None::<i64>),
        Value::Integer(value) => arguments.add(value),
        Value::Real(value) => arguments.add(value),
        Value::Text(value) => arguments.add(value),
        Value::Blob(value) => arguments.add(value),
    }
}

/// SQLite's values carry their own type, whatever the column was declared as.
fn read(row: &SqliteRow) -> Result<Row, SqlError> {
    let mut values = Row::with_capacity(row.len());
    for column in 0..row.len() {
        let raw = row.try_get_raw(column)?;
        let value = if raw.is_null() {
            Value::Null
        } else {
            match raw.type_info().name() {
                "REAL" => Value::Real(row.try_get_unchecked(column)?),
                "TEXT" => Value::Text(row.try_get_unchecked(column)?),
                "BLOB" => Value::Blob(row.try_get_unchecked(column)?),
                _ => Value::Integer(row.try_get_unchecked(column)?),
            }
        };
        values.push(value);
    }
    Ok(values)
}
