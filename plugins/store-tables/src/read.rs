//! Reading inboxes and history, and the read markers. Expired messages are left out by the clock;
//! their rows stay until they are purged.

use crate::{
    bindings::exports::postern::store::messages::{Class, Conversation, Delivery, Marker},
    conversation::{key, spelled},
    save::{INSTANT, NOTIFICATION, TO_GROUP, TO_USER},
    sql::{Columns, Row, Sql, SqlError, Value, number, text},
};

/// The most read markers of one user; one more takes the place of the one furthest behind.
const MARKERS: i64 = 1000;

/// The most rows that one page asks for: under the row limit of the default policy.
const PAGE: u32 = 1000;

/// Bytes of bodies and properties after which a page is at its end (`inbox` of wit/store): sixty-four messages of
/// a megabyte would be more than the host hands over in one answer.
const PAGE_BYTES: u32 = 256 << 10;

/// One page: which rows by their sizes alone, and then these with their bodies.
fn paged(condition: &str, order: &str) -> String {
    format!(
        "SELECT p.seq, m.mid, m.class, m.sender, m.device, m.topic, m.body, m.properties, m.sent_at, m.expires_at
        FROM (SELECT s.seq, s.message, SUM(s.bytes) OVER (ORDER BY s.seq {order}) - s.bytes AS before
            FROM (SELECT i.seq, i.message, LENGTH(m.body) + LENGTH(m.properties) AS bytes
                FROM head h JOIN inbox i ON i.owner = h.owner JOIN message m ON m.id = i.message
                WHERE h.user_id = $1 AND (m.expires_at IS NULL OR m.expires_at > $2) AND {condition}
                ORDER BY i.seq {order} LIMIT $4) AS s) AS p
            JOIN message m ON m.id = p.message
        WHERE p.before < {PAGE_BYTES} ORDER BY p.seq {order}"
    )
}

/// Messages after `after`, in order, that have not expired at `now` (ms).
///
/// # Errors
/// As the host says.
pub fn inbox(db: &impl Sql, user: &str, after: u64, limit: u32, now: u64) -> Result<Vec<Delivery>, SqlError> {
    deliveries(db, &paged("i.seq > $3", "ASC"), vec![text(user), number(now), number(after), page(limit)])
}

/// Messages before `before` (none: from the newest), newest first, of one conversation or of all.
///
/// # Errors
/// As the host says.
pub fn history(
    db: &impl Sql,
    user: &str,
    conversation: Option<&Conversation>,
    before: Option<u64>,
    limit: u32,
    now: u64,
) -> Result<Vec<Delivery>, SqlError> {
    let mut params = vec![text(user), number(now), number(before.unwrap_or(u64::MAX)), page(limit)];
    let mut condition = "i.seq < $3".to_owned();
    if let Some(conversation) = conversation {
        params.push(Value::Integer(key(conversation)));
        let message = match conversation {
            Conversation::With(other) => {
                params.push(text(other));
                format!(
                    "m.class = {INSTANT} AND m.to_kind = {TO_USER}
                     AND ((m.sender = $6 AND m.target = $1) OR (m.sender = $1 AND m.target = $6))"
                )
            }
            Conversation::Group(group) => {
                params.push(text(group));
                format!("m.class = {INSTANT} AND m.to_kind = {TO_GROUP} AND m.target = $6")
            }
            Conversation::Notifications => format!("m.class = {NOTIFICATION}"),
        };
        condition.push_str(&format!(" AND (i.conversation = $5 OR i.conversation IS NULL) AND {message}"));
    }
    deliveries(db, &paged(&condition, "DESC"), params)
}

fn page(limit: u32) -> Value {
    Value::Integer(i64::from(limit.min(PAGE)))
}

fn deliveries(db: &impl Sql, statement: &str, params: Row) -> Result<Vec<Delivery>, SqlError> {
    db.query(statement, params)?.into_iter().map(delivery).collect()
}

fn delivery(row: Row) -> Result<Delivery, SqlError> {
    let mut columns = Columns::of(row);
    Ok(Delivery {
        seq: columns.number()?,
        id: columns.text()?,
        class: if columns.integer()? == NOTIFICATION { Class::Notification } else { Class::Instant },
        sender: columns.text()?,
        sender_device: columns.text()?,
        topic: columns.text()?,
        body: columns.blob()?,
        properties: columns.blob()?,
        sent_at: columns.number()?,
        expires_at: columns.optional_number()?,
    })
}

/// The greatest seq of a user's inbox, 0 when it is empty.
///
/// # Errors
/// As the host says.
pub fn head(db: &impl Sql, user: &str) -> Result<u64, SqlError> {
    let rows = db.query("SELECT seq FROM head WHERE user_id = $1", vec![text(user)])?;
    rows.into_iter().next().map_or(Ok(0), |row| Columns::of(row).number())
}

/// Marks a conversation read up to `marker.seq`; never back, and never past the inbox' head, so
/// that no message yet to come counts as read.
///
/// # Errors
/// As the host says.
pub fn mark_read(db: &impl Sql, user: &str, marker: &Marker) -> Result<(), SqlError> {
    let (kind, name) = spelled(&marker.conversation);
    let seq = marker.seq.min(head(db, user)?);
    let statement = "INSERT INTO marker (user_id, kind, name, seq) VALUES ($1, $2, $3, $4)
        ON CONFLICT (user_id, kind, name) DO UPDATE SET seq = excluded.seq WHERE marker.seq < excluded.seq";
    db.execute(statement, vec![text(user), Value::Integer(kind), text(name), number(seq)])?;
    let statement = "DELETE FROM marker WHERE user_id = $1 AND (kind, name) NOT IN (
        SELECT kind, name FROM marker WHERE user_id = $1 ORDER BY seq DESC, kind, name LIMIT $2)";
    db.execute(statement, vec![text(user), Value::Integer(MARKERS)]).map(drop)
}

/// A user's read markers.
///
/// # Errors
/// As the host says.
pub fn markers(db: &impl Sql, user: &str) -> Result<Vec<Marker>, SqlError> {
    let statement = "SELECT kind, name, seq FROM marker WHERE user_id = $1 ORDER BY kind, name";
    let marker = |row| {
        let mut columns = Columns::of(row);
        let (kind, name) = (columns.integer()?, columns.text()?);
        let conversation = match kind {
            0 => Conversation::With(name),
            1 => Conversation::Group(name),
            _ => Conversation::Notifications,
        };
        Ok(Marker { conversation, seq: columns.number()? })
    };
    db.query(statement, vec![text(user)])?.into_iter().map(marker).collect()
}
