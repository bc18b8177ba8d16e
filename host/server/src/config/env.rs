//! `POSTERN_SECTION__KEY`: every config key by environment, and no variable that is not a key.

use std::ffi::{OsStr, OsString};

use figment::{
    Metadata, Profile, Provider,
    value::{Dict, Map, Value},
};

use super::{
    error::{ConfigError, Origin},
    reference::described,
};

const PREFIX: &str = "POSTERN_";
/// Names the config file, as `--config` does: no key.
pub const FILE: &str = "POSTERN_CONFIG";

/// What the text of a variable is read as. The type is told by the key, not guessed from the text:
/// a master key of digits is still text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// As it is.
    Text,
    /// A whole number.
    Integer,
    /// A number, perhaps with a point.
    Number,
    /// `true` or `false`.
    Boolean,
    /// Separated by commas.
    List,
}

/// All keys that a config may hold, with their kind.
pub fn keys() -> impl Iterator<Item = (&'static str, Kind)> {
    described().flat_map(|section| &section.keys).map(|key| {
        let kind = match key.kind.as_str() {
            "integer" => Kind::Integer,
            "number" => Kind::Number,
            "boolean" => Kind::Boolean,
            "list" => Kind::List,
            _ => Kind::Text,
        };
        (key.path.as_str(), kind)
    })
}

/// The variable of a key.
pub fn variable(key: &str) -> String {
    format!("{PREFIX}{}", key.replace('.', "__").to_uppercase())
}

/// The config values of an environment.
#[derive(Debug)]
pub struct Environment {
    values: Dict,
}

impl Environment {
    /// Takes what begins with `POSTERN_` from an environment.
    ///
    /// # Errors
    /// A variable that is no key, or whose text is not of the key's type.
    pub fn read(vars: impl IntoIterator<Item = (OsString, OsString)>) -> Result<Self, ConfigError> {
        let (environment, faults) = Environment::examine(vars);
        faults.into_iter().next().map_or(Ok(environment), Err)
    }

    /// The same, with all that is wrong; what is wrong is left out.
    pub fn examine(vars: impl IntoIterator<Item = (OsString, OsString)>) -> (Self, Vec<ConfigError>) {
        let mut environment = Environment { values: Dict::new() };
        let mut faults = Vec::new();
        for (name, value) in vars {
            let name = name.to_string_lossy();
            if name.starts_with(PREFIX) && name != FILE {
                faults.extend(environment.take(&name, &value).err());
            }
        }
        (environment, faults)
    }

    fn take(&mut self, name: &str, value: &OsStr) -> Result<(), ConfigError> {
        let origin = || Origin::Variable(name.to_owned());
        let Some((key, kind)) = keys().find(|(key, _)| variable(key) == name) else {
            return Err(ConfigError::new(origin(), "", "no config key has this name"));
        };
        let wrong = |what: &str| ConfigError::new(origin(), key, what);
        let text = value.to_str().ok_or_else(|| wrong("not UTF-8"))?;
        let value = match kind {
            Kind::Text => Value::from(text),
            // The text is not repeated: a secret may stand there by mistake.
            Kind::Integer => {
                Value::from(text.trim().parse::<i64>().map_err(|_| wrong("expected a whole number"))?)
            }
            Kind::Number => Value::from(text.trim().parse::<f64>().map_err(|_| wrong("expected a number"))?),
            Kind::Boolean => {
                Value::from(text.trim().parse::<bool>().map_err(|_| wrong("expected `true` or `false`"))?)
            }
            Kind::List => {
                let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
                Value::from(items.collect::<Vec<_>>())
            }
        };
        match key.split_once('.') {
            None => {
                self.values.insert(key.to_owned(), value);
            }
            Some((section, inner)) => {
                let section = self.values.entry(section.to_owned()).or_insert_with(|| Dict::new().into());
                if let Value::Dict(_, section) = section {
                    section.insert(inner.to_owned(), value);
                }
            }
        }
        Ok(())
    }

    /// A single value, for those who need no whole config.
    pub fn text(&self, key: &str) -> Option<&str> {
        let mut at = self.values.get(key.split('.').next()?)?;
        for part in key.split('.').skip(1) {
            at = at.as_dict()?.get(part)?;
        }
        at.as_str()
    }
}

/// The name that errors know this provider by.
pub(super) const PROVIDER: &str = "environment";

impl Provider for &Environment {
    fn metadata(&self) -> Metadata {
        Metadata::named(PROVIDER)
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        Ok(Profile::Default.collect(self.values.clone()))
    }
}
