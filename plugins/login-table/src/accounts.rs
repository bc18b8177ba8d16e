//! What an operator does to the accounts.

use crate::{
    bindings::{
        exports::postern::login::accounts::{Account, AccountsError},
        postern::host::types::{Partner, Profile, Relation},
    },
    names::{is_id, mirrored, relation_name},
    people::{self, PAGE, PROFILE_COLUMNS},
    sql::{Columns, Sql, SqlError, Value, explain, text},
};

fn down(error: SqlError) -> AccountsError {
    AccountsError::Unavailable(explain(&error))
}

fn invalid(text: impl Into<String>) -> AccountsError {
    AccountsError::Invalid(text.into())
}

fn check_id(what: &str, id: &str) -> Result<(), AccountsError> {
    if is_id(id) { Ok(()) } else { Err(invalid(format!("{what} must be 1 to 64 of A-Z a-z 0-9 . _ -"))) }
}

/// Whether an account can be stored as it is.
///
/// # Errors
/// What is wrong with it.
pub fn check(account: &Account) -> Result<(), AccountsError> {
    let Profile { user, name, org, department, title, groups } = &account.profile;
    check_id("the user id", user)?;
    check_id("the organisation", org)?;
    for group in groups {
        check_id("a group", group)?;
    }
    for (what, text) in [("the name", name), ("the department", department), ("the title", title)] {
        if text.len() > 256 || text.chars().any(char::is_control) {
            return Err(invalid(format!("{what} must be at most 256 bytes without control characters")));
        }
    }
    if account.key.as_ref().is_some_and(|key| key.len() != 32) {
        return Err(invalid("the public key must be 32 bytes"));
    }
    Ok(())
}

/// Makes or changes a user; `hash` is the new password's PHC string.
///
/// # Errors
/// `Invalid` for a new user with neither password nor key.
pub fn put_user(db: &impl Sql, account: Account, hash: Option<String>) -> Result<(), AccountsError> {
    let has_key = account.key.is_some();
    let Profile { user, name, org, department, title, mut groups } = account.profile;
    let mut params = vec![
        text(&user),
        Value::Text(name),
        Value::Text(org),
        Value::Text(department),
        Value::Text(title),
        Value::Integer(i64::from(account.locked)),
        account.key.map_or(Value::Null, Value::Blob),
    ];
    let statement = if hash.is_none() && !has_key {
        "UPDATE account SET name = $2, org = $3, department = $4, title = $5, locked = $6, public_key = $7
         WHERE user_id = $1"
    } else {
        // An empty hash fits no password, and never replaces one.
        params.push(Value::Text(hash.unwrap_or_default()));
        "INSERT INTO account (user_id, name, org, department, title, locked, public_key, password)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
         ON CONFLICT (user_id) DO UPDATE SET name = excluded.name, org = excluded.org,
            department = excluded.department, title = excluded.title, locked = excluded.locked,
            public_key = excluded.public_key,
            password = CASE WHEN excluded.password = '' THEN account.password ELSE excluded.password END"
    };
    if db.execute(statement, params).map_err(down)? == 0 {
        return Err(invalid("a new user needs a password or a key"));
    }
    db.execute("DELETE FROM membership WHERE user_id = $1", vec![text(&user)]).map_err(down)?;
    groups.sort_unstable();
    groups.dedup();
    if !groups.is_empty() {
        let rows = groups.into_iter().map(|group| vec![Value::Text(group), text(&user)]).collect();
        db.execute_rows("INSERT INTO membership (group_name, user_id) VALUES :rows", rows).map_err(down)?;
    }
    Ok(())
}

/// Removes a user and the memberships; whether there was one.
///
/// # Errors
/// As the host says.
pub fn remove_user(db: &impl Sql, user: &str) -> Result<bool, AccountsError> {
    db.execute("DELETE FROM membership WHERE user_id = $1", vec![text(user)]).map_err(down)?;
    Ok(db.execute("DELETE FROM account WHERE user_id = $1", vec![text(user)]).map_err(down)? > 0)
}

/// Accounts sorted by user id, after `after`.
///
/// # Errors
/// As the host says.
pub fn list_users(db: &impl Sql, after: Option<&str>, limit: u32) -> Result<Vec<Account>, AccountsError> {
    let statement = format!(
        "SELECT locked, public_key, {PROFILE_COLUMNS} FROM account WHERE user_id > $1 ORDER BY user_id LIMIT $2"
    );
    let limit = Value::Integer(i64::from(limit.min(PAGE)));
    let rows = db.query(&statement, vec![text(after.unwrap_or_default()), limit]).map_err(down)?;
    let account = |row| {
        let mut columns = Columns::of(row);
        let (locked, key) = (columns.integer()? != 0, columns.bytes()?);
        let mut profile = people::profile(&mut columns, Vec::new())?;
        profile.groups = people::groups_of(db, &profile.user)?;
        Ok(Account { profile, locked, key })
    };
    rows.into_iter().map(account).collect::<Result<_, SqlError>>().map_err(down)
}

/// Sets or (with `unrelated`) ends a partnership, on both sides.
///
/// # Errors
/// `Invalid` for what cannot be a partnership.
pub fn put_partner(db: &impl Sql, org: &str, partner: &Partner) -> Result<(), AccountsError> {
    check_id("the organisation", org)?;
    check_id("the partner organisation", &partner.org)?;
    if org == partner.org {
        return Err(invalid("an organisation cannot be its own partner"));
    }
    if partner.relation == Relation::Unrelated {
        let statement =
            "DELETE FROM partner WHERE (org = $1 AND partner_org = $2) OR (org = $2 AND partner_org = $1)";
        return db.execute(statement, vec![text(org), text(&partner.org)]).map(drop).map_err(down);
    }
    let (Some(there), Some(back)) =
        (relation_name(partner.relation), relation_name(mirrored(partner.relation)))
    else {
        return Err(invalid("a partner is upstream, downstream or unrelated"));
    };
    let rows = vec![
        vec![text(org), text(&partner.org), text(there)],
        vec![text(&partner.org), text(org), text(back)],
    ];
    let statement = "INSERT INTO partner (org, partner_org, relation) VALUES :rows
        ON CONFLICT (org, partner_org) DO UPDATE SET relation = excluded.relation";
    db.execute_rows(statement, rows).map(drop).map_err(down)
}
