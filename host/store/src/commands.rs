//! Commands to terminals, from acceptance to result (B2 to B13). What the states mean and which follow
//! which is the server's; here every step is one transaction, taken by whoever comes first.

use crate::database::Own;
use crate::{Access, Row, SqlError, Transaction, Value};

/// The last commands whose times are told for a terminal's history.
const HISTORY: i64 = 128;

/// A command as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandRow {
    /// 32 hex digits.
    pub id: String,
    /// Whom it is for.
    pub terminal: String,
    /// Who asked.
    pub requester: String,
    /// The requester's own name for it: asked twice, it is one command.
    pub request_key: String,
    /// Such as `remote-control`.
    pub class: String,
    /// Classes of what will follow, one a line.
    pub follow_ups: String,
    /// What the terminal is to do.
    pub body: Vec<u8>,
    /// One word of the server's.
    pub state: String,
    /// Whether it must travel on TLS.
    pub needs_tls: bool,
    /// Of this terminal's commands and instructions, greater than all before it.
    pub sequence: u64,
    /// What the terminal said of it.
    pub outcome: Vec<u8>,
    /// Milliseconds since 1970, as the following.
    pub created_at: u64,
    /// After this it is not executed any more.
    pub expires_at: u64,
    /// When it came to its state.
    pub updated_at: u64,
}

/// What came of an insertion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Inserted {
    /// It is new; its sequence number is set, and the next one is for an instruction about it.
    New(CommandRow),
    /// It is the one that was asked for before under this key.
    Known(CommandRow),
    /// So many of this requester wait for this terminal already.
    Full,
}

/// The table of commands.
#[derive(Clone)]
pub struct Commands {
    own: Own,
}

impl std::fmt::Debug for Commands {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Commands")
    }
}

const COLUMNS: &str = "id, terminal, requester, request_key, class, follow_ups, body, state, needs_tls,
    sequence, outcome, created_at, expires_at, updated_at";

impl CommandRow {
    /// A sequence number that was taken with the command's own, for the instruction that it may take.
    #[must_use]
    pub fn instruction_sequence(&self) -> u64 {
        self.sequence + 1
    }
}

impl Commands {
    pub(crate) fn new(own: Own) -> Self {
        Self { own }
    }

    pub(crate) fn own(&self) -> &Own {
        &self.own
    }

    /// Saves a new command, unless it is known or `most` of its requester wait for its terminal.
    ///
    /// # Errors
    /// [`SqlError`]; nothing is saved then.
    pub async fn insert(&self, mut command: CommandRow, most: u32) -> Result<Inserted, SqlError> {
        let mut transaction = self.own.sql().begin(Access::Write).await?;
        // First, because it makes two requests for one terminal wait for each other.
        // Two, in this one write: the instruction that it may take does not wait for a number of its own.
        command.sequence =
            next_sequence(&mut transaction, &command.terminal, 2, command.created_at).await? - 1;
        let sql = format!("SELECT {COLUMNS} FROM command WHERE requester = $1 AND request_key = $2");
        let key = vec![command.requester.as_str().into(), command.request_key.as_str().into()];
        if let Some(known) = transaction.query(&sql, key).await?.into_iter().find_map(row) {
            transaction.rollback().await?;
            return Ok(Inserted::Known(known));
        }
        let sql = "SELECT count(*) FROM command WHERE terminal = $1 AND requester = $2 AND ended = 0";
        let whose = vec![command.terminal.as_str().into(), command.requester.as_str().into()];
        let waiting = transaction.query(sql, whose).await?.into_iter().find_map(number);
        if waiting.unwrap_or_default() >= u64::from(most) {
            transaction.rollback().await?;
            return Ok(Inserted::Full);
        }
        let sql = format!(
            "INSERT INTO command ({COLUMNS}, ended)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, 0)"
        );
        transaction.execute(&sql, values(&command)).await?;
        transaction.commit().await?;
        Ok(Inserted::New(command))
    }

    /// The next sequence number for a terminal at a time, in Unix milliseconds; never given twice, and greater than
    /// all before it.
    ///
    /// # Errors
    /// [`SqlError`].
    pub async fn sequence(&self, terminal: &str, now: u64) -> Result<u64, SqlError> {
        let mut transaction = self.own.sql().begin(Access::Write).await?;
        let sequence = next_sequence(&mut transaction, terminal, 1, now).await?;
        transaction.commit().await?;
        Ok(sequence)
    }

