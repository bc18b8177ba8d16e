//! Opening the store, and what it hands out.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sqlx::Connection;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use tokio::sync::Mutex;

use crate::engine::Engine;
use crate::lock::Lock;
use crate::plan::Plans;
use crate::url::{Target, parse, redacted};
use crate::{
    Access, Commands, Cursors, Dialect, Kept, Kv, PluginSql, Row, SqlError, SqlLimits, StoreError, migrate,
    postgres, sqlite,
};

/// What a plugin may call itself: 1 to 48 of `a-z 0-9 -`, a letter or digit first. It names the plugin's
/// file, its table in the policy, and its database.
#[must_use]
pub fn is_plugin_name(name: &str) -> bool {
    let fits = |b: u8| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-');
    (1..=48).contains(&name.len()) && name.bytes().all(fits) && !name.starts_with('-')
}

/// The store of one process. Cheap to clone.
#[derive(Clone)]
pub struct Database(Arc<Inner>);

struct Inner {
    own: Own,
    /// File or URL, without a password.
    place: String,
    data: PathBuf,
    postgres: Option<PgConnectOptions>,
    /// Kept so that generations of a plugin share one writer.
    plugins: Mutex<HashMap<String, PluginSql>>,
    lock: parking_lot::Mutex<Option<Lock>>,
}

/// The host's own tables.
#[derive(Clone)]
pub(crate) struct Own {
    pub(crate) engine: Arc<Engine>,
    pub(crate) plans: Arc<Plans>,
}

impl Own {
    /// One statement as a transaction of its own.
    pub(crate) async fn run(
        &self,
        access: Access,
        sql: &str,
        params: Row,
    ) -> Result<(u64, Vec<Row>), SqlError> {
        let answer = self.engine.single(&self.plans, access, sql, params).await?;
        Ok((answer.changed, answer.rows))
    }

    pub(crate) fn sql(&self) -> PluginSql {
        PluginSql { engine: Arc::clone(&self.engine), plans: Arc::clone(&self.plans), limits: None }
    }
}

/// Held while a plugin brings its tables up to date. Dropped, it is over soon.
#[derive(Debug)]
#[must_use = "it holds the other nodes off"]
pub struct Alone(Option<PgConnection>);

impl Alone {
    /// Lets the others go on, now.
    pub async fn end(self) {
        if let Some(connection) = self.0 {
            // Whatever it says: the connection is over, and the lock with it.
            let _ = connection.close().await;
        }
    }
}

impl std::fmt::Debug for Database {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Database").field(&self.0.place).finish()
    }
}

impl Database {
    /// Opens `sqlite:PATH` or `postgres://USER:PASSWORD@HOST/DATABASE`, and makes or updates the host's
    /// own tables. `data` is the data folder, made when missing: plugins' SQLite files live in its
    /// `plugins`, and with SQLite it is locked against other processes.
    ///
    /// # Errors
    /// [`StoreError`], each one line that names the file or URL and the cause.
    pub async fn open(url: &str, data: &Path) -> Result<Self, StoreError> {
        let target = parse(url)?;
        let (place, lock, engine, options) = match target {
            Target::Sqlite(path) => {
                std::fs::create_dir_all(data)
                    .map_err(|error| StoreError::open(data.display().to_string(), error))?;
                let lock = Lock::take(data, &path)?;
                let place = path.display().to_string();
                let file = sqlite::File::open(&path, |stamp| migrate::check_file(stamp, &place)).await?;
                (place, Some(lock), Engine::Sqlite(file), None)
            }
            Target::Postgres(options) => {
                let place = redacted(url);
                let schema = postgres::Schema::open(&options, &place, "postern", None).await?;
                migrate::make_schema(schema.pool(), &place).await?;
                (place, None, Engine::Postgres(schema), Some(*options))
            }
        };
        if let Err(error) = migrate::run(&engine, &place).await {
            engine.close().await;
            return Err(error);
        }
        let plans = Arc::new(Plans::new(engine.dialect(), None));
        Ok(Self(Arc::new(Inner {
            own: Own { engine: Arc::new(engine), plans },
            place,
            data: data.to_owned(),
            postgres: options,
            plugins: Mutex::default(),
            lock: parking_lot::Mutex::new(lock),
        })))
    }

