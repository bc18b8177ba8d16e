//! A terminal's key pair in the test's own hands, and logins by it.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use phone::{ApiError, Login};
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use serde_json::Value;
use terminal::credential::answer;

use crate::Postern;

/// An Ed25519 key pair.
#[derive(Debug)]
pub struct KeyPair(Ed25519KeyPair);

impl KeyPair {
    /// The one of this seed.
    pub fn of(seed: u8) -> Self {
        KeyPair(Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap())
    }

    /// The public key as it is registered.
    pub fn public(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.0.public_key())
    }

    /// The request that answers a challenge for a user's device `unit`, at the server of this name.
    pub fn answer(&self, challenge: &str, user: &str, host: &str) -> Value {
        answer(&self.0, challenge, user, "unit", host).expect("a challenge")
    }
}

impl Postern {
    /// Adds a user of `acme` who logs in by a key alone.
    pub async fn user_with_key(&self, user: &str, pair: &KeyPair) {
        self.done(&["user", "add", user, "--org", "acme", "--key", &pair.public()]).await;
    }

    /// A fresh challenge.
    pub async fn challenge(&self) -> String {
        let api = self.api();
        tokio::task::spawn_blocking(move || api.challenge()).await.unwrap().expect("a challenge")
    }

    /// `POST /v1/login` with this body.
    pub async fn post_login(&self, body: Value) -> Result<Login, ApiError> {
        let api = self.api();
        tokio::task::spawn_blocking(move || api.log_in(&body)).await.unwrap()
    }

    /// Logs a user's device `unit` in by a key.
    pub async fn login_by_key(&self, user: &str, pair: &KeyPair) -> Result<Login, ApiError> {
        self.post_login(pair.answer(&self.challenge().await, user, "127.0.0.1")).await
    }
}
