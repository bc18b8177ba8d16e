//! `postern plugin new`: a project that builds, from the examples.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};
use postern_guest::is_plugin_name;

use super::print;

/// The languages that there is an example of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Language {
    Rust,
    C,
    Js,
    Python,
}

/// A file of a project: where it is put, and what is in it.
type File = (&'static str, &'static str);

macro_rules! files {
    ($folder:literal: $($file:literal),+ $(,)?) => {
        &[$(($file, include_str!(concat!("../../../../examples/plugins/", $folder, "/", $file)))),+]
    };
}

const RUST: &[File] =
    files!["rust": "Cargo.toml", "README.md", ".cargo/config.toml", "src/lib.rs", "src/rules.rs"];
const C: &[File] = files!["c": "README.md", "alarm.c", "build.sh"];
const JS: &[File] = files!["js": "README.md", "alarm.js", "build.mjs", "package.json", "package-lock.json"];
const PYTHON: &[File] = files!["python": "README.md", "alarm.py", "requirements.txt"];

macro_rules! wit {
    ($($file:literal => $to:literal),+ $(,)?) => {
        &[$(($to, include_str!(concat!("../../../../wit/", $file)))),+]
    };
}

/// The contract: the role's package, and below it the host's interfaces.
const WIT: &[File] = wit![
    "classify/classify.wit" => "wit/classify.wit",
    "host/clock.wit" => "wit/deps/host/clock.wit",
    "host/config.wit" => "wit/deps/host/config.wit",
    "host/http.wit" => "wit/deps/host/http.wit",
    "host/http-password.wit" => "wit/deps/host/http-password.wit",
    "host/keys.wit" => "wit/deps/host/keys.wit",
    "host/kv.wit" => "wit/deps/host/kv.wit",
    "host/log.wit" => "wit/deps/host/log.wit",
    "host/password.wit" => "wit/deps/host/password.wit",
    "host/plugin.wit" => "wit/deps/host/plugin.wit",
    "host/proof.wit" => "wit/deps/host/proof.wit",
    "host/random.wit" => "wit/deps/host/random.wit",
    "host/sql.wit" => "wit/deps/host/sql.wit",
    "host/types.wit" => "wit/deps/host/types.wit",
];

/// What any of them is to answer.
const CASES: File = ("cases.toml", include_str!("../../../../examples/plugins/cases.toml"));

/// A crate of its own, also in a folder below another workspace, which the examples are members of.
const LIB: (&str, &str) = ("\n[lib]\n", "\n[workspace]\n\n[lib]\n");

/// How the examples' pages end, and in their place the end of a project's.
const POINTER: &str = "Next: [put it to work](../README.md#put-it-to-work).";
const NEXT: &str = include_str!("next.md");

impl Language {
    fn files(self) -> &'static [File] {
        match self {
            Language::Rust => RUST,
            Language::C => C,
            Language::Js => JS,
            Language::Python => PYTHON,
        }
    }

    /// What the example is called.
    const fn example(self) -> &'static str {
        match self {
            Language::Rust => "alarm-rust",
            Language::C => "alarm-c",
            Language::Js => "alarm-js",
            Language::Python => "alarm-python",
        }
    }
}

/// Makes a project, and says how to go on.
pub(super) fn new(name: &str, language: Language, role: &str, to: Option<PathBuf>) -> anyhow::Result<()> {
    if !is_plugin_name(name) {
        bail!("{name:?} is not a plugin name: 1 to 48 of a-z 0-9 -, a letter or digit first");
    }
    if role != "classify" {
        bail!(
            "there are examples to begin with for the role classify only; docs/plugins/{role}.md has the others"
        );
    }
    let folder = to.unwrap_or_else(|| PathBuf::from(name));
    // What is there is not written over.
    fs::create_dir(&folder).with_context(|| folder.display().to_string())?;
    for (file, text) in language.files().iter().chain(WIT).chain([&CASES]) {
        write(&folder.join(file), &renamed(text, language, name))?;
    }
    print::line(&format!(
        "{} is made; README.md in it has the commands that build {name}.wasm",
        folder.display()
    ))?;
    print::line("")?;
    print::line("It needs a table in the policy of the server:")?;
    print::line(&format!(
        "\n[plugins.{name}]\ngrants = [\"log\", \"config\"]\n\n[plugins.{name}.config]\nwords = [\"ALARM\"]\n"
    ))?;
    print::line(&format!(
        "and then: postern plugin install {name}.wasm; postern plugin activate {name}; both with --config, the server's"
    ))
}

/// The example under its new name; in Rust a file is called by it with `_`. Beside it there is no page to point to.
fn renamed(text: &str, language: Language, name: &str) -> String {
    let example = language.example();
    let underscores = |name: &str| name.replace('-', "_");
    text.replace(example, name)
        .replace(&underscores(example), &underscores(name))
        .replace(LIB.0, LIB.1)
        .replace(POINTER, &NEXT.trim_end().replace("NAME", name))
}

fn write(file: &Path, text: &str) -> anyhow::Result<()> {
    let named = || file.display().to_string();
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder).with_context(named)?;
    }
    fs::write(file, text).with_context(named)?;
    if file.extension().is_some_and(|extension| extension == "sh") {
        fs::set_permissions(file, fs::Permissions::from_mode(0o755)).with_context(named)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_of_the_contract_goes_along() {
        let wit = concat!(env!("CARGO_MANIFEST_DIR"), "/../../wit/host");
        let mut files: Vec<String> = fs::read_dir(wit)
            .unwrap()
            .map(|entry| format!("wit/deps/host/{}", entry.unwrap().file_name().to_string_lossy()))
            .collect();
        files.sort();
        let mut ours: Vec<&str> =
            WIT.iter().map(|(file, _)| *file).filter(|file| file.contains("/host/")).collect();
        ours.sort_unstable();
        assert_eq!(ours, files);
    }

    #[test]
    fn a_project_has_its_own_name_everywhere() {
        let home = tempfile::tempdir().unwrap();
        for language in [Language::Rust, Language::C, Language::Js, Language::Python] {
            let folder = home.path().join(format!("{language:?}"));
            new("my-own", language, "classify", Some(folder.clone())).unwrap();
            for (file, _) in language.files() {
                let text = fs::read_to_string(folder.join(file)).unwrap();
                assert!(!text.contains(language.example()), "{language:?} {file}");
                assert!(!text.contains("](../"), "{language:?} {file} points to what is not there");
            }
            let told = new("my-own", language, "classify", Some(folder)).unwrap_err();
            assert!(format!("{told:#}").contains("exists"), "{told:#}");
        }
        assert!(new("Not A Name", Language::C, "classify", None).is_err());
        assert!(
            new("a", Language::C, "store", None).unwrap_err().to_string().contains("docs/plugins/store.md")
        );
    }
}