    /// One command.
    ///
    /// # Errors
    /// [`SqlError`].
    pub async fn get(&self, id: &str) -> Result<Option<CommandRow>, SqlError> {
        let sql = format!("SELECT {COLUMNS} FROM command WHERE id = $1");
        Ok(self.read(&sql, vec![id.into()]).await?.into_iter().next())
    }

    /// The commands of a terminal that have not ended, in the order in which they were accepted.
    ///
    /// # Errors
    /// [`SqlError`].
    pub async fn open_of(&self, terminal: &str) -> Result<Vec<CommandRow>, SqlError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM command WHERE terminal = $1 AND ended = 0 ORDER BY sequence LIMIT 1000"
        );
        self.read(&sql, vec![terminal.into()]).await
    }

    /// The newest commands, of one terminal or of all.
    ///
    /// # Errors
    /// [`SqlError`].
    pub async fn newest(&self, terminal: Option<&str>, limit: u32) -> Result<Vec<CommandRow>, SqlError> {
        let limit = Value::Integer(i64::from(limit));
        match terminal {
            None => {
                let sql = format!("SELECT {COLUMNS} FROM command ORDER BY created_at DESC, id LIMIT $1");
                self.read(&sql, vec![limit]).await
            }
            Some(terminal) => {
                let sql = format!(
                    "SELECT {COLUMNS} FROM command WHERE terminal = $1 ORDER BY sequence DESC LIMIT $2"
                );
                self.read(&sql, vec![terminal.into(), limit]).await
            }
        }
    }

    /// When the last commands that needed TLS came for a terminal, oldest first.
    ///
    /// # Errors
    /// [`SqlError`].
    pub async fn secure_times(&self, terminal: &str) -> Result<Vec<u64>, SqlError> {
        let sql = "SELECT created_at FROM command WHERE terminal = $1 AND needs_tls = 1
            ORDER BY sequence DESC LIMIT $2";
        let (_, rows) =
            self.own.run(Access::Read, sql, vec![terminal.into(), Value::Integer(HISTORY)]).await?;
        let mut times: Vec<u64> = rows.into_iter().filter_map(number).collect();
        times.reverse();
        Ok(times)
    }

    /// Brings a command from one of the states `from` to `to`; `ended` when nothing follows it. None when
    /// it is in another state by now: somebody else was first.
    ///
    /// # Errors
    /// [`SqlError`]; it stays as it is then.
    pub async fn advance(
        &self,
        id: &str,
        from: &[&str],
        to: &str,
        ended: bool,
        outcome: &[u8],
        now: u64,
    ) -> Result<Option<CommandRow>, SqlError> {
        let places: Vec<String> = (6..6 + from.len()).map(|n| format!("${n}")).collect();
        let sql = format!(
            "UPDATE command SET state = $2, ended = $3, outcome = $4, updated_at = $5
            WHERE id = $1 AND ended = 0 AND state IN ({}) RETURNING {COLUMNS}",
            places.join(", ")
        );
        let mut params: Row = vec![
            id.into(),
            to.into(),
            Value::Integer(i64::from(ended)),
            outcome.to_vec().into(),
            Value::Integer(now.cast_signed()),
        ];
        params.extend(from.iter().map(|state| Value::from(*state)));
        let (_, rows) = self.own.run(Access::Write, &sql, params).await?;
        Ok(rows.into_iter().find_map(row))
    }

    /// Notes that a command must travel on TLS.
    ///
    /// # Errors
    /// [`SqlError`].
    pub async fn needs_tls(&self, id: &str) -> Result<(), SqlError> {
        let sql = "UPDATE command SET needs_tls = 1 WHERE id = $1";
        self.own.run(Access::Write, sql, vec![id.into()]).await.map(drop)
    }

    /// Ends what is in one of the states `from` and expired by `by` with the state `to`, and tells it.
    ///
    /// # Errors
    /// [`SqlError`].
    pub async fn expire(
        &self,
        from: &[&str],
        to: &str,
        by: u64,
        now: u64,
    ) -> Result<Vec<CommandRow>, SqlError> {
        // Looked at before it is written: mostly there is nothing to write.
        let [by, now] = [by, now].map(|at| Value::Integer(at.cast_signed()));
        let states = |first: usize| -> String {
            let places: Vec<String> = (first..first + from.len()).map(|n| format!("${n}")).collect();
            places.join(", ")
        };
        let in_states = || from.iter().map(|state| Value::from(*state));
        let sql = format!(
            "SELECT count(*) FROM command WHERE ended = 0 AND expires_at <= $1 AND state IN ({})",
            states(2)
        );
        let params = std::iter::once(by.clone()).chain(in_states()).collect();
        let (_, rows) = self.own.run(Access::Read, &sql, params).await?;
        if rows.into_iter().find_map(number).unwrap_or_default() == 0 {
            return Ok(Vec::new());
        }
        let sql = format!(
            "UPDATE command SET state = $2, ended = 1, updated_at = $3
            WHERE ended = 0 AND expires_at <= $1 AND state IN ({}) RETURNING {COLUMNS}",
            states(4)
        );
        let params = [by, to.into(), now].into_iter().chain(in_states()).collect();
        let (_, rows) = self.own.run(Access::Write, &sql, params).await?;
        Ok(rows.into_iter().filter_map(row).collect())
    }

    /// Forgets commands that ended before `before`.
    ///
    /// # Errors
    /// [`SqlError`].
    pub async fn purge(&self, before: u64) -> Result<u64, SqlError> {
        let sql = "DELETE FROM command WHERE ended = 1 AND updated_at < $1";
        Ok(self.own.run(Access::Write, sql, vec![Value::Integer(before.cast_signed())]).await?.0)
    }

    async fn read(&self, sql: &str, params: Row) -> Result<Vec<CommandRow>, SqlError> {
        let (_, rows) = self.own.run(Access::Read, sql, params).await?;
        Ok(rows.into_iter().filter_map(row).collect())
    }
}

