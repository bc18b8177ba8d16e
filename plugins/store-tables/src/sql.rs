//! The host's SQL as the rules see it, so that tests can put a real database in its place.

pub use crate::bindings::postern::host::sql::{Dialect, SqlError, Value};

/// One row, or the parameters of one statement.
pub type Row = Vec<Value>;

/// What `postern:host/sql` offers; the transaction is the host's.
pub trait Sql {
    /// Which database the statements go to.
    fn dialect(&self) -> Dialect;
    /// Runs one statement: the rows it changed.
    ///
    /// # Errors
    /// As the host says.
    fn execute(&self, statement: &str, params: Row) -> Result<u64, SqlError>;
    /// Runs one statement: its rows.
    ///
    /// # Errors
    /// As the host says.
    fn query(&self, statement: &str, params: Row) -> Result<Vec<Row>, SqlError>;
    /// Runs one statement for many rows (`:rows`): the rows it changed.
    ///
    /// # Errors
    /// As the host says.
    fn execute_rows(&self, statement: &str, rows: Vec<Row>) -> Result<u64, SqlError>;
    /// Runs one statement for many rows (`:rows`): the rows it returns.
    ///
    /// # Errors
    /// As the host says.
    fn query_rows(&self, statement: &str, rows: Vec<Row>) -> Result<Vec<Row>, SqlError>;
}

/// A text parameter.
#[must_use]
pub fn text(value: &str) -> Value {
    Value::Text(value.to_owned())
}

/// A number as SQL has it: signed 64 bit, larger ones held at the largest.
#[must_use]
pub fn number(value: u64) -> Value {
    Value::Integer(signed(value))
}

/// See [`number`].
#[must_use]
pub fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// An error in one line.
#[must_use]
pub fn explain(error: &SqlError) -> String {
    match error {
        SqlError::Constraint(text) => format!("constraint: {text}"),
        SqlError::Unavailable(text) => text.clone(),
        SqlError::Full(text) => format!("full: {text}"),
        SqlError::Refused(text) => format!("statement refused: {text}"),
    }
}

/// Reads a row column by column.
pub struct Columns(std::vec::IntoIter<Value>);

impl Columns {
    /// From the first column on.
    #[must_use]
    pub fn of(row: Row) -> Self {
        Columns(row.into_iter())
    }

    /// # Errors
    /// When the column is not a text.
    pub fn text(&mut self) -> Result<String, SqlError> {
        match self.0.next() {
            Some(Value::Text(value)) => Ok(value),
            _ => Err(unexpected("a text")),
        }
    }

    /// # Errors
    /// When the column is not an integer.
    pub fn integer(&mut self) -> Result<i64, SqlError> {
        match self.0.next() {
            Some(Value::Integer(value)) => Ok(value),
            _ => Err(unexpected("an integer")),
        }
    }

    /// # Errors
    /// When the column is not an integer from 0.
    pub fn number(&mut self) -> Result<u64, SqlError> {
        u64::try_from(self.integer()?).map_err(|_| unexpected("a number from 0"))
    }

    /// # Errors
    /// When the column is neither NULL nor an integer from 0.
    pub fn optional_number(&mut self) -> Result<Option<u64>, SqlError> {
        match self.0.next() {
            Some(Value::Null) => Ok(None),
            Some(Value::Integer(value)) => Ok(u64::try_from(value).ok()),
            _ => Err(unexpected("a number or NULL")),
        }
    }

    /// # Errors
    /// When the column is not a blob.
    pub fn blob(&mut self) -> Result<Vec<u8>, SqlError> {
        match self.0.next() {
            Some(Value::Blob(value)) => Ok(value),
            _ => Err(unexpected("a blob")),
        }
    }
}

fn unexpected(kind: &str) -> SqlError {
    SqlError::Refused(format!("a column is not {kind}"))
}
