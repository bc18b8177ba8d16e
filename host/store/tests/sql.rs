//! Plugins' SQL behaves the same on SQLite and on PostgreSQL: each test runs on both.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod support;

use postern_store::{Access, Dialect, PluginSql, Row, SqlError, SqlLimits, Value};
use support::Store;

/// Makes two tests of each function: one gets a store on SQLite, the other one on PostgreSQL.
macro_rules! on_both {
    ($($test:ident)*) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() { super::$test(super::Store::sqlite().await).await; })*
        }
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() { super::$test(super::Store::postgres().await).await; })*
        }
    };
}

on_both! {
    values_come_back_as_they_went
    nulls_and_values_share_a_statement
    many_rows_at_once
    a_reader_cannot_write_and_sees_one_moment
    writers_do_not_lose_updates
    what_is_dropped_is_rolled_back
    a_cancelled_statement_leaves_nothing_open
    a_failed_statement_loses_the_transaction
    limits_hold
    the_guard_refuses
    plugins_do_not_see_each_other
    data_outlives_the_process
    a_newer_schema_is_left_untouched
}

const NO_ROWS: [Row; 0] = [];

async fn run(sql: &PluginSql, statement: &str) {
    let mut transaction = sql.begin(Access::Write).await.unwrap();
    transaction.execute(statement, vec![]).await.unwrap();
    transaction.commit().await.unwrap();
}

async fn all(sql: &PluginSql, statement: &str) -> Vec<Row> {
    let mut transaction = sql.begin(Access::Read).await.unwrap();
    let rows = transaction.query(statement, vec![]).await.unwrap();
    transaction.commit().await.unwrap();
    rows
}

fn blob_type(sql: &PluginSql) -> &'static str {
    if sql.dialect() == Dialect::Sqlite { "BLOB" } else { "BYTEA" }
}

async fn values_come_back_as_they_went(store: Store) {
    let sql = store.plugin().await;
    let blob = blob_type(&sql);
    run(&sql, &format!("CREATE TABLE t (i BIGINT, r DOUBLE PRECISION, t TEXT, b {blob})")).await;
    let rows = [
        vec![Value::Integer(i64::MIN), Value::Real(0.1), "it's; é -- \u{1f600}".into(), vec![0, 255].into()],
        vec![Value::Integer(i64::MAX), Value::Real(-1e300), "".into(), Vec::new().into()],
        vec![Value::Null, Value::Null, Value::Null, Value::Null],
    ];
    let mut transaction = sql.begin(Access::Write).await.unwrap();
    for row in &rows {
        let changed =
            transaction.execute("INSERT INTO t VALUES ($1, $2, $3, $4);", row.clone()).await.unwrap();
        assert_eq!(changed, 1);
    }
    // A parameter may stand twice.
    let found =
        transaction.query("SELECT i, r, t, b FROM t WHERE i = $1 OR i = $1 + 0", vec![i64::MAX.into()]).await;
    assert_eq!(found.unwrap(), [rows[1].clone()]);
    transaction.commit().await.unwrap();
    assert_eq!(all(&sql, "SELECT i, r, t, b FROM t ORDER BY r IS NULL, r DESC").await, rows);
    let counts = all(&sql, "SELECT count(*), max(i) = 1, 2 > 1 FROM t").await;
    assert_eq!(counts, [vec![Value::Integer(3), Value::Integer(0), Value::Integer(1)]]);
}

