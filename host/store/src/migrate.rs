//! The host's own tables. Numbered, forward only; a schema newer than this release's is refused.

use crate::engine::{Answer, Engine, Session};
use crate::plan::Plans;
use crate::{Access, Dialect, Row, SqlError, StoreError, Value};
use crate::{postgres, sqlite};

/// One step; step `n` brings schema `n - 1` to `n`.
struct Migration {
    sqlite: &'static [&'static str],
    postgres: &'static [&'static str],
}

const MIGRATIONS: &[Migration] = &[Migration {
    sqlite: &[
        "CREATE TABLE kv (namespace TEXT NOT NULL, key TEXT NOT NULL, value BLOB NOT NULL, expires_at INTEGER,
            PRIMARY KEY (namespace, key)) STRICT, WITHOUT ROWID",
        "CREATE INDEX kv_expires_at ON kv (expires_at) WHERE expires_at IS NOT NULL",
        "CREATE TABLE device_cursor (user_id TEXT NOT NULL, device TEXT NOT NULL, watermark INTEGER NOT NULL,
            above BLOB NOT NULL, PRIMARY KEY (user_id, device)) STRICT, WITHOUT ROWID",
    ],
    // Names sort by bytes, as in SQLite.
    postgres: &[
        "CREATE TABLE kv (namespace text COLLATE \"C\" NOT NULL, key text COLLATE \"C\" NOT NULL,
            value bytea NOT NULL, expires_at bigint, PRIMARY KEY (namespace, key))",
        "CREATE INDEX kv_expires_at ON kv (expires_at) WHERE expires_at IS NOT NULL",
        "CREATE TABLE device_cursor (user_id text COLLATE \"C\" NOT NULL, device text COLLATE \"C\" NOT NULL,
            watermark bigint NOT NULL, above bytea NOT NULL, PRIMARY KEY (user_id, device))",
    ],
}, Migration {
    sqlite: &[
        "CREATE TABLE kept (node TEXT NOT NULL, session INTEGER NOT NULL, kind INTEGER NOT NULL,
            key BLOB NOT NULL, value BLOB NOT NULL, PRIMARY KEY (node, session, kind, key)) STRICT, WITHOUT ROWID",
    ],
    postgres: &[
        "CREATE TABLE kept (node text COLLATE \"C\" NOT NULL, session bigint NOT NULL, kind bigint NOT NULL,
            key bytea NOT NULL, value bytea NOT NULL, PRIMARY KEY (node, session, kind, key))",
    ],
}, Migration {
    sqlite: &[
        "CREATE TABLE command (id TEXT NOT NULL PRIMARY KEY, terminal TEXT NOT NULL, requester TEXT NOT NULL,
            request_key TEXT NOT NULL, class TEXT NOT NULL, follow_ups TEXT NOT NULL, body BLOB NOT NULL,
            state TEXT NOT NULL, needs_tls INTEGER NOT NULL, sequence INTEGER NOT NULL, outcome BLOB NOT NULL,
            created_at INTEGER NOT NULL, expires_at INTEGER NOT NULL, updated_at INTEGER NOT NULL,
            ended INTEGER NOT NULL) STRICT, WITHOUT ROWID",
        "CREATE UNIQUE INDEX command_request ON command (requester, request_key)",
        "CREATE INDEX command_terminal ON command (terminal, sequence)",
        "CREATE INDEX command_open ON command (terminal, requester) WHERE ended = 0",
        "CREATE INDEX command_expires ON command (expires_at) WHERE ended = 0",
        "CREATE INDEX command_ended ON command (updated_at) WHERE ended = 1",
        "CREATE TABLE terminal (id TEXT NOT NULL PRIMARY KEY, sequence INTEGER NOT NULL) STRICT, WITHOUT ROWID",
    ],
    postgres: &[
        "CREATE TABLE command (id text COLLATE \"C\" NOT NULL PRIMARY KEY, terminal text COLLATE \"C\" NOT NULL,
            requester text COLLATE \"C\" NOT NULL, request_key text COLLATE \"C\" NOT NULL, class text NOT NULL,
            follow_ups text NOT NULL, body bytea NOT NULL, state text NOT NULL, needs_tls bigint NOT NULL,
            sequence bigint NOT NULL, outcome bytea NOT NULL, created_at bigint NOT NULL,
            expires_at bigint NOT NULL, updated_at bigint NOT NULL, ended bigint NOT NULL)",
        "CREATE UNIQUE INDEX command_request ON command (requester, request_key)",
        "CREATE INDEX command_terminal ON command (terminal, sequence)",
        "CREATE INDEX command_open ON command (terminal, requester) WHERE ended = 0",
        "CREATE INDEX command_expires ON command (expires_at) WHERE ended = 0",
        "CREATE INDEX command_ended ON command (updated_at) WHERE ended = 1",
        "CREATE TABLE terminal (id text COLLATE \"C\" NOT NULL PRIMARY KEY, sequence bigint NOT NULL)",
    ],
}, Migration {
    sqlite: &[
        "CREATE INDEX command_waits ON command (terminal, sequence) WHERE ended = 0",
        "CREATE INDEX command_secure ON command (terminal, sequence) WHERE needs_tls = 1",
        "CREATE TABLE terminal_account (id TEXT NOT NULL PRIMARY KEY,
            plain_ms INTEGER NOT NULL,
            tls_ms INTEGER NOT NULL,
            plain_bytes INTEGER NOT NULL,
            tls_bytes INTEGER NOT NULL,
            plain_segments INTEGER NOT NULL,
            switches INTEGER NOT NULL,
            switch_bytes INTEGER NOT NULL,
            full_handshakes INTEGER NOT NULL,
            resumed_handshakes INTEGER NOT NULL,
            plain_start_bytes INTEGER NOT NULL,
            tls_start_bytes INTEGER NOT NULL) STRICT, WITHOUT ROWID",
    ],
    postgres: &[
        "CREATE INDEX command_waits ON command (terminal, sequence) WHERE ended = 0",
        "CREATE INDEX command_secure ON command (terminal, sequence) WHERE needs_tls = 1",
        "CREATE TABLE terminal_account (id text COLLATE \"C\" NOT NULL PRIMARY KEY,
            plain_ms bigint NOT NULL,
            tls_ms bigint NOT NULL,
            plain_bytes bigint NOT NULL,
            tls_bytes bigint NOT NULL,
            plain_segments bigint NOT NULL,
            switches bigint NOT NULL,
            switch_bytes bigint NOT NULL,
            full_handshakes bigint NOT NULL,
            resumed_handshakes bigint NOT NULL,
            plain_start_bytes bigint NOT NULL,
            tls_start_bytes bigint NOT NULL)",
    ],
}];

