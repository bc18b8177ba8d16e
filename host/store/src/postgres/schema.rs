//! Makes a plugin's schema, and where the login may, a role that owns it and can reach nothing else.

use sqlx::{AssertSqlSafe, Executor, PgConnection, PgPool, Row};

/// Serialises schema changes of all nodes (any constant; "PSTN").
pub(crate) const SCHEMA_LOCK: i64 = 0x5053_544e;

/// Serialises what plugins do to their own tables, on all nodes ("PSTP").
const PREPARE_LOCK: i64 = 0x5053_5450;

/// Waits until no other node's plugin prepares its tables. The lock goes with the connection, which is
/// none of the pool's any more.
pub(crate) async fn alone(pool: &PgPool) -> sqlx::Result<PgConnection> {
    let mut connection = pool.acquire().await?.detach();
    sqlx::query("SELECT pg_advisory_lock($1)").bind(PREPARE_LOCK).execute(&mut connection).await?;
    Ok(connection)
}

/// What a plugin's connections need to know.
#[derive(Debug)]
pub(crate) struct Prepared {
    /// The role to take on, if one could be made.
    pub(crate) role: Option<String>,
    /// The database's other schemas, which statements may not name.
    pub(crate) foreign: Vec<String>,
}

/// Makes `schema` unless it is there. `schema` holds only `a-z 0-9 _ -`.
pub(crate) async fn prepare(pool: &PgPool, schema: &str) -> sqlx::Result<Prepared> {
    let mut transaction = pool.begin().await?;
    sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(SCHEMA_LOCK).execute(&mut *transaction).await?;
    let may_make_roles: bool =
        sqlx::query_scalar("SELECT rolsuper OR rolcreaterole FROM pg_roles WHERE rolname = current_user")
            .fetch_one(&mut *transaction)
            .await?;
    let role = format!("postern_{schema}");
    let known: bool = sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1)")
        .bind(&role)
        .fetch_one(&mut *transaction)
        .await?;
    let owner: Option<String> = sqlx::query_scalar(
        "SELECT r.rolname::text FROM pg_namespace n JOIN pg_roles r ON r.oid = n.nspowner WHERE n.nspname = $1",
    )
    .bind(schema)
    .fetch_optional(&mut *transaction)
    .await?;
    // A schema that was made without a role of its own keeps its owner: its tables belong to that one.
    let with_role = match &owner {
        Some(owner) => *owner == role,
        None => may_make_roles,
    };
    if with_role && !known {
        transaction.execute(AssertSqlSafe(format!("CREATE ROLE \"{role}\" NOLOGIN"))).await?;
    }
    if owner.is_none() {
        if with_role {
            transaction.execute(AssertSqlSafe(format!("GRANT \"{role}\" TO CURRENT_USER"))).await?;
            let sql = format!("CREATE SCHEMA \"{schema}\" AUTHORIZATION \"{role}\"");
            transaction.execute(AssertSqlSafe(sql)).await?;
        } else {
            tracing::warn!(
                schema,
                "this database login may not make roles: a plugin's schema is kept apart by the statement guard alone"
            );
            transaction.execute(AssertSqlSafe(format!("CREATE SCHEMA \"{schema}\""))).await?;
        }
    }
    let foreign = sqlx::query("SELECT nspname::text FROM pg_namespace WHERE nspname <> $1")
        .bind(schema)
        .fetch_all(&mut *transaction)
        .await?
        .iter()
        .map(|row| row.try_get(0))
        .collect::<sqlx::Result<_>>()?;
    transaction.commit().await?;
    Ok(Prepared { role: with_role.then_some(role), foreign })
}
