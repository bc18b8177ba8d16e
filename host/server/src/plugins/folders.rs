//! Where plugin files are: the operator's folder, and behind it the one that came with the program.
//!
//! Two, so that a volume for the operator's own plugins hides none of an image's, and a new image brings new
//! ones. What the operator's folder has under a name is taken for that name.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    time::SystemTime,
};

use crate::config::Config;

/// The plugin folders of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Folders {
    own: PathBuf,
    defaults: Option<PathBuf>,
}

/// Tells one state of a file from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    len: u64,
    changed: Option<SystemTime>,
}

impl Folders {
    /// Those of a config.
    pub fn of(config: &Config) -> Self {
        Folders { own: config.plugin_dir.clone(), defaults: config.plugin_defaults.clone() }
    }

    /// The operator's.
    pub fn own(&self) -> &Path {
        &self.own
    }

    /// Where the operator's file of a name is, or is to be.
    pub fn own_file(&self, name: &str) -> PathBuf {
        self.own.join(format!("{name}.wasm"))
    }

    /// The file of a name: the operator's, else the one that came with the program, if it is there.
    pub fn file_of(&self, name: &str) -> PathBuf {
        let own = self.own_file(name);
        let default = self.defaults.as_ref().map(|folder| folder.join(format!("{name}.wasm")));
        default.filter(|default| !own.is_file() && default.is_file()).unwrap_or(own)
    }

    /// The plugin files of both, one for each name.
    ///
    /// # Errors
    /// A folder cannot be read; one that is not there is empty.
    pub(super) fn stamps(&self) -> io::Result<BTreeMap<PathBuf, Stamp>> {
        let mut files = stamps(&self.own)?;
        if let Some(defaults) = &self.defaults {
            let hidden: Vec<_> =
                files.keys().filter_map(|path| path.file_name()).map(ToOwned::to_owned).collect();
            let others = stamps(defaults)?.into_iter();
            files.extend(others.filter(|(path, _)| !hidden.iter().any(|name| path.ends_with(name))));
        }
        Ok(files)
    }
}

/// The plugin files of a folder.
fn stamps(dir: &Path) -> io::Result<BTreeMap<PathBuf, Stamp>> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
        Err(e) => return Err(e),
    };
    let stamp = |entry: fs::DirEntry| {
        let path = entry.path();
        let metadata = fs::metadata(&path).ok().filter(fs::Metadata::is_file)?;
        let is_plugin = path.extension().is_some_and(|extension| extension == "wasm");
        is_plugin.then(|| (path, Stamp { len: metadata.len(), changed: metadata.modified().ok() }))
    };
    Ok(entries.flatten().filter_map(stamp).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_operators_file_comes_first_and_hides_no_other() {
        let dir = tempfile::tempdir().unwrap();
        let (own, defaults) = (dir.path().join("own"), dir.path().join("defaults"));
        let folders = Folders { own: own.clone(), defaults: Some(defaults.clone()) };
        // Neither folder is there yet.
        assert_eq!(folders.file_of("a"), own.join("a.wasm"));
        assert!(folders.stamps().unwrap().is_empty());
        for (folder, name) in [(&defaults, "a"), (&defaults, "b"), (&own, "b"), (&own, "c")] {
            fs::create_dir_all(folder).unwrap();
            fs::write(folder.join(format!("{name}.wasm")), name).unwrap();
        }
        assert_eq!(folders.file_of("a"), defaults.join("a.wasm"));
        assert_eq!(folders.file_of("b"), own.join("b.wasm"));
        assert_eq!(folders.own_file("a"), own.join("a.wasm"));
        let found: Vec<_> = folders.stamps().unwrap().into_keys().collect();
        assert_eq!(found, [defaults.join("a.wasm"), own.join("b.wasm"), own.join("c.wasm")]);
    }
}
