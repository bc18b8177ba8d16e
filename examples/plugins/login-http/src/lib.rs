//! Who may log in, and who knows whom, asked of an enterprise's own HTTP endpoint (A5, A6, A13). Binding
//! only: what is asked is in [`ask`], what an answer means in [`answer`]. README.md describes the endpoint.
//!
//! It fails closed: an answer that is not understood lets nobody in.

pub mod answer;
pub mod ask;

#[allow(unsafe_code, missing_docs, unreachable_pub, clippy::all)] // generated from wit/
pub mod bindings {
    wit_bindgen::generate!({
        path: ["../../../wit/host", "../../../wit/login"],
        world: "postern:login/login-plugin",
        generate_all,
    });
    #[cfg(target_family = "wasm")] // exported names are none that a native linker takes
    export!(Plugin);
    #[cfg(target_family = "wasm")]
    use super::Plugin;
}

use std::sync::OnceLock;

use answer::Answer;
use ask::Settings;
use bindings::{
    exports::postern::{
        host::plugin::{About, Guest as Lifecycle},
        login::{accounts, directory, verify as login},
    },
    postern::host::{
        config::{self, Value},
        http::{self, HttpError},
        http_password::{self, Place},
        log,
        password::Secret,
        proof::Signed,
        types::{Partner, Profile},
    },
};

/// The component.
pub struct Plugin;

/// Read once per instance: the configuration of a generation does not change.
static SETTINGS: OnceLock<Result<Settings, String>> = OnceLock::new();

fn settings() -> Result<&'static Settings, String> {
    SETTINGS.get_or_init(read_settings).as_ref().map_err(Clone::clone)
}

fn read_settings() -> Result<Settings, String> {
    let host = text("host")?.ok_or("config `host` is not set: one of http_hosts")?;
    let base = text("base")?.unwrap_or_default();
    Ok(Settings {
        host,
        base: base.split('/').filter(|part| !part.is_empty()).map(str::to_owned).collect(),
        authorization: text("authorization")?,
    })
}

fn text(key: &str) -> Result<Option<String>, String> {
    match config::get(key) {
        None => Ok(None),
        Some(Value::Text(text)) => Ok(Some(text)),
        Some(_) => Err(format!("config `{key}` must be a text")),
    }
}

/// What the server said; a refused request is a mistake in the policy and is told to the operator.
fn answered(sent: Result<http::Response, HttpError>) -> Result<Answer, String> {
    match sent {
        Ok(response) => {
            let retry_after = response.headers.iter().find(|field| field.name == "retry-after");
            Ok(Answer {
                status: response.status,
                retry_after: retry_after.and_then(|field| field.value.parse().ok()),
                body: response.body,
            })
        }
        Err(HttpError::Unavailable(text)) => Err(text),
        Err(HttpError::Refused(text)) => {
            log::write(log::Level::Error, &text);
            Err(text)
        }
    }
}

fn get(path: &[&str], query: &[(&str, &str)]) -> Result<Answer, String> {
    answered(http::send(&settings()?.get(path, query)))
}

impl Lifecycle for Plugin {
    fn describe() -> About {
        About { name: env!("CARGO_PKG_NAME").into(), version: env!("CARGO_PKG_VERSION").into() }
    }

    fn prepare() -> Result<(), String> {
        for key in config::keys("") {
            if !["host", "base", "authorization"].contains(&key.as_str()) {
                return Err(format!("config has the unknown key `{key}`"));
            }
        }
        settings().map(drop)
    }

    /// The endpoint answers about a user who does not exist.
    fn self_check() -> Result<(), String> {
        get(&["users", "postern-self-check"], &[]).and_then(|answer| answer.profile()).map(drop)
    }
}

impl login::Guest for Plugin {
    fn login(attempt: login::Attempt, typed: &Secret) -> Result<Profile, login::LoginError> {
        if !ask::is_id(&attempt.user) {
            return Err(login::LoginError::Denied);
        }
        let request = settings().map_err(login::LoginError::Unavailable)?.login(&attempt);
        let place = Place::Json("password".to_owned());
        answered(http_password::send(&request, typed, &place))
            .map_err(login::LoginError::Unavailable)?
            .login(&attempt.user)
    }

    /// The endpoint knows passwords only.
    fn login_by_key(_: login::Attempt, _: &Signed) -> Result<Profile, login::LoginError> {
        Err(login::LoginError::Denied)
    }
}

impl directory::Guest for Plugin {
    fn find(user: String) -> Result<Option<Profile>, directory::DirectoryError> {
        if !ask::is_id(&user) {
            return Ok(None);
        }
        let answer = get(&["users", &user], &[]).and_then(|answer| answer.profile());
        answer.map_err(directory::DirectoryError::Unavailable)
    }
    fn partners(org: String) -> Result<Vec<Partner>, directory::DirectoryError> {
        let answer = get(&["orgs", &org, "partners"], &[]).and_then(|answer| answer.partners());
        answer.map_err(directory::DirectoryError::Unavailable)
    }
    fn members(group: String) -> Result<Option<Vec<String>>, directory::DirectoryError> {
        let answer = get(&["groups", &group, "members"], &[]).and_then(|answer| answer.members());
        answer.map_err(directory::DirectoryError::Unavailable)
    }
    fn visible(
        user: String,
        after: Option<String>,
        limit: u32,
    ) -> Result<Vec<directory::Entry>, directory::DirectoryError> {
        let limit_text = limit.to_string();
        let mut query = vec![("limit", limit_text.as_str())];
        query.extend(after.as_deref().map(|after| ("after", after)));
        let answer = get(&["users", &user, "visible"], &query);
        let answer = answer.and_then(|answer| answer.visible(after.as_deref(), limit));
        answer.map_err(directory::DirectoryError::Unavailable)
    }
}

fn elsewhere<T>() -> Result<T, accounts::AccountsError> {
    let host = settings().map_or("another server", |settings| settings.host.as_str());
    Err(accounts::AccountsError::Unsupported(format!("the accounts are kept at {host}")))
}

impl accounts::Guest for Plugin {
    fn put_user(_: accounts::Account, _: Option<&Secret>) -> Result<(), accounts::AccountsError> {
        elsewhere()
    }
    fn remove_user(_: String) -> Result<bool, accounts::AccountsError> {
        elsewhere()
    }
    fn list_users(_: Option<String>, _: u32) -> Result<Vec<accounts::Account>, accounts::AccountsError> {
        elsewhere()
    }
    fn put_partner(_: String, _: Partner) -> Result<(), accounts::AccountsError> {
        elsewhere()
    }
}
