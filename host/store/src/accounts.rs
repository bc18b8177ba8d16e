//! What terminals' links have carried and cost so far, over restarts (B15).

use crate::database::Own;
use crate::{Access, Commands, Row, SqlError, Value};

/// What a terminal's links carried, all together. Bytes are those on the wire, headers of IP and TCP
/// included, in both directions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TerminalAccount {
    /// Time on plain TCP, in ms.
    pub plain_ms: u64,
    /// Time on TLS, in ms.
    pub tls_ms: u64,
    /// Bytes on plain TCP.
    pub plain_bytes: u64,
    /// Bytes on TLS.
    pub tls_bytes: u64,
    /// TCP segments with data on plain: each would have been a TLS record.
    pub plain_segments: u64,
    /// Links that began because the terminal was told to change its transport.
    pub switches: u64,
    /// Bytes of their beginnings: until the terminal's query had come.
    pub switch_bytes: u64,
    /// Full TLS handshakes.
    pub full_handshakes: u64,
    /// Resumed ones.
    pub resumed_handshakes: u64,
    /// How a link on plain began last, in bytes until the query had come; 0 when there was none.
    pub plain_start_bytes: u64,
    /// The same on TLS.
    pub tls_start_bytes: u64,
}

/// The columns, each a field of the same name, in one order everywhere.
macro_rules! columns {
    ($first:ident $(, $field:ident)*) => {
        const COLUMNS: &str = concat!(stringify!($first) $(, ", ", stringify!($field))*);

        impl TerminalAccount {
            fn numbers(&self) -> [u64; COUNT] {
                [self.$first $(, self.$field)*]
            }

            fn of([$first $(, $field)*]: [u64; COUNT]) -> Self {
                TerminalAccount { $first $(, $field)* }
            }
        }
    };
}

/// How many there are.
const COUNT: usize = 11;

columns!(
    plain_ms,
    tls_ms,
    plain_bytes,
    tls_bytes,
    plain_segments,
    switches,
    switch_bytes,
    full_handshakes,
    resumed_handshakes,
    plain_start_bytes,
    tls_start_bytes
);

impl TerminalAccount {
    /// Adds what came later.
    pub fn add(&mut self, later: &TerminalAccount) {
        let latest = |now: u64, later: u64| if later == 0 { now } else { later };
        let TerminalAccount { plain_start_bytes, tls_start_bytes, .. } = *self;
        let mut sums = self.numbers();
        for (sum, later) in sums.iter_mut().zip(later.numbers()) {
            *sum = sum.saturating_add(later);
        }
        *self = Self::of(sums);
        self.plain_start_bytes = latest(plain_start_bytes, later.plain_start_bytes);
        self.tls_start_bytes = latest(tls_start_bytes, later.tls_start_bytes);
    }
}

impl Commands {
    /// What a terminal's links have carried; nothing when it never was one.
    ///
    /// # Errors
    /// [`SqlError`].
    pub async fn account(&self, terminal: &str) -> Result<Option<TerminalAccount>, SqlError> {
        let sql = format!("SELECT {COLUMNS} FROM terminal_account WHERE id = $1");
        read(self.own(), &sql, vec![terminal.into()]).await
    }

    /// The sum of all terminals.
    ///
    /// # Errors
    /// [`SqlError`].
    pub async fn accounts_total(&self) -> Result<TerminalAccount, SqlError> {
        // PostgreSQL's sum of bigint is a numeric.
        let sums: Vec<String> =
            COLUMNS.split(',').map(|name| format!("CAST(coalesce(sum({name}), 0) AS bigint)")).collect();
        let sql = format!("SELECT {} FROM terminal_account", sums.join(", "));
        Ok(read(self.own(), &sql, Row::new()).await?.unwrap_or_default())
    }

    /// Adds to the accounts of terminals, each named once.
    ///
    /// # Errors
    /// [`SqlError`]; nothing is added then.
    pub async fn add_to_accounts(&self, later: &[(String, TerminalAccount)]) -> Result<(), SqlError> {
        let names: Vec<&str> = COLUMNS.split(',').map(str::trim).collect();
        let add = |name: &&str| match *name {
            "plain_start_bytes" | "tls_start_bytes" => {
                format!("{name} = coalesce(nullif(excluded.{name}, 0), terminal_account.{name})")
            }
            _ => format!("{name} = terminal_account.{name} + excluded.{name}"),
        };
        let sql = format!(
            "INSERT INTO terminal_account (id, {COLUMNS}) VALUES :rows ON CONFLICT (id) DO UPDATE SET {}",
            names.iter().map(add).collect::<Vec<_>>().join(", ")
        );
        let row = |(terminal, account): &(String, TerminalAccount)| {
            let numbers = account.numbers().into_iter().map(|number| Value::Integer(number.cast_signed()));
            std::iter::once(terminal.as_str().into()).chain(numbers).collect()
        };
        let mut transaction = self.own().sql().begin(Access::Write).await?;
        transaction.execute_rows(&sql, later.iter().map(row).collect()).await?;
        transaction.commit().await
    }
}

async fn read(own: &Own, sql: &str, params: Row) -> Result<Option<TerminalAccount>, SqlError> {
    let (_, rows) = own.run(Access::Read, sql, params).await?;
    Ok(rows.into_iter().next().map(|row| {
        let mut numbers = row.iter().map(|value| match value {
            Value::Integer(number) => number.cast_unsigned(),
            _ => 0,
        });
        TerminalAccount::of(std::array::from_fn(|_| numbers.next().unwrap_or_default()))
    }))
}
