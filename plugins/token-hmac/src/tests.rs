//! The rules with keys of our own and a map in memory.

use std::{cell::RefCell, collections::BTreeMap};

use ring::{hkdf, hmac};

use crate::{
    bindings::{
        exports::postern::token::tokens::{
            Attempt, AuthAnswer, AuthData, Credential, Denial, Device, Grant, Holder, NameAndPassword,
            Outcome, Selector, TokenError,
        },
        postern::host::types::{Link, Partner, Profile, Relation, Transport},
    },
    host::{Host, Key},
    settings::Settings,
    tokens,
    verify::verify,
};

mod rights;
mod sign_in;
mod tokens_end;
mod vectors;

/// A key whose bytes the tests know.
#[derive(Clone, Debug)]
struct Bytes([u8; 32]);

impl Key for Bytes {
    fn hmac(&self, message: &[u8]) -> Vec<u8> {
        hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &self.0), message).as_ref().to_vec()
    }
    fn verify(&self, message: &[u8], mac: &[u8]) -> bool {
        hmac::verify(&hmac::Key::new(hmac::HMAC_SHA256, &self.0), message, mac).is_ok()
    }
    fn derive(&self, info: &[u8]) -> Self {
        let extracted = hkdf::Salt::new(hkdf::HKDF_SHA256, &[]).extract(&self.0);
        let mut bytes = [0; 32];
        extracted.expand(&[info], hkdf::HKDF_SHA256).unwrap().fill(&mut bytes).unwrap();
        Bytes(bytes)
    }
}

/// A host in memory. Nothing expires in it by itself.
#[derive(Default)]
struct Memory {
    map: RefCell<BTreeMap<String, Vec<u8>>>,
    counters: RefCell<BTreeMap<String, u64>>,
    made: RefCell<u8>,
    down: bool,
}

impl Memory {
    fn up(&self) -> Result<(), String> {
        if self.down { Err("the store is down".into()) } else { Ok(()) }
    }
}

impl Host for Memory {
    type Key = Bytes;
    fn master_key(&self) -> Result<Bytes, String> {
        Ok(Bytes([7; 32]))
    }
    fn random(&self, count: u32) -> Vec<u8> {
        *self.made.borrow_mut() += 1;
        vec![*self.made.borrow(); count as usize]
    }
    fn get(&self, key: &str) -> Result<Option<Vec<u8>>, String> {
        self.up()?;
        Ok(self.map.borrow().get(key).cloned())
    }
    fn set(&self, key: &str, value: &[u8], _: u64) -> Result<(), String> {
        self.up()?;
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

/// A day in 2026, ms.
const NOW: u64 = 1_790_000_000_000;

fn holder(user: &str, client_id: &str) -> Holder {
    Holder {
        profile: Profile {
            user: user.into(),
            name: "Alice A.".into(),
            org: "acme".into(),
            department: "R&D".into(),
            title: String::new(),
            groups: vec!["ops".into(), "all-hands".into()],
        },
        partners: vec![Partner { org: "steelworks".into(), relation: Relation::Upstream }],
        client_id: client_id.into(),
    }
}

fn issue(host: &Memory, settings: &Settings) -> tokens::Issued<Bytes> {
    tokens::issue(host, settings, holder("alice", "phone"), NOW).unwrap()
}

fn plain() -> Link {
    Link { transport: Transport::Plain, listener: "tcp".into(), address: "192.0.2.1".into() }
}

fn tls() -> Link {
    Link { transport: Transport::Tls, listener: "tls".into(), address: "192.0.2.1".into() }
}

fn attempt(link: Link, credential: Credential) -> Attempt {
    Attempt { client_id: "phone".into(), credential, link, now: NOW }
}

fn password(token_id: &str, password: &str) -> Credential {
    Credential::Password(NameAndPassword { user_name: token_id.into(), password: password.into() })
}

fn granted(answer: Result<Outcome, TokenError>) -> Grant {
    match answer {
        Ok(Outcome::Granted(grant)) => grant,
        other => panic!("not granted: {other:?}"),
    }
}

fn denial(answer: Result<Outcome, TokenError>) -> Denial {
    match answer {
        Err(TokenError::Denied(denial)) => denial,
        other => panic!("not denied: {other:?}"),
    }
}
