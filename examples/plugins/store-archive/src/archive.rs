//! The archive: one row for each message that was stored, written in the same transaction.

use store_tables::{
    bindings::exports::postern::store::messages::{Address, Class, Message, Saved},
    save::{self, INSTANT, NOTIFICATION, TO_EVERYONE, TO_GROUP, TO_USER},
    schema,
    sql::{Row, Sql, SqlError, Value, number, text},
};

use crate::redact::redact;

/// What the policy file sets.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Larger messages are not stored but refused.
    pub max_body_bytes: usize,
    /// Characters of a text that are archived.
    pub archived_chars: usize,
}

const MIGRATIONS: &[&[&str]] = &[&[
    "CREATE TABLE archive (
        id {row id}, mid {id} NOT NULL, sender {id} NOT NULL, class BIGINT NOT NULL, to_kind BIGINT NOT NULL,
        target {id} NOT NULL, sent_at BIGINT NOT NULL, bytes BIGINT NOT NULL, text TEXT NOT NULL)",
    "CREATE INDEX archive_time ON archive (sent_at)",
]];

/// Brings the archive's table up to date.
///
/// # Errors
/// As the host says.
pub fn migrate(db: &impl Sql) -> Result<(), SqlError> {
    schema::apply(db, "archive_migration", MIGRATIONS)
}

/// Stores a batch and archives what was new in it.
///
/// # Errors
/// As the host says; then nothing of the batch is stored or archived.
pub fn save(db: &impl Sql, bounds: Bounds, batch: Vec<Message>) -> Result<Vec<Saved>, SqlError> {
    let rows: Vec<Row> = batch.iter().map(|message| row(message, bounds.archived_chars)).collect();
    let answers = save::save(db, bounds.max_body_bytes, batch)?;
    let is_new = answers.iter().map(|answer| matches!(answer, Saved::Stored(_)));
    let new: Vec<Row> =
        rows.into_iter().zip(is_new).filter_map(|(row, is_new)| is_new.then_some(row)).collect();
    if !new.is_empty() {
        let statement = "INSERT INTO archive (mid, sender, class, to_kind, target, sent_at, bytes, text)
            VALUES :rows";
        db.execute_rows(statement, new)?;
    }
    Ok(answers)
}

fn row(message: &Message, chars: usize) -> Row {
    let (kind, target) = match &message.to {
        Address::User(user) => (TO_USER, user.as_str()),
        Address::Group(group) => (TO_GROUP, group.as_str()),
        Address::Everyone => (TO_EVERYONE, ""),
    };
    let class = match message.class {
        Class::Notification => NOTIFICATION,
        Class::Instant => INSTANT,
    };
    vec![
        text(&message.id),
        text(&message.sender),
        Value::Integer(class),
        Value::Integer(kind),
        text(target),
        number(message.sent_at),
        number(u64::try_from(message.body.len()).unwrap_or(u64::MAX)),
        Value::Text(redact(&message.body, chars)),
    ]
}
