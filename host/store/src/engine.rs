//! The two databases behind one face.

use std::sync::Arc;
use std::time::Duration;

use crate::plan::Plans;
use crate::{Access, Dialect, Row, SqlError, postgres, sqlite};

/// Bytes of all values of one answer: what a guest could not take anyway.
const MAX_ANSWER_BYTES: usize = 32 << 20;

/// A file or a schema.
pub(crate) enum Engine {
    Sqlite(sqlite::File),
    Postgres(postgres::Schema),
}

impl Engine {
    pub(crate) fn dialect(&self) -> Dialect {
        match self {
            Self::Sqlite(_) => Dialect::Sqlite,
            Self::Postgres(_) => Dialect::Postgres,
        }
    }

    /// `statement_ms` bounds each statement; None for the host's own.
    pub(crate) async fn begin(&self, access: Access, statement_ms: Option<u64>) -> Result<Session, SqlError> {
        Ok(match self {
            Self::Sqlite(file) => Session::Sqlite(Box::new(file.begin(access).await?)),
            Self::Postgres(schema) => Session::Postgres(Box::new(schema.begin(access, statement_ms).await?)),
        })
    }

    /// One of the host's own statements, as a transaction of its own.
    pub(crate) async fn single(
        &self,
        plans: &Plans,
        access: Access,
        sql: &str,
        params: Row,
    ) -> Result<Answer, SqlError> {
        let mut answer = Answer::new(usize::MAX);
        let text = plans.get(sql)?.text(params.len())?;
        match self {
            Self::Sqlite(file) => {
                file.single(access).await?.run(text, vec![params], &mut answer, None).await?
            }
            Self::Postgres(schema) => schema.single(&text, vec![params], &mut answer).await?,
        }
        Ok(answer)
    }

    pub(crate) async fn close(&self) {
        match self {
            Self::Sqlite(file) => file.close().await,
            Self::Postgres(schema) => schema.close().await,
        }
    }
}

/// A transaction of one of the two; rolled back when dropped.
pub(crate) enum Session {
    Sqlite(Box<sqlite::Session>),
    Postgres(Box<postgres::Session>),
}

impl Session {
    pub(crate) async fn run(
        &mut self,
        sql: Arc<str>,
        rows: Vec<Row>,
        answer: &mut Answer,
        limit: Option<Duration>,
    ) -> Result<(), SqlError> {
        match self {
            Self::Sqlite(session) => session.run(sql, rows, answer, limit).await,
            Self::Postgres(session) => session.run(&sql, rows, answer).await,
        }
    }

    pub(crate) async fn commit(self) -> Result<(), SqlError> {
        match self {
            Self::Sqlite(session) => session.end("COMMIT").await,
            Self::Postgres(session) => session.commit().await,
        }
    }

    pub(crate) async fn rollback(self) -> Result<(), SqlError> {
        match self {
            Self::Sqlite(session) => session.end("ROLLBACK").await,
            Self::Postgres(session) => session.rollback().await,
        }
    }
}

/// What statements have answered so far, within the row limit.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) changed: u64,
    pub(crate) rows: Vec<Row>,
    max_rows: usize,
    bytes: usize,
}

impl Answer {
    pub(crate) fn new(max_rows: usize) -> Self {
        Self { changed: 0, rows: Vec::new(), max_rows, bytes: 0 }
    }

    pub(crate) fn push(&mut self, read: impl FnOnce() -> Result<Row, SqlError>) -> Result<(), SqlError> {
        if self.rows.len() >= self.max_rows {
            return Err(SqlError::Full(format!("the answer has more than {} rows", self.max_rows)));
        }
        let row = read()?;
        self.bytes += row.iter().map(crate::Value::size).sum::<usize>();
        if self.bytes > MAX_ANSWER_BYTES && self.max_rows != usize::MAX {
            return Err(SqlError::Full(format!("the answer has more than {MAX_ANSWER_BYTES} bytes")));
        }
        self.rows.push(row);
        Ok(())
    }
}
