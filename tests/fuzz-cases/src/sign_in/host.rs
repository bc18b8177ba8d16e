//! The plugin's host in memory, with keys that are quick and good enough for tests.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hasher};

use token_hmac::host::{Host, Key};

/// A key whose MACs are four keyed hashes.
#[derive(Clone, Debug)]
pub(super) struct Fake([u8; 32]);

impl Key for Fake {
    fn hmac(&self, message: &[u8]) -> Vec<u8> {
        let part = |number: u8| {
            let mut hasher = DefaultHasher::new();
            hasher.write(&self.0);
            hasher.write_u8(number);
            hasher.write(message);
            hasher.finish().to_be_bytes()
        };
        (0..4).flat_map(part).collect()
    }
    /// Compares so that a fuzzer that watches comparisons does not learn the MAC.
    fn verify(&self, message: &[u8], mac: &[u8]) -> bool {
        let differing = self.hmac(message).iter().zip(mac).fold(0, |all, (a, b)| all | (a ^ b));
        mac.len() == 32 && differing == 0
    }
    fn derive(&self, info: &[u8]) -> Self {
        Fake(self.hmac(&[b"derive", info].concat()).try_into().unwrap())
    }
}

/// A host in memory. Nothing expires in it by itself.
#[derive(Default)]
pub(super) struct Memory {
    map: RefCell<BTreeMap<String, Vec<u8>>>,
    counters: RefCell<BTreeMap<String, u64>>,
    made: Cell<u16>,
}

impl Host for Memory {
    type Key = Fake;

    fn master_key(&self) -> Result<Fake, String> {
        Ok(Fake([7; 32]))
    }
    fn random(&self, count: u32) -> Vec<u8> {
        self.made.set(self.made.get().wrapping_add(1));
        self.made.get().to_be_bytes().into_iter().cycle().take(count as usize).collect()
    }
    fn get(&self, key: &str) -> Result<Option<Vec<u8>>, String> {
        Ok(self.map.borrow().get(key).cloned())
    }
    fn set(&self, key: &str, value: &[u8], _: u64) -> Result<(), String> {
        self.map.borrow_mut().insert(key.into(), value.into());
        Ok(())
    }
    fn delete(&self, key: &str) -> Result<(), String> {
        self.map.borrow_mut().remove(key);
        Ok(())
    }
    fn advance(&self, key: &str, to: u64, _: u64) -> Result<bool, String> {
        let mut counters = self.counters.borrow_mut();
        let higher = counters.get(key).is_none_or(|&at| at < to);
        if higher {
            counters.insert(key.into(), to);
        }
        Ok(higher)
    }
    fn keys(&self, prefix: &str, after: Option<&str>, limit: u32) -> Result<Vec<String>, String> {
        let map = self.map.borrow();
        let keys = map.keys().filter(|key| key.starts_with(prefix) && after.is_none_or(|a| key.as_str() > a));
        Ok(keys.take(limit as usize).cloned().collect())
    }
}
