//! The table of all normative statements: tests/statements.
//!
//! `cargo xtask test` checks after its run that every test named there ran in it, and passed.

use std::collections::BTreeMap;

/// The rows of one table, by statement: what it is about, and what holds it.
fn rows(name: &str) -> BTreeMap<String, (String, String)> {
    let mut rows = BTreeMap::new();
    for line in lines(name) {
        let columns: Vec<&str> = line.split('\t').collect();
        let [id, summary, evidence] = columns[..] else { panic!("{name}: three columns, not {line:?}") };
        let former = rows.insert(id.to_owned(), (summary.to_owned(), evidence.to_owned()));
        assert_eq!(former, None, "{name}: {id} is there twice");
    }
    rows
}

/// A file's lines, but for its heading.
fn lines(name: &str) -> Vec<String> {
    let file = postern_tests::root().join("tests/statements").join(name);
    let text = std::fs::read_to_string(&file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    text.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect()
}

/// Whether this is how nextest prints a test: `crate::binary test` or, for a library's own, `crate test`.
fn is_test(name: &str) -> bool {
    name.split_once(' ').is_some_and(|(binary, test)| {
        binary.starts_with("postern") && !test.is_empty() && !test.contains(' ')
    })
}

#[test]
fn every_statement_has_its_tests_or_a_reason() {
    for standard in ["mqtt311", "mqtt5"] {
        let ids = lines(&format!("{standard}-ids.txt"));
        let rows = rows(&format!("{standard}.tsv"));
        let missing: Vec<_> = ids.iter().filter(|id| !rows.contains_key(*id)).collect();
        assert!(missing.is_empty(), "{standard}: no row for {missing:?}");
        let unknown: Vec<_> = rows.keys().filter(|id| !ids.contains(id)).collect();
        assert!(unknown.is_empty(), "{standard}: no such statements: {unknown:?}");
        assert_eq!(ids.len(), rows.len(), "{standard}: an id is listed twice");
        for (id, (summary, evidence)) in rows {
            assert!(summary.len() > 10, "{standard}: {id} says too little: {summary:?}");
            match evidence.strip_prefix("n/a: ") {
                Some(reason) => assert!(reason.len() > 15, "{standard}: {id} needs a reason: {reason:?}"),
                None => assert!(
                    evidence.split(", ").all(is_test),
                    "{standard}: {id} names no tests: {evidence:?}"
                ),
            }
        }
    }
}
