//! The places that hold the plugins now serving, one for each role.

use std::sync::Arc;

use arc_swap::{ArcSwapOption, Guard};

use crate::plugin::Plugin;
use crate::policy::Role;
use crate::pool::{Face, Pool};
use crate::roles::{Classify, Encrypt, Login, Store, Token};

/// One slot for each role. Shared by all who call; swapped under their feet.
#[derive(Default)]
pub struct Slots {
    login: Login,
    token: Token,
    classify: Classify,
    store: Store,
    encrypt: Encrypt,
}

/// A plugin cannot serve a role that it does not fill.
#[derive(Debug, thiserror::Error)]
#[error("plugin {plugin} does not fill the role {role}")]
pub struct ActivateError {
    /// The plugin's name.
    pub plugin: String,
    /// The role.
    pub role: Role,
}

/// How a slot does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SlotState {
    /// Calls go to the plugin.
    Serving,
    /// The plugin failed again and again and is left alone for a while.
    Recovering,
}

/// What serves a role now.
#[derive(Clone, Debug)]
pub struct SlotInfo {
    /// The role.
    pub role: Role,
    /// The plugin.
    pub plugin: Arc<Plugin>,
    /// How it does.
    pub state: SlotState,
    /// Instances that wait for a call.
    pub idle_instances: u32,
    /// All instances.
    pub instances: u32,
}

impl Slots {
    /// Slots without plugins: every call is answered with [`Down::Absent`].
    pub fn new() -> Slots {
        Slots::default()
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

    /// Lets a plugin serve a role from the next call on, and gives back the one that did. Calls in
    /// flight end with the plugin they began with. A plugin may serve in turn again: rolling back is
    /// activating the former one.
    ///
    /// # Errors
    ///
    /// When the plugin does not fill the role; nothing has changed then.
    pub fn activate(&self, role: Role, plugin: Arc<Plugin>) -> Result<Option<Arc<Plugin>>, ActivateError> {
        if !plugin.roles().contains(&role) {
            return Err(ActivateError { plugin: plugin.name().to_owned(), role });
        }
        Ok(self.set(role, Some(plugin)))
    }

    /// Leaves a role without a plugin, and gives back the one that served.
    pub fn deactivate(&self, role: Role) -> Option<Arc<Plugin>> {
        self.set(role, None)
    }

    /// What serves a role now, if anything does.
    pub fn info(&self, role: Role) -> Option<SlotInfo> {
        match role {
            Role::Login => self.login.slot.info(),
            Role::Token => self.token.slot.info(),
            Role::Classify => self.classify.slot.info(),
            Role::Store => self.store.slot.info(),
            Role::Encrypt => self.encrypt.slot.info(),
        }
    }

    fn set(&self, role: Role, plugin: Option<Arc<Plugin>>) -> Option<Arc<Plugin>> {
        match role {
            Role::Login => self.login.slot.set(plugin),
            Role::Token => self.token.slot.set(plugin),
            Role::Classify => self.classify.slot.set(plugin),
            Role::Store => self.store.slot.set(plugin),
            Role::Encrypt => self.encrypt.slot.set(plugin),
        }
    }
}

/// The slot of one role.
pub(crate) struct Slot<F> {
    pool: ArcSwapOption<Pool<F>>,
}

impl<F> Default for Slot<F> {
    fn default() -> Self {
        Slot { pool: ArcSwapOption::empty() }
    }
}

impl<F: Face> Slot<F> {
    fn set(&self, plugin: Option<Arc<Plugin>>) -> Option<Arc<Plugin>> {
        let pool = plugin.map(|plugin| Arc::new(Pool::new(plugin)));
        let old = self.pool.swap(pool)?;
        old.retire();
        Some(old.plugin.clone())
    }

    fn info(&self) -> Option<SlotInfo> {
        let pool = self.pool.load_full()?;
        let (idle_instances, instances) = pool.instances();
        let state = if pool.breaker.is_open() { SlotState::Recovering } else { SlotState::Serving };
        Some(SlotInfo { role: F::ROLE, plugin: pool.plugin.clone(), state, idle_instances, instances })
    }

    /// The generation that serves now, 0 when none does.
    #[inline]
    pub(crate) fn generation(&self) -> u64 {
        self.pool.load().as_ref().map_or(0, |pool| pool.plugin.generation)
    }

    /// The pool that serves now.
    #[inline]
    pub(crate) fn pool(&self) -> Guard<Option<Arc<Pool<F>>>> {
        self.pool.load()
    }
}
