//! What a start finds.

use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::state::{Grant, State};

fn grant(more: &str) -> Grant {
    let key = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    let token =
        format!(r#""token":{{"id":"t","key":"{key}","bearer":"b","counter":4,"expires_at":99999999999999}}"#);
    serde_json::from_str(&format!("{{{token}{more}}}")).unwrap()
}

#[test]
fn counter_sequence_and_keys_outlive_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("state.json");
    let load = || State::load(&file, "car-7", "box").unwrap();
    let mut state = load();
    assert!(state.token().is_none());
    let keys = r#","brokers":[],"server_time":5,"instruction_keys":[{"id":"AAAAAA","public_key":"A"}]"#;
    state.take(grant(keys)).unwrap();
    state.following(8).unwrap();
    let (_, first, _) = state.sign_in(Transport::Plain).unwrap();
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);

    let mut state = load();
    assert_eq!((state.last_sequence(), state.instruction_keys().len()), (8, 1));
    let (_, second, _) = state.sign_in(Transport::Plain).unwrap();
    assert_ne!(first, second);
    assert!(state.now_ms() < 60_000, "the clock is the server's");

    // A renewal without a list leaves the old one; an empty list is a list.
    state.take(grant("")).unwrap();
    assert_eq!(load().instruction_keys().len(), 1);
    state.take(grant(r#","instruction_keys":[]"#)).unwrap();
    assert_eq!(load().instruction_keys().len(), 0);
}
