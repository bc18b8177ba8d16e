//! What is left after a crash at any byte.

use super::*;
use crate::journal::Journal;
use crate::message::{Outcome, Report};
use crate::rules::Known;

const DAY: u64 = 24 * 3600 * 1000;

#[test]
fn what_was_written_is_there_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("journal");
    let mut journal = Journal::open(&file, NOW).unwrap();
    for byte in 1..=3 {
        journal.begun(id(byte), byte == 2, NOW + 1, NOW).unwrap();
    }
    journal.finished(id(1), Outcome::Done, b"open").unwrap();
    journal.finished(id(2), Outcome::Failed, &[0, 255]).unwrap();
    journal.reported(id(1)).unwrap();
    drop(journal);

    let mut journal = Journal::open(&file, NOW).unwrap();
    assert_eq!(journal.known(id(1)), Known::Finished);
    assert_eq!(journal.known(id(3)), Known::Begun);
    assert_eq!(journal.known(id(4)), Known::No);
    assert_eq!(journal.unreported(), [id(2), id(3)]);
    assert!(journal.entry(id(2)).unwrap().must_encrypt);
    let report = |id, outcome, body: &[u8]| Some(Report { id, outcome, body: body.to_vec() });
    assert_eq!(journal.report(id(1)), report(id(1), Outcome::Done, b"open"));
    assert_eq!(journal.report(id(2)), report(id(2), Outcome::Failed, &[0, 255]));
    assert_eq!(journal.report(id(3)), report(id(3), Outcome::Unknown, b""));
    journal.report_again(id(1));
    assert_eq!(journal.unreported(), [id(1), id(2), id(3)]);
}

#[test]
fn a_file_torn_at_any_byte_is_read_up_to_its_last_whole_line_and_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("journal");
    let mut journal = Journal::open(&file, NOW).unwrap();
    journal.begun(id(1), false, NOW + 1, NOW).unwrap();
    journal.finished(id(1), Outcome::Done, b"open").unwrap();
    drop(journal);
    let whole = std::fs::read(&file).unwrap();
    let first = whole.iter().position(|&byte| byte == b'\n').unwrap() + 1;
    for length in 0..=whole.len() {
        std::fs::write(&file, &whole[..length]).unwrap();
        let mut journal = Journal::open(&file, NOW).unwrap();
        let expected = match length {
            _ if length == whole.len() => Known::Finished,
            _ if length >= first => Known::Begun,
            _ => Known::No,
        };
        assert_eq!(journal.known(id(1)), expected, "{length} bytes");
        journal.begun(id(2), false, NOW + 1, NOW).unwrap();
        drop(journal);
        assert_eq!(Journal::open(&file, NOW).unwrap().known(id(2)), Known::Begun, "{length} bytes");
    }
}

#[test]
fn a_journal_broken_in_the_middle_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("journal");
    std::fs::write(&file, "nonsense\n{\"reported\":{\"id\":\"00\"}}\n").unwrap();
    assert!(Journal::open(&file, NOW).is_err());
}

#[test]
fn old_ids_are_forgotten_and_the_file_shrinks() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("journal");
    let line = |byte: u16, at: u64| {
        format!("{{\"begun\":{{\"id\":\"{byte:032x}\",\"must_encrypt\":false,\"expires_at\":{at}}}}}\n")
    };
    let old: String = (0..2000).map(|byte| line(byte, NOW)).collect();
    std::fs::write(&file, old + &line(2000, NOW + DAY)).unwrap();
    let mut journal = Journal::open(&file, NOW + DAY + 1).unwrap();
    assert_eq!(journal.unreported().len(), 1);
    assert_eq!(std::fs::read_to_string(&file).unwrap().lines().count(), 1);
    journal.begun(id(1), true, NOW + 2 * DAY, NOW + DAY).unwrap();
    drop(journal);
    assert_eq!(Journal::open(&file, NOW + DAY).unwrap().unreported().len(), 2);
}
