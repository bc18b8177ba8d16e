//! What is stored and how (A10). Binding only: the rules are in [`save`] and [`read`].
//!
//! save: message rows (repeats fall out) → heads (a seq per recipient) → inbox rows

pub mod read;
pub mod save;
pub mod schema;
pub mod sql;

#[allow(unsafe_code, missing_docs, unreachable_pub, clippy::all)] // generated from wit/
pub mod bindings {
    wit_bindgen::generate!({
        path: ["../../wit/host", "../../wit/store"],
        world: "postern:store/store-plugin",
        generate_all,
    });
    #[cfg(target_family = "wasm")] // exported names are none that a native linker takes
    export!(Plugin);
    #[cfg(target_family = "wasm")]
    use super::Plugin;
}

use std::sync::OnceLock;

use bindings::{
    exports::postern::{
        host::plugin::{About, Guest as Lifecycle},
        store::messages::{Conversation, Delivery, Guest, Marker, Message, Saved, StoreError},
    },
    postern::host::{
        clock,
        config::{self, Value},
        sql as host_sql,
    },
};
use sql::{Dialect, Row, Sql, SqlError};

/// The component.
pub struct Plugin;

/// Read once per instance: the configuration of a generation does not change.
static MAX_BODY_BYTES: OnceLock<Result<usize, String>> = OnceLock::new();

fn max_body_bytes() -> Result<usize, String> {
    let read = || match config::get("max_body_bytes") {
        None => Ok(1024 * 1024),
        Some(Value::Integer(bytes)) if bytes > 0 => Ok(usize::try_from(bytes).unwrap_or(usize::MAX)),
        Some(_) => Err("config `max_body_bytes` must be a number above 0".to_owned()),
    };
    MAX_BODY_BYTES.get_or_init(read).clone()
}

/// The host's SQL.
struct Host;

impl Sql for Host {
    fn dialect(&self) -> Dialect {
        match host_sql::current_dialect() {
            host_sql::Dialect::Sqlite => Dialect::Sqlite,
            host_sql::Dialect::Postgres => Dialect::Postgres,
        }
    }
    fn execute(&self, statement: &str, params: Row) -> Result<u64, SqlError> {
        host_sql::execute(statement, &params)
    }
    fn query(&self, statement: &str, params: Row) -> Result<Vec<Row>, SqlError> {
        host_sql::query(statement, &params)
    }
    fn execute_rows(&self, statement: &str, rows: Vec<Row>) -> Result<u64, SqlError> {
        host_sql::execute_rows(statement, &rows)
    }
    fn query_rows(&self, statement: &str, rows: Vec<Row>) -> Result<Vec<Row>, SqlError> {
        host_sql::query_rows(statement, &rows)
    }
}

impl Lifecycle for Plugin {
    fn describe() -> About {
        About { name: env!("CARGO_PKG_NAME").into(), version: env!("CARGO_PKG_VERSION").into() }
    }

    fn prepare() -> Result<(), String> {
        for key in config::keys("") {
            if key != "max_body_bytes" {
                return Err(format!("config has the unknown key `{key}`"));
            }
        }
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
