//! `postern:host/sql`: the plugin's own database, one transaction per call.

use postern_store::{Access, Dialect, PluginSql, Row, SqlError, Transaction, Value};
use wasmtime::component::{HasData, Linker};

use super::bindings::postern::host::sql;
use crate::state::State;

/// The database of one instance and the transaction of its call under way.
pub(crate) struct SqlCall {
    database: Option<PluginSql>,
    access: Access,
    transaction: Option<Transaction>,
    /// Why no transaction could be begun, if so: nothing the guest answers is durable then.
    failed: Option<SqlError>,
}

impl SqlCall {
    pub(crate) fn new(database: Option<PluginSql>) -> SqlCall {
        SqlCall { database, access: Access::Read, transaction: None, failed: None }
    }

    /// A call begins that may do this much.
    pub(crate) fn begin(&mut self, access: Access) {
        self.access = access;
        self.transaction = None;
        self.failed = None;
    }

    /// Makes durable what the call did.
    ///
    /// # Errors
    ///
    /// When the database did not commit, also because a statement had failed before and the guest
    /// answered as if it had not.
    pub(crate) async fn commit(&mut self) -> Result<(), SqlError> {
        match (self.failed.take(), self.transaction.take()) {
            (Some(error), _) => Err(error),
            (None, Some(transaction)) => transaction.commit().await,
            (None, None) => Ok(()),
        }
    }

    /// Undoes what the call did.
    pub(crate) async fn rollback(&mut self) {
        if let Some(transaction) = self.transaction.take()
            && let Err(error) = transaction.rollback().await
        {
            // The database undoes what is not committed, also when it cannot say so.
            tracing::debug!(%error, "rollback of a plugin's transaction");
        }
    }

    /// The call's transaction, begun at its first statement.
    async fn transaction(&mut self) -> Result<&mut Transaction, SqlError> {
        if self.transaction.is_none() {
            let database = self.database.as_ref().ok_or_else(not_granted)?;
            match database.begin(self.access).await {
                Ok(transaction) => self.transaction = Some(transaction),
                Err(error) => {
                    self.failed = Some(error.clone());
                    return Err(error);
                }
            }
        }
        self.transaction.as_mut().ok_or_else(not_granted)
    }
}

fn error_out(error: SqlError) -> sql::SqlError {
    match error {
        SqlError::Constraint(text) => sql::SqlError::Constraint(text),
        SqlError::Unavailable(text) => sql::SqlError::Unavailable(text),
        SqlError::Full(text) => sql::SqlError::Full(text),
        SqlError::Refused(text) => sql::SqlError::Refused(text),
    }
}

/// Cannot happen while the import check stands: a plugin without the grant does not load.
fn not_granted() -> SqlError {
    SqlError::Refused("sql is not granted".into())
}

pub(crate) struct SqlView<'a> {
    call: &'a mut SqlCall,
}

impl HasData for SqlView<'static> {
    type Data<'a> = SqlView<'a>;
}

impl sql::Host for SqlView<'_> {
    async fn current_dialect(&mut self) -> sql::Dialect {
        match self.call.database.as_ref().map(PluginSql::dialect) {
            Some(Dialect::Postgres) => sql::Dialect::Postgres,
            Some(Dialect::Sqlite) | None => sql::Dialect::Sqlite,
        }
    }

    async fn execute(&mut self, statement: String, params: Vec<sql::Value>) -> Result<u64, sql::SqlError> {
        let transaction = self.call.transaction().await.map_err(error_out)?;
        transaction.execute(&statement, row_in(params)).await.map_err(error_out)
    }

    async fn query(
        &mut self,
        statement: String,
        params: Vec<sql::Value>,
    ) -> Result<Vec<Vec<sql::Value>>, sql::SqlError> {
        let transaction = self.call.transaction().await.map_err(error_out)?;
        transaction.query(&statement, row_in(params)).await.map(rows_out).map_err(error_out)
    }

    async fn execute_rows(
        &mut self,
        statement: String,
        rows: Vec<Vec<sql::Value>>,
    ) -> Result<u64, sql::SqlError> {
        let transaction = self.call.transaction().await.map_err(error_out)?;
        transaction.execute_rows(&statement, rows_in(rows)).await.map_err(error_out)
    }

    async fn query_rows(
        &mut self,
        statement: String,
        rows: Vec<Vec<sql::Value>>,
    ) -> Result<Vec<Vec<sql::Value>>, sql::SqlError> {
        let transaction = self.call.transaction().await.map_err(error_out)?;
        transaction.query_rows(&statement, rows_in(rows)).await.map(rows_out).map_err(error_out)
    }
}

fn rows_in(rows: Vec<Vec<sql::Value>>) -> Vec<Row> {
    rows.into_iter().map(row_in).collect()
}

fn row_in(row: Vec<sql::Value>) -> Row {
    row.into_iter()
        .map(|value| match value {
            sql::Value::Null => Value::Null,
            sql::Value::Integer(number) => Value::Integer(number),
            sql::Value::Real(number) => Value::Real(number),
            sql::Value::Text(text) => Value::Text(text),
            sql::Value::Blob(bytes) => Value::Blob(bytes),
        })
        .collect()
}

fn rows_out(rows: Vec<Row>) -> Vec<Vec<sql::Value>> {
    let row_out = |row: Row| {
        row.into_iter()
            .map(|value| match value {
                Value::Null => sql::Value::Null,
                Value::Integer(number) => sql::Value::Integer(number),
                Value::Real(number) => sql::Value::Real(number),
                Value::Text(text) => sql::Value::Text(text),
                Value::Blob(bytes) => sql::Value::Blob(bytes),
            })
            .collect()
    };
    rows.into_iter().map(row_out).collect()
}

pub(crate) fn add_to_linker(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    sql::add_to_linker::<State, SqlView<'static>>(linker, |state| SqlView { call: &mut state.sql })
}
