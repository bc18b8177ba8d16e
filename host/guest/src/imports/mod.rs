//! What a plugin may call: one file per interface of `wit/host`, each with a view of the store's
//! state that shows only what the interface needs.
//!
//! Interfaces that never wait are linked for pure roles too; `http`, `http-password`, `password`, `sql` and
//! `kv` wait, and only for the other roles, as is `proof`, which no pure role has a use for.

pub(crate) mod clock;
pub(crate) mod config;
pub(crate) mod http;
pub(crate) mod http_password;
pub(crate) mod keys;
pub(crate) mod kv;
pub(crate) mod log;
pub(crate) mod password;
pub(crate) mod proof;
pub(crate) mod random;
pub(crate) mod sql;

use wasmtime::component::Linker;

use crate::state::State;

/// The interfaces of `postern:host` that a policy can grant, apart from `types`, which everybody has.
pub const GRANTABLE: [&str; 11] =
    ["clock", "config", "http", "http-password", "keys", "kv", "log", "password", "proof", "random", "sql"];

/// Links what never waits.
pub(crate) fn link_pure(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    clock::add_to_linker(linker)?;
    config::add_to_linker(linker)?;
    keys::add_to_linker(linker)?;
    log::add_to_linker(linker)?;
    random::add_to_linker(linker)
}

/// Links everything.
pub(crate) fn link_all(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    link_pure(linker)?;
    http::add_to_linker(linker)?;
    http_password::add_to_linker(linker)?;
    kv::add_to_linker(linker)?;
    password::add_to_linker(linker)?;
    proof::add_to_linker(linker)?;
    sql::add_to_linker(linker)
}

/// Generated from `wit/host`; documented there.
#[allow(missing_docs, unreachable_pub)]
pub(crate) mod bindings {
    wasmtime::component::bindgen!({
        path: "../../wit/host",
        interfaces: "
            import postern:host/clock@0.1.0;
            import postern:host/config@0.1.0;
            import postern:host/http@0.1.0;
            import postern:host/http-password@0.1.0;
            import postern:host/keys@0.1.0;
            import postern:host/kv@0.1.0;
            import postern:host/log@0.1.0;
            import postern:host/password@0.1.0;
            import postern:host/proof@0.1.0;
            import postern:host/random@0.1.0;
            import postern:host/sql@0.1.0;
        ",
        with: {
            "postern:host/keys.key": crate::keyring::Key,
            "postern:host/password.secret": crate::imports::password::Secret,
            "postern:host/proof.signed": crate::imports::proof::Signed,
        },
        imports: {
            "postern:host/http": async,
            "postern:host/http-password": async | trappable,
            "postern:host/keys": trappable,
            "postern:host/kv": async,
            "postern:host/password": async | trappable,
            "postern:host/proof": trappable,
            "postern:host/sql": async,
        },
    });
}
