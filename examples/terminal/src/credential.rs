//! What a terminal logs in by: a key pair that it has made itself, or a password.
//! docs/protocol/sign-in.md has what is signed byte by byte.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use phone::{Api, ApiError};
use ring::rand::{SecureRandom, SystemRandom};
use ring::signature::{Ed25519KeyPair, KeyPair};

use crate::state::{Grant, replace};

/// Said before what is signed, so that a signature is good for nothing else.
const CONTEXT: &[u8] = b"postern login";
/// Version of what is signed.
const VERSION: u8 = 1;

/// What a terminal logs in by.
pub enum Credential {
    /// The private key, which never leaves the terminal.
    Key(Ed25519KeyPair),
    /// A file with a password on its first line.
    Password(PathBuf),
}

impl Credential {
    /// The key in the state folder if there is one, else the password.
    ///
    /// # Errors
    /// When there is neither, when the key cannot be read, or others than its owner may read it.
    pub fn of(state: &Path, password_file: Option<&Path>) -> io::Result<Self> {
        let file = key_file(state);
        match (file.exists(), password_file) {
            (true, _) => read(&file).map(Credential::Key),
            (false, Some(password)) => Ok(Credential::Password(password.to_owned())),
            (false, None) => {
                let none = format!("no credential: {} is not there; start with --enrol once", file.display());
                Err(io::Error::new(io::ErrorKind::NotFound, none))
            }
        }
    }

    /// Logs in. Blocking.
    ///
    /// # Errors
    /// Why there is no token.
    pub fn log_in(&self, api: &Api, user: &str, client_id: &str) -> Result<Grant, String> {
        let told = |error: ApiError| error.to_string();
        match self {
            Credential::Password(file) => {
                let text = std::fs::read_to_string(file).map_err(|error| error.to_string())?;
                let password = text.lines().next().unwrap_or_default();
                api.login_as(user, password, client_id).map_err(told)
            }
            Credential::Key(pair) => {
                let challenge = api.challenge().map_err(told)?;
                let answer = answer(pair, &challenge, user, client_id, api.host());
                let answer = answer.ok_or("the server's challenge is not base64url")?;
                api.log_in(&answer).map_err(told)
            }
        }
    }
}

/// Makes the key pair if there is none yet. Answers the public key, base64url, for an operator to
/// register.
///
/// # Errors
/// When the private key cannot be written, or one that is there cannot be read.
pub fn enrol(state: &Path) -> io::Result<String> {
    let file = key_file(state);
    if !file.exists() {
        let mut seed = [0; 32];
        SystemRandom::new().fill(&mut seed).map_err(|_| io::Error::other("no random numbers"))?;
        std::fs::create_dir_all(state)?;
        replace(&file, (URL_SAFE_NO_PAD.encode(seed) + "\n").as_bytes())?;
    }
    Ok(URL_SAFE_NO_PAD.encode(read(&file)?.public_key()))
}

/// The request that answers a challenge. None when `challenge` is not base64url.
pub fn answer(
    pair: &Ed25519KeyPair,
    challenge: &str,
    user: &str,
    client_id: &str,
    host: &str,
) -> Option<serde_json::Value> {
    let message = message(&URL_SAFE_NO_PAD.decode(challenge).ok()?, user, client_id, host);
    let signature = URL_SAFE_NO_PAD.encode(pair.sign(&message));
    Some(serde_json::json!({
        "user": user, "client_id": client_id, "challenge": challenge, "signature": signature,
    }))
}

/// What is signed. `host` is the name or address by which the server is called.
pub fn message(challenge: &[u8], user: &str, client_id: &str, host: &str) -> Vec<u8> {
    let host = host.to_ascii_lowercase();
    let fields = [&[VERSION][..], challenge, user.as_bytes(), client_id.as_bytes(), host.as_bytes()];
    [CONTEXT, &phone::fields(&fields)].concat()
}

fn key_file(state: &Path) -> PathBuf {
    state.join("key")
}

/// The seed of 32 bytes, base64url.
fn read(file: &Path) -> io::Result<Ed25519KeyPair> {
    let wrong = |what: &str| io::Error::other(format!("{}: {what}", file.display()));
    let text = std::fs::read_to_string(file).map_err(|error| wrong(&error.to_string()))?;
    if std::fs::metadata(file)?.mode() & 0o077 != 0 {
        return Err(wrong("others can read it; run chmod 600, or enrol anew without it"));
    }
    let seed = URL_SAFE_NO_PAD.decode(text.trim()).map_err(|_| wrong("is not base64url"))?;
    Ed25519KeyPair::from_seed_unchecked(&seed).map_err(|_| wrong("is not a key of 32 bytes"))
}