/// SQLite's `application_id` of our file ("Pstn"): tells it from another program's.
const APPLICATION_ID: i64 = 0x5073_746e;

/// The newest schema this release knows.
fn known() -> i64 {
    i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX)
}

/// Whether a SQLite file is ours to open.
///
/// # Errors
/// [`StoreError::Newer`], or [`StoreError::Open`] for another program's file.
pub(crate) fn check_file(stamp: &sqlite::Stamp, place: &str) -> Result<(), StoreError> {
    if stamp.application != APPLICATION_ID && stamp.things > 0 {
        return Err(StoreError::open(place, "the file is a database of another program"));
    }
    check_version(stamp.version, place)
}

fn check_version(found: i64, place: &str) -> Result<(), StoreError> {
    if found <= known() {
        return Ok(());
    }
    Err(StoreError::Newer { place: place.to_owned(), found, known: known() })
}

/// Brings the host's tables up to date, in one transaction.
///
/// # Errors
/// [`StoreError::Newer`], or [`StoreError::Open`] when the database fails.
pub(crate) async fn run(engine: &Engine, place: &str) -> Result<(), StoreError> {
    let failed = |error: SqlError| StoreError::open(place, error);
    let dialect = engine.dialect();
    let session = engine.begin(Access::Write, None).await.map_err(failed)?;
    let mut work = Work { session, plans: Plans::new(dialect, None) };
    let found = match dialect {
        Dialect::Sqlite => work.number("PRAGMA user_version").await.map_err(failed)?,
        Dialect::Postgres => postgres_version(&mut work).await.map_err(failed)?,
    };
    check_version(found, place)?;
    if found == known() {
        return work.session.rollback().await.map_err(failed);
    }
    for migration in MIGRATIONS.iter().skip(usize::try_from(found).unwrap_or(0)) {
        let steps = match dialect {
            Dialect::Sqlite => migration.sqlite,
            Dialect::Postgres => migration.postgres,
        };
        for sql in steps {
            work.run(sql, Row::new()).await.map_err(failed)?;
        }
    }
    set_version(&mut work, dialect).await.map_err(failed)?;
    work.session.commit().await.map_err(failed)
}

