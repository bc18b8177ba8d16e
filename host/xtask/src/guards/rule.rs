//! tests/guards/NAME.toml: a rule, the patch that takes it out, and the test that must then fail.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;

/// A guarded rule.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rule {
    /// The file's name without `.toml`.
    #[serde(skip)]
    pub(crate) name: String,
    /// What is guarded, and where that is written.
    pub(crate) rule: String,
    /// Part of the name of the test that fails without the rule.
    pub(crate) test: String,
    /// Where the test is: a test program, `lib` for unit tests, `bins` for those of programs.
    #[serde(default = "journeys")]
    pub(crate) suite: String,
    /// The patch.
    #[serde(rename = "edit")]
    pub(crate) edits: Vec<Edit>,
}

/// One replacement.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Edit {
    /// Path from the workspace's folder.
    pub(crate) file: PathBuf,
    /// Text that the file has once.
    pub(crate) find: String,
    /// What stands there instead.
    pub(crate) replace: String,
}

fn journeys() -> String {
    "journeys".to_owned()
}

/// The rules of a folder, those of one source file together, so that little is built again.
///
/// # Errors
/// A file that cannot be read; a name in `only` that there is not.
pub(crate) fn read(folder: &Path, only: &[String]) -> Result<Vec<Rule>> {
    let mut rules = Vec::new();
    for entry in std::fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let file = entry?.path();
        let name = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        if file.extension().is_none_or(|e| e != "toml") || name == "nextest" {
            continue;
        }
        let text = std::fs::read_to_string(&file)?;
        let rule: Rule = toml::from_str(&text).with_context(|| format!("{}", file.display()))?;
        ensure!(!rule.test.is_empty() && !rule.edits.is_empty(), "{}: nothing to try", file.display());
        rules.push(Rule { name, ..rule });
    }
    if let Some(unknown) = only.iter().find(|name| !rules.iter().any(|rule| rule.name == **name)) {
        bail!("{}: no such file", folder.join(unknown).with_extension("toml").display());
    }
    rules.retain(|rule| only.is_empty() || only.contains(&rule.name));
    rules.sort_by(|a, b| (a.first_file(), &a.name).cmp(&(b.first_file(), &b.name)));
    Ok(rules)
}

impl Rule {
    fn first_file(&self) -> Option<&Path> {
        self.edits.first().map(|edit| edit.file.as_path())
    }

    /// Whether the components have to be built with the patch.
    pub(crate) fn is_in_components(&self) -> bool {
        let guest = |edit: &Edit| ["plugins", "wit", "tests/guests"].iter().any(|f| edit.file.starts_with(f));
        self.suite != "lib" && self.edits.iter().any(guest)
    }

    /// Writes the patch into a copy; gives what was there before.
    ///
    /// # Errors
    /// When a text is not there exactly once. Then nothing is written.
    pub(crate) fn apply(&self, tree: &Path) -> Result<Vec<(PathBuf, String)>> {
        let mut before = Vec::new();
        for Patched { file, old, new } in self.patched(tree)? {
            std::fs::write(&file, new).with_context(|| format!("cannot write {}", file.display()))?;
            before.push((file, old));
        }
        Ok(before)
    }

    /// The files of the patch, before and after it.
    fn patched(&self, tree: &Path) -> Result<Vec<Patched>> {
        let mut files: Vec<Patched> = Vec::new();
        for Edit { file: path, find, replace } in &self.edits {
            let file = tree.join(path);
            let mut patched = match files.iter().position(|patched| patched.file == file) {
                Some(at) => files.swap_remove(at),
                None => {
                    let old = std::fs::read_to_string(&file);
                    let old = old.with_context(|| format!("cannot read {}", path.display()))?;
                    Patched { file, new: old.clone(), old }
                }
            };
            match patched.new.matches(find.as_str()).count() {
                1 => patched.new = patched.new.replace(find.as_str(), replace),
                n => bail!("the patch no longer applies: {} has its text {n} times", path.display()),
            }
            files.push(patched);
        }
        Ok(files)
    }
}

/// A file with and without a rule.
struct Patched {
    file: PathBuf,
    old: String,
    new: String,
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;

    fn root() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
    }

    /// So that whoever changes a guarded line hears of it at once, not at the next `cargo xtask guards`.
    #[test]
    fn every_patch_applies() {
        for rule in read(&root().join("tests/guards"), &[]).unwrap() {
            let patched =
                rule.patched(&root()).unwrap_or_else(|e| panic!("tests/guards/{}.toml: {e:#}", rule.name));
            assert!(patched.iter().all(|file| file.old != file.new), "{} changes nothing", rule.name);
        }
    }
}
