//! Which plugin serves a role: [`start`] from the policy and the [`record`] of activations, [`life`] while it
//! runs, with [`probation`] after each change, [`offered`] for what changes nothing that serves, and [`adopt`] when
//! the policy is another. [`folder`] watches what operators drop into their own of the [`folders`], [`kept`] has the bytes
//! of what serves. [`trial`] runs candidates beside it.

mod adopt;
mod folder;
mod folders;
mod kept;
mod life;
mod offered;
mod probation;
mod record;
mod start;
mod trial;

use std::{
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

use postern_guest::{ActivateError, Down, LoadError, Plugin, Role, Slots};

use crate::{
    listen::wire::ListenerName,
    policy::{self, OffLoopback, PolicyError},
};

pub use folder::{Candidate, watch as watch_folder};
pub use folders::Folders;
pub use kept::{Digest, Kept};
pub use life::{Life, Parts, Refused, Serves};
pub use probation::watch as watch_probation;
pub use record::Record;
pub use start::Start;

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
    /// What was activated is not what is there.
    #[error("{0}")]
    Altered(String),
    /// The folder took it not.
    #[error("{}: cannot be written, and nothing was installed: {error}", path.display())]
    NotInstalled {
        /// The file.
        path: PathBuf,
        /// Why not.
        error: io::Error,
    },
    /// The disk took no copy.
    #[error("{}: the plugin cannot be kept, and was not activated: {error}", folder.display())]
    NotKept {
        /// The plugin folder.
        folder: PathBuf,
        /// Why not.
        error: io::Error,
    },
    /// Grants are found by the plugin's own name, activations by the file's: they must be one.
    #[error("{}", name_mismatch(path, name))]
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

/// What is wrong with a file that has another name than its plugin.
fn name_mismatch(path: &Path, name: &str) -> String {
    format!("{}: holds the plugin `{name}`: call the file {name}.wasm", path.display())
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
    let trial = Slots::aside();
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
