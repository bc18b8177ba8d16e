//! The places that hold the plugins now serving, one for each role.

use std::sync::Arc;

use crate::canary::Canary;
use crate::plugin::Plugin;
use crate::policy::Role;
use crate::roles::{Classify, Encrypt, Login, Store, Token};
use crate::serving::{AnySlot, Part, SlotInfo};
use crate::watch::Watch;

/// One slot for each role. Shared by all who call; swapped under their feet. Swaps of one role must
/// not overlap.
#[derive(Default)]
pub struct Slots {
    login: Login,
    token: Token,
    classify: Classify,
    store: Store,
    encrypt: Encrypt,
}

/// A plugin cannot serve a role like that.
#[derive(Debug, thiserror::Error)]
pub enum ActivateError {
    /// It lacks the role's functions.
    #[error("plugin {plugin} does not fill the role {role}")]
    Unfilled {
        /// The plugin's name.
        plugin: String,
        /// The role.
        role: Role,
    },
    /// All clients share what the role keeps.
    #[error("the role {0} is swapped whole: its generations cannot share the clients")]
    Whole(Role),
    /// There is nothing beside which it could serve.
    #[error("no plugin serves the role {0}")]
    Alone(Role),
}

impl Slots {
    /// Slots without plugins: every call is answered with [`crate::Down::Absent`].
    pub fn new() -> Slots {
        Slots::default()
    }

    /// The same for calls that are nobody's: the metrics do not show them.
    pub fn aside() -> Slots {
        let slots = Slots::default();
        Role::ALL.into_iter().for_each(|role| slots.slot(role).hide());
        slots
    }

    /// The role *login*.
    pub fn login(&self) -> &Login {
        &self.login
    }

    /// The role *token*.
    pub fn token(&self) -> &Token {
        &self.token
    }

    /// The role *classify*.
    pub fn classify(&self) -> &Classify {
        &self.classify
    }

    /// The role *store*.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// The role *encrypt*.
    pub fn encrypt(&self) -> &Encrypt {
        &self.encrypt
    }

    /// Lets a plugin serve a role from the next call on, and gives back the one that did; a canary ends.
    /// Calls in flight end with the plugin they began with. A plugin may serve in turn again: rolling back
    /// is activating the former one.
    ///
    /// # Errors
    ///
    /// When the plugin does not fill the role; nothing has changed then.
    pub fn activate(&self, role: Role, plugin: Arc<Plugin>) -> Result<Option<Arc<Plugin>>, ActivateError> {
        fills(role, &plugin)?;
        Ok(self.slot(role).set(Some(plugin)))
    }

    /// Lets a plugin serve a part of the clients; another canary ends.
    ///
    /// # Errors
    ///
    /// The plugin does not fill the role, the role is swapped whole, or nobody serves it yet.
    pub fn canary(&self, role: Role, plugin: Arc<Plugin>, part: Canary) -> Result<(), ActivateError> {
        fills(role, &plugin)?;
        if !role.takes_canary() {
            return Err(ActivateError::Whole(role));
        }
        if self.info(role).is_none() {
            return Err(ActivateError::Alone(role));
        }
        self.slot(role).set_canary(Some((part, plugin)));
        Ok(())
    }

    /// Ends a canary, and gives it back.
    pub fn end_canary(&self, role: Role) -> Option<Arc<Plugin>> {
        self.slot(role).set_canary(None)
    }

    /// Lets the canary serve everybody, and gives back what did; None when there is no canary.
    pub fn promote(&self, role: Role) -> Option<Arc<Plugin>> {
        self.slot(role).promote()
    }

    /// Lets no call through to a generation, or all again; false when it does not serve the role.
    pub fn pause(&self, role: Role, generation: u64, paused: bool) -> bool {
        self.slot(role).pause(generation, paused)
    }

    /// Leaves a role without a plugin, and gives back the one that served.
    pub fn deactivate(&self, role: Role) -> Option<Arc<Plugin>> {
        self.slot(role).set(None)
    }

    /// What serves a role now, if anything does, apart from a canary.
    pub fn info(&self, role: Role) -> Option<SlotInfo> {
        self.infos(role).into_iter().find(|info| info.part == Part::Main)
    }

    /// All generations that serve a role now, the main one first.
    pub fn infos(&self, role: Role) -> Vec<SlotInfo> {
        self.slot(role).infos()
    }

    /// Copies of a role's live calls; None for roles whose calls have effects.
    pub fn watch(&self, role: Role) -> Option<&Arc<Watch>> {
        match role {
            Role::Classify => Some(&self.classify.watch),
            Role::Encrypt => Some(&self.encrypt.watch),
            Role::Login | Role::Token | Role::Store => None,
        }
    }

    /// Brings the metrics up to date.
    pub fn show(&self) {
        Role::ALL.into_iter().for_each(|role| self.slot(role).show());
    }

    fn slot(&self, role: Role) -> &dyn AnySlot {
        match role {
            Role::Login => &self.login.slot,
            Role::Token => &self.token.slot,
            Role::Classify => &self.classify.slot,
            Role::Store => &self.store.slot,
            Role::Encrypt => &self.encrypt.slot,
        }
    }
}

fn fills(role: Role, plugin: &Plugin) -> Result<(), ActivateError> {
    if plugin.roles().contains(&role) {
        return Ok(());
    }
    Err(ActivateError::Unfilled { plugin: plugin.name().to_owned(), role })
}
