//! Hooks off, or one of them outside of the process: for `cargo xtask bench plugins`, which has a build of its own
//! for it. No other build has this module (the feature `bench-bypass`), and those refuse its variable.
//!
//! ```text
//! POSTERN_BENCH_HOOKS=off         classify: nobody is asked, the class is the topic's; store: the rules of
//!                                 store-sql as functions of this program (native)
//! POSTERN_BENCH_HOOKS=HOST:PORT   classify: asked over HTTP for each message (outside); store: as ever
//! ```

mod native;
mod outside;

use std::sync::Arc;

use anyhow::Context;
use postern_guest::roles::classify::Class;
use postern_store::Database;

pub use native::Native;
pub use outside::Asked;

use crate::mqtt::publish::{Arrived, Question};

/// The variable that chooses.
pub const VARIABLE: &str = "POSTERN_BENCH_HOOKS";
/// A test looks for it in the program.
#[used]
static MARK: &str = "postern built with bench-bypass: not for service";

/// How the hooks of this process are asked.
#[derive(Clone, Default)]
pub enum Hooks {
    /// As in any build.
    #[default]
    On,
    /// Not at all.
    Off,
    /// By HTTP, at this address.
    Outside(Arc<str>),
}

/// What is known of a message's class.
pub enum Known {
    /// Nothing: the plugin is to be asked.
    Nothing,
    /// Its class.
    Class(Class),
    /// Somebody has to be asked first.
    Ask(Question),
}

impl Hooks {
    /// As the variable says.
    ///
    /// # Errors
    /// It is not Unicode.
    pub fn of_environment() -> anyhow::Result<Self> {
        let Some(value) = std::env::var_os(VARIABLE) else { return Ok(Hooks::On) };
        let value = value.into_string().ok().context(VARIABLE)?;
        tracing::warn!(hooks = value, "{MARK}");
        Ok(if value == "off" { Hooks::Off } else { Hooks::Outside(value.into()) })
    }

    /// The class of a message whose topic promises `promised`, without the plugin.
    pub fn class_of(&self, asked: &Asked, arrived: &Arrived, promised: Class) -> Known {
        match self {
            Hooks::On => Known::Nothing,
            Hooks::Off => Known::Class(promised),
            Hooks::Outside(address) => match asked.take() {
                Some(class) => Known::Class(class),
                None => Known::Ask(asked.ask(address.clone(), &arrived.message)),
            },
        }
    }

    /// What stores without the plugin.
    ///
    /// # Errors
    /// The database has no tables for it.
    pub async fn store(&self, database: &Database) -> anyhow::Result<Option<Native>> {
        Ok(match self {
            Hooks::Off => Some(Native::new(database).await?),
            Hooks::On | Hooks::Outside(_) => None,
        })
    }
}
