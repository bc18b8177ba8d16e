//! One PostgreSQL schema, through a pool of connections that see no other.

mod param;
mod schema;

use std::sync::Arc;
use std::time::Duration;

use futures_util::TryStreamExt;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPoolOptions};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Either, Executor, PgPool};
use tokio::time::timeout;

pub(crate) use schema::{SCHEMA_LOCK, alone, prepare};

use crate::engine::Answer;
use crate::{Access, Row, SqlError, StoreError};

/// Connections per schema and process.
const CONNECTIONS: u32 = 8;
/// How long a caller waits for a connection.
const WAIT: Duration = Duration::from_secs(5);

/// One schema.
pub(crate) struct Schema {
    pool: PgPool,
}

impl Schema {
    /// Connects. `role`: who to be on every connection, where the schema has an owner of its own.
    ///
    /// # Errors
    /// [`StoreError::Open`] with the cause in one line.
    pub(crate) async fn open(
        options: &PgConnectOptions,
        place: &str,
        schema: &str,
        role: Option<String>,
    ) -> Result<Self, StoreError> {
        let options = options
            .clone()
            .application_name("postern")
            .statement_cache_capacity(256)
            .options([
                ("search_path", format!("\"{schema}\"").as_str()),
                ("standard_conforming_strings", "on"),
                ("idle_in_transaction_session_timeout", "60000"),
            ])
            .disable_statement_logging();
        // The pool tries again until its patience ends, and forgets why it had to: asked directly first.
        let probe = options.connect().await.map_err(|error| StoreError::sqlx(place, &error))?;
        let _ = probe.close().await;
        let role: Option<Arc<str>> = role.map(|role| format!("SET ROLE \"{role}\"").into());
        let pool = PgPoolOptions::new()
            .max_connections(CONNECTIONS)
            .acquire_timeout(WAIT)
            .after_connect(move |connection, _| {
                let role = role.clone();
                Box::pin(async move {
                    if let Some(role) = role {
                        // A name that `schema::prepare` made.
                        connection.execute(AssertSqlSafe(role)).await?;
                    }
                    Ok(())
                })
            })
            .connect_with(options)
            .await
            .map_err(|error| StoreError::sqlx(place, &error))?;
        Ok(Self { pool })
    }

    /// Readers get one snapshot for the whole transaction, as with SQLite.
    pub(crate) async fn begin(&self, access: Access, statement_ms: Option<u64>) -> sqlx::Result<Session> {
        let mode = match access {
            Access::Read => "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
            Access::Write => "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE",
        };
        // One round trip; the limit ends with the transaction. Nothing but a number is put in.
        let sql = match statement_ms {
            Some(ms) => format!("{mode}; SET LOCAL statement_timeout = {}", ms.clamp(1, i32::MAX as u64)),
            None => mode.to_owned(),
        };
        Ok(Session { transaction: self.pool.begin_with(AssertSqlSafe(sql)).await? })
    }

    pub(crate) async fn single(
        &self,
        sql: &str,
        rows: Vec<Row>,
        answer: &mut Answer,
    ) -> Result<(), SqlError> {
        let mut connection = self.pool.acquire().await?;
        run(&mut connection, sql, rows, answer).await
    }

    /// A server that does not answer is left: a stop does not wait for what it may never say.
    pub(crate) async fn close(&self) {
        if timeout(WAIT, self.pool.close()).await.is_err() {
            tracing::warn!("PostgreSQL does not answer; its connections are left");
        }
    }

    pub(crate) fn pool(&self) -> &PgPool {
        &self.pool
    }
}

/// An open transaction; sqlx rolls it back when it is dropped.
pub(crate) struct Session {
    transaction: sqlx::Transaction<'static, sqlx::Postgres>,
}

impl Session {
    pub(crate) async fn run(
        &mut self,
        sql: &str,
        rows: Vec<Row>,
        answer: &mut Answer,
    ) -> Result<(), SqlError> {
        run(&mut self.transaction, sql, rows, answer).await
    }

    pub(crate) async fn commit(self) -> Result<(), SqlError> {
        Ok(self.transaction.commit().await?)
    }

    pub(crate) async fn rollback(self) -> Result<(), SqlError> {
        Ok(self.transaction.rollback().await?)
    }
}

async fn run(
    connection: &mut PgConnection,
    sql: &str,
    rows: Vec<Row>,
    answer: &mut Answer,
) -> Result<(), SqlError> {
    let (text, arguments) = param::bind(sql, rows)?;
    // The guard has passed the statement, or it is one of the host's own; values are bound.
    let mut results = connection.fetch_many(sqlx::query_with(AssertSqlSafe(text), arguments));
    while let Some(result) = results.try_next().await? {
        match result {
            Either::Left(done) => answer.changed += done.rows_affected(),
            Either::Right(row) => answer.push(|| param::read(&row))?,
        }
    }
    Ok(())
}
