//! Which generation serves each role, over restarts: one small file, written whole.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::Path,
};

use postern_guest::{Canary, Role};
use serde::{Deserialize, Serialize};

use super::{PluginError, kept::Digest};
use crate::datadir::write_whole;

/// This release's format. An older one was never published.
const FORMAT: u32 = 2;

/// All roles. One that is not here is served by what the policy names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    format: u32,
    /// By role.
    pub roles: BTreeMap<Role, Served>,
}

/// What serves one role.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Served {
    /// What serves everybody; None: what the policy names.
    pub active: Option<Pinned>,
    /// What did before, to go back to.
    pub previous: Option<Pinned>,
    /// What serves a part of the clients.
    pub canary: Option<PinnedCanary>,
}

/// One component, to the byte.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pinned {
    /// The plugin's name.
    pub name: String,
    /// Of its bytes.
    pub digest: Digest,
}

/// One that serves a part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PinnedCanary {
    /// Which component.
    pub plugin: Pinned,
    /// Whom it serves, such as `10%`.
    pub part: String,
}

impl PinnedCanary {
    /// Whom it serves.
    ///
    /// # Errors
    /// One line: the text is none that we write.
    pub fn part(&self) -> Result<Canary, String> {
        self.part.parse()
    }
}

impl Default for Record {
    fn default() -> Self {
        Record { format: FORMAT, roles: BTreeMap::new() }
    }
}

impl Record {
    /// Reads the file; one that is not there names nothing.
    ///
    /// # Errors
    /// One line that names the file.
    pub fn read(file: &Path) -> Result<Self, PluginError> {
        let wrong = |error| PluginError::Activations { file: file.to_owned(), error };
        let record: Record = match fs::read(file) {
            Ok(text) => serde_json::from_slice(&text).map_err(|e| wrong(e.into()))?,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Record::default()),
            Err(e) => return Err(wrong(e)),
        };
        if record.format != FORMAT {
            let what = format!("of format {}, this release knows {FORMAT}", record.format);
            return Err(wrong(io::Error::other(what)));
        }
        Ok(record)
    }

    /// Writes it whole.
    ///
    /// # Errors
    /// The disk's; the former record stands then.
    pub fn write(&self, file: &Path) -> Result<(), PluginError> {
        let wrong = |error| PluginError::Activations { file: file.to_owned(), error };
        let text = serde_json::to_vec_pretty(self).map_err(|e| wrong(e.into()))?;
        write_whole(file, &text, 0o600).map_err(wrong)
    }

    /// What serves a role.
    pub fn of(&self, role: Role) -> Option<&Served> {
        self.roles.get(&role)
    }

    /// The same, to be changed.
    pub fn of_mut(&mut self, role: Role) -> &mut Served {
        self.roles.entry(role).or_insert(Served { active: None, previous: None, canary: None })
    }

    /// The components that it names as what serves.
    pub fn serving(&self) -> BTreeSet<Digest> {
        let active = self.roles.values().filter_map(|served| served.active.as_ref());
        active.map(|pinned| pinned.digest.clone()).collect()
    }

    /// All components that it names.
    pub fn digests(&self) -> BTreeSet<Digest> {
        let of = |served: &Served| {
            let canary = served.canary.as_ref().map(|canary| &canary.plugin);
            let all = [served.active.as_ref(), served.previous.as_ref(), canary];
            all.into_iter().flatten().map(|pinned| pinned.digest.clone()).collect::<Vec<_>>()
        };
        self.roles.values().flat_map(of).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c2_what_is_written_is_read_and_nothing_else() {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("activations.json");
        assert_eq!(Record::read(&file).unwrap(), Record::default());
        let pinned = |name: &str| Pinned { name: name.to_owned(), digest: Digest::of(name.as_bytes()) };
        let mut record = Record::default();
        *record.of_mut(Role::Classify) = Served {
            active: Some(pinned("b")),
            previous: Some(pinned("a")),
            canary: Some(PinnedCanary { plugin: pinned("c"), part: "10%".to_owned() }),
        };
        record.write(&file).unwrap();
        assert_eq!(Record::read(&file).unwrap(), record);
        assert_eq!(record.digests().len(), 3);
        for text in ["{", r#"{"format":1,"roles":{}}"#, r#"{"classify":"a"}"#] {
            fs::write(&file, text).unwrap();
            let told = Record::read(&file).unwrap_err().to_string();
            assert!(told.contains("activations.json") && told.lines().count() == 1, "{told}");
        }
    }
}
