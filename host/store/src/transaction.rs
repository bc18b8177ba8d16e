//! What the `sql` interface of plugins stands on.

use std::sync::Arc;
use std::time::Duration;

use crate::engine::{Answer, Engine, Session};
use crate::plan::Plans;
use crate::{Dialect, Row, SqlError};

/// What a transaction may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// A connection that cannot write; one snapshot for the whole transaction. Several at a time.
    Read,
    /// One at a time with SQLite.
    Write,
}

/// Bounds on what a plugin's statements take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SqlLimits {
    /// Rows in one answer.
    pub rows: u32,
    /// Milliseconds one statement may run.
    pub statement_ms: u64,
}

/// A plugin's own database: a SQLite file or a PostgreSQL schema. Cheap to clone; all of one name share it.
#[derive(Clone)]
pub struct PluginSql {
    pub(crate) engine: Arc<Engine>,
    pub(crate) plans: Arc<Plans>,
    pub(crate) limits: Option<SqlLimits>,
}

impl std::fmt::Debug for PluginSql {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PluginSql").field("dialect", &self.dialect()).field("limits", &self.limits).finish()
    }
}

impl PluginSql {
    /// Which database it is.
    #[must_use]
    pub fn dialect(&self) -> Dialect {
        self.engine.dialect()
    }

    /// Begins a transaction.
    ///
    /// # Errors
    /// [`SqlError::Unavailable`] when no connection becomes free within five seconds, or none can be made.
    pub async fn begin(&self, access: Access) -> Result<Transaction, SqlError> {
        let session = self.engine.begin(access, self.limits.map(|limits| limits.statement_ms)).await?;
        Ok(Transaction { session, plans: Arc::clone(&self.plans), limits: self.limits, lost: None })
    }
}

/// An open transaction. Dropped without commit it is rolled back, also in the middle of a statement.
///
/// After a statement has failed in the database the transaction is lost: further statements and the
/// commit give that first error again. A statement that was refused before it ran loses nothing.
#[must_use]
pub struct Transaction {
    session: Session,
    plans: Arc<Plans>,
    limits: Option<SqlLimits>,
    lost: Option<SqlError>,
}

impl Transaction {
    /// Runs one statement and tells how many rows it changed.
    ///
    /// # Errors
    /// As the variants of [`SqlError`] say.
    pub async fn execute(&mut self, statement: &str, params: Row) -> Result<u64, SqlError> {
        Ok(self.one(statement, params).await?.changed)
    }

    /// Runs one statement and gives its rows.
    ///
    /// # Errors
    /// As the variants of [`SqlError`] say; [`SqlError::Full`] beyond the row limit.
    pub async fn query(&mut self, statement: &str, params: Row) -> Result<Vec<Row>, SqlError> {
        Ok(self.one(statement, params).await?.rows)
    }

    /// Runs a statement with the word `:rows` for all `rows`, in as few statements as the database
    /// allows, and tells how many rows were changed. No rows: nothing runs.
    ///
    /// # Errors
    /// As the variants of [`SqlError`] say.
    pub async fn execute_rows(&mut self, statement: &str, rows: Vec<Row>) -> Result<u64, SqlError> {
        Ok(self.many(statement, rows).await?.changed)
    }

    /// The same, and gives the rows of all statements, in their order.
    ///
    /// # Errors
    /// As the variants of [`SqlError`] say; [`SqlError::Full`] beyond the row limit.
    pub async fn query_rows(&mut self, statement: &str, rows: Vec<Row>) -> Result<Vec<Row>, SqlError> {
        Ok(self.many(statement, rows).await?.rows)
    }

    /// Makes it durable.
    ///
    /// # Errors
    /// [`SqlError`]; nothing of the transaction is stored then, except that after a lost connection to
    /// PostgreSQL nobody knows.
    pub async fn commit(self) -> Result<(), SqlError> {
        match self.lost {
            // PostgreSQL answers COMMIT of a failed transaction with a rollback and no error.
            Some(error) => {
                let _ = self.session.rollback().await;
                Err(error)
            }
            None => self.session.commit().await,
        }
    }

    /// Undoes it and waits until that is done.
    ///
    /// # Errors
    /// [`SqlError::Unavailable`] when the database is gone; the transaction is undone all the same.
    pub async fn rollback(self) -> Result<(), SqlError> {
        match self.session.rollback().await {
            // The error that lost it has rolled it back already.
            Err(_) if self.lost.is_some() => Ok(()),
            done => done,
        }
    }

    async fn one(&mut self, statement: &str, params: Row) -> Result<Answer, SqlError> {
        self.usable()?;
        let text = self.plans.get(statement)?.text(params.len())?;
        let mut answer = self.answer();
        self.run(text, vec![params], &mut answer).await?;
        Ok(answer)
    }

    async fn many(&mut self, statement: &str, rows: Vec<Row>) -> Result<Answer, SqlError> {
        self.usable()?;
        let plan = self.plans.get(statement)?;
        let columns = rows.first().map_or(0, Vec::len);
        let chunks = plan.chunks(&rows)?;
        let mut answer = self.answer();
        let mut rows = rows.into_iter();
        for size in chunks {
            let chunk: Vec<Row> = rows.by_ref().take(size).collect();
            self.run(plan.rows_text(size, columns), chunk, &mut answer).await?;
        }
        Ok(answer)
    }

    async fn run(&mut self, text: Arc<str>, rows: Vec<Row>, answer: &mut Answer) -> Result<(), SqlError> {
        let limit = self.limits.map(|limits| Duration::from_millis(limits.statement_ms));
        let done = self.session.run(text, rows, answer, limit).await;
        if let Err(error) = &done {
            self.lost = Some(error.clone());
        }
        done
    }

    fn usable(&self) -> Result<(), SqlError> {
        self.lost.clone().map_or(Ok(()), Err)
    }

    fn answer(&self) -> Answer {
        Answer::new(self.limits.map_or(usize::MAX, |limits| limits.rows as usize))
    }
}
