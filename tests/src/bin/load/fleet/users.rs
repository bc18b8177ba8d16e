//! Users of a fleet, written where the login plugin keeps its own, while no server runs: `postern user add`
//! costs an argon2 for each, and each login another. Enrolment is not what is measured.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use argon2::password_hash::{PasswordHasher, SaltString};
use argon2::{Algorithm, Argon2, Params, Version};
use postern_store::{Access, Database, SqlLimits};
use serde::Deserialize;
use serde_json::{Value, json};

/// Who is to be written where.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Request {
    /// The data folder of a server that has been started once.
    data: PathBuf,
    users: Vec<String>,
    /// Of all of them.
    password: String,
    /// So many that follow one another are one organisation; none: each is one of its own.
    #[serde(default)]
    together: Option<usize>,
}

/// Rows of one statement.
const ROWS: usize = 500;

/// Writes them. Who is of an organisation is told of everybody's presence in it.
pub(crate) async fn write(request: &Request) -> Result<Value> {
    let stored = cheap(&request.password)?;
    let database = Database::open(&url(&request.data), &request.data).await?;
    let limits = SqlLimits { rows: u32::MAX, statement_ms: 60_000 };
    let table = database.plugin("login-table", limits).await?;
    let mut transaction = table.begin(Access::Write).await?;
    let together = request.together.unwrap_or(1).max(1);
    let orgs = request.users.chunks(together).flat_map(|org| org.iter().map(|_| org.first()));
    let users: Vec<_> = request.users.iter().zip(orgs.flatten()).collect();
    for users in users.chunks(ROWS) {
        let row = |(user, org): &(&String, &String)| {
            let texts = [user.as_str(), user, &format!("org-{org}"), "", "", &stored].map(Into::into);
            texts.into_iter().chain([postern_store::Value::Integer(0)]).collect()
        };
        let sql = "INSERT INTO account (user_id, name, org, department, title, password, locked)
            VALUES :rows";
        transaction.execute_rows(sql, users.iter().map(row).collect()).await?;
    }
    transaction.commit().await?;
    database.close().await;
    Ok(json!({ "users": request.users.len() }))
}

fn url(data: &Path) -> String {
    format!("sqlite:{}", data.join("postern.db").display())
}

/// The least that argon2id takes; the server takes whatever hash is stored.
fn cheap(password: &str) -> Result<String> {
    let params = Params::new(Params::MIN_M_COST, 1, 1, None).map_err(|e| anyhow!("argon2: {e}"))?;
    let salt = SaltString::encode_b64(&[7; 16]).map_err(|e| anyhow!("argon2: {e}"))?;
    let hash = Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password(password.as_bytes(), &salt)
        .map_err(|e| anyhow!("argon2: {e}"));
    Ok(hash.context("a cheap hash")?.to_string())
}
