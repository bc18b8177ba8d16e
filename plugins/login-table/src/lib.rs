//! Who may log in, and who knows whom, from SQL tables (A5, A6, A13). Binding only: the rules are
//! in [`verify`], [`people`] and [`accounts`].
//!
//! verify: kv counter → SQL row → one `password.verify` or `signed.verify` → verdict

pub mod accounts;
pub mod names;
pub mod people;
pub mod schema;
pub mod sql;
pub mod verify;

#[allow(unsafe_code, missing_docs, unreachable_pub, clippy::all)] // generated from wit/
pub mod bindings {
    wit_bindgen::generate!({
        path: ["../../wit/host", "../../wit/login"],
        world: "postern:login/login-plugin",
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
        login::{accounts as face, directory, verify as login},
    },
    postern::host::{
        config::{self, Value},
        kv, log,
        password::{self, Secret},
        proof::Signed,
        sql as host_sql,
        types::{Partner, Profile},
    },
};
use sql::{Dialect, Row, Sql, SqlError};
use verify::Stored;

/// The component.
pub struct Plugin;

/// Read once per instance: the configuration of a generation does not change.
static SETTINGS: OnceLock<Result<Settings, String>> = OnceLock::new();

/// What the policy file sets.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// When an account locks itself.
    pub lockout: verify::Lockout,
    /// The shortest password that `put-user` takes, in bytes.
    pub min_password: u32,
}

fn settings() -> Result<Settings, String> {
    SETTINGS.get_or_init(read_settings).clone()
}

fn read_settings() -> Result<Settings, String> {
    Ok(Settings {
        lockout: verify::Lockout {
            max_failures: number("max_failures", 10, 1..=1000)?,
            window_secs: number("window_secs", 300, 1..=86_400)?,
        },
        min_password: number("min_password", 8, 1..=1024)?,
    })
}

fn number(key: &str, default: u32, range: std::ops::RangeInclusive<u32>) -> Result<u32, String> {
    match config::get(key) {
        None => Some(default),
        Some(Value::Integer(value)) => u32::try_from(value).ok().filter(|value| range.contains(value)),
        Some(_) => None,
    }
    .ok_or_else(|| format!("config `{key}` must be a number from {} to {}", range.start(), range.end()))
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
}

/// The host's side of one login attempt: the counters, and whether its credential fits.
struct Attempt<F>(F);

impl<F: Fn(Option<&Stored>) -> bool> verify::Host for Attempt<F> {
    fn count(&self, key: &str) -> Result<u64, String> {
        let bytes = kv::get(key).map_err(|kv::KvError::Unavailable(text)| text)?;
        let number = |bytes: Vec<u8>| bytes.try_into().map(u64::from_be_bytes);
        bytes.map_or(Ok(0), number).map_err(|_| format!("{key} is no counter"))
    }
    fn advance(&self, key: &str, to: u64, expires_at: u64) -> Result<bool, String> {
        kv::advance(key, to, Some(expires_at)).map_err(|kv::KvError::Unavailable(text)| text)
    }
    fn forget(&self, key: &str) -> Result<(), String> {
        kv::delete(key).map_err(|kv::KvError::Unavailable(text)| text)
    }
    fn credential_fits(&self, stored: Option<&Stored>) -> bool {
        (self.0)(stored)
    }
}

impl Lifecycle for Plugin {
    fn describe() -> About {
        About { name: env!("CARGO_PKG_NAME").into(), version: env!("CARGO_PKG_VERSION").into() }
    }

    fn prepare() -> Result<(), String> {
        for key in config::keys("") {
            if !["max_failures", "window_secs", "min_password"].contains(&key.as_str()) {
                return Err(format!("config has the unknown key `{key}`"));
            }
        }
        settings()?;
        schema::migrate(&Host).map_err(|e| sql::explain(&e))
    }

    fn self_check() -> Result<(), String> {
        settings()?;
        people::find(&Host, "nobody").map(drop).map_err(|e| sql::explain(&e))
    }
}

impl login::Guest for Plugin {
    fn login(attempt: login::Attempt, typed: &Secret) -> Result<Profile, login::LoginError> {
        judge(&attempt, |stored| {
            password::verify(typed, stored.and_then(|stored| stored.password.as_deref()))
        })
    }
    fn login_by_key(attempt: login::Attempt, signed: &Signed) -> Result<Profile, login::LoginError> {
        judge(&attempt, |stored| signed.verify(stored.and_then(|stored| stored.key.as_deref())))
    }
}

fn judge(
    attempt: &login::Attempt,
    fits: impl Fn(Option<&Stored>) -> bool,
) -> Result<Profile, login::LoginError> {
    let lockout = settings().map(|settings| settings.lockout);
    let row = verify::stored(&Host, &attempt.user).map_err(|e| sql::explain(&e));
    let answer = verify::login(&Attempt(fits), lockout, &attempt.user, attempt.now, row);
    if let Err(login::LoginError::RetryAfter(secs)) = answer {
        // Nobody is named but where the operator asks for it.
        log::write(log::Level::Warn, &format!("too many failed logins of one user: refused for {secs} s"));
        log::write(log::Level::Debug, &format!("refused for {secs} s: {}", attempt.user));
    }
    answer
}

impl directory::Guest for Plugin {
    fn find(user: String) -> Result<Option<Profile>, directory::DirectoryError> {
        people::find(&Host, &user).map_err(down)
    }
    fn partners(org: String) -> Result<Vec<Partner>, directory::DirectoryError> {
        people::partners(&Host, &org).map_err(down)
    }
    fn members(group: String) -> Result<Option<Vec<String>>, directory::DirectoryError> {
        people::members(&Host, &group).map_err(down)
    }
    fn visible(
        user: String,
        after: Option<String>,
        limit: u32,
    ) -> Result<Vec<directory::Entry>, directory::DirectoryError> {
        people::visible(&Host, &user, after.as_deref(), limit).map_err(down)
    }
}

fn down(error: SqlError) -> directory::DirectoryError {
    directory::DirectoryError::Unavailable(sql::explain(&error))
}

impl face::Guest for Plugin {
    fn put_user(account: face::Account, typed: Option<&Secret>) -> Result<(), face::AccountsError> {
        let settings = settings().map_err(face::AccountsError::Unavailable)?;
        accounts::check(&account)?;
        // Hashed before the first statement: the work is long and no transaction should wait for it.
        let hash = match typed {
            Some(typed) if typed.length() < settings.min_password => {
                let text = format!("the password is shorter than {} bytes", settings.min_password);
                return Err(face::AccountsError::Invalid(text));
            }
            Some(typed) => Some(password::hash(typed)),
            None => None,
        };
        accounts::put_user(&Host, account, hash)
    }
    fn remove_user(user: String) -> Result<bool, face::AccountsError> {
        accounts::remove_user(&Host, &user)
    }
    fn list_users(after: Option<String>, limit: u32) -> Result<Vec<face::Account>, face::AccountsError> {
        accounts::list_users(&Host, after.as_deref(), limit)
    }
    fn put_partner(org: String, partner: Partner) -> Result<(), face::AccountsError> {
        accounts::put_partner(&Host, &org, &partner)
    }
}
