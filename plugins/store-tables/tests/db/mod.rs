//! The plugin's SQL on the databases that the host offers, without the host.

use std::cell::RefCell;

use postern_store::{self as store, Access, PluginSql, Transaction};
use store_tables::sql::{Dialect, Row, Sql, SqlError, Value};
use tokio::{runtime::Handle, task::block_in_place};

/// One call's transaction, for a plugin that waits for each statement.
pub(crate) struct Db {
    transaction: RefCell<Transaction>,
    dialect: Dialect,
}

/// Does what the host does around a call: begins, commits on `Ok`, rolls back on `Err`.
pub(crate) async fn call<T, E: std::fmt::Debug>(
    sql: &PluginSql,
    access: Access,
    f: impl FnOnce(&Db) -> Result<T, E>,
) -> Result<T, E> {
    let dialect = match sql.dialect() {
        store::Dialect::Sqlite => Dialect::Sqlite,
        store::Dialect::Postgres => Dialect::Postgres,
    };
    let transaction = RefCell::new(sql.begin(access).await.unwrap());
    let db = Db { transaction, dialect };
    let answer = block_in_place(|| f(&db));
    let transaction = db.transaction.into_inner();
    match &answer {
        Ok(_) => transaction.commit().await.unwrap(),
        Err(_) => transaction.rollback().await.unwrap(),
    }
    answer
}

impl Db {
    fn with<T>(
        &self,
        f: impl AsyncFnOnce(&mut Transaction) -> Result<T, store::SqlError>,
    ) -> Result<T, SqlError> {
        let mut transaction = self.transaction.borrow_mut();
        Handle::current().block_on(f(&mut transaction)).map_err(|e| SqlError::Refused(e.to_string()))
    }
}

fn to_store(row: Row) -> store::Row {
    let value = |value| match value {
        Value::Null => store::Value::Null,
        Value::Integer(v) => store::Value::Integer(v),
        Value::Real(v) => store::Value::Real(v),
        Value::Text(v) => store::Value::Text(v),
        Value::Blob(v) => store::Value::Blob(v),
    };
    row.into_iter().map(value).collect()
}

fn from_store(rows: Vec<store::Row>) -> Vec<Row> {
    let value = |value| match value {
        store::Value::Null => Value::Null,
        store::Value::Integer(v) => Value::Integer(v),
        store::Value::Real(v) => Value::Real(v),
        store::Value::Text(v) => Value::Text(v),
        store::Value::Blob(v) => Value::Blob(v),
    };
    rows.into_iter().map(|row| row.into_iter().map(value).collect()).collect()
}

impl Sql for Db {
    fn dialect(&self) -> Dialect {
        self.dialect
    }
    fn execute(&self, statement: &str, params: Row) -> Result<u64, SqlError> {
        self.with(async |t| t.execute(statement, to_store(params)).await)
    }
    fn query(&self, statement: &str, params: Row) -> Result<Vec<Row>, SqlError> {
        self.with(async |t| t.query(statement, to_store(params)).await).map(from_store)
    }
    fn execute_rows(&self, statement: &str, rows: Vec<Row>) -> Result<u64, SqlError> {
        self.with(async |t| t.execute_rows(statement, rows.into_iter().map(to_store).collect()).await)
    }
    fn query_rows(&self, statement: &str, rows: Vec<Row>) -> Result<Vec<Row>, SqlError> {
        let rows = rows.into_iter().map(to_store).collect();
        self.with(async |t| t.query_rows(statement, rows).await).map(from_store)
    }
}
