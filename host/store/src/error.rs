//! What can go wrong, and what the caller should do about it.

use std::path::PathBuf;

/// A database that cannot be opened. Each displays as one line that names the file or URL (never a
/// password) and the cause.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The URL is not one we can use, or not one we may use.
    #[error("database {url}: {reason}")]
    Url {
        /// As configured, without its password.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Another process has the folder or file.
    #[error("database {} is in use by another process", path.display())]
    InUse {
        /// The lock file's folder or the database file.
        path: PathBuf,
    },
    /// Written by a later release; it has not been touched.
    #[error(
        "database {place} has schema {found}, this release knows {known}: it was left untouched, use a newer release"
    )]
    Newer {
        /// File or URL.
        place: String,
        /// The schema number found there.
        found: i64,
        /// The newest one known here.
        known: i64,
    },
    /// A statement of the host's own failed after opening.
    #[error("database: {0}")]
    Sql(#[from] SqlError),
    /// Anything else: unreadable, not a database, locked, read-only, full, gone.
    #[error("database {place}: {cause}")]
    Open {
        /// File or URL.
        place: String,
        /// The cause in one line.
        cause: String,
    },
}

impl StoreError {
    pub(crate) fn open(place: impl Into<String>, cause: impl std::fmt::Display) -> Self {
        Self::Open { place: place.into(), cause: one_line(&cause.to_string()) }
    }

    pub(crate) fn sqlx(place: &str, error: &sqlx::Error) -> Self {
        Self::open(place, cause(error))
    }
}

/// A statement or transaction that failed. Mirrors `sql-error` of wit/host/sql.wit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SqlError {
    /// A uniqueness or other constraint: the transaction is lost.
    #[error("constraint: {0}")]
    Constraint(String),
    /// Busy, gone or too slow: answer `unavailable`, try again later.
    #[error("unavailable: {0}")]
    Unavailable(String),
    /// The disk, or the row limit, is full.
    #[error("full: {0}")]
    Full(String),
    /// The statement is not allowed, or wrong: a mistake of who wrote it.
    #[error("refused: {0}")]
    Refused(String),
}

impl From<sqlx::Error> for SqlError {
    fn from(error: sqlx::Error) -> Self {
        let text = cause(&error);
        let sqlx::Error::Database(database) = &error else {
            return match error {
                sqlx::Error::Encode(_)
                | sqlx::Error::Decode(_)
                | sqlx::Error::ColumnDecode { .. }
                | sqlx::Error::TypeNotFound { .. } => Self::Refused(text),
                _ => Self::Unavailable(text),
            };
        };
        let code = database.code().unwrap_or_default();
        if database.try_downcast_ref::<sqlx::postgres::PgDatabaseError>().is_some() {
            postgres(&code, text)
        } else {
            sqlite(code.parse().unwrap_or(0), text)
        }
    }
}

/// By SQLSTATE class (PostgreSQL manual, appendix A).
fn postgres(state: &str, text: String) -> SqlError {
    match state {
        "53100" => SqlError::Full(text),
        // The whole transaction may only read: the caller's role says so.
        "25006" => SqlError::Refused(text),
        "57014" => SqlError::Unavailable("the statement took too long".into()),
        _ => match state.get(..2).unwrap_or_default() {
            "23" | "44" => SqlError::Constraint(text),
            "0A" | "21" | "22" | "26" | "2B" | "34" | "42" | "54" => SqlError::Refused(text),
            _ => SqlError::Unavailable(text),
        },
    }
}

/// By primary result code (<https://www.sqlite.org/rescode.html>).
fn sqlite(code: i32, text: String) -> SqlError {
    use libsqlite3_sys as ffi;
    match code & 0xff {
        ffi::SQLITE_CONSTRAINT => SqlError::Constraint(text),
        ffi::SQLITE_FULL => SqlError::Full(text),
        ffi::SQLITE_INTERRUPT => SqlError::Unavailable("the statement took too long".into()),
        ffi::SQLITE_ERROR
        | ffi::SQLITE_TOOBIG
        | ffi::SQLITE_MISMATCH
        | ffi::SQLITE_RANGE
        | ffi::SQLITE_AUTH
        | ffi::SQLITE_READONLY => SqlError::Refused(text),
        _ => SqlError::Unavailable(text),
    }
}

/// The cause of an error in one line, without the library's preamble.
pub(crate) fn cause(error: &sqlx::Error) -> String {
    match error {
        sqlx::Error::Database(database) => one_line(database.message()),
        sqlx::Error::Io(io) => one_line(&io.to_string()),
        sqlx::Error::PoolTimedOut => "no connection became free in time".into(),
        sqlx::Error::WorkerCrashed => "the connection was lost".into(),
        other => one_line(&other.to_string()),
    }
}

pub(crate) fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_told_apart_from_a_busy_database() {
        use libsqlite3_sys as ffi;
        assert!(matches!(sqlite(ffi::SQLITE_FULL, String::new()), SqlError::Full(_)));
        assert!(matches!(postgres("53100", String::new()), SqlError::Full(_)));
        for code in
            [ffi::SQLITE_BUSY, ffi::SQLITE_BUSY_SNAPSHOT, ffi::SQLITE_IOERR_WRITE, ffi::SQLITE_CORRUPT]
        {
            assert!(matches!(sqlite(code, String::new()), SqlError::Unavailable(_)), "{code}");
        }
        for state in ["40001", "40P01", "57P01", "08006", "53300", "55P03"] {
            assert!(matches!(postgres(state, String::new()), SqlError::Unavailable(_)), "{state}");
        }
        assert!(matches!(sqlite(ffi::SQLITE_CONSTRAINT_UNIQUE, String::new()), SqlError::Constraint(_)));
        assert!(matches!(postgres("23505", String::new()), SqlError::Constraint(_)));
    }
}
