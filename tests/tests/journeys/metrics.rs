//! /metrics of a server that is used, held against docs/operate/metrics.md.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use postern_tests::{Page, Postern, root};

/// A metric as the page of the documentation has it: its type, and the names of its labels.
type Described = BTreeMap<String, (String, BTreeSet<String>)>;

fn documented() -> Described {
    let page = fs::read_to_string(root().join("docs/operate/metrics.md")).unwrap();
    let rows = page.lines().filter(|line| line.starts_with("| `postern_"));
    rows.map(|row| {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let labels = cells[3].split('`').skip(1).step_by(2).map(str::to_owned).collect();
        (cells[1].trim_matches('`').to_owned(), (cells[2].to_owned(), labels))
    })
    .collect()
}

/// Reads Prometheus' text format 0.0.4, and nothing else: every sample comes after the HELP and TYPE lines of its
/// metric, once each.
fn shown(page: &str) -> Described {
    let (mut found, mut helped) = (Described::new(), BTreeSet::new());
    let mut samples = BTreeSet::new();
    for line in page.lines().filter(|line| !line.is_empty()) {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (name, text) = help.split_once(' ').unwrap_or_else(|| panic!("no text: {line}"));
            assert!(!text.is_empty() && helped.insert(name.to_owned()), "helped twice: {line}");
        } else if let Some(kind) = line.strip_prefix("# TYPE ") {
            let (name, kind) = kind.split_once(' ').unwrap();
            assert!(
                found.insert(name.to_owned(), (kind.to_owned(), BTreeSet::new())).is_none(),
                "twice: {line}"
            );
            assert!(helped.contains(name), "no HELP: {line}");
        } else {
            let (series, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("no sample: {line}"));
            value.parse::<f64>().unwrap_or_else(|e| panic!("{e}: {line}"));
            assert!(samples.insert(series.to_owned()), "two samples of one series: {line}");
            let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
            let (_, known) = found.get_mut(name).unwrap_or_else(|| panic!("no TYPE: {line}"));
            let labels = labels.strip_suffix('}').unwrap().split_terminator("\",");
            known.extend(labels.map(|label| label.split_once("=\"").unwrap().0.to_owned()));
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn every_metric_is_documented_and_every_documented_one_is_there() {
    let postern = Postern::start(|_| {}).await;
    // What is peculiar to peers, and must not be found in a label.
    postern.user("zaphod").await;
    let mut trillian = postern.session("trillian", "heart-of-gold").await;
    for n in 0..70 {
        trillian.send("zaphod", &format!("towel-{n}"), "dont-panic").await;
    }
    postern.login("zaphod", "wrong-vogon", "heart-of-gold").await.unwrap_err();
    let mut refused = trillian.publish("im/u/zaphod/marvin", "towel-71", "forged").await;
    assert!((refused.reason as u8) >= 0x80, "{refused:?}");
    refused = trillian.send("nobody-there", "towel-72", "unknown").await;
    assert!((refused.reason as u8) >= 0x80, "{refused:?}");
    postern.done(&["plugin", "activate", "classify-topic"]).await;

    let page = Page::get(postern.address("health"), "/metrics").await;
    assert_eq!(page.status, 200);
    let (shown, mut documented) = (shown(&page.body), documented());
    // For plugins that import http, of which there are none among the default ones.
    documented.remove("postern_plugin_http_total").unwrap();
    assert_eq!(shown.keys().collect::<Vec<_>>(), documented.keys().collect::<Vec<_>>());
    for (name, described) in &shown {
        assert_eq!(described, &documented[name], "{name}");
    }
    assert!(postern.metric("postern_messages_received_total", "").await >= 70.0, "the server was used");
    for peculiar in ["zaphod", "trillian", "heart-of-gold", "towel", "dont-panic", "vogon", "im/"] {
        assert!(!page.body.contains(peculiar), "{peculiar} is in /metrics");
    }
}

/// What the source counts is in the table: a path that this test does not take would count something new unnoticed.
#[test]
fn what_the_source_counts_is_documented() {
    let documented = documented();
    let mut folders = ["server", "guest", "store", "bus", "broker", "trace"]
        .map(|name| root().join("host").join(name))
        .to_vec();
    let mut counted = BTreeSet::new();
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == "rs") && !path.ends_with("admin/counted.rs") {
                let text = fs::read_to_string(path).unwrap();
                let names = text.split("\"postern_").skip(1).map(|rest| rest.split('"').next().unwrap());
                let names = names.filter(|name| name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'));
                // Crates are called so, too.
                let names = names
                    .filter(|name| !["broker", "bus", "guest", "store", "tests", "trace"].contains(name));
                counted.extend(names.map(|name| format!("postern_{name}")));
            }
        }
    }
    assert!(counted.len() > 30, "{counted:?}");
    let missing: Vec<_> = counted.iter().filter(|name| !documented.contains_key(*name)).collect();
    assert!(missing.is_empty(), "counted and not documented: {missing:?}");
    let gone: Vec<_> = documented.keys().filter(|name| !counted.contains(*name)).collect();
    assert!(gone.is_empty(), "documented and not counted: {gone:?}");
}
