//! Counts seqs and keeps no message.

mod bindings {
    wit_bindgen::generate!({
        path: ["../../../wit/host", "../../../wit/store"],
        world: "postern:store/store-plugin",
        generate_all,
    });
    export!(Plugin);
    use super::Plugin;
}

use bindings::{
    exports::postern::store::messages::{
        Conversation, Delivery, Guest, Marker, Message, Place, Saved, StoreError,
    },
    postern::host::{
        clock,
        sql::{self, Value},
    },
};
use rogue::{Mode, giant};

rogue::lifecycle!(make_tables());

fn make_tables() -> Result<(), String> {
    let statement = "CREATE TABLE IF NOT EXISTS head (user_id TEXT PRIMARY KEY, seq BIGINT NOT NULL)";
    sql::execute(statement, &[]).map(drop).map_err(|e| format!("{e:?}"))
}

fn number(statement: &str, user: &str) -> Result<u64, StoreError> {
    let rows = sql::query(statement, &[Value::Text(user.to_owned())])
        .map_err(|e| StoreError::Unavailable(format!("{e:?}")))?;
    Ok(match rows.first().and_then(|row| row.first()) {
        Some(Value::Integer(seq)) => u64::try_from(*seq).unwrap_or(0),
        _ => 0,
    })
}

fn store(message: &Message) -> Result<Saved, StoreError> {
    let boom = message.sender == "boom" || message.topic.ends_with("/boom");
    let mode = orders().carry_out(boom, log);
    if mode == Mode::Giant {
        return Ok(Saved::Refused(giant()));
    }
    let mut places = Vec::new();
    for recipient in &message.recipients {
        let statement = "INSERT INTO head (user_id, seq) VALUES ($1, 1)
            ON CONFLICT (user_id) DO UPDATE SET seq = head.seq + 1 RETURNING seq";
        let seq = number(statement, recipient)?;
        // Gaps, and every other time backwards.
        let seq = if mode == Mode::Nonsense { seq.wrapping_mul(u64::MAX / 2) } else { seq };
        places.push(Place { recipient: recipient.clone(), seq });
    }
    if mode == Mode::Short {
        places.pop();
    }
    Ok(Saved::Stored(places))
}

impl Guest for Plugin {
    fn save(batch: Vec<Message>) -> Result<Vec<Saved>, StoreError> {
        // The time is asked for as a decent store would.
        let _ = clock::now();
        let short = orders().misbehave.as_deref() == Some("short") && orders().when.is_none();
        let mut saved = batch.iter().map(store).collect::<Result<Vec<_>, _>>()?;
        if short {
            saved.pop();
        }
        Ok(saved)
    }
    fn inbox(_: String, _: u64, _: u32) -> Result<Vec<Delivery>, StoreError> {
        Ok(Vec::new())
    }
    fn head(user: String) -> Result<u64, StoreError> {
        number("SELECT seq FROM head WHERE user_id = $1", &user)
    }
    fn history(
        _: String,
        _: Option<Conversation>,
        _: Option<u64>,
        _: u32,
    ) -> Result<Vec<Delivery>, StoreError> {
        Ok(Vec::new())
    }
    fn mark_read(_: String, _: Marker) -> Result<(), StoreError> {
        Ok(())
    }
    fn markers(_: String) -> Result<Vec<Marker>, StoreError> {
        Ok(Vec::new())
    }
}
