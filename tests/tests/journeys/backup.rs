//! Backup of a server at work, restore into an empty data folder, and what a newer release has written.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::Duration;

use postern_tests::{Postern, Postgres, SmallDisk, body, patiently, root};
use tokio::sync::mpsc::unbounded_channel;

use super::crash::{all_of_history, send_until_killed};

/// A verb that has to fail, and its one line.
fn refused(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let told = String::from_utf8(output.stderr.clone()).unwrap();
    assert_eq!(told.lines().filter(|line| line.starts_with("postern: ")).count(), 1, "{told}");
    told
}

/// Sets the data folder of the next start; nothing is in it.
fn another_data_folder(postern: &mut Postern, name: &str) -> PathBuf {
    let data = postern.folder().join(name);
    let settings = postern.settings();
    settings.shares_key = false;
    settings.set("data", data.to_str().unwrap());
    postern.rewrite();
    data
}

/// All files below a folder with their content.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let (name, path) = (entry.file_name().into_string().unwrap(), entry.path());
        if path.is_dir() && !path.is_symlink() {
            found.extend(
                files(&path).into_iter().map(|(below, content)| (format!("{name}/{below}"), content)),
            );
        } else if path.is_file() {
            found.insert(name, fs::read(path).unwrap());
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_before_a_backup_under_load_is_in_it() {
    let mut postern = Postern::start(|_| {}).await;
    let mut bob = postern.device("bob", "pc").await;
    let mut first = postern.device("u1", "phone").await;
    let mut second = postern.device("u2", "phone").await;
    postern.done(&["plugin", "activate", "classify-topic"]).await;
    let (tell, mut told) = unbounded_channel();
    tokio::spawn(send_until_killed(first.sign_in(&postern).await, 0, tell.clone()));
    tokio::spawn(send_until_killed(second.sign_in(&postern).await, 0, tell));
    let mut acknowledged = Vec::new();
    for _ in 0..200 {
        acknowledged.push(patiently("an acknowledgement", told.recv()).await.unwrap());
    }
    while let Ok(id) = told.try_recv() {
        acknowledged.push(id);
    }
    let file = postern.folder().join("backup.tar");
    let name = file.to_str().unwrap().to_owned();
    postern.done_within(Duration::from_secs(120), &["backup", &name, "--with-keys"]).await;
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(told.try_recv().is_ok(), "there was no load while the backup was made");
    assert!(refused(&postern.cli(&["backup", &name]).await).contains("is there already"));
    let left = fs::read_dir(postern.data()).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
    assert!(left.into_iter().all(|name| !name.contains("backup")), "copies were left");
    let activations = fs::read(postern.data().join("activations.json")).unwrap();
    // While it serves, its data folder takes no other.
    assert!(refused(&postern.cli(&["restore", &name]).await).contains("empty data folder"));
    postern.kill().await;

    let data = another_data_folder(&mut postern, "restored");
    let shown = postern.done(&["restore", &name]).await;
    assert!(shown.contains("restored") && shown.contains("files"), "{shown}");
    assert_eq!(fs::read(data.join("activations.json")).unwrap(), activations);
    for (name, _) in files(&data) {
        let mode = fs::metadata(data.join(&name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{name}");
    }
    // Compiled already, by the same master key.
    symlink(root().join("target/test-cache"), data.join("plugin-cache")).unwrap();
    postern.restart().await;

    let stored = all_of_history(&postern, &bob).await;
    let missing: Vec<_> = acknowledged.iter().filter(|id| !stored.contains(id)).collect();
    assert!(missing.is_empty(), "acknowledged before the backup, and not in it: {missing:?}");
    // The devices sign in as before, by the tokens that they have; and log in by password.
    let mut on_pc = bob.sign_in(&postern).await;
    let mut sender = first.sign_in(&postern).await;
    postern.login("u2", &postern_tests::password("u2"), "another").await.unwrap();
    let ack = sender.send("bob", "after", "after the restore").await;
    assert!((ack.reason as u8) < 0x80, "{ack:?}");
    let after = on_pc.next_that(|publish| body(publish) == "after the restore").await;
    assert_eq!(after.topic.to_string(), "im/u/bob/u1");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_that_would_fill_the_disk_is_refused() {
    let Some(disk) = SmallDisk::mount(48) else { return };
    let postern = Postern::start(|c| c.set("data", disk.path().join("data").to_str().unwrap())).await;
    let mut alice = postern.session("alice", "phone").await;
    postern.user("bob").await;
    let file = postern.folder().join("backup.tar");
    let words = ["backup", file.to_str().unwrap()];
    let told = refused(&postern.cli(&words).await);
    assert!(told.contains("MiB are free"), "{told}");
    assert!(!file.exists(), "a backup that is none");
    let ack = alice.send("bob", "meanwhile", "the server goes on").await;
    assert!((ack.reason as u8) < 0x80, "{ack:?}");
    disk.resize(256);
    postern.done_within(Duration::from_secs(120), &words).await;
    assert!(file.exists());
}

/// A server that has stopped, and the backup that it made, with its keys: alice is in it.
async fn backed_up() -> (Postern, PathBuf) {
    let mut postern = Postern::start(|_| {}).await;
    postern.user("alice").await;
    let file = postern.folder().join("backup.tar");
    postern.done_within(Duration::from_secs(120), &["backup", file.to_str().unwrap(), "--with-keys"]).await;
    postern.stop().await;
    (postern, file)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_backup_changes_nothing() {
    let (mut postern, file) = backed_up().await;
    let whole = fs::read(&file).unwrap();
    let data = another_data_folder(&mut postern, "restored");
    let found = |part: &[u8]| whole.windows(part.len()).position(|at| at == part).unwrap();
    let mut changed = whole.clone();
    // In the middle of the database's first page.
    changed[found(b"SQLite format 3\0") + 2000] ^= 0xff;
    let mut newer = whole.clone();
    let at = found(b"\"format\": 1");
    newer[at + 10] = b'9';
    let cut = whole[..whole.len() / 2].to_vec();
    for (bytes, why) in
        [(changed, "damaged"), (newer, "format 9"), (cut, "cut short"), (b"a diary".to_vec(), "not a backup")]
    {
        let file = postern.folder().join("other.tar");
        fs::write(&file, bytes).unwrap();
        let told = refused(&postern.cli(&["restore", file.to_str().unwrap()]).await);
        assert!(told.contains("other.tar") && told.contains(why), "{why}: {told}");
        let left = if data.exists() { files(&data) } else { BTreeMap::new() };
        assert!(left.keys().all(|name| name == "lock"), "{left:?}");
    }
    // What was refused is no reason to refuse the next.
    postern.done(&["restore", file.to_str().unwrap()]).await;
    assert!(data.join("postern.db").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_elsewhere_is_restored_where_none_was() {
    let (mut postern, file) = backed_up().await;
    let data = another_data_folder(&mut postern, "restored");
    // A log of another database would be played into the one that is restored.
    let elsewhere = tempfile::tempdir().unwrap();
    let database = elsewhere.path().join("other.db");
    let log = elsewhere.path().join("other.db-wal");
    fs::write(&log, "left there").unwrap();
    postern.settings().set("store.url", format!("sqlite:{}", database.display()));
    postern.rewrite();
    let told = refused(&postern.cli(&["restore", file.to_str().unwrap()]).await);
    assert!(told.contains("other.db-wal") && !database.exists(), "{told}");
    fs::remove_file(&log).unwrap();
    postern.done(&["restore", file.to_str().unwrap()]).await;
    assert!(database.exists() && !data.join("postern.db").exists());
    // Compiled already.
    symlink(root().join("target/test-cache"), data.join("plugin-cache")).unwrap();
    postern.restart().await;
    postern.login("alice", &postern_tests::password("alice"), "phone").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_lacks_nothing_that_serves() {
    let postern = Postern::start(|_| {}).await;
    postern.done(&["plugin", "activate", "classify-topic"]).await;
    let record = fs::read(postern.data().join("activations.json")).unwrap();
    let record: serde_json::Value = serde_json::from_slice(&record).unwrap();
    let name = format!("{}.wasm", record["roles"]["classify"]["active"]["digest"].as_str().unwrap());
    fs::remove_file(postern.data().join("components").join(&name)).unwrap();
    let file = postern.folder().join("backup.tar");
    let told = refused(&postern.cli(&["backup", file.to_str().unwrap()]).await);
    assert!(told.contains(&name) && told.contains("it is missing"), "{told}");
    let left = fs::read_dir(postern.folder()).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
    assert!(left.into_iter().all(|name| !name.starts_with("backup.tar")), "something was left of it");
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_11_a_backup_holds_keys_only_when_they_are_asked_for() {
    let postern = Postern::start(|_| {}).await;
    let key = fs::read(postern.data().join("master.key")).unwrap();
    for (words, holds) in [(&[][..], false), (&["--with-keys"][..], true)] {
        let file = postern.folder().join(format!("backup-{holds}.tar"));
        let words = [&["backup", file.to_str().unwrap()][..], words].concat();
        postern.done_within(Duration::from_secs(120), &words).await;
        let archive = fs::read(&file).unwrap();
        assert_eq!(archive.windows(key.len()).any(|part| part == key), holds, "{words:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn databases_on_postgresql_are_left_to_its_own_tools() {
    let Some(postgres) = Postgres::start().await else { return };
    let postern = Postern::start(|c| c.set("store.url", postgres.url())).await;
    let file = postern.folder().join("backup.tar");
    let made = postern.cli(&["backup", file.to_str().unwrap(), "--json"]).await;
    let told = String::from_utf8(made.stderr).unwrap();
    assert!(made.status.success() && told.contains("pg_dump"), "{told}");
    let shown: serde_json::Value = serde_json::from_slice(&made.stdout).unwrap();
    assert_eq!(shown["databases"], false);
    assert!(!String::from_utf8_lossy(&fs::read(&file).unwrap()).contains("SQLite format 3"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_newer_release_has_written_is_refused_and_left_as_it_is() {
    let mut postern = Postern::start(|_| {}).await;
    postern.user("alice").await;
    postern.stop().await;
    // The schema's number stands in the file's head (SQLite's file format, 1.3.12).
    let database = postern.data().join("postern.db");
    let mut bytes = fs::read(&database).unwrap();
    bytes[60..64].copy_from_slice(&999_u32.to_be_bytes());
    fs::write(&database, bytes).unwrap();
    let before = files(&postern.data());
    for words in [&["serve"][..], &["serve", "--check"]] {
        // A check compiles what it loads.
        let output = postern.cli_within(Duration::from_secs(300), words, "").await;
        let told = String::from_utf8(output.stderr.clone()).unwrap();
        assert_eq!(output.status.code(), Some(1), "{told}");
        let line = told.lines().find(|line| line.contains("postern.db")).unwrap();
        assert!(line.contains("schema 999") && line.contains("newer release"), "{told}");
    }
    assert!(files(&postern.data()) == before, "the data folder was touched");
    // The record of activations has a format of its own.
    fs::remove_file(&database).unwrap();
    fs::write(postern.data().join("activations.json"), "{\"format\": 99, \"roles\": {}}").unwrap();
    let before = files(&postern.data());
    let told = refused(&postern.cli(&["serve"]).await);
    assert!(told.contains("activations.json") && told.contains("format 99"), "{told}");
    assert!(files(&postern.data()) == before, "the data folder was touched");
}
