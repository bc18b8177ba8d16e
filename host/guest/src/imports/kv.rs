//! `postern:host/kv`: a durable map of the plugin's own.

use postern_store::{Kv, SqlError};
use wasmtime::component::{HasData, Linker};

use super::bindings::postern::host::clock::Host as _;
use super::bindings::postern::host::kv::{self, KvError};
use super::clock::ClockView;
use crate::state::State;

/// Keys given at a time.
const MOST_KEYS: u32 = 1_000;

pub(crate) struct KvView<'a> {
    kv: Option<&'a Kv>,
}

impl HasData for KvView<'static> {
    type Data<'a> = KvView<'a>;
}

impl KvView<'_> {
    fn kv(&self) -> Result<&Kv, KvError> {
        // Cannot fail while the import check stands.
        self.kv.ok_or_else(|| KvError::Unavailable("kv is not granted".into()))
    }
}

fn now() -> u64 {
    ClockView.now()
}

fn unavailable(error: SqlError) -> KvError {
    KvError::Unavailable(error.to_string())
}

impl kv::Host for KvView<'_> {
    async fn get(&mut self, key: String) -> Result<Option<Vec<u8>>, KvError> {
        self.kv()?.get(&key, now()).await.map_err(unavailable)
    }

    async fn set(&mut self, key: String, value: Vec<u8>, expires_at: Option<u64>) -> Result<(), KvError> {
        self.kv()?.set(&key, value, expires_at).await.map_err(unavailable)
    }

    async fn delete(&mut self, key: String) -> Result<(), KvError> {
        self.kv()?.delete(&key).await.map_err(unavailable)
    }

    async fn advance(&mut self, key: String, to: u64, expires_at: Option<u64>) -> Result<bool, KvError> {
        self.kv()?.advance(&key, to, expires_at, now()).await.map_err(unavailable)
    }

    async fn keys(
        &mut self,
        prefix: String,
        after: Option<String>,
        limit: u32,
    ) -> Result<Vec<String>, KvError> {
        let limit = limit.min(MOST_KEYS);
        self.kv()?.keys(&prefix, after.as_deref(), limit, now()).await.map_err(unavailable)
    }
}

pub(crate) fn add_to_linker(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    kv::add_to_linker::<State, KvView<'static>>(linker, |state| KvView { kv: state.granted.kv.as_ref() })
}
