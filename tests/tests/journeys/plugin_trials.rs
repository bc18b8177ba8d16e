//! C3: candidates beside what serves, in the shadow and on recorded calls; and without a server at all.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use postern_tests::{Postern, Session, guest_file, patiently};
use serde_json::Value;

use super::plugin_life::{
    CLASSIFY, another_build, default_plugin, drop_in, refused, run, start, told_to_bob,
};

/// Sends until a shadow has compared so many calls.
async fn compared(
    postern: &Postern,
    name: &str,
    alice: &mut Session,
    bob: &mut Session,
    least: u64,
) -> Value {
    let found = async {
        for n in 0.. {
            told_to_bob(alice, bob, &format!("{name}-{least}-{n}")).await;
            let found = postern.json(&["plugin", "shadow", name]).await;
            if found["compared"].as_u64().unwrap() >= least {
                return found;
            }
        }
        Value::Null
    };
    patiently("the calls in the shadow", found).await
}

#[tokio::test(flavor = "multi_thread")]
async fn c3_a_candidate_in_the_shadow_is_compared_and_not_used() {
    let postern = start(|_| {}).await;
    let (mut alice, mut bob) = (postern.session("alice", "phone").await, postern.session("bob", "pc").await);
    drop_in(&postern, CLASSIFY, &another_build(&default_plugin(CLASSIFY), 1));
    drop_in(&postern, "rogue-classify", &fs::read(guest_file("rogue-classify")).unwrap());
    for name in [CLASSIFY, "rogue-classify"] {
        postern.done(&["plugin", "shadow", name, "--start", "--every", "1"]).await;
    }
    let same = compared(&postern, CLASSIFY, &mut alice, &mut bob, 5).await;
    assert_eq!((&same["alike"], &same["failed"], &same["shed"]), (&same["compared"], &0.into(), &0.into()));
    assert!(same["candidate_ns"].as_u64().unwrap() > 0 && same["served_ns"].as_u64().unwrap() > 0, "{same}");
    let other = compared(&postern, "rogue-classify", &mut alice, &mut bob, 5).await;
    assert_eq!(other["alike"], 0);
    let difference = other["differences"][0].as_str().unwrap();
    assert!(difference.contains("im/u/bob/alice: serves"), "{difference}");
    assert_eq!(told_to_bob(&mut alice, &mut bob, "last").await, "hello", "its answers are not used");
    postern.done(&["plugin", "shadow", CLASSIFY, "--stop"]).await;
    for (words, why) in [
        (["plugin", "shadow", CLASSIFY].as_slice(), "in nobody's shadow"),
        (&["plugin", "shadow", "store-sql", "--start"], "calls of the role store have effects"),
        (&["plugin", "shadow", "nothing", "--start"], "there is no such file"),
    ] {
        let told = refused(&postern, words).await;
        assert!(told.contains(why), "{told}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn c3_recorded_calls_are_replayed_without_a_server() {
    let postern = start(|_| {}).await;
    let (mut alice, mut bob) = (postern.session("alice", "phone").await, postern.session("bob", "pc").await);
    let file = postern.folder().join("calls.toml").display().to_string();
    let words = ["plugin", "record", CLASSIFY, "--to", &file, "--calls", "5"];
    let recording = postern.cli(&words);
    let talking = async {
        for n in 0.. {
            told_to_bob(&mut alice, &mut bob, &format!("m{n}")).await;
        }
    };
    tokio::select! {
        () = talking => {}
        recorded = patiently("the record", recording) => {
            assert!(String::from_utf8_lossy(&recorded.stdout).contains("5 calls in"), "{recorded:?}");
        }
    }
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600, "messages are in it");
    let good = default_plugin(CLASSIFY).display().to_string();
    assert!(run(&["plugin", "replay", &file, "--with", &good]).contains("5 calls, none different"));
    let rogue = guest_file("rogue-classify").display().to_string();
    let mut replay = std::process::Command::new(postern_tests::program());
    let output = replay.args(["plugin", "replay", &file, "--with", &rogue]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let told = String::from_utf8(output.stdout).unwrap();
    assert!(told.lines().count() >= 5 && told.contains("classify.classify"), "{told}");
    // What is there is not written over, and what has secrets is not recorded.
    assert!(
        !postern.cli(&["plugin", "record", CLASSIFY, "--to", &file, "--secs", "1"]).await.status.success()
    );
    let other = postern.folder().join("other.toml").display().to_string();
    let told = refused(&postern, &["plugin", "record", "token-hmac", "--to", &other, "--secs", "1"]).await;
    assert!(!Path::new(&other).exists());
    assert!(told.contains("only calls of classify and encrypt are recorded"), "{told}");
}

#[test]
fn authors_test_a_component_without_a_server() {
    let cases = postern_tests::root().join("plugins/classify-topic/tests/cases.toml");
    let (component, cases) = (default_plugin(CLASSIFY).display().to_string(), cases.display().to_string());
    let told = run(&["plugin", "test", &component, "--cases", &cases]);
    assert!(told.contains("ok    a message to a colleague") && told.contains("none wrong"), "{told}");
}
