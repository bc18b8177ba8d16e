//! With PostgreSQL, what keeps a plugin to its own schema besides the statement guard.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod support;

use postern_store::{Access, Database};
use sqlx::{Connection, Executor, PgConnection};
use support::{LIMITS, Postgres, Store};

#[tokio::test]
async fn a_plugins_role_reaches_no_other_schema() {
    let store = Store::postgres().await;
    store.plugin().await;
    let mut server = PgConnection::connect(&store.url()).await.unwrap();
    server.execute("SET ROLE \"postern_plugin_store-sql\"").await.unwrap();
    for statement in ["SELECT * FROM postern.kv", "CREATE SCHEMA mine", "CREATE TABLE public.t (id int)"] {
        let error = server.execute(statement).await.unwrap_err().to_string();
        assert!(error.contains("permission denied"), "{statement}: {error}");
    }
    // What another program puts in the same database later is out of reach, too.
    let mut owner = PgConnection::connect(&store.url()).await.unwrap();
    owner.execute("CREATE SCHEMA sales; CREATE TABLE sales.orders (id int)").await.unwrap();
    let sql = store.plugin().await;
    let mut transaction = sql.begin(Access::Read).await.unwrap();
    let refused = transaction.query("SELECT * FROM sales.orders", vec![]).await.unwrap_err();
    assert!(refused.to_string().contains("permission denied"), "{refused}");
}

#[tokio::test]
async fn a_login_that_may_not_make_roles_still_works() {
    let server = Postgres::start();
    let mut owner = PgConnection::connect(&server.url()).await.unwrap();
    owner.execute("CREATE ROLE app LOGIN").await.unwrap();
    owner.execute("CREATE DATABASE app OWNER app").await.unwrap();
    let url = server.url().replace("postern@", "app@").replace("/postgres", "/app");
    let folder = tempfile::TempDir::new().unwrap();
    // Twice: what is there is found again.
    for _ in 0..2 {
        let database = Database::open(&url, folder.path()).await.unwrap();
        let sql = database.plugin("store-sql", LIMITS).await.unwrap();
        let mut transaction = sql.begin(Access::Write).await.unwrap();
        transaction.execute("CREATE TABLE IF NOT EXISTS t (id BIGINT)", vec![]).await.unwrap();
        transaction.commit().await.unwrap();
        database.close().await;
    }
}
