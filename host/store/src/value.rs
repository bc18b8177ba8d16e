//! The values that cross between a plugin and its database.

/// One value of a row or of a statement's parameters. The five kinds both databases know.
///
/// With PostgreSQL an integer is sent as `bigint`, a real as `double precision`, a text as `text` and a
/// blob as `bytea`; a null takes the type that the place asks for. In one call with many rows, the
/// values of one column are of one kind (integers and reals may mix), nulls aside. What comes back may
/// be any integer, float, text or `bytea` column, and `boolean` as 0 or 1; other types need a cast.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// No value.
    Null,
    /// A whole number.
    Integer(i64),
    /// A floating point number.
    Real(f64),
    /// UTF-8. PostgreSQL stores no NUL character.
    Text(String),
    /// Bytes.
    Blob(Vec<u8>),
}

/// The values of one row, or the parameters `$1`, `$2`, … of one statement.
pub type Row = Vec<Value>;

/// Which database it is: the SQL dialects differ in types and functions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// The embedded database.
    Sqlite,
    /// By URL.
    Postgres,
}

impl Value {
    /// Bytes it takes in an answer, about.
    pub(crate) fn size(&self) -> usize {
        8 + match self {
            Self::Text(text) => text.len(),
            Self::Blob(blob) => blob.len(),
            _ => 0,
        }
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Integer(value)
    }
}

impl From<f64> for Value {
    fn from(value: f64) -> Self {
        Self::Real(value)
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::Text(value.to_owned())
    }
}

impl From<String> for Value {
    fn from(value: String) -> Self {
        Self::Text(value)
    }
}

impl From<Vec<u8>> for Value {
    fn from(value: Vec<u8>) -> Self {
        Self::Blob(value)
    }
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}
