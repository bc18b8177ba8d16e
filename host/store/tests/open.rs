//! What cannot be opened says so in one line that names the file and the cause.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod support;

use std::path::Path;

use postern_store::{Database, StoreError};
use support::{Postgres, Store, sqlite_url};

async fn line(url: &str, data: &Path) -> String {
    let line = Database::open(url, data).await.unwrap_err().to_string();
    assert!(!line.contains('\n'), "{line}");
    line
}

#[tokio::test]
async fn a_folder_belongs_to_one_process() {
    let store = Store::sqlite().await;
    let other = format!("sqlite:{}", store.folder.path().join("other.db").display());
    for url in [store.url(), other] {
        let error = Database::open(&url, store.folder.path()).await.unwrap_err();
        assert!(matches!(error, StoreError::InUse { .. }), "{error}");
        assert!(error.to_string().ends_with("is in use by another process"), "{error}");
    }
    // The same file by another data folder.
    let elsewhere = tempfile::TempDir::new().unwrap();
    let outside = format!("sqlite:{}", elsewhere.path().join("x.db").display());
    let first = Database::open(&outside, &elsewhere.path().join("one")).await.unwrap();
    let error = Database::open(&outside, &elsewhere.path().join("two")).await.unwrap_err();
    assert!(matches!(error, StoreError::InUse { .. }), "{error}");
    first.close().await;
    Database::open(&outside, &elsewhere.path().join("two")).await.unwrap();
}

#[tokio::test]
async fn what_is_no_database_is_left_alone() {
    let folder = tempfile::TempDir::new().unwrap();
    let path = folder.path().join("postern.db");
    let text = "this is a diary, not a database: ".repeat(40);
    std::fs::write(&path, &text).unwrap();
    let line = line(&sqlite_url(folder.path()), folder.path()).await;
    assert!(line.contains("postern.db") && line.contains("not a database"), "{line}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
}

#[tokio::test]
async fn another_programs_database_is_left_alone() {
    use sqlx::{ConnectOptions, Connection};
    let folder = tempfile::TempDir::new().unwrap();
    let path = folder.path().join("postern.db");
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(&path).create_if_missing(true);
    let mut theirs = options.connect().await.unwrap();
    sqlx::query("CREATE TABLE bookmarks (url TEXT)").execute(&mut theirs).await.unwrap();
    theirs.close().await.unwrap();
    let before = std::fs::read(&path).unwrap();
    let line = line(&sqlite_url(folder.path()), folder.path()).await;
    assert!(line.contains("another program"), "{line}");
    assert!(std::fs::read(&path).unwrap() == before, "the file was changed");
}

#[tokio::test]
async fn a_path_that_cannot_be_says_why() {
    let folder = tempfile::TempDir::new().unwrap();
    let missing = format!("sqlite:{}", folder.path().join("no/such/postern.db").display());
    assert!(line(&missing, folder.path()).await.contains("No such file or directory"));
    let directory = format!("sqlite:{}", folder.path().display());
    assert!(line(&directory, folder.path()).await.contains("directory"));
    assert!(line("mysql://a:secret@b/c", folder.path()).await.contains("expected sqlite:PATH"));
}

#[tokio::test]
async fn a_server_that_is_not_there_or_lacks_the_database() {
    let folder = tempfile::TempDir::new().unwrap();
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let gone = line(&format!("postgres://a:secret@127.0.0.1:{free}/x"), folder.path()).await;
    assert!(gone.contains("refused") && gone.contains("***") && !gone.contains("secret"), "{gone}");
    let server = Postgres::start();

    let other = server.url().replace("postern@", "postern:secret@").replace("/postgres", "/nowhere");
    let lacking = line(&other, folder.path()).await;
    assert!(lacking.contains("nowhere") && !lacking.contains("secret"), "{lacking}");
}

#[cfg(unix)]
#[tokio::test]
async fn files_are_private() {
    use std::os::unix::fs::PermissionsExt;
    let store = Store::sqlite().await;
    store.plugin().await;
    for name in ["postern.db", "plugins/store-sql.db", "store.lock"] {
        let mode = std::fs::metadata(store.folder.path().join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
}
