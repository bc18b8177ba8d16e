//! Where Postern keeps things: one embedded SQLite file, or PostgreSQL by URL.
//!
//! ```text
//! Database::open ─ url (what, where, TLS rule) ─ lock (one process per folder) ─ migrate (own tables)
//!     ├ kv, cursors, kept, commands          the host's own tables
//!     └ plugin(name) → PluginSql ─ begin(Access) → Transaction ─ commit | rollback
//!           statement → plan (guard, `:rows`) → engine → sqlite | postgres
//! ```
//!
//! Both databases are driven through [`Transaction`], which is also what the host's own tables use, so
//! that one set of tests holds both to the same behaviour. Time is an argument everywhere
//! (milliseconds since the Unix epoch).

mod accounts;
mod commands;
mod cursors;
mod database;
mod engine;
mod error;
mod guard;
mod kept;
mod kv;
mod lock;
mod migrate;
mod plan;
mod postgres;
mod sqlite;
mod token;
mod transaction;
mod url;
mod value;

pub use accounts::TerminalAccount;
pub use commands::{CommandRow, Commands, Inserted};
pub use cursors::{CursorRow, Cursors};
pub use database::{Alone, Database, is_plugin_name};
pub use error::{SqlError, StoreError};
pub use kept::{Kept, KeptKey};
pub use kv::Kv;
pub use transaction::{Access, PluginSql, SqlLimits, Transaction};
pub use value::{Dialect, Row, Value};
