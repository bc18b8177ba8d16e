//! A plugin that has been loaded and found fit to serve.

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use wasmtime::component::InstancePre;

use crate::policy::{PluginLimits, Role};
use crate::state::{Granted, State};

/// Who a plugin says it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct About {
    /// As [`crate::is_plugin_name`] has it; names the plugin's table in the policy file.
    pub name: String,
    /// The plugin's own version.
    pub version: String,
}

/// One generation: a component that compiled, whose imports are granted, and that found itself fit.
/// Slots and calls in flight share it; its code goes with its last owner.
pub struct Plugin {
    pub(crate) about: About,
    pub(crate) path: PathBuf,
    pub(crate) digest: [u8; 32],
    pub(crate) generation: u64,
    pub(crate) roles: BTreeSet<Role>,
    pub(crate) imports: BTreeSet<String>,
    pub(crate) grants: BTreeSet<String>,
    pub(crate) granted: Arc<Granted>,
    /// For roles that may wait.
    pub(crate) waiting: InstancePre<State>,
    /// For pure roles, if it has one: whatever could wait traps.
    pub(crate) pure: Option<InstancePre<State>>,
}

impl Plugin {
    /// Who it says it is.
    pub fn about(&self) -> &About {
        &self.about
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.about.name
    }

    /// Its own version.
    pub fn version(&self) -> &str {
        &self.about.version
    }

    /// The roles that it can fill.
    pub fn roles(&self) -> &BTreeSet<Role> {
        &self.roles
    }

    /// Counts loads in this process, from 1.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// The file it was loaded from.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// SHA-256 of that file when it was loaded.
    pub fn digest(&self) -> &[u8; 32] {
        &self.digest
    }

    /// The interfaces of `postern:host` that the policy grants it.
    pub fn granted(&self) -> &BTreeSet<String> {
        &self.grants
    }

    /// The interfaces of `postern:host` that it imports. All of them are granted.
    pub fn used(&self) -> &BTreeSet<String> {
        &self.imports
    }

    /// Its bounds.
    pub fn limits(&self) -> &PluginLimits {
        &self.granted.limits
    }

    /// Linear memory of all its instances now, in bytes.
    pub fn memory_bytes(&self) -> usize {
        self.granted.memory.now.load(Ordering::Relaxed)
    }

    /// The most that it has been since it was loaded.
    pub fn peak_memory_bytes(&self) -> usize {
        self.granted.memory.peak.load(Ordering::Relaxed)
    }
}

impl fmt::Debug for Plugin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plugin")
            .field("name", &self.about.name)
            .field("version", &self.about.version)
            .field("generation", &self.generation)
            .field("roles", &self.roles)
            .finish_non_exhaustive()
    }
}
