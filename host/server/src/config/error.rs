//! Config errors: one line that names the file (or variable) and the key.

use std::{
    fmt,
    path::{Path, PathBuf},
};

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The config file.
    File(PathBuf),
    /// This `POSTERN_…` variable.
    Variable(String),
    /// Nobody said it: a default, or what is missing.
    Default,
}

/// What is wrong with the config.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    origin: Origin,
    /// Dotted path of the key; empty when the file as a whole is meant.
    key: String,
    what: String,
}

impl ConfigError {
    /// An error of a key.
    pub fn new(origin: Origin, key: impl Into<String>, what: impl fmt::Display) -> Self {
        // One line, whatever a library made of it.
        let what = what.to_string().split_whitespace().collect::<Vec<_>>().join(" ");
        ConfigError { origin, key: key.into(), what }
    }

    /// An error of the file as a whole.
    pub fn file(path: &Path, what: impl fmt::Display) -> Self {
        ConfigError::new(Origin::File(path.to_owned()), "", what)
    }

    /// Where the wrong value came from.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.origin {
            Origin::File(path) => write!(f, "{}: ", path.display())?,
            // The variable says the key.
            Origin::Variable(name) => return write!(f, "environment variable {name}: {}", self.what),
            Origin::Default => write!(f, "config: ")?,
        }
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.what)
    }
}

impl std::error::Error for ConfigError {}
