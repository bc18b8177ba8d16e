//! SQLite's own limits on a connection that runs a plugin's statements: what stands behind the guard.
//!
//! sqlx has no call for them, so this is the one module of the crate with `unsafe`: calls of SQLite's C
//! interface on a handle that sqlx has locked for us.
#![allow(unsafe_code)]

use std::sync::Once;

use libsqlite3_sys as ffi;
use sqlx::SqliteConnection;

/// Bytes of the longest text, blob, row or statement: a statement cannot hoard the host's memory.
const MAX_LENGTH: i32 = 32 << 20;

/// Settings of the whole process, before SQLite is first used.
pub(super) fn set_up() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // SAFETY: this operation takes one int; once SQLite is initialised the call answers
        // SQLITE_MISUSE and changes nothing (<https://www.sqlite.org/c3ref/config.html>).
        let done = unsafe { ffi::sqlite3_config(ffi::SQLITE_CONFIG_MEMSTATUS, 0) };
        // Otherwise each allocation takes one lock of the whole process, for figures nobody asks for.
        tracing::trace!(done, "allocation statistics off");
    });
}

/// Forbids ATTACH, long values and writing to the schema's or the index's own tables.
pub(super) async fn apply(connection: &mut SqliteConnection) -> sqlx::Result<()> {
    let mut locked = connection.lock_handle().await?;
    let db = locked.as_raw_handle().as_ptr();
    // SAFETY: `db` is an open connection for as long as `locked` lives, which keeps sqlx's worker
    // thread off it. `sqlite3_limit` takes plain numbers; `sqlite3_db_config` with these operations
    // takes an int and a pointer to an int, which may be null
    // (<https://www.sqlite.org/c3ref/c_dbconfig_defensive.html>).
    unsafe {
        ffi::sqlite3_limit(db, ffi::SQLITE_LIMIT_ATTACHED, 0);
        ffi::sqlite3_limit(db, ffi::SQLITE_LIMIT_LENGTH, MAX_LENGTH);
        for (operation, on) in [(ffi::SQLITE_DBCONFIG_DEFENSIVE, 1), (ffi::SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0)]
        {
            ffi::sqlite3_db_config(db, operation, on, std::ptr::null_mut::<i32>());
        }
    }
    Ok(())
}