async fn nulls_and_values_share_a_statement(store: Store) {
    let sql = store.plugin().await;
    let blob = blob_type(&sql);
    run(&sql, &format!("CREATE TABLE t (n BIGINT, a INTEGER, r DOUBLE PRECISION, t VARCHAR(9), b {blob})"))
        .await;
    let insert = "INSERT INTO t VALUES ($1, $2, $3, $4, $5)";
    let null = vec![Value::Null, Value::Null, Value::Null, Value::Null];
    let full = vec![Value::Integer(7), Value::Integer(2), "x".into(), vec![1].into()];
    let real = vec![Value::Integer(7), Value::Real(2.5), "x".into(), vec![1].into()];
    let row =
        |n: i64, rest: &Row| std::iter::once(Value::Integer(n)).chain(rest.iter().cloned()).collect::<Row>();
    let mut transaction = sql.begin(Access::Write).await.unwrap();
    for (n, rest) in [&null, &full, &null, &real].into_iter().enumerate() {
        transaction.execute(insert, row(n as i64, rest)).await.unwrap();
    }
    // In one statement, too, and with a column of nothing but nulls.
    let many = "INSERT INTO t VALUES :rows";
    transaction.execute_rows(many, (4..8).map(|n| row(n, &null)).collect()).await.unwrap();
    let mixed = [(8, &null), (9, &full), (10, &real), (11, &null)];
    transaction.execute_rows(many, mixed.iter().map(|(n, rest)| row(*n, rest)).collect()).await.unwrap();
    transaction.execute("UPDATE t SET a = $1 WHERE n = $2", vec![Value::Null, 9.into()]).await.unwrap();
    let nulls =
        transaction.query("SELECT n FROM t WHERE a IS NULL AND t = $1", vec!["x".into()]).await.unwrap();
    assert_eq!(nulls, [[Value::Integer(9)]]);
    transaction.commit().await.unwrap();
    let reals = all(&sql, "SELECT r FROM t WHERE r IS NOT NULL ORDER BY n").await;
    assert_eq!(reals, [[Value::Real(2.0)], [Value::Real(2.5)], [Value::Real(2.0)], [Value::Real(2.5)]]);
    assert_eq!(all(&sql, "SELECT count(*) FROM t").await, [[Value::Integer(12)]]);
}

async fn many_rows_at_once(store: Store) {
    let sql = store.plugin().await;
    run(&sql, "CREATE TABLE t (id BIGINT PRIMARY KEY, body TEXT NOT NULL)").await;
    let row = |n: i64| vec![Value::Integer(n), Value::Text(format!("body {n}"))];
    let mut transaction = sql.begin(Access::Write).await.unwrap();
    let insert = "INSERT INTO t (id, body) VALUES :rows ON CONFLICT DO NOTHING RETURNING id";
    let ids = |ids: std::ops::Range<i64>| ids.map(|id| vec![Value::Integer(id)]).collect::<Vec<_>>();
    assert_eq!(transaction.query_rows(insert, (0..1500).map(row).collect()).await.unwrap(), ids(0..1500));
    assert_eq!(
        transaction.query_rows(insert, (1490..1501).map(row).collect()).await.unwrap(),
        ids(1500..1501)
    );
    assert_eq!(transaction.execute_rows(insert, vec![]).await.unwrap(), 0);
    let delete = "WITH gone (id) AS (VALUES :rows) DELETE FROM t WHERE id IN (SELECT id FROM gone)";
    let changed = transaction.execute_rows(delete, ids(3..1000)).await.unwrap();
    assert_eq!(changed, 997);
    let insert = "INSERT INTO t (id, body) VALUES :rows";
    assert_eq!(transaction.execute_rows(insert, (3..300).map(row).collect()).await.unwrap(), 297);
    transaction.commit().await.unwrap();
    assert_eq!(
        all(&sql, "SELECT count(*), min(id), max(id) FROM t").await,
        [[Value::Integer(801), Value::Integer(0), Value::Integer(1500)]]
    );
}

async fn a_reader_cannot_write_and_sees_one_moment(store: Store) {
    let sql = store.plugin().await;
    run(&sql, "CREATE TABLE t (id BIGINT)").await;
    let mut reader = sql.begin(Access::Read).await.unwrap();
    assert_eq!(reader.query("SELECT id FROM t", vec![]).await.unwrap(), NO_ROWS);
    run(&sql, "INSERT INTO t VALUES (1)").await;
    assert_eq!(reader.query("SELECT id FROM t", vec![]).await.unwrap(), NO_ROWS);
    let refused = reader.execute("INSERT INTO t VALUES (2)", vec![]).await;
    assert!(matches!(refused, Err(SqlError::Refused(_))), "{refused:?}");
    drop(reader);
    assert_eq!(all(&sql, "SELECT id FROM t").await, [[Value::Integer(1)]]);
}

async fn writers_do_not_lose_updates(store: Store) {
    let sql = store.plugin().await;
    run(&sql, "CREATE TABLE head (name TEXT PRIMARY KEY, seq BIGINT NOT NULL)").await;
    let next =
        "INSERT INTO head VALUES ($1, 1) ON CONFLICT (name) DO UPDATE SET seq = head.seq + 1 RETURNING seq";
    let tasks: Vec<_> = (0..20)
        .map(|_| {
            let sql = sql.clone();
            tokio::spawn(async move {
                let mut transaction = sql.begin(Access::Write).await.unwrap();
                let rows = transaction.query(next, vec!["ann".into()]).await.unwrap();
                transaction.commit().await.unwrap();
                rows[0][0].clone()
            })
        })
        .collect();
    let mut given = Vec::new();
    for task in tasks {
        let Value::Integer(seq) = task.await.unwrap() else { panic!("not a number") };
        given.push(seq);
    }
    given.sort_unstable();
    assert_eq!(given, (1..=20).collect::<Vec<_>>());
}

