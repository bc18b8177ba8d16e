//! Values as parameters of PostgreSQL, and its columns as values.
//!
//! A prepared statement has fixed parameter types, and sqlx keeps prepared statements by their text
//! alone. So the kinds of the parameters are written before the text as a comment: the same text with
//! other kinds is another prepared statement. A column that holds only nulls has no kind: PostgreSQL
//! gives it the type that the place asks for.

use sqlx::encode::{Encode, IsNull};
use sqlx::error::BoxDynError;
use sqlx::postgres::types::Oid;
use sqlx::postgres::{PgArgumentBuffer, PgArguments, PgRow, PgTypeInfo, Postgres};
use sqlx::{Arguments, Column, Row as _, Type, TypeInfo, ValueRef};

use crate::{Row, SqlError, Value};

/// The kind of a column of parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Unknown,
    Integer,
    Real,
    Text,
    Blob,
}

impl Kind {
    fn of(value: &Value) -> Self {
        match value {
            Value::Null => Self::Unknown,
            Value::Integer(_) => Self::Integer,
            Value::Real(_) => Self::Real,
            Value::Text(_) => Self::Text,
            Value::Blob(_) => Self::Blob,
        }
    }

    /// The kind of a column that holds both.
    fn with(self, other: Self) -> Option<Self> {
        match (self, other) {
            (a, b) if a == b => Some(a),
            (Self::Unknown, kind) | (kind, Self::Unknown) => Some(kind),
            (Self::Integer, Self::Real) | (Self::Real, Self::Integer) => Some(Self::Real),
            _ => None,
        }
    }

    fn letter(self) -> char {
        match self {
            Self::Unknown => '0',
            Self::Integer => 'i',
            Self::Real => 'r',
            Self::Text => 't',
            Self::Blob => 'b',
        }
    }

    fn type_info(self) -> PgTypeInfo {
        match self {
            // Object id 0 in Parse: "the type is left unspecified".
            Self::Unknown => PgTypeInfo::with_oid(Oid(0)),
            Self::Integer => <i64 as Type<Postgres>>::type_info(),
            Self::Real => <f64 as Type<Postgres>>::type_info(),
            Self::Text => <str as Type<Postgres>>::type_info(),
            Self::Blob => <[u8] as Type<Postgres>>::type_info(),
        }
    }
}

/// The statement's text with its kinds, and the parameters.
///
/// # Errors
/// [`SqlError::Refused`] when a column mixes kinds.
pub(super) fn bind(sql: &str, rows: Vec<Row>) -> Result<(String, PgArguments), SqlError> {
    let kinds = kinds(&rows)?;
    let mut text = String::with_capacity(sql.len() + kinds.len() + 6);
    text.push_str("/*");
    text.extend(kinds.iter().map(|kind| kind.letter()));
    text.push_str("*/ ");
    text.push_str(sql);
    let mut arguments = PgArguments::default();
    arguments.reserve(rows.len() * kinds.len(), 0);
    for row in rows {
        for (value, kind) in row.into_iter().zip(&kinds) {
            let param = Param { value, kind: *kind };
            arguments.add(param).map_err(|error| SqlError::Refused(error.to_string()))?;
        }
    }
    Ok((text, arguments))
}

fn kinds(rows: &[Row]) -> Result<Vec<Kind>, SqlError> {
    let mut kinds = vec![Kind::Unknown; rows.first().map_or(0, Vec::len)];
    for row in rows {
        for (column, (kind, value)) in kinds.iter_mut().zip(row).enumerate() {
            let Some(both) = kind.with(Kind::of(value)) else {
                return Err(SqlError::Refused(format!(
                    "column {} of the rows mixes kinds of values",
                    column + 1
                )));
            };
            *kind = both;
        }
    }
    Ok(kinds)
}

struct Param {
    value: Value,
    kind: Kind,
}

impl Type<Postgres> for Param {
    fn type_info() -> PgTypeInfo {
        Kind::Unknown.type_info()
    }
}

impl Encode<'_, Postgres> for Param {
    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        match &self.value {
            Value::Null => Ok(IsNull::Yes),
            #[expect(clippy::cast_precision_loss, reason = "a column that mixes integers and reals is real")]
            Value::Integer(value) if self.kind == Kind::Real => {
                Encode::<Postgres>::encode_by_ref(&(*value as f64), buffer)
            }
            Value::Integer(value) => Encode::<Postgres>::encode_by_ref(value, buffer),
            Value::Real(value) => Encode::<Postgres>::encode_by_ref(value, buffer),
            Value::Text(value) => <&str as Encode<Postgres>>::encode_by_ref(&value.as_str(), buffer),
            Value::Blob(value) => <&[u8] as Encode<Postgres>>::encode_by_ref(&value.as_slice(), buffer),
        }
    }

    fn produces(&self) -> Option<PgTypeInfo> {
        Some(self.kind.type_info())
    }
}

/// A row as values.
///
/// # Errors
/// [`SqlError::Refused`] for a column type that has no place among the values.
pub(super) fn read(row: &PgRow) -> Result<Row, SqlError> {
    let mut values = Row::with_capacity(row.len());
    for column in 0..row.len() {
        let raw = row.try_get_raw(column)?;
        let info = raw.type_info();
        let value = match info.name() {
            _ if raw.is_null() => Value::Null,
            "INT8" => Value::Integer(row.try_get(column)?),
            "INT4" => Value::Integer(row.try_get::<i32, _>(column)?.into()),
            "INT2" => Value::Integer(row.try_get::<i16, _>(column)?.into()),
            "BOOL" => Value::Integer(row.try_get::<bool, _>(column)?.into()),
            "FLOAT8" => Value::Real(row.try_get(column)?),
            "FLOAT4" => Value::Real(row.try_get::<f32, _>(column)?.into()),
            "TEXT" | "VARCHAR" | "CHAR" | "NAME" | "UNKNOWN" => Value::Text(row.try_get_unchecked(column)?),
            "BYTEA" => Value::Blob(row.try_get(column)?),
            other => {
                let name = row.columns().get(column).map_or("?", |column| column.name());
                return Err(SqlError::Refused(format!(
                    "column {name} has type {other}: cast it to bigint, double precision, text or bytea"
                )));
            }
        };
        values.push(value);
    }
    Ok(values)
}
