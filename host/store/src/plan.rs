//! A statement as it is run again and again: checked once, `:rows` written out for few sizes. Pure.

use std::collections::HashMap;
use std::fmt::Write;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::guard;
use crate::value::Dialect;
use crate::{Row, SqlError};

/// Rows in one statement, greatest first. Few sizes, so that the prepared statements are reused.
const SIZES: [usize; 5] = [256, 64, 16, 4, 1];
/// Parameters in one statement (<https://www.sqlite.org/limits.html> no. 9; PostgreSQL counts them in 16 bits).
const fn most_params(dialect: Dialect) -> usize {
    match dialect {
        Dialect::Sqlite => 32_766,
        Dialect::Postgres => 65_535,
    }
}
/// Statements kept per database. A plugin has a few dozen; one that makes them up as it goes costs itself.
const KEPT: usize = 512;

/// The statements of one database.
pub(crate) struct Plans {
    dialect: Dialect,
    /// None: the host's own statements, which are not guarded. Else names of the other schemas.
    foreign: Option<Vec<String>>,
    known: Mutex<HashMap<Box<str>, Arc<Plan>>>,
}

impl Plans {
    pub(crate) fn new(dialect: Dialect, foreign: Option<Vec<String>>) -> Self {
        Self { dialect, foreign, known: Mutex::default() }
    }

    /// # Errors
    /// [`SqlError::Refused`] with the guard's reason.
    pub(crate) fn get(&self, sql: &str) -> Result<Arc<Plan>, SqlError> {
        if let Some(plan) = self.known.lock().get(sql) {
            return Ok(Arc::clone(plan));
        }
        let checked = match &self.foreign {
            Some(foreign) => guard::check(sql, self.dialect, foreign).map_err(SqlError::Refused)?,
            None => guard::Checked { params: u32::MAX, rows: sql.find(ROWS), end: sql.len() },
        };
        let plan = Arc::new(Plan::new(sql, &checked, self.dialect));
        let mut known = self.known.lock();
        if known.len() >= KEPT {
            known.clear();
        }
        known.insert(sql.into(), Arc::clone(&plan));
        Ok(plan)
    }
}

const ROWS: &str = ":rows";

/// One accepted statement.
pub(crate) struct Plan {
    dialect: Dialect,
    /// The text, or what stands before `:rows`.
    head: Arc<str>,
    /// What stands after `:rows`; None without.
    tail: Option<Box<str>>,
    /// Number of parameters; `u32::MAX` when not counted.
    params: u32,
    /// Written out for (rows, columns).
    written: Mutex<HashMap<(usize, usize), Arc<str>>>,
}

impl Plan {
    fn new(sql: &str, checked: &guard::Checked, dialect: Dialect) -> Self {
        let part = |from: usize, to: usize| sql.get(from..to).unwrap_or_default();
        let (head, tail) = match checked.rows {
            Some(at) => (part(0, at), Some(part(at + ROWS.len(), checked.end).into())),
            None => (part(0, checked.end), None),
        };
        Self { dialect, head: head.into(), tail, params: checked.params, written: Mutex::default() }
    }

    /// The text for one run with `params` parameters.
    ///
    /// # Errors
    /// [`SqlError::Refused`] when it wants `:rows`, or another number of parameters.
    pub(crate) fn text(&self, params: usize) -> Result<Arc<str>, SqlError> {
        if self.tail.is_some() {
            return Err(SqlError::Refused("a statement with :rows needs rows".into()));
        }
        if self.params != u32::MAX && self.params as usize != params {
            let wanted = self.params;
            return Err(SqlError::Refused(format!(
                "the statement has {wanted} parameters, {params} were given"
            )));
        }
        Ok(Arc::clone(&self.head))
    }