async fn what_is_dropped_is_rolled_back(store: Store) {
    let sql = store.plugin().await;
    run(&sql, "CREATE TABLE t (id BIGINT)").await;
    for _ in 0..3 {
        let mut dropped = sql.begin(Access::Write).await.unwrap();
        dropped.execute("INSERT INTO t VALUES (1)", vec![]).await.unwrap();
        drop(dropped);
        let mut undone = sql.begin(Access::Write).await.unwrap();
        undone.execute("INSERT INTO t VALUES (2)", vec![]).await.unwrap();
        undone.rollback().await.unwrap();
        for _ in 0..8 {
            let mut reader = sql.begin(Access::Read).await.unwrap();
            reader.query("SELECT id FROM t", vec![]).await.unwrap();
        }
    }
    run(&sql, "INSERT INTO t VALUES (3)").await;
    assert_eq!(all(&sql, "SELECT id FROM t").await, [[Value::Integer(3)]]);
}

/// Runs for hours unless it is stopped.
const ENDLESS: &str =
    "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 100000000000)
    SELECT count(*) FROM n WHERE n < 0";

async fn a_cancelled_statement_leaves_nothing_open(store: Store) {
    let limits = SqlLimits { rows: 10, statement_ms: 1000 };
    let sql = store.database.plugin("store-sql", limits).await.unwrap();
    run(&sql, "CREATE TABLE t (id BIGINT)").await;
    for access in [Access::Write, Access::Read] {
        let mut transaction = sql.begin(access).await.unwrap();
        if access == Access::Write {
            transaction.execute("INSERT INTO t VALUES (1)", vec![]).await.unwrap();
        }
        // Polled until it waits for the database, then abandoned with its transaction.
        tokio::select! {
            biased;
            done = transaction.query(ENDLESS, vec![]) => panic!("{done:?}"),
            () = tokio::task::yield_now() => {}
        }
        drop(transaction);
    }
    run(&sql, "INSERT INTO t VALUES (2)").await;
    assert_eq!(all(&sql, "SELECT id FROM t").await, [[Value::Integer(2)]]);
}

async fn a_failed_statement_loses_the_transaction(store: Store) {
    let sql = store.plugin().await;
    run(&sql, "CREATE TABLE t (id BIGINT PRIMARY KEY, n BIGINT NOT NULL)").await;
    let mut transaction = sql.begin(Access::Write).await.unwrap();
    transaction.execute("INSERT INTO t VALUES (1, 1)", vec![]).await.unwrap();
    let failed = transaction.execute("INSERT INTO t VALUES (1, 2)", vec![]).await;
    assert!(matches!(failed, Err(SqlError::Constraint(_))), "{failed:?}");
    assert_eq!(transaction.query("SELECT 1", vec![]).await.unwrap_err(), failed.clone().unwrap_err());
    assert_eq!(transaction.commit().await, failed.map(drop));
    let mut transaction = sql.begin(Access::Write).await.unwrap();
    assert!(matches!(
        transaction.execute("INSERT INTO t VALUES (1, NULL)", vec![]).await,
        Err(SqlError::Constraint(_))
    ));
    transaction.rollback().await.unwrap();
    let mut transaction = sql.begin(Access::Write).await.unwrap();
    assert!(matches!(
        transaction.execute("INSERT INTO nowhere VALUES (1)", vec![]).await,
        Err(SqlError::Refused(_))
    ));
    drop(transaction);
    assert_eq!(all(&sql, "SELECT count(*) FROM t").await, [[Value::Integer(0)]]);
}

async fn limits_hold(store: Store) {
    let sql = store.database.plugin("store-sql", SqlLimits { rows: 3, statement_ms: 100 }).await.unwrap();
    let count = |to: u32| {
        format!(
            "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < {to}) SELECT n FROM n"
        )
    };
    assert_eq!(all(&sql, &count(3)).await.len(), 3);
    for access in [Access::Read, Access::Write] {
        let mut transaction = sql.begin(access).await.unwrap();
        let full = transaction.query(&count(4), vec![]).await;
        assert!(matches!(full, Err(SqlError::Full(_))), "{full:?}");
        assert_eq!(transaction.commit().await.unwrap_err(), full.unwrap_err());
        let mut transaction = sql.begin(access).await.unwrap();
        let slow = transaction.query(ENDLESS, vec![]).await;
        assert!(matches!(slow, Err(SqlError::Unavailable(_))), "{slow:?}");
        transaction.rollback().await.unwrap();
    }
    assert_eq!(all(&sql, &count(3)).await.len(), 3);
}

