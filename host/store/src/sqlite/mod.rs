//! One SQLite file: write-ahead log, synchronous commits, one writer, a few readers.

mod limits;
mod pool;
mod session;

use std::fs::OpenOptions;
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection};

pub(crate) use session::Session;

use crate::{Access, StoreError};

/// Readers per file. They answer history and backlog, which wait for nobody.
const READERS: u32 = 4;
/// Pages (4 KiB) in the log before it is copied into the file: 64 MiB. At SQLite's usual 1000 a busy
/// store would sync the file ten times a second for nothing.
const CHECKPOINT_PAGES: &str = "16384";
/// Page cache of the writer and of each reader, in KiB and negative as SQLite wants it. There are five connections
/// to each file, and a file for the host and each plugin: what is not in here is in the kernel's cache, once for all.
/// Readers are taken last in, first out: the later ones fill late, so what each may take is growth long after the start.
const WRITER_CACHE: &str = "-4096";
const READER_CACHE: &str = "-256";

/// What a file says of itself, read without changing anything in it.
#[derive(Debug)]
pub(crate) struct Stamp {
    /// `PRAGMA application_id`: whose file it is; 0 when new.
    pub(crate) application: i64,
    /// `PRAGMA user_version`: its schema.
    pub(crate) version: i64,
    /// Tables, indexes and so on.
    pub(crate) things: i64,
}

impl Stamp {
    async fn read(options: &SqliteConnectOptions) -> sqlx::Result<Self> {
        let mut file = options.connect().await?;
        let application = sqlx::query_scalar("PRAGMA application_id").fetch_one(&mut file).await?;
        let version = sqlx::query_scalar("PRAGMA user_version").fetch_one(&mut file).await?;
        let things = sqlx::query_scalar("SELECT count(*) FROM sqlite_schema").fetch_one(&mut file).await?;
        file.close().await?;
        Ok(Self { application, version, things })
    }
}

/// Copies a file that others may be writing: what was committed before, all of it, as one moment. `to` is made, mode
/// 0600, and must not be there.
///
/// # Errors
/// [`StoreError::Open`] with the file that failed.
pub(crate) async fn copy(from: &Path, to: &Path) -> Result<(), StoreError> {
    let place = from.display().to_string();
    let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(to);
    made.map_err(|error| StoreError::open(to.display().to_string(), error))?;
    let options = SqliteConnectOptions::new()
        .filename(absolute(from))
        .busy_timeout(Duration::from_secs(5))
        .disable_statement_logging();
    let copied = async {
        let mut file = options.connect().await?;
        // Into a file that is empty, or SQLite refuses.
        let to = absolute(to).to_string_lossy().into_owned();
        let done = sqlx::query("VACUUM INTO $1").bind(to).execute(&mut file).await.map(drop);
        file.close().await?;
        done
    };
    copied.await.map_err(|error| StoreError::sqlx(&place, &error))
}

/// What a closed file says of itself, by its first bytes alone (<https://www.sqlite.org/fileformat.html>, 1.3):
/// SQLite itself would make files beside it, and clear away a log that a crash has left. None: it is empty, or no
/// database.
pub(crate) fn header(path: &Path) -> std::io::Result<Option<Stamp>> {
    let mut bytes = [0; 100];
    match std::fs::File::open(path)?.read_exact(&mut bytes) {
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => return Ok(None),
        read => read?,
    }
    let number = |at: usize| {
        let bytes = bytes.get(at..at + 4).and_then(|bytes| bytes.try_into().ok());
        i64::from(u32::from_be_bytes(bytes.unwrap_or_default()))
    };
    let is_database = bytes.starts_with(b"SQLite format 3\0");
    // The schema's cookie is raised by every table that is made: 0 says that there is none.
    Ok(is_database.then(|| Stamp { application: number(68), version: number(60), things: number(40) }))
}

/// One open file.
pub(crate) struct File {
    path: PathBuf,
    writer: Arc<pool::Pool>,
    readers: Arc<pool::Pool>,
}

impl File {
    /// Opens the file, making it (mode 0600) where it is missing. Nothing in a file that exists is
    /// changed before `check` has accepted it.
    ///
    /// # Errors
    /// [`StoreError::Open`]: unreadable, read-only, not a database, locked; and those of `check`.
    pub(crate) async fn open(
        path: &Path,
        check: impl FnOnce(&Stamp) -> Result<(), StoreError>,
    ) -> Result<Self, StoreError> {
        limits::set_up();
        let place = path.display().to_string();
        let made =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path);
        made.map_err(|error| StoreError::open(&*place, error))?;
        let plain = SqliteConnectOptions::new()
            .filename(absolute(path))
            .busy_timeout(Duration::from_secs(5))
            .statement_cache_capacity(256)
            .row_buffer_size(1024)
            .disable_statement_logging();
        check(&Stamp::read(&plain).await.map_err(|error| StoreError::sqlx(&place, &error))?)?;
        let writer = plain
            .clone()
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .pragma("wal_autocheckpoint", CHECKPOINT_PAGES)
            .pragma("journal_size_limit", (128 << 20).to_string())
            .pragma("cache_size", WRITER_CACHE)
            .pragma("temp_store", "MEMORY");
        let readers = plain
            .read_only(true)
            .pragma("query_only", "ON")
            .pragma("cache_size", READER_CACHE)
            .pragma("temp_store", "MEMORY");
        let file = Self {
            path: path.to_owned(),
            writer: pool::Pool::new(writer, 1),
            readers: pool::Pool::new(readers, READERS),
        };
        // Opening sets the journal mode: a file that cannot be written says so now.
        file.writer.fill().await.map_err(|error| StoreError::sqlx(&place, &error))?;
        // At the start, when there are threads and descriptors: under load there may be none left for a reader.
        file.readers.fill().await.map_err(|error| StoreError::sqlx(&place, &error))?;
        Ok(file)
    }

    pub(crate) async fn begin(&self, access: Access) -> sqlx::Result<Session> {
        let (pool, sql) = match access {
            Access::Read => (&self.readers, "BEGIN"),
            // Takes the write lock now: no deadlock between two that read first and write later.
            Access::Write => (&self.writer, "BEGIN IMMEDIATE"),
        };
        Session::begin(pool.take().await?, sql).await
    }

    /// A connection for one statement, which is a transaction by itself.
    pub(crate) async fn single(&self, access: Access) -> sqlx::Result<Session> {
        let pool = if access == Access::Read { &self.readers } else { &self.writer };
        Ok(Session::single(pool.take().await?))
    }

    /// The readers first: the last connection to close copies the log into the file and removes it.
    pub(crate) async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
        tracing::debug!(file = %self.path.display(), "database closed");
    }
}

/// SQLite reads a name that begins with `file:` as a URI; an absolute path never does.
fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}
