//! Which statements a plugin may run (rule 9). Pure.
//!
//! A list of what is allowed, by first words, and then of names that are refused wherever they stand:
//! what reaches out of the plugin's own file or schema, or changes the connection that the next call
//! gets. The databases' own means (a schema of its own, a role of its own, a connection that only
//! reads, SQLite's limits) stand behind it.

use crate::token::{Token, tokens};
use crate::value::Dialect;

/// What the guard found in an accepted statement.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Checked {
    /// The greatest `$n`: the number of parameters.
    pub(crate) params: u32,
    /// Where `:rows` starts.
    pub(crate) rows: Option<usize>,
    /// Where the statement ends: its length without a final semicolon.
    pub(crate) end: usize,
}

const FIRST: [&str; 10] =
    ["select", "insert", "update", "delete", "with", "values", "replace", "create", "alter", "drop"];
const THINGS: [&str; 3] = ["table", "index", "view"];
/// Words after CREATE, before the thing.
const THING_ADJECTIVES: [&str; 1] = ["unique"];

/// Names refused wherever they stand, as a function, table or schema.
const NAMES: [&str; 18] = [
    "load_extension",
    "fts3_tokenizer",
    "readfile",
    "writefile",
    "edit", // SQLite: code and files
    "sqlite_dbpage",
    "set_config",
    "information_schema",
    "ts_stat",
    "ts_rewrite", // PostgreSQL: text run as SQL
    "query_to_xml",
    "query_to_xmlschema",
    "query_to_xml_and_xmlschema",
    "cursor_to_xml",
    "cursor_to_xmlschema",
    "currtid",
    "currtid2",
    "dblink",
];
const PREFIXES: [&str; 5] = ["pg_", "pragma_", "lo_", "dblink_", "sqlite_stat"];
/// Schemas refused before a dot, with those the database told us of.
const SCHEMAS: [&str; 4] = ["postern", "public", "temp", "temporary"];

/// Checks one statement. `foreign` are the names of the database's other schemas.
///
/// # Errors
/// Why it is refused, in a few words.
pub(crate) fn check(sql: &str, dialect: Dialect, foreign: &[String]) -> Result<Checked, String> {
    let tokens = tokens(sql, dialect)?;
    let checked = one_statement(sql, &tokens)?;
    first_words(&tokens)?;
    for (at, token) in tokens.iter().enumerate() {
        let Some(name) = name(*token) else { continue };
        let dot = tokens.get(at + 1) == Some(&Token::Symbol('.'));
        names(&name, dot, foreign)?;
        if matches!(token, Token::Word(_)) && matches!(name.as_str(), "temp" | "temporary") {
            return Err("temporary tables are not allowed".into());
        }
    }
    Ok(checked)
}

