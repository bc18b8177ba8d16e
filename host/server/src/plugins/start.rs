//! What serves when a node starts: what was activated last, to the byte, else the files of the policy.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use postern_guest::{LoadError, Plugin, Role, Runtime, Slots, read_component};
use tracing::warn;

use super::{
    Folders, PluginError, activate, check_name,
    kept::{self, Digest, Kept},
    record::{Pinned, Record},
};
use crate::{config::Config, datadir::DataDir, policy::Policy};

/// A component and the roles that it is to serve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chosen {
    /// The plugin's name.
    pub name: String,
    /// Where it is.
    pub path: PathBuf,
    /// What its bytes must be; None for a file of the policy, which is taken as it is.
    pub digest: Option<Digest>,
    /// At least one.
    pub roles: Vec<Role>,
}

impl Chosen {
    /// Loads it and lets it serve. `keep` is shown its bytes.
    async fn serve(
        &self,
        runtime: &Runtime,
        policy: &Policy,
        slots: &Slots,
        keep: impl FnOnce(&[u8]),
    ) -> Result<(), PluginError> {
        let plugin = load(runtime, policy, &self.path, self.digest.as_ref(), keep).await?;
        check_name(&plugin, &self.name)?;
        activate(slots, &plugin, &self.roles)
    }
}

/// What a node starts with.
pub struct Start {
    /// The record of activations.
    pub record: Record,
    /// What serves each role.
    pub chosen: Vec<Chosen>,
}

impl Start {
    /// Looks up what serves the roles of a node. Nothing is loaded, but all of it is there.
    ///
    /// # Errors
    /// A role without plugin, a missing file, an unusable record.
    pub fn look_up(policy: &Policy, config: &Config) -> Result<Self, PluginError> {
        let (start, faults) = Start::examine(policy, config);
        faults.into_iter().next().map_or(Ok(start), Err)
    }

    /// The same, with all that is wrong; what is missing is not chosen.
    pub fn examine(policy: &Policy, config: &Config) -> (Self, Vec<PluginError>) {
        let mut faults = Vec::new();
        let file = DataDir::activations_of(&config.data);
        let record = Record::read(&file).unwrap_or_else(|fault| {
            faults.push(fault);
            Record::default()
        });
        let components = Kept::new(DataDir::components_of(&config.data));
        let folders = Folders::of(config);
        let mut chosen: Vec<Chosen> = Vec::new();
        for needed in policy.needed(config.roles) {
            let (role, first) = match needed {
                Ok(needed) => needed,
                Err(fault) => {
                    faults.push(fault.into());
                    continue;
                }
            };
            let pinned = record.of(role).and_then(|served| served.active.clone());
            let (name, path, digest, by) = match pinned {
                Some(Pinned { name, digest }) => (name, components.path(&digest), Some(digest), &*file),
                None => (first.to_owned(), folders.file_of(first), None, policy.file()),
            };
            if !path.is_file() {
                faults.push(PluginError::Missing { path, role, by: by.to_owned() });
                continue;
            }
            match chosen.iter_mut().find(|known| known.path == path) {
                Some(known) => known.roles.push(role),
                None => chosen.push(Chosen { name, path, digest, roles: vec![role] }),
            }
        }
        (Start { record, chosen }, faults)
    }

    /// Loads them and lets them serve; what the policy chose is kept, to go back to it.
    ///
    /// # Errors
    /// The first that is unfit.
    pub async fn serve(
        &self,
        runtime: &Runtime,
        policy: &Policy,
        slots: &Slots,
        components: &Kept,
    ) -> Result<(), PluginError> {
        for chosen in &self.chosen {
            let keep = |source: &[u8]| {
                let digest = Digest::of(source);
                if let Err(error) = components.put(&digest, source) {
                    warn!(plugin = chosen.name, %error, "not kept: it cannot be gone back to after a restart");
                }
            };
            chosen.serve(runtime, policy, slots, keep).await?;
        }
        Ok(())
    }

    /// Loads each and lets it serve in `slots`, all of which is only tried; nothing is kept. Gives all that is
    /// wrong.
    pub async fn try_out(&self, runtime: &Runtime, policy: &Policy, slots: &Slots) -> Vec<PluginError> {
        let mut faults = Vec::new();
        for chosen in &self.chosen {
            faults.extend(chosen.serve(runtime, policy, slots, |_| {}).await.err());
        }
        faults
    }

    /// The file of what serves a role.
    pub fn file_of(&self, role: Role) -> Option<&Path> {
        self.chosen.iter().find(|chosen| chosen.roles.contains(&role)).map(|chosen| &*chosen.path)
    }

