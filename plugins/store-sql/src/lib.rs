//! What is stored and how (A10). Binding only: the rules are store-tables'.

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
    read, save, schema,
    sql::{self, SqlError},
};

/// The component.
pub struct Plugin;

#[cfg(target_family = "wasm")] // exported names are none that a native linker takes
store_tables::bindings::export!(Plugin);

/// Read once per instance: the configuration of a generation does not change.
static MAX_BODY_BYTES: OnceLock<Result<usize, String>> = OnceLock::new();

fn max_body_bytes() -> Result<usize, String> {
    MAX_BODY_BYTES.get_or_init(|| positive("max_body_bytes", 1024 * 1024)).clone()
}

impl Lifecycle for Plugin {
    fn describe() -> About {
        About { name: env!("CARGO_PKG_NAME").into(), version: env!("CARGO_PKG_VERSION").into() }
    }

    fn prepare() -> Result<(), String> {
        known_keys(&["max_body_bytes"])?;
        max_body_bytes()?;
        schema::migrate(&Host).map_err(|e| sql::explain(&e))
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
        save::save(&Host, max_body_bytes().map_err(StoreError::Unavailable)?, batch).map_err(down)
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
