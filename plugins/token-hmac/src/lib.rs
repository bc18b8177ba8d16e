//! Tokens proved by HMAC (SECURITY.md, rule 1). Binding only: the rules are in [`tokens`] (issue,
//! renew, revoke), [`verify`] and [`rights`]; [`proof`] is the wire format.
//!
//! verify: credential → record → client id, expiry → MAC → window → counter → rights

pub mod host;
pub mod proof;
pub mod record;
pub mod rights;
pub mod settings;
#[cfg(test)]
mod tests;
pub mod tokens;
pub mod verify;

#[allow(unsafe_code, missing_docs, unreachable_pub, clippy::all)] // generated from wit/
pub mod bindings {
    wit_bindgen::generate!({
        path: ["../../wit/host", "../../wit/token"],
        world: "postern:token/token-plugin",
        generate_all,
    });
    #[cfg(target_family = "wasm")] // exported names are none that a native linker takes
    export!(Plugin);
    #[cfg(target_family = "wasm")]
    use super::Plugin;
}

use std::sync::OnceLock;

use bindings::{
    exports::postern::{
        host::plugin::{About, Guest as Lifecycle},
        token::tokens::{Attempt, Guest, Holder, Issued, Outcome, Selector, TokenError},
    },
    postern::host::{
        config::{self, Value},
        keys, kv, random,
    },
};
use host::{Host, Key};
use settings::{Config, Settings};

/// The component.
pub struct Plugin;

/// Read once per instance: the configuration of a generation does not change.
static SETTINGS: OnceLock<Result<Settings, String>> = OnceLock::new();

fn settings() -> Result<&'static Settings, TokenError> {
    SETTINGS
        .get_or_init(|| Settings::read(&Table))
        .as_ref()
        .map_err(|text| TokenError::Unavailable(text.clone()))
}

/// The plugin's table of the policy file.
struct Table;

impl Config for Table {
    fn get(&self, key: &str) -> Option<Value> {
        config::get(key)
    }
    fn keys(&self, prefix: &str) -> Vec<String> {
        config::keys(prefix)
    }
}

impl Key for keys::Key {
    fn hmac(&self, message: &[u8]) -> Vec<u8> {
        keys::Key::hmac(self, message)
    }
    fn verify(&self, message: &[u8], mac: &[u8]) -> bool {
        keys::Key::verify(self, message, mac)
    }
    fn derive(&self, info: &[u8]) -> Self {
        keys::Key::derive(self, info)
    }
}

/// The host's interfaces.
struct Imports;

impl Host for Imports {
    type Key = keys::Key;

    fn master_key(&self) -> Result<keys::Key, String> {
        keys::open("token").map_err(|_| "the policy grants no key named `token`".to_owned())
    }
    fn random(&self, count: u32) -> Vec<u8> {
        random::bytes(count)
    }
    fn get(&self, key: &str) -> Result<Option<Vec<u8>>, String> {
        kv::get(key).map_err(down)
    }
    fn set(&self, key: &str, value: &[u8], expires_at: u64) -> Result<(), String> {
        kv::set(key, value, Some(expires_at)).map_err(down)
    }
    fn delete(&self, key: &str) -> Result<(), String> {
        kv::delete(key).map_err(down)
    }
    fn advance(&self, key: &str, to: u64, expires_at: u64) -> Result<bool, String> {
        kv::advance(key, to, Some(expires_at)).map_err(down)
    }
    fn keys(&self, prefix: &str, after: Option<&str>, limit: u32) -> Result<Vec<String>, String> {
        kv::keys(prefix, after, limit).map_err(down)
    }
}

fn down(kv::KvError::Unavailable(text): kv::KvError) -> String {
    text
}

impl Lifecycle for Plugin {
    fn describe() -> About {
        About { name: env!("CARGO_PKG_NAME").into(), version: env!("CARGO_PKG_VERSION").into() }
    }

    fn prepare() -> Result<(), String> {
        Settings::read(&Table).map(drop)
    }

    fn self_check() -> Result<(), String> {
        Settings::read(&Table)?;
        tokens::self_check(&Imports)
    }
}

impl Guest for Plugin {
    fn admits_anonymous() -> bool {
        // What cannot be read may admit: the host must not take silence for a no.
        settings().map_or(true, |settings| settings.anonymous)
    }
    fn issue(holder: Holder, now: u64) -> Result<Issued, TokenError> {
        tokens::issue(&Imports, settings()?, holder, now).map(issued)
    }
    fn verify(attempt: Attempt) -> Result<Outcome, TokenError> {
        verify::verify(&Imports, settings()?, &attempt)
    }
    fn renew(token_id: String, holder: Holder, now: u64) -> Result<Issued, TokenError> {
        tokens::renew(&Imports, settings()?, &token_id, holder, now).map(issued)
    }
    fn command_key(token_id: String, now: u64) -> Result<keys::Key, TokenError> {
        tokens::command_key(&Imports, &token_id, now)
    }
    fn revoke(selector: Selector, _: u64) -> Result<Vec<String>, TokenError> {
        tokens::revoke(&Imports, &selector)
    }
}

fn issued(token: tokens::Issued<keys::Key>) -> Issued {
    let tokens::Issued { token_id, key, bearer, expires_at } = token;
    // The client's first counter is 1.
    Issued { token_id, key, bearer, counter: 0, expires_at }
}
