//! What the types say of their keys: names of environment variables, and the page docs/operate/config.md.

use std::sync::LazyLock;

use schemars::generate::SchemaSettings;

use super::{env, raw::Raw};
use crate::reference::{Section, page, sections};

static DESCRIBED: LazyLock<Vec<Section>> = LazyLock::new(|| {
    let settings = SchemaSettings::draft2020_12().with(|s| s.inline_subschemas = true);
    sections(settings.into_generator().into_root_schema_for::<Raw>().as_value())
});

/// All sections with their keys, as the types have them.
pub fn described() -> impl Iterator<Item = &'static Section> {
    DESCRIBED.iter()
}

/// The page.
pub fn markdown() -> String {
    page(HEAD, described(), |key| Some(env::variable(&key.path)))
}

const HEAD: &str = "\
# The config file

`postern serve --config FILE` reads a TOML file; the variable `POSTERN_CONFIG` names it, too. Every key can be set by
environment, by the variable that stands beside it, which wins over the file; lists are separated by commas there. Unknown
keys and unknown `POSTERN_` variables are errors. An empty file is a config, but then nothing is listened on.

- `postern serve --check --config FILE` tells what would keep a server from starting, all at once: config, policy,
  certificate, database file, and the plugins, which are loaded aside. Nothing listens and no data is touched.
- `postern config show --config FILE` prints what holds, and where each value comes from.
- examples/postern.toml is a file to begin with.

Relative paths, in the file as in variables, start at the working directory of the process, and not at the file's folder:
a service sets it (`WorkingDirectory=` in systemd, `WORKDIR` in a container) or has absolute paths. Only `data`, where it is
not set, is the config file's folder.
";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::tests::is_committed;

    #[test]
    fn the_page_is_what_the_types_say() {
        is_committed("config.md", &markdown());
    }

    #[test]
    fn every_key_is_described_and_no_secret_goes_unmarked() {
        for key in described().flat_map(|section| &section.keys) {
            assert!(key.meaning.ends_with('.'), "{}: {:?}", key.path, key.meaning);
            assert!(!key.default.is_empty(), "{}: no default", key.path);
            let last = key.path.rsplit('.').next().unwrap();
            let secret = ["url", "token", "master", "password", "secret", "headers"].contains(&last);
            assert_eq!(key.secret.is_some(), secret, "{}", key.path);
        }
    }
}
