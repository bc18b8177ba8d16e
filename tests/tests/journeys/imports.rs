//! C4: what a component can reach is what it imports, and that is in the file.

use std::collections::BTreeSet;
use std::path::Path;

use wasmparser::{Parser, Payload};

/// Imports of the component itself (not of the modules and components inside it).
fn imports(file: &Path) -> BTreeSet<String> {
    let bytes = std::fs::read(file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    let (mut depth, mut found) = (0, BTreeSet::new());
    for payload in Parser::new(0).parse_all(&bytes) {
        match payload.unwrap_or_else(|e| panic!("{}: {e}", file.display())) {
            Payload::Version { .. } => depth += 1,
            Payload::End(_) => depth -= 1,
            Payload::ComponentImportSection(section) if depth == 1 => {
                found.extend(section.into_iter().map(|import| import.unwrap().name.name.to_owned()));
            }
            _ => {}
        }
    }
    found
}

#[test]
fn c4_no_default_component_imports_anything_but_the_hosts_interfaces() {
    let checked = ours_alone("plugins");
    assert!(checked >= 5, "five default components: {checked}");
}

#[test]
fn c4_no_example_imports_anything_but_the_hosts_interfaces() {
    let checked = ours_alone("plugins-examples");
    // Those in other languages are not there where their tools are not (plugin_languages.rs tells then).
    assert!(checked >= 4, "four examples in Rust: {checked}");
}

/// Whether all components in a folder of target/ import our interfaces alone; how many there are.
fn ours_alone(folder: &str) -> usize {
    let folder = postern_tests::root().join("target").join(folder);
    let files: Vec<_> = std::fs::read_dir(&folder)
        .unwrap_or_else(|e| panic!("{}: {e}", folder.display()))
        .flatten()
        .map(|f| f.path())
        .collect();
    let mut checked = 0;
    for file in files.iter().filter(|file| file.extension().is_some_and(|e| e == "wasm")) {
        let imports = imports(file);
        let foreign: Vec<_> = imports.iter().filter(|name| !name.starts_with("postern:")).collect();
        assert!(foreign.is_empty(), "{} imports {foreign:?}", file.display());
        checked += 1;
    }
    checked
}
