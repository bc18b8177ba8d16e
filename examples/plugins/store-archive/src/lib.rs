//! Stores as store-sql does, and writes what was stored to a second table, redacted: who wrote to whom and
//! when, and a text without what could identify somebody else. Binding only: the rules are in [`archive`],
//! [`redact`] and store-tables.

pub mod archive;
pub mod redact;

use std::sync::OnceLock;

use store_tables::{
    bindings::{
        exports::postern::{
            host::plugin::{About, Guest as Lifecycle},
            store::messages::{Conversation, Delivery, Guest, Marker, Message, Saved, StoreError},
        },
        postern::host::clock,
    },
    host::{Host, known_keys, positive},
    read, schema,
    sql::{self, SqlError},
};

/// The component.
pub struct Plugin;

#[cfg(target_family = "wasm")] // exported names are none that a native linker takes
store_tables::bindings::export!(Plugin);

/// Read once per instance: the configuration of a generation does not change.
static BOUNDS: OnceLock<Result<archive::Bounds, String>> = OnceLock::new();

fn bounds() -> Result<archive::Bounds, String> {
    let read = || {
        Ok(archive::Bounds {
            max_body_bytes: positive("max_body_bytes", 1024 * 1024)?,
            archived_chars: positive("archived_chars", 200)?,
        })
    };
    BOUNDS.get_or_init(read).clone()
}

impl Lifecycle for Plugin {
    fn describe() -> About {
        About { name: env!("CARGO_PKG_NAME").into(), version: env!("CARGO_PKG_VERSION").into() }
    }

    fn prepare() -> Result<(), String> {
        known_keys(&["max_body_bytes", "archived_chars"])?;
        bounds()?;
        schema::migrate(&Host).and_then(|()| archive::migrate(&Host)).map_err(|e| sql::explain(&e))
    }

    fn self_check() -> Result<(), String> {
        read::head(&Host, "nobody").map(drop).map_err(|e| sql::explain(&e))
    }
}

fn down(error: SqlError) -> StoreError {
    StoreError::Unavailable(sql::explain(&error))
}

impl Guest for Plugin {
    fn save(batch: Vec<Message>) -> Result<Vec<Saved>, StoreError> {
        archive::save(&Host, bounds().map_err(StoreError::Unavailable)?, batch).map_err(down)
    }
    fn inbox(user: String, after: u64, limit: u32) -> Result<Vec<Delivery>, StoreError> {
        read::inbox(&Host, &user, after, limit, clock::now()).map_err(down)
    }
    fn head(user: String) -> Result<u64, StoreError> {
        read::head(&Host, &user).map_err(down)
    }
    fn history(
        user: String,
        conversation: Option<Conversation>,
        before: Option<u64>,
        limit: u32,
    ) -> Result<Vec<Delivery>, StoreError> {
        read::history(&Host, &user, conversation.as_ref(), before, limit, clock::now()).map_err(down)
    }
    fn mark_read(user: String, marker: Marker) -> Result<(), StoreError> {
        read::mark_read(&Host, &user, &marker).map_err(down)
    }
    fn markers(user: String) -> Result<Vec<Marker>, StoreError> {
        read::markers(&Host, &user).map_err(down)
    }
}
