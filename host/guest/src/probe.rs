//! What every plugin is asked before it serves: who it is, to prepare, to check itself.

use std::sync::Arc;
use std::time::Duration;

use postern_store::Access;
use tokio::time::Instant;
use wasmtime::Store;
use wasmtime::component::{ComponentType, Instance, InstancePre, Lift};

use crate::call::Down;
use crate::inspect::PLUGIN_INTERFACE;
use crate::limits::{arm, metered};
use crate::plugin::{About, Plugin};
use crate::policy::Role;
use crate::pool::{Face, interface_func};
use crate::reason::{Reason, role_shape};
use crate::roles::{classify, encrypt, login, store, token};
use crate::state::{Granted, State, async_store, sync_store};

/// CPU time of `describe`; a scripting language may have to wake up first.
const DESCRIBE_CPU: Duration = Duration::from_secs(1);
/// CPU time of `prepare` and of `self-check`, each.
const CHECK_CPU: Duration = Duration::from_secs(5);
/// Wall clock time of each of the three. Migrations may have much to do.
const CHECK_WALL: Duration = Duration::from_secs(60);

#[derive(ComponentType, Lift)]
#[component(record)]
struct RawAbout {
    name: String,
    version: String,
}

/// Asks a component who it is.
pub(crate) async fn describe(pre: &InstancePre<State>, granted: &Arc<Granted>) -> Result<About, Reason> {
    let mut store = async_store(pre.engine(), granted);
    let about: RawAbout = ask(&mut store, pre, "describe", DESCRIBE_CPU)
        .await
        .map_err(|said| Reason::Describe(said.to_string()))?;
    Ok(About { name: about.name, version: about.version })
}

/// Lets a plugin bring its tables up to date. Committed only when it says that it has.
pub(crate) async fn prepare(plugin: &Plugin) -> Result<(), Reason> {
    check(plugin, "prepare", Access::Write).await.map_err(Reason::Prepare)
}

/// Asks a plugin whether it is fit to serve.
pub(crate) async fn self_check(plugin: &Plugin) -> Result<(), Reason> {
    check(plugin, "self-check", Access::Read).await.map_err(Reason::SelfCheck)
}

async fn check(plugin: &Plugin, name: &str, access: Access) -> Result<(), String> {
    let mut store = async_store(plugin.waiting.engine(), &plugin.granted);
    store.data_mut().sql.begin(access);
    let answer: Result<Result<(), String>, Said> = ask(&mut store, &plugin.waiting, name, CHECK_CPU).await;
    let sql = &mut store.data_mut().sql;
    match answer {
        Ok(Ok(())) => sql.commit().await.map_err(|error| error.to_string()),
        Ok(Err(text)) => {
            sql.rollback().await;
            Err(text)
        }
        Err(said) => {
            sql.rollback().await;
            Err(said.to_string())
        }
    }
}

/// Why there was no answer.
#[derive(Debug, thiserror::Error)]
enum Said {
    #[error("it took too long")]
    Slow,
    #[error("it trapped: {0}")]
    Trapped(String),
    #[error("the host has no room for another instance")]
    Full,
}

impl From<wasmtime::Error> for Said {
    fn from(error: wasmtime::Error) -> Said {
        match Down::from_error(&error) {
            Down::Slow => Said::Slow,
            Down::Busy => Said::Full,
            _ => Said::Trapped(format!("{error:#}").split_whitespace().collect::<Vec<_>>().join(" ")),
        }
    }
}

/// Makes an instance and calls one function of `postern:host/plugin`.
async fn ask<R>(
    store: &mut Store<State>,
    pre: &InstancePre<State>,
    name: &str,
    cpu: Duration,
) -> Result<R, Said>
where
    R: ComponentType + Lift + Send + Sync + 'static,
{
    arm(store, cpu);
    store.data_mut().call_ends = Some(Instant::now() + CHECK_WALL);
    let meter = store.data().meter.clone();
    let call = async {
        let instance = pre.instantiate_async(&mut *store).await?;
        let func = interface_func::<(), (R,)>(store, &instance, PLUGIN_INTERFACE, name)?;
        func.call_async(&mut *store, ()).await
    };
    match tokio::time::timeout(CHECK_WALL, metered(meter, call)).await {
        Ok(answer) => Ok(answer?.0),
        Err(_) => Err(Said::Slow),
    }
}

/// Whether the plugin's functions have the shapes that `wit/` gives them, role by role.
pub(crate) async fn shapes(plugin: &Plugin) -> Result<(), Reason> {
    let mut store = async_store(plugin.waiting.engine(), &plugin.granted);
    arm(&mut store, CHECK_CPU);
    let made = plugin.waiting.instantiate_async(&mut store);
    let instance = made.await.map_err(|error| Reason::Shape(Said::from(error).to_string()))?;
    let mut pure = match &plugin.pure {
        Some(pre) => {
            let mut store = sync_store(pre.engine(), &plugin.granted);
            arm(&mut store, CHECK_CPU);
            let instance =
                pre.instantiate(&mut store).map_err(|e| Reason::Shape(Said::from(e).to_string()))?;
            Some((store, instance))
        }
        None => None,
    };
    for role in &plugin.roles {
        let bound = match (role, &mut pure) {
            (Role::Login, _) => bind::<login::Funcs>(&mut store, &instance),
            (Role::Token, _) => bind::<token::Funcs>(&mut store, &instance),
            (Role::Store, _) => bind::<store::Funcs>(&mut store, &instance),
            (Role::Classify, Some((store, instance))) => bind::<classify::Funcs>(store, instance),
            (Role::Encrypt, Some((store, instance))) => bind::<encrypt::Funcs>(store, instance),
            (Role::Classify | Role::Encrypt, None) => Ok(()), // a pure role always has `pure`
        };
        bound.map_err(|error| role_shape(*role, &error))?;
    }
    Ok(())
}

fn bind<F: Face>(store: &mut Store<State>, instance: &Instance) -> wasmtime::Result<()> {
    F::bind(store, instance).map(drop)
}
