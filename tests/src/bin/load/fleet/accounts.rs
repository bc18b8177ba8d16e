//! Accounts of simulated terminals and of who asks them: a token each, kept in memory and in one file.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context, Result};
use bytes::Bytes;
use phone::{Api, Signing, Token, now_ms, proof};
use postern_broker::wire::{Connect, Version};
use postern_tests::{connect, text};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use terminal::keys::{CommandKey, InstructionKey};
use terminal::message::Transport;
use terminal::state::Grant;

use crate::people::at_once;

/// Whom to log in where.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Request {
    /// `https://HOST:PORT`.
    api: String,
    /// The certificate to trust, PEM.
    ca: PathBuf,
    /// User ids; each user's device has the same name.
    users: Vec<String>,
    /// Of all of them.
    password: String,
    /// Where the tokens are kept: those that are there and good are taken.
    file: PathBuf,
}

/// Somebody who has logged in.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Account {
    pub(crate) user: String,
    token: Token,
    /// The counter used last.
    counter: u64,
    /// The server's clock minus ours, milliseconds.
    clock_offset_ms: i64,
    pub(crate) instruction_keys: Vec<InstructionKey>,
}

/// By user.
#[derive(Default)]
pub(crate) struct Accounts(BTreeMap<String, Account>);

/// Less time than this is not enough for a run, ms.
const LONG_ENOUGH: u64 = 3_600_000;

impl Accounts {
    /// Logs in whoever has no good token.
    pub(crate) fn log_in(&mut self, request: &Request) -> Result<Value> {
        if let Ok(bytes) = std::fs::read(&request.file) {
            let kept: Vec<Account> = serde_json::from_slice(&bytes).context("the accounts' file")?;
            let good = kept.into_iter().filter(|kept| kept.token.expires_at > now_ms() + LONG_ENOUGH);
            self.0.extend(good.map(|kept| (kept.user.clone(), kept)));
        }
        let ca = std::fs::read(&request.ca).with_context(|| request.ca.display().to_string())?;
        let api = Api::new(&request.api, Some(&ca))?;
        let unknown: Vec<String> =
            request.users.iter().filter(|user| !self.0.contains_key(*user)).cloned().collect();
        let new = at_once(&unknown, |user| {
            Account::log_in(&api, user, &request.password).with_context(|| format!("login of {user}"))
        })?;
        self.0.extend(new.into_iter().map(|account| (account.user.clone(), account)));
        if !unknown.is_empty() {
            let all: Vec<&Account> = self.0.values().collect();
            std::fs::write(&request.file, serde_json::to_vec(&all)?)
                .with_context(|| request.file.display().to_string())?;
        }
        Ok(json!({ "accounts": self.0.len(), "new": unknown.len() }))
    }

    /// A user's account.
    pub(crate) fn of(&self, user: &str) -> Result<Account> {
        self.0.get(user).cloned().with_context(|| format!("{user} has not logged in"))
    }
}

impl Account {
    /// Logs a device in that is called as its user is. Blocks.
    pub(crate) fn log_in(api: &Api, user: &str, password: &str) -> Result<Self> {
        Ok(Account::new(user, api.login_as::<Grant>(user, password, user)?))
    }

    /// The same device with a token that was got for the one it has. Blocks.
    pub(crate) fn renewed(&self, api: &Api) -> Result<Self> {
        let grant: Grant = api.post(&self.token, "/v1/token", &json!({}))?;
        Ok(Account::new(&self.user, grant))
    }

    /// What it has to show.
    pub(crate) fn token(&self) -> &Token {
        &self.token
    }

    fn new(user: &str, grant: Grant) -> Self {
        let offset = |time: u64| i64::try_from(i128::from(time) - i128::from(now_ms())).unwrap_or(0);
        Account {
            user: user.to_owned(),
            counter: grant.token.counter,
            clock_offset_ms: grant.server_time.map_or(0, offset),
            instruction_keys: grant.instruction_keys.unwrap_or_default(),
            token: grant.token,
        }
    }

    /// Milliseconds since 1970 by the server's clock.
    pub(crate) fn server_now(&self) -> u64 {
        now_ms().saturating_add_signed(self.clock_offset_ms)
    }

    /// A CONNECT with a proof for this transport's listener.
    pub(crate) fn connect(&mut self, transport: Transport, keep_alive_secs: u16) -> Result<Connect> {
        self.connect_at(transport.listener(), transport, keep_alive_secs)
    }

    /// A CONNECT with a proof for this listener.
    pub(crate) fn connect_at(
        &mut self,
        listener: &str,
        transport: Transport,
        keep_alive_secs: u16,
    ) -> Result<Connect> {
        // Greater than all before it, of runs before this one too, without a write for each.
        self.counter = (self.counter + 1).max(now_ms() * 1_000);
        let signing = Signing {
            token_id: &self.token.id,
            client_id: &self.user,
            transport: transport.name(),
            listener,
            counter: self.counter,
            time_ms: self.server_now(),
        };
        Ok(Connect {
            user_name: Some(text(&self.token.id)),
            password: Some(Bytes::from(proof(&self.token.key, signing)?)),
            keep_alive: keep_alive_secs,
            ..connect(Version::V5, &self.user)
        })
    }

    /// What authenticates commands and results.
    pub(crate) fn command_key(&self) -> Result<CommandKey> {
        CommandKey::of_token(&self.token.key).context("no command key")
    }
}