async fn the_guard_refuses(store: Store) {
    let sql = store.plugin().await;
    let mut transaction = sql.begin(Access::Write).await.unwrap();
    for statement in
        ["COMMIT", "PRAGMA user_version", "SELECT 1; SELECT 2", "SELECT * FROM postern.kv", "SET ROLE x"]
    {
        let refused = transaction.execute(statement, vec![]).await;
        assert!(matches!(refused, Err(SqlError::Refused(_))), "{statement}: {refused:?}");
    }
    for params in [vec![], vec![Value::Null; 2]] {
        assert!(matches!(transaction.query("SELECT $1", params).await, Err(SqlError::Refused(_))));
    }
    // Refused before it ran: the transaction goes on.
    transaction.execute("CREATE TABLE t (id BIGINT)", vec![]).await.unwrap();
    transaction.commit().await.unwrap();
    assert_eq!(all(&sql, "SELECT id FROM t").await, NO_ROWS);
}

async fn plugins_do_not_see_each_other(store: Store) {
    let one = store.plugin().await;
    let two = store.database.plugin("login", support::LIMITS).await.unwrap();
    run(&one, "CREATE TABLE t (id BIGINT)").await;
    run(&two, "CREATE TABLE t (id BIGINT)").await;
    run(&one, "INSERT INTO t VALUES (1)").await;
    assert_eq!(all(&two, "SELECT id FROM t").await, NO_ROWS);
    let mut transaction = two.begin(Access::Read).await.unwrap();
    let refused = transaction.query("SELECT * FROM kv", vec![]).await;
    assert!(matches!(refused, Err(SqlError::Refused(_))), "{refused:?}");
    for name in ["", "../x", "A", "a b", "-a", "a.b", &"a".repeat(49)] {
        assert!(store.database.plugin(name, support::LIMITS).await.is_err(), "{name}");
    }
}

async fn data_outlives_the_process(store: Store) {
    let sql = store.plugin().await;
    run(&sql, "CREATE TABLE t (id BIGINT)").await;
    run(&sql, "INSERT INTO t VALUES (1)").await;
    store.database.kv("token").set("a", vec![1], None).await.unwrap();
    let store = store.reopen().await;
    assert!(matches!(sql.begin(Access::Write).await, Err(SqlError::Unavailable(_))), "of the closed store");
    assert_eq!(all(&store.plugin().await, "SELECT id FROM t").await, [[Value::Integer(1)]]);
    assert_eq!(store.database.kv("token").get("a", 0).await.unwrap(), Some(vec![1]));
}

async fn a_newer_schema_is_left_untouched(store: Store) {
    let set = async |version: i64| {
        if store.database.dialect() == Dialect::Sqlite {
            let mut file = sqlx::SqliteConnection::connect(&store.url()).await.unwrap();
            let sql = sqlx::AssertSqlSafe(format!("PRAGMA user_version = {version}"));
            sqlx::query(sql).execute(&mut file).await.unwrap();
            file.close().await.unwrap();
        } else {
            let mut server = sqlx::PgConnection::connect(&store.url()).await.unwrap();
            sqlx::query("UPDATE postern.schema_version SET version = $1")
                .bind(version)
                .execute(&mut server)
                .await
                .unwrap();
            server.close().await.unwrap();
        }
    };
    use sqlx::Connection;
    let current = async || {
        let sql = "SELECT version FROM postern.schema_version";
        if store.database.dialect() == Dialect::Sqlite {
            let mut file = sqlx::SqliteConnection::connect(&store.url()).await.unwrap();
            sqlx::query_scalar::<_, i64>("PRAGMA user_version").fetch_one(&mut file).await.unwrap()
        } else {
            let mut server = sqlx::PgConnection::connect(&store.url()).await.unwrap();
            sqlx::query_scalar::<_, i64>(sql).fetch_one(&mut server).await.unwrap()
        }
    };
    store.database.close().await;
    let ours = current().await;
    set(99).await;
    let error =
        postern_store::Database::open(&store.url(), store.folder.path()).await.unwrap_err().to_string();
    assert!(
        error.contains("schema 99") && error.contains("newer release") && !error.contains('\n'),
        "{error}"
    );
    set(ours).await;
    store.reopen().await;
}
