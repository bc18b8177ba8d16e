//! Cases written for a plugin, and recorded ones, run without a server: the host's own interfaces on an empty
//! database and throwaway keys.
//!
//! A file of TOML: `[config]` is the plugin's own table, each `[[case]]` a call with its input and what is
//! expected of the answer.

mod recorded;
mod value;

use std::sync::Arc;

use postern_store::Access;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};
use wasmtime::Store;
use wasmtime::component::{Instance, Type, Val};

use crate::imports::password::Secret;
use crate::inspect::WIT_VERSION;
use crate::limits::{arm, metered};
use crate::plugin::Plugin;
use crate::policy::Role;
use crate::roles::classify::SenderFacts;
use crate::roles::types::Profile;
use crate::state::{State, async_store};

/// A file of cases.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cases {
    /// The plugin's own table of the policy.
    #[serde(default)]
    pub config: toml::Table,
    /// In the order in which they are run, on one instance: what a call keeps, the next one finds.
    #[serde(default, rename = "case")]
    pub cases: Vec<Case>,
}

/// One call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// What it is about, for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Interface and function, such as `classify.classify` or `verify.login`.
    pub call: String,
    /// What `postern:classify/sender` says of the sender.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sender: Option<Sender>,
    /// The arguments by name. A password is written as text.
    #[serde(default)]
    pub input: Map<String, Json>,
    /// What the answer must say; what is left out is not looked at, and `{}` is anything. None: any answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expect: Option<Json>,
}

/// The sender of a message.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Sender {
    /// MQTT client id.
    #[serde(default, alias = "client_id")]
    pub client_id: String,
    /// None for anonymous clients.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<Profile>,
}

/// What became of one case.
#[derive(Clone, Debug, PartialEq)]
pub struct Ran {
    /// The answer; none when there was none.
    pub answer: Option<Json>,
    /// What is wrong: with the answer, the case, or the plugin.
    pub wrong: Option<String>,
    /// CPU time of the call, in ns.
    pub cpu_ns: u64,
}

/// Runs cases on one instance of a plugin; after a trap on another.
pub async fn run(plugin: &Plugin, cases: &[Case]) -> Vec<Ran> {
    let mut ran = Vec::with_capacity(cases.len());
    let mut warm = None;
    for case in cases {
        let made = match warm.take() {
            Some(instance) => Ok(instance),
            None => fresh(plugin).await,
        };
        let (mut store, instance) = match made {
            Ok(made) => made,
            Err(wrong) => {
                ran.push(Ran { answer: None, wrong: Some(wrong), cpu_ns: 0 });
                continue;
            }
        };
        let answer = call(plugin, &mut store, &instance, case).await;
        let cpu_ns = store.data().meter.spent_ns();
        let (answer, wrong) = match answer {
            Ok(answer) => {
                let expected = case.expect.as_ref();
                let wrong = expected.and_then(|expected| value::difference(expected, &answer, "answer"));
                warm = Some((store, instance));
                (Some(answer), wrong)
            }
            Err(wrong) => (None, Some(wrong)),
        };
        ran.push(Ran { answer, wrong, cpu_ns });
    }
    ran
}

async fn fresh(plugin: &Plugin) -> Result<(Store<State>, Instance), String> {
    let mut store = async_store(plugin.waiting.engine(), &plugin.granted);
    arm(&mut store, cpu(plugin));
    let instance = plugin.waiting.instantiate_async(&mut store).await;
    instance.map(|instance| (store, instance)).map_err(|error| format!("{error:#}"))
}

fn cpu(plugin: &Plugin) -> std::time::Duration {
    std::time::Duration::from_millis(plugin.limits().call_cpu_ms.into())
}

async fn call(
    plugin: &Plugin,
    store: &mut Store<State>,
    instance: &Instance,
    case: &Case,
) -> Result<Json, String> {
    let (interface, name) = case.call.split_once('.').ok_or("call: use INTERFACE.FUNCTION")?;
    let mut interfaces = Role::ALL.into_iter().flat_map(|role| role.interfaces());
    let full = interfaces.find(|full| full.rsplit_once('/').is_some_and(|(_, last)| last == interface));
    let full = full.ok_or_else(|| format!("call: no role has an interface `{interface}`"))?;
    let index = instance
        .get_export_index(&mut *store, None, &format!("{full}@{WIT_VERSION}"))
        .and_then(|index| instance.get_export_index(&mut *store, Some(&index), name));
    let function = index.and_then(|index| instance.get_func(&mut *store, index));
    let function = function.ok_or_else(|| format!("call: the plugin has no {full}.{name}"))?;
    let ty = function.ty(&mut *store);

    let params: Vec<(String, Type)> = ty.params().map(|(name, ty)| (name.to_owned(), ty)).collect();
    if let Some(stranger) = case.input.keys().find(|key| !params.iter().any(|(name, _)| is_named(name, key)))
    {
        let known: Vec<&str> = params.iter().map(|(name, _)| name.as_str()).collect();
        return Err(format!("input: no argument `{stranger}`; there are {}", known.join(", ")));
    }
    let mut values = Vec::with_capacity(params.len());
    for (name, ty) in &params {
        let json = case.input.iter().find(|(key, _)| is_named(name, key)).map(|(_, json)| json);
        values.push(argument(store, json.unwrap_or(&Json::Null), ty, name)?);
    }
    let mut results = vec![Val::Bool(false); ty.results().len()];

    store.data_mut().sender = case.sender.as_ref().map(|sender| {
        Arc::new(SenderFacts { client_id: sender.client_id.clone(), profile: sender.profile.clone() })
    });
    store.data_mut().sql.begin(Access::Write);
    arm(store, cpu(plugin));
    let meter = store.data().meter.clone();
    let called = metered(meter, function.call_async(&mut *store, &values, &mut results)).await;
    called.map_err(|error| format!("it did not answer: {error:#}"))?;
    store.data_mut().sender = None;
    let is_err = matches!(results.first(), Some(Val::Result(Err(_))));
    let sql = &mut store.data_mut().sql;
    if is_err {
        sql.rollback().await;
    } else {
        sql.commit().await.map_err(|error| format!("what it wrote was not committed: {error}"))?;
    }
    Ok(results.first().map_or(Json::Null, value::write))
}

/// An argument; passwords become handles.
fn argument(store: &mut Store<State>, json: &Json, ty: &Type, name: &str) -> Result<Val, String> {
    match ty {
        Type::Own(_) | Type::Borrow(_) => secret(store, json, name),
        Type::Option(option) if matches!(option.ty(), Type::Own(_) | Type::Borrow(_)) => {
            let inner = (!json.is_null()).then(|| secret(store, json, name)).transpose()?;
            Ok(Val::Option(inner.map(Box::new)))
        }
        _ => value::read(json, ty, name),
    }
}

fn secret(store: &mut Store<State>, json: &Json, name: &str) -> Result<Val, String> {
    let text = json.as_str().ok_or_else(|| format!("{name}: write the password as text"))?;
    let pushed = store.data_mut().table.push(Secret::new(text.to_owned()));
    let handle = pushed.map_err(|error| error.to_string())?;
    let any = handle.try_into_resource_any(&mut *store).map_err(|error| format!("{name}: {error:#}"))?;
    Ok(Val::Resource(any))
}

fn is_named(name: &str, key: &str) -> bool {
    name == key.replace('_', "-")
}
