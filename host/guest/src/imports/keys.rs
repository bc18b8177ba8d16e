//! `postern:host/keys`: named keys as opaque handles.

use wasmtime::component::{HasData, Linker, Resource, ResourceTable};

use super::bindings::postern::host::keys;
use crate::keyring::Key;
use crate::state::{Granted, State};

pub(crate) struct KeysView<'a> {
    granted: &'a Granted,
    table: &'a mut ResourceTable,
}

impl HasData for KeysView<'static> {
    type Data<'a> = KeysView<'a>;
}

impl keys::Host for KeysView<'_> {
    fn open(&mut self, name: String) -> wasmtime::Result<Result<Resource<Key>, keys::KeyError>> {
        match self.granted.keys.get(&name) {
            Some(key) => Ok(Ok(self.table.push(key.clone())?)),
            None => Ok(Err(keys::KeyError::Unknown)),
        }
    }
}

impl keys::HostKey for KeysView<'_> {
    fn hmac(&mut self, key: Resource<Key>, message: Vec<u8>) -> wasmtime::Result<Vec<u8>> {
        Ok(self.table.get(&key)?.hmac(&message).to_vec())
    }

    fn verify(&mut self, key: Resource<Key>, message: Vec<u8>, mac: Vec<u8>) -> wasmtime::Result<bool> {
        Ok(self.table.get(&key)?.verify(&message, &mac))
    }

    fn derive(&mut self, key: Resource<Key>, info: Vec<u8>) -> wasmtime::Result<Resource<Key>> {
        let derived = self.table.get(&key)?.derive(&info);
        Ok(self.table.push(derived)?)
    }

    fn drop(&mut self, key: Resource<Key>) -> wasmtime::Result<()> {
        self.table.delete(key)?;
        Ok(())
    }
}

pub(crate) fn add_to_linker(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    keys::add_to_linker::<State, KeysView<'static>>(linker, |state| KeysView {
        granted: &state.granted,
        table: &mut state.table,
    })
}