    /// The sizes of the statements that carry `rows`.
    ///
    /// # Errors
    /// [`SqlError::Refused`] when there is no `:rows`, or rows of no or different length.
    pub(crate) fn chunks(&self, rows: &[Row]) -> Result<Vec<usize>, SqlError> {
        let refused = |reason: &str| Err(SqlError::Refused(reason.into()));
        if self.tail.is_none() {
            return refused("the statement has no :rows");
        }
        let columns = rows.first().map_or(1, Vec::len);
        if columns == 0 || columns > most_params(self.dialect) {
            return refused("a row has no values, or too many");
        }
        if rows.iter().any(|row| row.len() != columns) {
            return refused("the rows differ in length");
        }
        let mut left = rows.len();
        let mut chunks = Vec::with_capacity(left / 256 + 4);
        for size in SIZES {
            while size <= left && size * columns <= most_params(self.dialect) {
                chunks.push(size);
                left -= size;
            }
        }
        Ok(chunks)
    }

    /// The text for `rows` rows of `columns` values.
    pub(crate) fn rows_text(&self, rows: usize, columns: usize) -> Arc<str> {
        let mut written = self.written.lock();
        Arc::clone(written.entry((rows, columns)).or_insert_with(|| self.write(rows, columns).into()))
    }

    fn write(&self, rows: usize, columns: usize) -> String {
        let tail = self.tail.as_deref().unwrap_or_default();
        let mut text = String::with_capacity(self.head.len() + tail.len() + rows * (columns * 7 + 3));
        text.push_str(&self.head);
        for row in 0..rows {
            text.push_str(if row == 0 { "(" } else { ",(" });
            for column in 0..columns {
                if column > 0 {
                    text.push(',');
                }
                // SQLite looks `$n` up by name at every bind, `?` it counts.
                match self.dialect {
                    Dialect::Sqlite => text.push('?'),
                    Dialect::Postgres => {
                        let _ = write!(text, "${}", row * columns + column + 1);
                    }
                }
            }
            text.push(')');
        }
        text.push_str(tail);
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Value;

    const INSERT: &str = "INSERT INTO t VALUES :rows ON CONFLICT DO NOTHING;";

    fn plan(dialect: Dialect, sql: &str) -> Arc<Plan> {
        Plans::new(dialect, Some(Vec::new())).get(sql).unwrap()
    }

    fn rows(count: usize, columns: usize) -> Vec<Row> {
        vec![vec![Value::Null; columns]; count]
    }

    #[test]
    fn rows_are_written_in_each_dialect() {
        let text = "INSERT INTO t VALUES (?,?),(?,?) ON CONFLICT DO NOTHING";
        assert_eq!(&*plan(Dialect::Sqlite, INSERT).rows_text(2, 2), text);
        let text = "INSERT INTO t VALUES ($1,$2),($3,$4) ON CONFLICT DO NOTHING";
        assert_eq!(&*plan(Dialect::Postgres, INSERT).rows_text(2, 2), text);
    }

    #[test]
    fn chunks_are_few_and_of_few_sizes() {
        let plan = plan(Dialect::Sqlite, INSERT);
        assert_eq!(plan.chunks(&rows(600, 4)).unwrap(), [256, 256, 64, 16, 4, 4]);
        assert_eq!(plan.chunks(&rows(3, 4)).unwrap(), [1, 1, 1]);
        assert!(plan.chunks(&[]).unwrap().is_empty());
        // 1000 columns: 256 rows would be more parameters than SQLite takes.
        assert_eq!(plan.chunks(&rows(64, 1000)).unwrap(), [16, 16, 16, 16]);
    }

    #[test]
    fn wrong_rows_and_parameters_are_refused() {
        let insert = plan(Dialect::Sqlite, INSERT);
        assert!(insert.chunks(&[vec![Value::Null], vec![]]).is_err());
        assert!(insert.chunks(&[vec![]]).is_err());
        assert!(insert.text(0).is_err());
        let select = plan(Dialect::Sqlite, "SELECT $1;");
        assert!(select.chunks(&rows(1, 1)).is_err());
        assert!(select.text(2).is_err());
        assert_eq!(&*select.text(1).unwrap(), "SELECT $1");
    }
}
