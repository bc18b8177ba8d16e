//! Tables and how they came about. Migrations only ever add, so that the generation before this
//! one still runs on them; a newer table version than ours is therefore no error.

use crate::sql::{Columns, Dialect, Sql, SqlError, Value};

/// Statements per version, from 1. `{id}` is a text compared byte by byte in either dialect, `{blob}`
/// are bytes.
const MIGRATIONS: &[&[&str]] = &[
    &[
        "CREATE TABLE account (
            user_id {id} PRIMARY KEY, name TEXT NOT NULL, org {id} NOT NULL, department TEXT NOT NULL,
            title TEXT NOT NULL, password TEXT NOT NULL, locked BIGINT NOT NULL)",
        "CREATE INDEX account_by_org ON account (org, user_id)",
        "CREATE TABLE membership (
            group_name {id} NOT NULL, user_id {id} NOT NULL, PRIMARY KEY (group_name, user_id))",
        "CREATE INDEX membership_by_user ON membership (user_id, group_name)",
        // One row for each side: what partner_org is to org.
        "CREATE TABLE partner (
            org {id} NOT NULL, partner_org {id} NOT NULL, relation TEXT NOT NULL,
            PRIMARY KEY (org, partner_org))",
    ],
    // A column, not a table: the generation before this one removes it with its user.
    &["ALTER TABLE account ADD COLUMN public_key {blob}"],
];

/// Brings the tables up to date.
///
/// # Errors
/// As the host says.
pub fn migrate(db: &impl Sql) -> Result<(), SqlError> {
    migrate_to(db, MIGRATIONS.len())
}

/// The same up to a version: as an older generation left the tables.
///
/// # Errors
/// As the host says.
pub fn migrate_to(db: &impl Sql, newest: usize) -> Result<(), SqlError> {
    let (id, blob) = match db.dialect() {
        Dialect::Sqlite => ("TEXT", "BLOB"),
        Dialect::Postgres => ("TEXT COLLATE \"C\"", "BYTEA"),
    };
    db.execute("CREATE TABLE IF NOT EXISTS migration (version BIGINT PRIMARY KEY)", Vec::new())?;
    let done = db.query("SELECT COALESCE(MAX(version), 0) FROM migration", Vec::new())?;
    let done = done.into_iter().next().map_or(Ok(0), |row| Columns::of(row).integer())?;
    let wanted = (1_i64..).zip(MIGRATIONS).take(newest);
    for (version, statements) in wanted.filter(|(version, _)| *version > done) {
        for statement in *statements {
            db.execute(&statement.replace("{id}", id).replace("{blob}", blob), Vec::new())?;
        }
        db.execute("INSERT INTO migration (version) VALUES ($1)", vec![Value::Integer(version)])?;
    }
    Ok(())
}
