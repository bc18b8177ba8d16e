//! Reading the directory (A13).

use crate::{
    bindings::{
        exports::postern::login::directory::Entry,
        postern::host::types::{Partner, Profile, Relation},
    },
    names::{is_id, relation_of},
    sql::{Columns, Row, Sql, SqlError, Value, text},
};

/// What [`profile`] reads, in order.
pub const PROFILE_COLUMNS: &str = "user_id, name, org, department, title";

/// The most rows that one statement asks for: under the row limit of the default policy.
pub const PAGE: u32 = 1000;

/// Reads the columns of [`PROFILE_COLUMNS`].
///
/// # Errors
/// When the columns are others.
pub fn profile(columns: &mut Columns, groups: Vec<String>) -> Result<Profile, SqlError> {
    Ok(Profile {
        user: columns.text()?,
        name: columns.text()?,
        org: columns.text()?,
        department: columns.text()?,
        title: columns.text()?,
        groups,
    })
}

/// The groups of a user, sorted.
///
/// # Errors
/// As the host says.
pub fn groups_of(db: &impl Sql, user: &str) -> Result<Vec<String>, SqlError> {
    let statement = "SELECT group_name FROM membership WHERE user_id = $1 ORDER BY group_name";
    db.query(statement, vec![text(user)])?.into_iter().map(first_text).collect()
}

/// The profile of a user who exists and is not locked.
///
/// # Errors
/// As the host says.
pub fn find(db: &impl Sql, user: &str) -> Result<Option<Profile>, SqlError> {
    let statement = format!("SELECT {PROFILE_COLUMNS} FROM account WHERE user_id = $1 AND locked = 0");
    let Some(row) = db.query(&statement, vec![text(user)])?.into_iter().next() else { return Ok(None) };
    profile(&mut Columns::of(row), groups_of(db, user)?).map(Some)
}

/// The partner organisations of an organisation, sorted.
///
/// # Errors
/// As the host says.
pub fn partners(db: &impl Sql, org: &str) -> Result<Vec<Partner>, SqlError> {
    let statement = "SELECT partner_org, relation FROM partner WHERE org = $1 ORDER BY partner_org";
    let rows = db.query(statement, vec![text(org)])?.into_iter();
    rows.map(|row| {
        let mut columns = Columns::of(row);
        Ok(Partner { org: columns.text()?, relation: relation_of(&columns.text()?) })
    })
    .collect()
}

/// The members of a group who are not locked, sorted; `*` is everyone. None when no account is in it.
///
/// # Errors
/// As the host says.
pub fn members(db: &impl Sql, group: &str) -> Result<Option<Vec<String>>, SqlError> {
    let (statement, key) = match group {
        "*" => (
            "SELECT user_id, locked FROM account WHERE $1 = '*' AND user_id > $2 ORDER BY user_id LIMIT $3",
            "*",
        ),
        group if is_id(group) => (
            "SELECT m.user_id, a.locked FROM membership m JOIN account a ON a.user_id = m.user_id
             WHERE m.group_name = $1 AND m.user_id > $2 ORDER BY m.user_id LIMIT $3",
            group,
        ),
        _ => return Ok(None),
    };
    let (mut found, mut users, mut after) = (key == "*", Vec::new(), String::new());
    loop {
        let params = vec![text(key), Value::Text(after), Value::Integer(i64::from(PAGE))];
        let rows = db.query(statement, params)?;
        let last_page = rows.len() < PAGE as usize;
        after = String::new();
        for row in rows {
            let mut columns = Columns::of(row);
            let (user, locked) = (columns.text()?, columns.integer()? != 0);
            found = true;
            after.clone_from(&user);
            if !locked {
                users.push(user);
            }
        }
        if last_page {
            return Ok(found.then_some(users));
        }
    }
}

/// Whom a user may see: everyone of the own organisation and of its partners.
///
/// # Errors
/// As the host says.
pub fn visible(db: &impl Sql, user: &str, after: Option<&str>, limit: u32) -> Result<Vec<Entry>, SqlError> {
    let statement = "
        SELECT a.user_id, a.name, a.org, a.department, a.title, COALESCE(p.relation, '')
        FROM account me
        JOIN account a ON a.locked = 0
        LEFT JOIN partner p ON p.org = me.org AND p.partner_org = a.org
        WHERE me.user_id = $1 AND me.locked = 0 AND a.user_id > $2
          AND (a.org = me.org OR p.relation IS NOT NULL)
        ORDER BY a.user_id LIMIT $3";
    let limit = Value::Integer(i64::from(limit.min(PAGE)));
    let rows = db.query(statement, vec![text(user), text(after.unwrap_or_default()), limit])?.into_iter();
    rows.map(|row| {
        let mut columns = Columns::of(row);
        let person = profile(&mut columns, Vec::new())?;
        let relation = match columns.text()?.as_str() {
            _ if person.user == user => Relation::Same,
            "" => Relation::Internal,
            partner => relation_of(partner),
        };
        let Profile { user, name, org, department, title, .. } = person;
        Ok(Entry { user, name, org, department, title, relation })
    })
    .collect()
}

fn first_text(row: Row) -> Result<String, SqlError> {
    Columns::of(row).text()
}