/// Takes `count` numbers, and tells the last of them.
///
/// Not below `now` in milliseconds: terminals remember the greatest they followed, and a database that was put back
/// from a backup does not know what was given since.
async fn next_sequence(
    transaction: &mut Transaction,
    terminal: &str,
    count: i64,
    now: u64,
) -> Result<u64, SqlError> {
    let sql = "INSERT INTO terminal (id, sequence) VALUES ($1, $3)
        ON CONFLICT (id) DO UPDATE SET sequence =
            CASE WHEN terminal.sequence + $2 > $3 THEN terminal.sequence + $2 ELSE $3 END
        RETURNING sequence";
    let floor = now.cast_signed().max(count);
    let values = vec![terminal.into(), Value::Integer(count), Value::Integer(floor)];
    let rows = transaction.query(sql, values).await?;
    rows.into_iter().find_map(number).ok_or_else(|| SqlError::Unavailable("no sequence number".to_owned()))
}

fn number(row: Row) -> Option<u64> {
    match row.as_slice() {
        [Value::Integer(number)] => Some(number.cast_unsigned()),
        _ => None,
    }
}

fn values(command: &CommandRow) -> Row {
    let number = |number: u64| Value::Integer(number.cast_signed());
    vec![
        command.id.as_str().into(),
        command.terminal.as_str().into(),
        command.requester.as_str().into(),
        command.request_key.as_str().into(),
        command.class.as_str().into(),
        command.follow_ups.as_str().into(),
        command.body.clone().into(),
        command.state.as_str().into(),
        Value::Integer(i64::from(command.needs_tls)),
        number(command.sequence),
        command.outcome.clone().into(),
        number(command.created_at),
        number(command.expires_at),
        number(command.updated_at),
    ]
}

fn row(row: Row) -> Option<CommandRow> {
    let mut values = row.into_iter();
    let mut next = || values.next();
    Some(CommandRow {
        id: text(next()?)?,
        terminal: text(next()?)?,
        requester: text(next()?)?,
        request_key: text(next()?)?,
        class: text(next()?)?,
        follow_ups: text(next()?)?,
        body: blob(next()?)?,
        state: text(next()?)?,
        needs_tls: integer(next()?)? != 0,
        sequence: integer(next()?)?,
        outcome: blob(next()?)?,
        created_at: integer(next()?)?,
        expires_at: integer(next()?)?,
        updated_at: integer(next()?)?,
    })
}

fn text(value: Value) -> Option<String> {
    if let Value::Text(text) = value { Some(text) } else { None }
}

fn blob(value: Value) -> Option<Vec<u8>> {
    if let Value::Blob(blob) = value { Some(blob) } else { None }
}

fn integer(value: Value) -> Option<u64> {
    if let Value::Integer(number) = value { Some(number.cast_unsigned()) } else { None }
}
