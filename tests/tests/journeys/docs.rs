//! The book (docs/): every page is in its summary, and no relative link is dead.

use std::fs;
use std::path::{Path, PathBuf};

use postern_tests::root;

/// The files below a folder whose names end so.
fn files(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let below = |path: PathBuf| if path.is_dir() { files(&path, ending) } else { vec![path] };
    entries.flat_map(below).filter(|path| path.to_string_lossy().ends_with(ending)).collect()
}

/// Where the inline links of a page lead; fenced code apart.
fn links(text: &str) -> Vec<&str> {
    let outside = text.split("```").step_by(2);
    outside.flat_map(|part| part.split("](").skip(1)).filter_map(|rest| rest.split(')').next()).collect()
}

/// The anchor that mdBook and forges give a heading.
fn anchor(heading: &str) -> String {
    let kept = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = kept.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

fn headings(text: &str) -> Vec<String> {
    let outside: String = text.split("```").step_by(2).collect();
    outside.lines().filter(|line| line.starts_with('#')).map(anchor).collect()
}

#[test]
fn no_link_of_the_docs_is_dead() {
    let docs = root().join("docs");
    let mut pages = files(&docs, ".md");
    let outside = ["README.md", "ARCHITECTURE.md", "SECURITY.md", "CHANGELOG.md"];
    pages.extend(outside.map(|name| root().join(name)));
    let mut dead = Vec::new();
    for page in pages {
        let mut text = fs::read_to_string(&page).unwrap();
        // A page of the book may be a file of the repository: its links start at the page all the same.
        if let Some(other) = text.trim().strip_prefix("{{#include ").and_then(|rest| rest.strip_suffix("}}"))
        {
            text = fs::read_to_string(page.parent().unwrap().join(other)).unwrap();
        }
        for link in links(&text).into_iter().filter(|link| !link.contains("://")) {
            let (file, heading) = link.split_once('#').unwrap_or((link, ""));
            let to = if file.is_empty() { page.clone() } else { page.parent().unwrap().join(file) };
            let is_there = fs::canonicalize(&to).is_ok_and(|to| {
                // The book has nothing else.
                let is_in_book = !page.starts_with(&docs) || to.starts_with(fs::canonicalize(&docs).unwrap());
                let has = |text: String| headings(&text).iter().any(|known| known == heading);
                is_in_book && (heading.is_empty() || fs::read_to_string(to).is_ok_and(has))
            });
            if !is_there {
                dead.push(format!("{}: {link}", page.display()));
            }
        }
    }
    assert!(dead.is_empty(), "{dead:#?}");
}

#[test]
fn every_page_is_in_the_books_summary() {
    let docs = root().join("docs");
    let summary = fs::read_to_string(docs.join("SUMMARY.md")).unwrap();
    let listed: Vec<PathBuf> = links(&summary).into_iter().map(|link| docs.join(link)).collect();
    let missing: Vec<_> = files(&docs, ".md")
        .into_iter()
        .filter(|page| !page.ends_with("SUMMARY.md") && !listed.contains(page))
        .collect();
    assert!(missing.is_empty(), "not in docs/SUMMARY.md: {missing:#?}");
}
