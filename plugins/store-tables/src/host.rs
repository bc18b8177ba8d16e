//! The host as the rules see it, inside a component.

use crate::bindings::postern::host::{
    config::{self, Value},
    sql as host_sql,
};
use crate::sql::{Dialect, Row, Sql, SqlError};

/// The host's SQL.
pub struct Host;

impl Sql for Host {
    fn dialect(&self) -> Dialect {
        match host_sql::current_dialect() {
            host_sql::Dialect::Sqlite => Dialect::Sqlite,
            host_sql::Dialect::Postgres => Dialect::Postgres,
        }
    }
    fn execute(&self, statement: &str, params: Row) -> Result<u64, SqlError> {
        host_sql::execute(statement, &params)
    }
    fn query(&self, statement: &str, params: Row) -> Result<Vec<Row>, SqlError> {
        host_sql::query(statement, &params)
    }
    fn execute_rows(&self, statement: &str, rows: Vec<Row>) -> Result<u64, SqlError> {
        host_sql::execute_rows(statement, &rows)
    }
    fn query_rows(&self, statement: &str, rows: Vec<Row>) -> Result<Vec<Row>, SqlError> {
        host_sql::query_rows(statement, &rows)
    }
}

/// A number above 0 of the plugin's table, such as `max_body_bytes`.
///
/// # Errors
/// It is something else.
pub fn positive(key: &str, default: usize) -> Result<usize, String> {
    match config::get(key) {
        None => Ok(default),
        Some(Value::Integer(number)) if number > 0 => Ok(usize::try_from(number).unwrap_or(usize::MAX)),
        Some(_) => Err(format!("config `{key}` must be a number above 0")),
    }
}

/// A typing mistake in the policy is told, not passed over.
///
/// # Errors
/// The first key that is none of `known`.
pub fn known_keys(known: &[&str]) -> Result<(), String> {
    match config::keys("").iter().find(|key| !known.contains(&key.as_str())) {
        Some(key) => Err(format!("config has the unknown key `{key}`")),
        None => Ok(()),
    }
}