async fn set_version(work: &mut Work, dialect: Dialect) -> Result<(), SqlError> {
    match dialect {
        Dialect::Sqlite => {
            work.run(&format!("PRAGMA user_version = {}", known()), Row::new()).await?;
            work.run(&format!("PRAGMA application_id = {APPLICATION_ID}"), Row::new()).await?;
        }
        Dialect::Postgres => {
            work.run("DELETE FROM schema_version", Row::new()).await?;
            work.run("INSERT INTO schema_version VALUES ($1)", vec![known().into()]).await?;
        }
    }
    Ok(())
}

struct Work {
    session: Session,
    plans: Plans,
}

impl Work {
    async fn run(&mut self, sql: &str, params: Row) -> Result<Vec<Row>, SqlError> {
        let text = self.plans.get(sql)?.text(params.len())?;
        let mut answer = Answer::new(usize::MAX);
        self.session.run(text, vec![params], &mut answer, None).await?;
        Ok(answer.rows)
    }

    async fn number(&mut self, sql: &str) -> Result<i64, SqlError> {
        match self.run(sql, Row::new()).await?.first().and_then(|row| row.first()) {
            Some(Value::Integer(number)) => Ok(*number),
            _ => Ok(0),
        }
    }
}

async fn postgres_version(work: &mut Work) -> Result<i64, SqlError> {
    work.run("SELECT pg_advisory_xact_lock($1)::text", vec![postgres::SCHEMA_LOCK.into()]).await?;
    if work.number("SELECT (to_regclass('postern.schema_version') IS NOT NULL)::int").await? == 0 {
        work.run("CREATE TABLE schema_version (version bigint NOT NULL)", Row::new()).await?;
        return Ok(0);
    }
    work.number("SELECT version FROM schema_version").await
}

/// Makes the host's own schema unless it is there.
///
/// # Errors
/// [`StoreError::Open`].
pub(crate) async fn make_schema(pool: &sqlx::PgPool, place: &str) -> Result<(), StoreError> {
    let make = async {
        let mut transaction = pool.begin().await?;
        sqlx::query("SELECT pg_advisory_xact_lock($1)")
            .bind(postgres::SCHEMA_LOCK)
            .execute(&mut *transaction)
            .await?;
        // Not IF NOT EXISTS: that asks for the right to create schemas even where there is nothing to do.
        let known: bool = sqlx::query_scalar("SELECT to_regnamespace('postern') IS NOT NULL")
            .fetch_one(&mut *transaction)
            .await?;
        if !known {
            sqlx::query("CREATE SCHEMA postern").execute(&mut *transaction).await?;
        }
        transaction.commit().await
    };
    make.await.map_err(|error: sqlx::Error| StoreError::sqlx(place, &error))
}