    /// Loads what the record names beside: canaries, which serve at once, and what served before. One that
    /// does not load is told and left out: all else serves.
    pub async fn serve_beside(
        &self,
        runtime: &Runtime,
        policy: &Policy,
        slots: &Slots,
        components: &Kept,
    ) -> BTreeMap<Role, Arc<Plugin>> {
        let mut ready = BTreeMap::new();
        // One that serves several roles is one generation.
        let mut loaded: BTreeMap<Digest, Arc<Plugin>> = BTreeMap::new();
        for (role, served) in &self.record.roles {
            let serves = slots.info(*role).is_some();
            if let Some(canary) = served.canary.as_ref().filter(|_| serves) {
                let begun = async {
                    let plugin = pinned(runtime, policy, components, &canary.plugin, &mut loaded).await?;
                    let part = canary.part()?;
                    slots.canary(*role, plugin, part).map_err(|e| e.to_string())
                };
                if let Err(error) = begun.await {
                    warn!(plugin = canary.plugin.name, %role, error, "a canary does not serve");
                }
            }
            if let Some(previous) = served.previous.as_ref().filter(|_| serves) {
                match pinned(runtime, policy, components, previous, &mut loaded).await {
                    Ok(plugin) => drop(ready.insert(*role, plugin)),
                    Err(error) => warn!(plugin = previous.name, %role, error, "cannot be gone back to"),
                }
            }
        }
        ready
    }
}

/// Loads what prepared when it was activated: beside what serves its migrations have no business.
async fn pinned(
    runtime: &Runtime,
    policy: &Policy,
    components: &Kept,
    which: &Pinned,
    loaded: &mut BTreeMap<Digest, Arc<Plugin>>,
) -> Result<Arc<Plugin>, String> {
    if let Some(plugin) = loaded.get(&which.digest) {
        return Ok(plugin.clone());
    }
    let path = components.path(&which.digest);
    let source = read_component(&path).await.map_err(|e| e.to_string())?;
    kept::check(&path, &which.digest, &source)?;
    let checked = runtime.check(&path, source, &|name| policy.plugin(name)).await;
    let plugin = runtime.resume(checked.map_err(|e| e.to_string())?).await.map_err(|e| e.to_string())?;
    loaded.insert(which.digest.clone(), plugin.clone());
    Ok(plugin)
}

/// Reads and loads a component; `digest`: what its bytes must be. `keep` is shown them.
async fn load(
    runtime: &Runtime,
    policy: &Policy,
    path: &Path,
    digest: Option<&Digest>,
    keep: impl FnOnce(&[u8]),
) -> Result<Arc<Plugin>, PluginError> {
    let unreadable = |reason| LoadError { path: path.to_owned(), reasons: vec![reason] };
    let source = read_component(path).await.map_err(unreadable)?;
    if let Some(digest) = digest {
        kept::check(path, digest, &source).map_err(PluginError::Altered)?;
    }
    let plugin = runtime.load_source(path, source.clone(), &|name| policy.plugin(name)).await?;
    keep(&source);
    Ok(plugin)
}

#[cfg(test)]
mod tests {
    use std::fs;

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

        fn chosen(&self) -> Result<Vec<Chosen>, PluginError> {
            let config = Config::from_parts(Some(&self.0.path().join("postern.toml")), []).unwrap();
            Ok(Start::look_up(&Policy::load(&config.policy).unwrap(), &config)?.chosen)
        }
    }

    #[test]
    fn a_missing_plugin_is_named_with_its_role() {
        let home = Home::new();
        let told = home.chosen().unwrap_err().to_string();
        assert!(told.contains("two.wasm: no such plugin file") && told.contains("roles.token"), "{told}");
        fs::write(home.0.path().join("two.wasm"), "").unwrap();
        let chosen = home.chosen().unwrap();
        assert_eq!(chosen.len(), 2);
        assert_eq!(chosen[1].roles, [Role::Token, Role::Classify, Role::Store, Role::Encrypt]);
    }

    #[test]
    fn c2_what_was_activated_last_serves_after_a_restart_whatever_the_folder_holds() {
        let home = Home::new();
        fs::write(home.0.path().join("two.wasm"), "").unwrap();
        let data = home.0.path();
        let components = Kept::new(data.join("components"));
        let digest = Digest::of(b"three");
        components.put(&digest, b"three").unwrap();
        let mut record = Record::default();
        record.of_mut(Role::Classify).active = Some(Pinned { name: "three".to_owned(), digest });
        record.write(&data.join("activations.json")).unwrap();
        let chosen = home.chosen().unwrap();
        let three = chosen.iter().find(|it| it.name == "three").unwrap();
        assert!(three.roles == [Role::Classify] && three.path.starts_with(data.join("components")));
        components.forget_others(&Default::default());
        assert!(home.chosen().unwrap_err().to_string().contains("activations.json"));
    }
}
