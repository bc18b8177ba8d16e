//! Stores a batch in three statements, however long it is: this is the hot path.

use std::collections::BTreeMap;

use crate::{
    bindings::exports::postern::store::messages::{Address, Class, Message, Place, Saved},
    conversation::Keys,
    sql::{Columns, Row, Sql, SqlError, Value, number, signed},
};

/// `message.class` of a notification.
pub const NOTIFICATION: i64 = 0;
/// `message.class` of an instant message.
pub const INSTANT: i64 = 1;
/// `message.to_kind` of a message to one user.
pub const TO_USER: i64 = 0;
/// `message.to_kind` of a message to a group.
pub const TO_GROUP: i64 = 1;
/// `message.to_kind` of a message to everyone.
pub const TO_EVERYONE: i64 = 2;

/// Stores a batch; one answer for each message, in order.
///
/// # Errors
/// As the host says; then nothing of the batch is stored.
pub fn save(db: &impl Sql, max_body_bytes: usize, batch: Vec<Message>) -> Result<Vec<Saved>, SqlError> {
    let mut answers = Vec::with_capacity(batch.len());
    let mut recipients = Vec::with_capacity(batch.len());
    let mut conversations = Vec::with_capacity(batch.len());
    let mut rows = Vec::with_capacity(batch.len());
    for (slot, mut message) in (0_i64..).zip(batch) {
        conversations.push(Keys::of(&message));
        recipients.push(std::mem::take(&mut message.recipients));
        if let Some(why) = refusal(&message, max_body_bytes) {
            answers.push(Saved::Refused(why.to_owned()));
        } else {
            // Until the database has said that it is new.
            answers.push(Saved::Duplicate);
            rows.push(message_row(slot, message));
        }
    }
    let new = insert_messages(db, rows)?;
    let mut heads = take_seqs(db, &recipients, &new)?;

    let mut inbox = Vec::new();
    for &(slot, id) in &new {
        let (Some(recipients), Some(keys), Some(answer)) =
            (recipients.get(slot), conversations.get(slot), answers.get_mut(slot))
        else {
            return Err(SqlError::Refused(format!("slot {slot} is not of this batch")));
        };
        let mut places = Vec::with_capacity(recipients.len());
        for (place, recipient) in recipients.iter().enumerate() {
            let Some(head) = heads.get_mut(recipient.as_str()) else {
                return Err(SqlError::Refused("a recipient got no head".to_owned()));
            };
            let conversation = Value::Integer(keys.at(place));
            inbox.push(vec![Value::Integer(head.owner), number(head.next), Value::Integer(id), conversation]);
            places.push(Place { recipient: recipient.clone(), seq: head.next });
            head.next += 1;
        }
        *answer = Saved::Stored(places);
    }
    if !inbox.is_empty() {
        db.execute_rows("INSERT INTO inbox (owner, seq, message, conversation) VALUES :rows", inbox)?;
    }
    Ok(answers)
}

fn refusal(message: &Message, max_body_bytes: usize) -> Option<&'static str> {
    if !(1..=64).contains(&message.id.len()) {
        Some("a message id has 1 to 64 bytes")
    } else if message.body.len() > max_body_bytes {
        Some("the message is too large to be stored")
    } else {
        None
    }
}

fn message_row(slot: i64, message: Message) -> Row {
    let (to_kind, target) = match message.to {
        Address::User(user) => (TO_USER, user),
        Address::Group(group) => (TO_GROUP, group),
        Address::Everyone => (TO_EVERYONE, String::new()),
    };
    let class = match message.class {
        Class::Notification => NOTIFICATION,
        Class::Instant => INSTANT,
    };
    vec![
        Value::Integer(slot),
        Value::Text(message.sender),
        Value::Text(message.id),
        Value::Integer(class),
        Value::Text(message.sender_device),
        Value::Integer(to_kind),
        Value::Text(target),
        Value::Text(message.topic),
        Value::Blob(message.body),
        Value::Blob(message.properties),
        number(message.sent_at),
        message.expires_at.map_or(Value::Null, number),
    ]
}

/// Inserts what is not there yet: slot and row id of each new message, in the order of the batch.
/// The unique index on (mid, sender) sorts out repeats, those within the batch included.
fn insert_messages(db: &impl Sql, rows: Vec<Row>) -> Result<Vec<(usize, i64)>, SqlError> {
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let statement = "INSERT INTO message (slot, sender, mid, class, device, to_kind, target, topic,
            body, properties, sent_at, expires_at)
        VALUES :rows ON CONFLICT (mid, sender) DO NOTHING RETURNING slot, id";
    let slot_and_id = |row| {
        let mut columns = Columns::of(row);
        let slot = usize::try_from(columns.number()?).unwrap_or(usize::MAX);
        Ok((slot, columns.integer()?))
    };
    let mut new: Vec<_> =
        db.query_rows(statement, rows)?.into_iter().map(slot_and_id).collect::<Result<_, SqlError>>()?;
    new.sort_unstable(); // neither database promises the order of RETURNING
    Ok(new)
}

/// The seqs of one recipient in this batch.
#[derive(Default)]
struct Head {
    owner: i64,
    count: u64,
    next: u64,
}

/// Raises each distinct recipient's head by the number of new messages, in one statement. The rows
/// stay locked until the commit, so seqs have no gaps and become visible in order. Sorted, so that
/// two nodes' batches lock in the same order.
fn take_seqs<'a>(
    db: &impl Sql,
    recipients: &'a [Vec<String>],
    new: &[(usize, i64)],
) -> Result<BTreeMap<&'a str, Head>, SqlError> {
    let mut heads = BTreeMap::<&str, Head>::new();
    for recipient in new.iter().filter_map(|(slot, _)| recipients.get(*slot)).flatten() {
        heads.entry(recipient).or_default().count += 1;
    }
    if heads.is_empty() {
        return Ok(heads);
    }
    let rows =
        heads.iter().map(|(user, head)| vec![Value::Text((*user).to_owned()), number(head.count)]).collect();
    let statement = "INSERT INTO head (user_id, seq) VALUES :rows
        ON CONFLICT (user_id) DO UPDATE SET seq = head.seq + excluded.seq
        RETURNING user_id, owner, seq";
    for row in db.query_rows(statement, rows)? {
        let mut columns = Columns::of(row);
        let user = columns.text()?;
        if let Some(head) = heads.get_mut(user.as_str()) {
            head.owner = columns.integer()?;
            let last = columns.number()?;
            head.next = last.saturating_sub(head.count) + 1;
        }
    }
    match heads.values().find(|head| head.next == 0 || signed(head.next) == i64::MAX) {
        Some(_) => Err(SqlError::Refused("a recipient's head is out of range".to_owned())),
        None => Ok(heads),
    }
}