    /// Whether [`Database::open`] would take this URL and the file it names, as far as can be told without
    /// touching either: no server is asked, and no file is made or changed.
    ///
    /// # Errors
    /// [`StoreError`] as for [`Self::open`].
    pub fn check(url: &str) -> Result<(), StoreError> {
        let Target::Sqlite(path) = parse(url)? else { return Ok(()) };
        let place = path.display().to_string();
        match sqlite::header(&path) {
            Ok(Some(stamp)) => migrate::check_file(&stamp, &place),
            Ok(None) => Ok(()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(StoreError::open(place, error)),
        }
    }

    /// Which database it is.
    #[must_use]
    pub fn dialect(&self) -> Dialect {
        self.0.own.engine.dialect()
    }

    /// Copies all databases of the data folder into `folder`, which is empty, while they are written: `postern.db` and
    /// `plugins/NAME.db`. Each has everything that was committed before the call. The host's own comes first, so that
    /// what it says of plugins' rows, such as how far a device has read, is never ahead of them. With PostgreSQL there
    /// is nothing to copy: false.
    ///
    /// # Errors
    /// [`StoreError`]; `folder` may hold a part.
    pub async fn copy_to(&self, folder: &Path) -> Result<bool, StoreError> {
        let Some(own) = self.file() else { return Ok(false) };
        sqlite::copy(own, &folder.join("postern.db")).await?;
        let to = folder.join("plugins");
        std::fs::create_dir(&to).map_err(|error| StoreError::open(to.display().to_string(), error))?;
        for file in self.plugin_files()? {
            sqlite::copy(&file, &to.join(file.file_name().unwrap_or_default())).await?;
        }
        Ok(true)
    }

    /// Bytes that [`Database::copy_to`] writes, at most: of all files, and of their logs, which may not be in them yet.
    ///
    /// # Errors
    /// [`StoreError::Open`] when a folder cannot be read.
    pub fn copied_bytes(&self) -> Result<u64, StoreError> {
        let Some(own) = self.file() else { return Ok(0) };
        let files = std::iter::once(own.to_owned()).chain(self.plugin_files()?);
        // One that is removed meanwhile has no size.
        let bytes = |file: &Path| std::fs::metadata(file).map_or(0, |about| about.len());
        Ok(files.map(|file| bytes(&file) + bytes(&log_of(&file))).sum())
    }

    /// The host's own file; None for a server.
    fn file(&self) -> Option<&Path> {
        matches!(*self.0.own.engine, Engine::Sqlite(_)).then(|| Path::new(&self.0.place))
    }

    fn plugin_files(&self) -> Result<Vec<PathBuf>, StoreError> {
        let from = self.0.data.join("plugins");
        let entries = match std::fs::read_dir(&from) {
            Ok(entries) => entries,
            // No plugin has a database yet.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(StoreError::open(from.display().to_string(), error)),
        };
        let files = entries.flatten().map(|entry| entry.path());
        Ok(files.filter(|file| file.extension().is_some_and(|end| end == "db")).collect())
    }

    /// The file that a URL names; None for a server.
    ///
    /// # Errors
    /// [`StoreError::Url`].
    pub fn file_of(url: &str) -> Result<Option<PathBuf>, StoreError> {
        Ok(match parse(url)? {
            Target::Sqlite(path) => Some(path),
            Target::Postgres(_) => None,
        })
    }

    /// A durable map of its own for `namespace` (a plugin's name).
    #[must_use]
    pub fn kv(&self, namespace: &str) -> Kv {
        Kv::new(self.0.own.clone(), namespace)
    }

    /// The devices' places in their users' inboxes.
    #[must_use]
    pub fn cursors(&self) -> Cursors {
        Cursors::new(self.0.own.clone())
    }

    /// Commands to terminals.
    #[must_use]
    pub fn commands(&self) -> Commands {
        Commands::new(self.0.own.clone())
    }

    /// What the broker of `node` keeps of its sessions. Nodes of one database have different names.
    #[must_use]
    pub fn kept(&self, node: &str) -> Kept {
        Kept::new(self.0.own.clone(), node)
    }

    /// The database of plugin `name`, for which [`is_plugin_name`] holds: the file
    /// `DATA/plugins/NAME.db` or the schema `plugin_NAME`. Generations of one plugin share it.
    ///
    /// # Errors
    /// [`StoreError`] as for [`Self::open`].
    pub async fn plugin(&self, name: &str, limits: SqlLimits) -> Result<PluginSql, StoreError> {
        if !is_plugin_name(name) {
            return Err(StoreError::open(format!("of plugin {name:?}"), "not a name for a database"));
        }
        let mut plugins = self.0.plugins.lock().await;
        if let Some(known) = plugins.get(name) {
            return Ok(PluginSql { limits: Some(limits), ..known.clone() });
        }
        let (engine, foreign) = self.open_plugin(name).await?;
        let plans = Arc::new(Plans::new(engine.dialect(), Some(foreign)));
        let sql = PluginSql { engine: Arc::new(engine), plans, limits: Some(limits) };
        plugins.insert(name.to_owned(), sql.clone());
        Ok(sql)
    }

    async fn open_plugin(&self, name: &str) -> Result<(Engine, Vec<String>), StoreError> {
        let Engine::Postgres(own) = &*self.0.own.engine else {
            let folder = self.0.data.join("plugins");
            std::fs::create_dir_all(&folder)
                .map_err(|error| StoreError::open(folder.display().to_string(), error))?;
            let file = sqlite::File::open(&folder.join(format!("{name}.db")), |_| Ok(())).await?;
            return Ok((Engine::Sqlite(file), Vec::new()));
        };
        let Some(options) = &self.0.postgres else {
            return Err(StoreError::open(&*self.0.place, "no options to connect with"));
        };
        let schema = format!("plugin_{name}");
        let place = format!("{} schema {schema}", self.0.place);
        let prepared =
            postgres::prepare(own.pool(), &schema).await.map_err(|error| StoreError::sqlx(&place, &error))?;
        let opened = postgres::Schema::open(options, &place, &schema, prepared.role).await?;
        Ok((Engine::Postgres(opened), prepared.foreign))
    }

    /// Waits until no other node's plugin brings its tables up to date: two that make the same tables
    /// at once would make one of them fail. With SQLite there is no other node.
    ///
    /// # Errors
    /// [`SqlError::Unavailable`].
    pub async fn alone(&self) -> Result<Alone, SqlError> {
        Ok(Alone(match &*self.0.own.engine {
            Engine::Sqlite(_) => None,
            Engine::Postgres(schema) => Some(postgres::alone(schema.pool()).await?),
        }))
    }

    /// Asks the database for a sign of life.
    ///
    /// # Errors
    /// [`SqlError::Unavailable`].
    pub async fn ping(&self) -> Result<(), SqlError> {
        self.0.own.run(Access::Read, "SELECT 1", Row::new()).await.map(drop)
    }

    /// Removes expired entries of all namespaces and tells how many. `now`: milliseconds since the epoch.
    ///
    /// # Errors
    /// [`SqlError`].
    pub async fn purge(&self, now: u64) -> Result<u64, SqlError> {
        crate::kv::purge(&self.0.own, now).await
    }

    /// Waits for transactions under way and closes all connections. What is begun later is refused.
    pub async fn close(&self) {
        let plugins = std::mem::take(&mut *self.0.plugins.lock().await);
        for plugin in plugins.into_values() {
            plugin.engine.close().await;
        }
        self.0.own.engine.close().await;
        self.0.lock.lock().take();
    }
}

/// Where SQLite writes what is not in a file yet.
fn log_of(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push("-wal");
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use super::is_plugin_name;

    #[test]
    fn plugin_names_are_file_and_schema_names() {
        let longest = "a".repeat(48);
        for good in ["a", "0", "store-sql", "7-", &longest] {
            assert!(is_plugin_name(good), "{good}");
        }
        for bad in ["", "-a", "A", "a_b", "a.b", "../a", "a/b", "é", &format!("{longest}a")] {
            assert!(!is_plugin_name(bad), "{bad}");
        }
    }
}
