//! tests/statements names the tests that hold each normative statement of MQTT. After a whole run each of
//! them must have run in it, and passed.
//!
//! nextest writes what ran as JUnit XML (.config/nextest.toml); that the table itself is complete is a
//! test of its own (tests/tests/journeys/conformance/table.rs).

use std::collections::HashMap;
use std::path::Path;

use anyhow::{Context, Result};

/// Where nextest writes its report, below the workspace's folder.
const REPORT: &str = "target/nextest/default/junit.xml";

/// The tables.
const TABLES: [&str; 2] = ["mqtt311.tsv", "mqtt5.tsv"];

/// Takes the last run's report away, so that it cannot be taken for the next one's.
///
/// # Errors
/// When there is one that cannot be removed.
pub(crate) fn forget_last_run(root: &Path) -> Result<()> {
    match std::fs::remove_file(root.join(REPORT)) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(e).context(REPORT),
        _ => Ok(()),
    }
}

/// Compares the tables with the run's report, and with the list of tests that said that they could not
/// run. Gives a line for each row with a test that did not pass, and how many statements hold.
///
/// # Errors
/// When the report or a table cannot be read.
pub(crate) fn check(root: &Path, not_run: &str) -> Result<(Vec<String>, usize)> {
    let report = std::fs::read_to_string(root.join(REPORT)).context(REPORT)?;
    let outcomes = outcomes(&report)?;
    let (mut faults, mut held) = (Vec::new(), 0);
    for table in TABLES {
        let file = root.join("tests/statements").join(table);
        let text = std::fs::read_to_string(&file).with_context(|| file.display().to_string())?;
        for row in text.lines().filter(|line| !line.starts_with('#')) {
            let found = faults_of(row, &outcomes, not_run);
            held += usize::from(found.is_empty());
            faults.extend(found.into_iter().map(|fault| format!("{table}: {fault}")));
        }
    }
    Ok((faults, held))
}

/// What is wrong with the tests of one row.
fn faults_of(row: &str, outcomes: &HashMap<String, bool>, not_run: &str) -> Vec<String> {
    let mut columns = row.split('\t');
    let (id, evidence) = (columns.next().unwrap_or_default(), columns.nth(1).unwrap_or_default());
    if evidence.starts_with("n/a: ") {
        return Vec::new();
    }
    let gave_up = |test: &str| {
        let path = test.split_once(' ').map_or(test, |(_, path)| path);
        not_run.lines().any(|line| line.trim_start().split(": ").next() == Some(path))
    };
    let fault = |test: &str| match outcomes.get(test) {
        Some(true) if gave_up(test) => Some(format!("{id}: {test} could not run here")),
        Some(true) => None,
        Some(false) => Some(format!("{id}: {test} failed")),
        None => Some(format!("{id}: {test} did not run; is there such a test?")),
    };
    evidence.split(", ").filter_map(fault).collect()
}

/// The tests of a JUnit report as nextest prints their names, and whether each passed.
fn outcomes(report: &str) -> Result<HashMap<String, bool>> {
    let document = roxmltree::Document::parse(report).context("the JUnit report is not XML")?;
    let mut outcomes = HashMap::new();
    for case in document.descendants().filter(|node| node.has_tag_name("testcase")) {
        let suite = case.parent().and_then(|suite| suite.attribute("name")).unwrap_or_default();
        let name = case.attribute("name").unwrap_or_default();
        let failed = |node: roxmltree::Node<'_, '_>| {
            ["failure", "error", "skipped"].iter().any(|tag| node.has_tag_name(*tag))
        };
        outcomes.insert(format!("{suite} {name}"), !case.children().any(failed));
    }
    Ok(outcomes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPORT: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
        <testsuites name="nextest-run" tests="3" failures="1" errors="0" time="1.0">
            <testsuite name="postern-broker" tests="1">
                <testcase name="tests::good" classname="postern-broker" time="0.1"/>
            </testsuite>
            <testsuite name="postern-tests::journeys" tests="2">
                <testcase name="a::bad" classname="postern-tests::journeys" time="0.1">
                    <failure type="test failure">no &amp; again no</failure>
                </testcase>
                <testcase name="a::idle" classname="postern-tests::journeys" time="0.1"/>
            </testsuite>
        </testsuites>"#;

    fn faults(evidence: &str) -> Vec<String> {
        let outcomes = outcomes(REPORT).unwrap_or_default();
        faults_of(&format!("MQTT-1\tA summary\t{evidence}"), &outcomes, "  a::idle: no database\n")
    }

    #[test]
    fn a_row_needs_all_its_tests() {
        let good = "postern-broker tests::good";
        assert!(faults(good).is_empty());
        assert!(faults("n/a: binds the client only").is_empty());
        for (bad, why) in [
            ("postern-tests::journeys a::bad", "failed"),
            ("postern-tests::journeys a::idle", "could not run here"),
            ("postern-broker tests::goo", "did not run"),
            ("", "did not run"),
        ] {
            let found = faults(&format!("{good}, {bad}"));
            assert!(
                matches!(&found[..], [one] if one.contains(why) && one.starts_with("MQTT-1")),
                "{bad}: {found:?}"
            );
        }
    }
}