fn one_statement(sql: &str, tokens: &[Token<'_>]) -> Result<Checked, String> {
    let mut checked = Checked { params: 0, rows: None, end: sql.len() };
    for (at, token) in tokens.iter().enumerate() {
        match token {
            Token::End(place) if at + 1 == tokens.len() => checked.end = *place,
            Token::End(_) => return Err("only one statement at a time is allowed".into()),
            Token::Param(0) => return Err("parameters begin at $1".into()),
            Token::Param(n) => checked.params = checked.params.max(*n),
            Token::Rows(_) if checked.rows.is_some() => return Err("the word :rows stands twice".into()),
            Token::Rows(place) => checked.rows = Some(*place),
            _ => {}
        }
    }
    if checked.rows.is_some() && checked.params > 0 {
        return Err("a statement with :rows has no other parameters".into());
    }
    Ok(checked)
}

fn first_words(tokens: &[Token<'_>]) -> Result<(), String> {
    // A query may begin with parentheses.
    let mut words = tokens.iter().skip_while(|token| **token == Token::Symbol('('));
    let first = words.next().copied().and_then(word).ok_or("there is no statement")?;
    if !FIRST.contains(&first.as_str()) {
        return Err(format!("{} is not allowed", first.to_uppercase()));
    }
    if !matches!(first.as_str(), "create" | "alter" | "drop") {
        return Ok(());
    }
    let mut thing = words.next().copied().and_then(word).unwrap_or_default();
    if first == "create" && THING_ADJECTIVES.contains(&thing.as_str()) {
        thing = words.next().copied().and_then(word).unwrap_or_default();
    }
    if !THINGS.contains(&thing.as_str()) {
        return Err(format!("{} {} is not allowed", first.to_uppercase(), thing.to_uppercase()));
    }
    if first == "alter" && words.any(|token| word(*token).is_some_and(|w| w == "owner" || w == "schema")) {
        return Err("a table's owner and schema stay".into());
    }
    Ok(())
}

fn names(name: &str, before_dot: bool, foreign: &[String]) -> Result<(), String> {
    let refused = NAMES.contains(&name)
        || PREFIXES.iter().any(|prefix| name.starts_with(prefix))
        || name.ends_with("_to_xml")
        || name.ends_with("_to_xmlschema")
        || before_dot
            && (SCHEMAS.contains(&name)
                || name.starts_with("plugin_")
                || foreign.iter().any(|schema| schema.eq_ignore_ascii_case(name)));
    if refused { Err(format!("the name {name} is not allowed")) } else { Ok(()) }
}

fn word(token: Token<'_>) -> Option<String> {
    match token {
        Token::Word(word) => Some(word.to_ascii_lowercase()),
        _ => None,
    }
}

fn name(token: Token<'_>) -> Option<String> {
    match token {
        Token::Word(name) | Token::Quoted(name) => Some(name.to_ascii_lowercase()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn both(sql: &str) -> Result<Checked, String> {
        let checked = check(sql, Dialect::Sqlite, &[])?;
        assert_eq!(check(sql, Dialect::Postgres, &[]).as_ref(), Ok(&checked));
        Ok(checked)
    }

    #[test]
    fn ordinary_statements_pass() {
        for sql in [
            "SELECT m.seq, m.body FROM message m WHERE m.id = $1 ORDER BY seq LIMIT $2",
            "(select 1) union (select 2)",
            "INSERT INTO t (a, b) VALUES :rows ON CONFLICT (a) DO UPDATE SET b = excluded.b RETURNING a;",
            "with x as (select 1) delete from t where a in (select * from x) -- all of them",
            "UPDATE t SET \"key\" = 'DROP; ATTACH' WHERE a = $1",
            "CREATE TABLE IF NOT EXISTS t (a TEXT PRIMARY KEY, b BIGINT NOT NULL REFERENCES u (a))",
            "create unique index i on t (a)",
            "ALTER TABLE t ADD COLUMN c TEXT",
            "DROP INDEX i",
            "CREATE VIEW v AS SELECT a FROM t",
        ] {
            assert!(both(sql).is_ok(), "{sql}: {:?}", both(sql));
        }
    }

    #[test]
    fn finds_parameters_rows_and_the_end() {
        assert_eq!(both("SELECT $2, $1 ; ").unwrap(), Checked { params: 2, rows: None, end: 14 });
        assert_eq!(
            both("INSERT INTO t VALUES :rows").unwrap(),
            Checked { params: 0, rows: Some(21), end: 26 }
        );
        assert!(both("INSERT INTO t VALUES :rows, :rows").is_err());
        assert!(both("WITH v AS (VALUES :rows) SELECT $1").is_err());
        assert!(both("SELECT $0").is_err());
    }

    #[test]
    fn what_reaches_out_or_stays_behind_is_refused() {
        for sql in [
            "",
            "-- nothing",
            "SELECT 1; SELECT 2",
            "SELECT 1;;",
            "ATTACH DATABASE '/etc/x' AS x",
            "DETACH x",
            "/* a */ pragma writable_schema = 1",
            "VACUUM INTO '/tmp/x'",
            "BEGIN",
            "commit",
            "ROLLBACK",
            "SAVEPOINT a",
            "RELEASE a",
            "END",
            "COPY t TO PROGRAM 'id'",
            "SET search_path = postern",
            "RESET ROLE",
            "DO 'begin end'",
            "CALL p()",
            "LISTEN x",
            "NOTIFY x",
            "LOCK TABLE t",
            "GRANT ALL ON t TO x",
            "EXPLAIN ANALYZE DELETE FROM t",
            "PREPARE x AS SELECT 1",
            "DISCARD ALL",
            "REINDEX t",
            "ANALYZE t",
            "CREATE FUNCTION f() RETURNS int",
            "CREATE OR REPLACE FUNCTION f() RETURNS int",
            "CREATE EXTENSION dblink",
            "CREATE TRIGGER t AFTER INSERT ON t BEGIN DELETE FROM u; END",
            "CREATE VIRTUAL TABLE t USING fts5(a)",
            "CREATE TEMP TABLE t (a INT)",
            "CREATE TABLE temp.t (a INT)",
            "SELECT 1 INTO TEMPORARY x",
            "CREATE SCHEMA s",
            "CREATE ROLE r",
            "ALTER ROLE r SUPERUSER",
            "ALTER TABLE t SET SCHEMA public",
            "ALTER TABLE t OWNER TO r",
            "DROP SCHEMA postern CASCADE",
            "SELECT load_extension('x')",
            "SELECT \"load_extension\"('x')",
            "SELECT set_config('role', 'x', false)",
            "SELECT pg_sleep(100)",
            "SELECT * FROM pg_catalog.pg_class",
            "SELECT * FROM \"pg_authid\"",
            "SELECT query_to_xml('select 1', true, true, '')",
            "SELECT lo_export(1, '/tmp/x')",
            "SELECT * FROM pragma_table_info('t')",
            "SELECT * FROM information_schema.tables",
            "SELECT * FROM postern.kv",
            "SELECT * FROM POSTERN . kv",
            "SELECT * FROM \"postern\".kv",
            "SELECT * FROM public.t",
            "SELECT * FROM plugin_login.account",
            "SELECT * FROM \"plugin_other\".t",
        ] {
            assert!(check(sql, Dialect::Sqlite, &[]).is_err(), "{sql}");
            assert!(check(sql, Dialect::Postgres, &[]).is_err(), "{sql}");
        }
    }

    #[test]
    fn other_schemas_are_refused_by_name() {
        let foreign = ["Sales".to_owned()];
        assert!(check("SELECT * FROM sales.orders", Dialect::Postgres, &foreign).is_err());
        assert!(check("SELECT sales FROM orders", Dialect::Postgres, &foreign).is_ok());
    }
}
