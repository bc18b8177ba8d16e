//! Devices that are logged in, each of a user of its own.

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::sync::Mutex;

use anyhow::{Context, Result, anyhow};
use bytes::Bytes;
use phone::{Api, Device};
use postern_broker::wire::{Connect, Version};
use postern_tests::{connect, text};
use serde::Deserialize;
use serde_json::{Value, json};

/// Who logs in where.
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
    /// Where the devices keep their state.
    folder: PathBuf,
}

/// The devices, by user.
#[derive(Default)]
pub(crate) struct People(BTreeMap<String, Device>);

/// Logins at once: each costs the server an argon2, and it takes 16.
const AT_ONCE: usize = 4;

impl People {
    /// Logs the devices in.
    pub(crate) fn log_in(&mut self, request: &Request) -> Result<Value> {
        let ca = std::fs::read(&request.ca).with_context(|| request.ca.display().to_string())?;
        let api = Api::new(&request.api, Some(&ca))?;
        std::fs::create_dir_all(&request.folder)?;
        let done = at_once(&request.users, |user| {
            let login =
                api.login(user, &request.password, user).with_context(|| format!("login of {user}"))?;
            let file = request.folder.join(format!("{user}.json"));
            Ok((user.clone(), Device::new(&file, user, login)?))
        })?;
        self.0.extend(done);
        Ok(json!({ "devices": self.0.len() }))
    }

    /// A CONNECT of `user`'s device with a proof for `listener`; clean start, no session left behind.
    pub(crate) fn connect(&mut self, user: &str, listener: &str, version: Version) -> Result<Connect> {
        let device = self.0.get_mut(user).with_context(|| format!("{user} has not logged in"))?;
        let broker =
            device.login().broker(listener).with_context(|| format!("no broker {listener}"))?.clone();
        let proof = device.proof(&broker)?;
        Ok(Connect {
            user_name: Some(text(&device.login().token.id)),
            password: Some(Bytes::from(proof)),
            ..connect(version, user)
        })
    }
}

/// Does `work` for each user, in some threads: it waits for the server.
pub(crate) fn at_once<T: Send>(
    users: &[String],
    work: impl Fn(&String) -> Result<T> + Sync,
) -> Result<Vec<T>> {
    let waiting: Mutex<VecDeque<&String>> = Mutex::new(users.iter().collect());
    let next = || waiting.lock().ok().and_then(|mut waiting| waiting.pop_front());
    let worker = || std::iter::from_fn(next).map(&work).collect::<Result<Vec<T>>>();
    let done = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(worker)).collect();
        let joined = |worker: std::thread::ScopedJoinHandle<'_, _>| {
            worker.join().map_err(|_| anyhow!("a login panicked"))?
        };
        workers.into_iter().map(joined).collect::<Result<Vec<_>>>()
    })?;
    Ok(done.into_iter().flatten().collect())
}
