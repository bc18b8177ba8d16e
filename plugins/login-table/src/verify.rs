//! One login attempt, by password or by key. Unknown user, locked user and wrong credential look the
//! same and cost the same: one SQL read, one verification (argon2 or Ed25519), the same counter.

use crate::{
    bindings::{exports::postern::login::verify::LoginError, postern::host::types::Profile},
    names::is_id,
    people::{self, PROFILE_COLUMNS},
    sql::{Columns, Sql, SqlError, text},
};

/// After `max_failures` failed attempts within a window a user name is refused until it ends,
/// whether or not there is such a user.
#[derive(Clone, Copy, Debug)]
pub struct Lockout {
    /// Failed attempts within a window.
    pub max_failures: u32,
    /// Length of a window, in seconds.
    pub window_secs: u32,
}

/// What an attempt needs of the host.
pub trait Host {
    /// `kv.get` of a counter; 0 when there is none.
    ///
    /// # Errors
    /// When the counter cannot be had.
    fn count(&self, key: &str) -> Result<u64, String>;
    /// `kv.advance`.
    ///
    /// # Errors
    /// When the counter cannot be had.
    fn advance(&self, key: &str, to: u64, expires_at: u64) -> Result<bool, String>;
    /// `kv.delete`.
    ///
    /// # Errors
    /// When the counter cannot be had.
    fn forget(&self, key: &str) -> Result<(), String>;
    /// `password.verify` for the typed password or `signed.verify` for what was signed: exactly one
    /// verification, whatever is stored.
    fn credential_fits(&self, stored: Option<&Stored>) -> bool;
}

/// What the tables hold about a user.
#[derive(Debug)]
pub struct Stored {
    /// PHC string; None for who logs in by key alone.
    pub password: Option<String>,
    /// Ed25519; None for who logs in by password alone.
    pub key: Option<Vec<u8>>,
    /// Set by an operator.
    pub locked: bool,
    /// Told after success (A6).
    pub profile: Profile,
}

/// Reads a user. An impossible id costs the same statement.
///
/// # Errors
/// As the host says.
pub fn stored(db: &impl Sql, user: &str) -> Result<Option<Stored>, SqlError> {
    let key = if is_id(user) { user } else { "" };
    let statement =
        format!("SELECT password, public_key, locked, {PROFILE_COLUMNS} FROM account WHERE user_id = $1");
    let rows = db.query(&statement, vec![text(key)])?;
    let groups = people::groups_of(db, key)?;
    let Some(row) = rows.into_iter().next() else { return Ok(None) };
    let mut columns = Columns::of(row);
    Ok(Some(Stored {
        password: Some(columns.text()?).filter(|phc| !phc.is_empty()),
        key: columns.bytes()?,
        locked: columns.integer()? != 0,
        profile: people::profile(&mut columns, groups)?,
    }))
}

/// Judges an attempt at `now` (ms). `row` is what [`stored`] found; whatever speaks against the
/// attempt, the credential is verified once before anything is answered.
///
/// # Errors
/// `Denied`, `RetryAfter` when the window's failures are used up, `Unavailable`.
pub fn login(
    host: &impl Host,
    lockout: Result<Lockout, String>,
    user: &str,
    now: u64,
    row: Result<Option<Stored>, String>,
) -> Result<Profile, LoginError> {
    let counter = lockout.map(|lockout| Counter::new(lockout, user, now));
    // Counted before it is judged: attempts at the same time cannot outrun the counter.
    let place = match &counter {
        Ok(counter) if is_id(user) => counter.take_place(host),
        Ok(_) => Ok(true),
        Err(text) => Err(text.clone()),
    };
    let found = row.as_ref().ok().and_then(Option::as_ref);
    let fits = host.credential_fits(found);

    let counter = counter.map_err(LoginError::Unavailable)?;
    if !place.map_err(LoginError::Unavailable)? {
        return Err(LoginError::RetryAfter(counter.secs_left));
    }
    match row.map_err(LoginError::Unavailable)? {
        Some(stored) if fits && !stored.locked => {
            host.forget(&counter.key).map_err(LoginError::Unavailable)?;
            Ok(stored.profile)
        }
        _ => Err(LoginError::Denied),
    }
}

/// Failed attempts of one user name in the current window.
struct Counter {
    key: String,
    max: u32,
    ends_at: u64,
    secs_left: u32,
}

impl Counter {
    fn new(lockout: Lockout, user: &str, now: u64) -> Self {
        let length = u64::from(lockout.window_secs.max(1)) * 1000;
        let window = now / length;
        let ends_at = (window + 1) * length;
        Counter {
            key: format!("fail/{window}/{user}"),
            max: lockout.max_failures,
            ends_at,
            secs_left: u32::try_from((ends_at - now).div_ceil(1000)).unwrap_or(u32::MAX),
        }
    }

    /// Takes the next free place of the window; false when there is none. It is given back when the
    /// credential was right.
    fn take_place(&self, host: &impl Host) -> Result<bool, String> {
        let taken = host.count(&self.key)?;
        for place in taken.saturating_add(1)..=u64::from(self.max) {
            if host.advance(&self.key, place, self.ends_at)? {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
