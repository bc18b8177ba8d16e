//! What `store-sql` does, as functions of this program on the same tables: the same rules without a component.

use std::{cell::RefCell, sync::Arc};

use postern_guest::roles::store::{Address, Class, Message, Place, Saved};
use postern_store::{self as store, Access, Database, PluginSql, SqlLimits, Transaction};
use store_tables::{
    bindings::exports::postern::store::messages as wit,
    save,
    sql::{Dialect, Row, Sql, SqlError, Value, explain},
};
use tokio::{runtime::Handle, task::block_in_place};

/// As in policies/bench.toml.
const LIMITS: SqlLimits = SqlLimits { rows: 200_000, statement_ms: 5_000 };
const MAX_BODY_BYTES: usize = 1 << 20;

/// The tables.
pub struct Native(PluginSql);

impl Native {
    pub(super) async fn new(database: &Database) -> anyhow::Result<Self> {
        Ok(Native(database.plugin("store-sql", LIMITS).await?))
    }

    /// Saves a batch in one transaction.
    ///
    /// # Errors
    /// Why nothing was saved.
    pub async fn save(&self, messages: Arc<[Message]>) -> Result<Vec<Saved>, String> {
        let dialect = match self.0.dialect() {
            store::Dialect::Sqlite => Dialect::Sqlite,
            store::Dialect::Postgres => Dialect::Postgres,
        };
        let transaction = self.0.begin(Access::Write).await.map_err(|e| e.to_string())?;
        let db = Db { transaction: RefCell::new(transaction), dialect };
        let batch = messages.iter().map(to_rules).collect();
        let answer = block_in_place(|| save::save(&db, MAX_BODY_BYTES, batch));
        let transaction = db.transaction.into_inner();
        match answer {
            Ok(saved) => {
                transaction.commit().await.map_err(|e| e.to_string())?;
                Ok(saved.into_iter().map(from_rules).collect())
            }
            Err(error) => {
                transaction.rollback().await.map_err(|e| e.to_string())?;
                Err(explain(&error))
            }
        }
    }
}

fn to_rules(message: &Message) -> wit::Message {
    wit::Message {
        id: message.id.clone(),
        class: match message.class {
            Class::Notification => wit::Class::Notification,
            Class::Instant => wit::Class::Instant,
        },
        sender: message.sender.clone(),
        sender_device: message.sender_device.clone(),
        to: match &message.to {
            Address::User(user) => wit::Address::User(user.clone()),
            Address::Group(group) => wit::Address::Group(group.clone()),
            Address::Everyone => wit::Address::Everyone,
        },
        topic: message.topic.clone(),
        body: message.body.to_vec(),
        properties: message.properties.to_vec(),
        sent_at: message.sent_at,
        expires_at: message.expires_at,
        recipients: message.recipients.to_vec(),
    }
}

fn from_rules(saved: wit::Saved) -> Saved {
    let place = |place: wit::Place| Place { recipient: place.recipient, seq: place.seq };
    match saved {
        wit::Saved::Stored(places) => Saved::Stored(places.into_iter().map(place).collect()),
        wit::Saved::Duplicate => Saved::Duplicate,
        wit::Saved::Refused(why) => Saved::Refused(why),
    }
}

/// One call's transaction.
struct Db {
    transaction: RefCell<Transaction>,
    dialect: Dialect,
}

impl Db {
    #[allow(clippy::await_holding_refcell_ref)] // one call has it, on one thread
    fn with<T>(
        &self,
        f: impl AsyncFnOnce(&mut Transaction) -> Result<T, store::SqlError>,
    ) -> Result<T, SqlError> {
        let mut transaction = self.transaction.borrow_mut();
        Handle::current().block_on(f(&mut transaction)).map_err(|e| SqlError::Refused(e.to_string()))
    }
}

fn to_store(row: Row) -> store::Row {
    let value = |value| match value {
        Value::Null => store::Value::Null,
        Value::Integer(v) => store::Value::Integer(v),
        Value::Real(v) => store::Value::Real(v),
        Value::Text(v) => store::Value::Text(v),
        Value::Blob(v) => store::Value::Blob(v),
    };
    row.into_iter().map(value).collect()
}

fn from_store(rows: Vec<store::Row>) -> Vec<Row> {
    let value = |value| match value {
        store::Value::Null => Value::Null,
        store::Value::Integer(v) => Value::Integer(v),
        store::Value::Real(v) => Value::Real(v),
        store::Value::Text(v) => Value::Text(v),
        store::Value::Blob(v) => Value::Blob(v),
    };
    rows.into_iter().map(|row| row.into_iter().map(value).collect()).collect()
}

impl Sql for Db {
    fn dialect(&self) -> Dialect {
        self.dialect
    }
    fn execute(&self, statement: &str, params: Row) -> Result<u64, SqlError> {
        self.with(async |t| t.execute(statement, to_store(params)).await)
    }
    fn query(&self, statement: &str, params: Row) -> Result<Vec<Row>, SqlError> {
        self.with(async |t| t.query(statement, to_store(params)).await).map(from_store)
    }
    fn execute_rows(&self, statement: &str, rows: Vec<Row>) -> Result<u64, SqlError> {
        self.with(async |t| t.execute_rows(statement, rows.into_iter().map(to_store).collect()).await)
    }
    fn query_rows(&self, statement: &str, rows: Vec<Row>) -> Result<Vec<Row>, SqlError> {
        let rows = rows.into_iter().map(to_store).collect();
        self.with(async |t| t.query_rows(statement, rows).await).map(from_store)
    }
}
