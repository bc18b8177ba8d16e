//! Plugin files: which one serves a role at start, and which was activated since.

use std::{
    collections::BTreeMap,
    fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

use postern_guest::{ActivateError, Down, LoadError, Plugin, Role, Runtime, Slots, is_plugin_name};

use crate::{
    config::Config,
    datadir::{self, DataDir},
    listen::wire::ListenerName,
    policy::{self, OffLoopback, Policy, PolicyError},
};

/// A plugin file and the roles that it is to serve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PluginFile {
    /// Its name in the plugin folder, without `.wasm`.
    pub name: String,
    /// Where it is.
    pub path: PathBuf,
    /// At least one.
    pub roles: Vec<Role>,
}

/// Why a plugin does not serve; one line that names the file.
#[derive(Debug, thiserror::Error)]
pub enum PluginError {
    /// The policy names none.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// The file is not there.
    #[error("{}: no such plugin file (keys plugins.dir and roles.{role} of {})", path.display(), by.display())]
    Missing {
        /// The file.
        path: PathBuf,
        /// The role it is to serve.
        role: Role,
        /// Who names it: the policy, or the record of activations.
        by: PathBuf,
    },
    /// The record of activations cannot be used.
    #[error("{}: {error}", file.display())]
    Activations {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        error: io::Error,
    },
    /// It was checked and found unfit (C3).
    #[error(transparent)]
    Load(#[from] LoadError),
    /// Grants are found by the plugin's own name, activations by the file's: they must be one.
    #[error("{}: holds the plugin `{name}`: call the file {name}.wasm", path.display())]
    Name {
        /// The file.
        path: PathBuf,
        /// What the plugin calls itself.
        name: String,
    },
    /// It does not fill the role.
    #[error("{}: {error}", path.display())]
    Role {
        /// The file.
        path: PathBuf,
        /// Which role.
        error: ActivateError,
    },
    /// It would let anybody in from the network.
    #[error("{}: {error}", path.display())]
    Anonymous {
        /// The file.
        path: PathBuf,
        /// Through which listener.
        error: OffLoopback,
    },
    /// Whether it would was not to be learnt.
    #[error("{}: does not say whether it admits anonymous clients: {error}", path.display())]
    Silent {
        /// The file.
        path: PathBuf,
        /// Why it gave no answer.
        error: Down,
    },
}

impl Policy {
    /// The files of the plugins that a node's roles begin with: those activated last, else those of
    /// the policy. Nothing is loaded, but all of them are there.
    ///
    /// # Errors
    /// A role without plugin, a missing file.
    pub fn files(&self, config: &Config) -> Result<Vec<PluginFile>, PluginError> {
        let record = DataDir::activations_of(&config.data);
        let activated = activations(&record)?;
        let mut files: Vec<PluginFile> = Vec::new();
        for (role, first) in self.needed(config.roles)? {
            let (name, by) = match activated.get(role.name()) {
                Some(name) if is_plugin_name(name) => (name.as_str(), record.as_path()),
                _ => (first, self.file()),
            };
            let path = file_of(&config.plugin_dir, name);
            if !path.is_file() {
                return Err(PluginError::Missing { path, role, by: by.to_owned() });
            }
            match files.iter_mut().find(|f| f.name == name) {
                Some(file) => file.roles.push(role),
                None => files.push(PluginFile { name: name.to_owned(), path, roles: vec![role] }),
            }
        }
        Ok(files)
    }
}

/// The file of a plugin.
pub fn file_of(dir: &Path, name: &str) -> PathBuf {
    dir.join(format!("{name}.wasm"))
}

/// Loads the plugins and lets them serve.
///
/// # Errors
/// The first that is unfit.
pub async fn load(
    runtime: &Runtime,
    policy: &Policy,
    files: &[PluginFile],
    slots: &Slots,
) -> Result<(), PluginError> {
    for file in files {
        let plugin = runtime.load(&file.path, &|name| policy.plugin(name)).await?;
        check_name(&plugin, &file.name)?;
        activate(slots, &plugin, &file.roles)?;
    }
    Ok(())
}

/// Whether a plugin is the one that its file's name promises.
///
/// # Errors
/// It has another name.
pub fn check_name(plugin: &Plugin, name: &str) -> Result<(), PluginError> {
    if plugin.name() == name {
        return Ok(());
    }
    Err(PluginError::Name { path: plugin.path().to_owned(), name: plugin.name().to_owned() })
}

/// Whether a candidate for the role *token* may serve behind `listeners`: one that admits anonymous
/// clients is for loopback only. It is asked in slots of its own, before it serves.
///
/// # Errors
/// It admits them and a listener is not on loopback, or it does not say.
pub async fn check_anonymous(
    plugin: &Arc<Plugin>,
    listeners: &[(ListenerName, SocketAddr)],
) -> Result<(), PluginError> {
    let path = || plugin.path().to_owned();
    let trial = Slots::new();
    activate(&trial, plugin, &[Role::Token])?;
    let admits = trial.token().admits_anonymous().await;
    let admits = admits.map_err(|error| PluginError::Silent { path: path(), error })?;
    policy::refuse_anonymous_off_loopback(listeners, admits)
        .map_err(|error| PluginError::Anonymous { path: path(), error })
}

/// Lets a plugin serve roles.
///
/// # Errors
/// It does not fill one of them.
pub fn activate(slots: &Slots, plugin: &Arc<Plugin>, roles: &[Role]) -> Result<(), PluginError> {
    for role in roles {
        let activated = slots.activate(*role, plugin.clone());
        activated.map_err(|error| PluginError::Role { path: plugin.path().to_owned(), error })?;
    }
    Ok(())
}

/// Role → name of the file activated last.
type Activations = BTreeMap<String, String>;

fn activations(file: &Path) -> Result<Activations, PluginError> {
    let wrong = |error| PluginError::Activations { file: file.to_owned(), error };
    match fs::read(file) {
        Ok(text) => serde_json::from_slice(&text).map_err(|e| wrong(e.into())),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(Activations::new()),
        Err(e) => Err(wrong(e)),
    }
}

/// Remembers that a file serves these roles, for the next start.
///
/// # Errors
/// The disk's.
pub fn remember(file: &Path, name: &str, roles: &[Role]) -> Result<(), PluginError> {
    let wrong = |error| PluginError::Activations { file: file.to_owned(), error };
    let mut all = activations(file)?;
    all.extend(roles.iter().map(|role| (role.name().to_owned(), name.to_owned())));
    let text = serde_json::to_vec_pretty(&all).map_err(|e| wrong(e.into()))?;
    datadir::write_whole(file, &text, 0o600).map_err(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: &str =
        "[roles]\nlogin = 'one'\ntoken = 'two'\nclassify = 'two'\nstore = 'two'\nencrypt = 'two'\n";

    struct Home(tempfile::TempDir);

    impl Home {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            fs::write(dir.path().join("policy.toml"), POLICY).unwrap();
            let config = format!("policy = '{0}/policy.toml'\n[plugins]\ndir = '{0}'", dir.path().display());
            fs::write(dir.path().join("postern.toml"), config).unwrap();
            fs::write(dir.path().join("one.wasm"), "").unwrap();
            Home(dir)
        }

        fn files(&self) -> Result<Vec<PluginFile>, PluginError> {
            let config = Config::from_parts(Some(&self.0.path().join("postern.toml")), []).unwrap();
            Policy::load(&config.policy).unwrap().files(&config)
        }
    }

    #[test]
    fn a_missing_plugin_is_named_with_its_role() {
        let home = Home::new();
        let told = home.files().unwrap_err().to_string();
        assert!(told.contains("two.wasm: no such plugin file") && told.contains("roles.token"), "{told}");
        fs::write(home.0.path().join("two.wasm"), "").unwrap();
        let files = home.files().unwrap();
        assert_eq!(files.len(), 2);
        assert_eq!(files[1].roles, [Role::Token, Role::Classify, Role::Store, Role::Encrypt]);
    }

    #[test]
    fn c2_what_was_activated_last_serves_after_a_restart() {
        let home = Home::new();
        for name in ["two.wasm", "three.wasm"] {
            fs::write(home.0.path().join(name), "").unwrap();
        }
        let record = home.0.path().join("activations.json");
        remember(&record, "three", &[Role::Classify]).unwrap();
        remember(&record, "one", &[Role::Login]).unwrap();
        let files = home.files().unwrap();
        let three = files.iter().find(|f| f.name == "three").unwrap();
        assert_eq!(three.roles, [Role::Classify]);
        fs::remove_file(home.0.path().join("three.wasm")).unwrap();
        assert!(home.files().unwrap_err().to_string().contains("activations.json"));
        fs::write(&record, "{").unwrap();
        assert!(matches!(home.files(), Err(PluginError::Activations { .. })));
    }
}
