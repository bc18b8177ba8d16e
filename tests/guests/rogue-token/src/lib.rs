//! Tokens are named `USER.CLIENT`; any password is right. Told to be `anonymous`, it admits clients
//! without credentials. Who answers its challenge with `quiet` gets no stored messages and no presence.

mod bindings {
    wit_bindgen::generate!({
        path: ["../../../wit/host", "../../../wit/token"],
        world: "postern:token/token-plugin",
        generate_all,
    });
    export!(Plugin);
    use super::Plugin;
}

use bindings::{
    exports::postern::token::tokens::{
        Attempt, Credential, Denial, Grant, Guest, Holder, Issued, Limits, Outcome, Patterns, Rights,
        Selector, TokenError,
    },
    postern::host::{keys, types::Profile},
};
use rogue::{Mode, giant};

rogue::lifecycle!(Ok(()));

/// 2100.
const LATE: u64 = 4_102_444_800_000;

/// Misbehaves for user `boom`, or, told `when = "revoke"`, in revoking alone.
fn obey(user: &str) -> Mode {
    if revokes_badly() {
        return Mode::Well;
    }
    orders().carry_out(user == "boom", log)
}

fn revokes_badly() -> bool {
    orders().when.as_deref() == Some("revoke")
}

fn issued(token_id: String, mode: Mode) -> Result<Issued, TokenError> {
    let key = keys::open("token").map_err(|_| TokenError::Unavailable("no key".into()))?;
    let token_id = match mode {
        Mode::Nonsense => "../not an id\n".to_owned(),
        Mode::Giant => giant(),
        _ => token_id,
    };
    let key = key.derive(token_id.as_bytes());
    Ok(Issued { token_id, key, bearer: "rogue".into(), counter: 0, expires_at: LATE })
}

fn grant(token_id: &str, attempt: &Attempt, mode: Mode) -> Grant {
    let (user, client_id) = token_id.rsplit_once('.').unwrap_or((token_id, &attempt.client_id));
    let all = || match mode {
        Mode::Nonsense => Patterns { allow: vec!["a/#/b".into(), String::new()], deny: vec!["++".into()] },
        _ => Patterns { allow: vec!["#".into()], deny: Vec::new() },
    };
    let user = if mode == Mode::Nonsense { "../not an id\n" } else { user }.to_owned();
    let name = if mode == Mode::Giant { giant() } else { user.clone() };
    let (org, department, title) = ("rogue".to_owned(), String::new(), String::new());
    Grant {
        token_id: Some(token_id.to_owned()),
        family: None,
        profile: Some(Profile { user, name, org, department, title, groups: vec!["rogues".into()] }),
        partners: Vec::new(),
        client_id: client_id.to_owned(),
        rights: Rights { publish: all(), subscribe: all(), messaging: true },
        limits: Limits { session_expiry_secs: None, keep_alive_secs: None },
        expires_at: Some(LATE),
    }
}

impl Guest for Plugin {
    fn admits_anonymous() -> bool {
        orders().misbehave.as_deref() == Some("anonymous")
    }
    fn issue(holder: Holder, _: u64) -> Result<Issued, TokenError> {
        let mode = obey(&holder.profile.user);
        issued(format!("{}.{}", holder.profile.user, holder.client_id), mode)
    }
    fn verify(attempt: Attempt) -> Result<Outcome, TokenError> {
        let token_id = match &attempt.credential {
            Credential::Anonymous => return Err(TokenError::Denied(Denial::Anonymous)),
            Credential::AuthStart(_) => return Ok(Outcome::Challenge(b"?".to_vec())),
            Credential::AuthAnswer(answer) => String::from_utf8_lossy(&answer.start).into_owned(),
            Credential::Password(password) => password.user_name.clone(),
            Credential::Bearer(pair) => pair.split(':').next().unwrap_or_default().to_owned(),
        };
        let mode = obey(token_id.split('.').next().unwrap_or_default());
        let mut grant = grant(&token_id, &attempt, mode);
        if let Credential::AuthAnswer(answer) = &attempt.credential {
            grant.rights.messaging = answer.data != b"quiet";
        }
        Ok(Outcome::Granted(grant))
    }
    fn renew(token_id: String, _: Holder, _: u64) -> Result<Issued, TokenError> {
        let mode = obey(token_id.split('.').next().unwrap_or_default());
        issued(token_id, mode)
    }
    fn command_key(token_id: String, _: u64) -> Result<keys::Key, TokenError> {
        obey(token_id.split('.').next().unwrap_or_default());
        let key = keys::open("token").map_err(|_| TokenError::Unavailable("no key".into()))?;
        Ok(key.derive(token_id.as_bytes()).derive(b"command"))
    }
    fn revoke(_: Selector, _: u64) -> Result<Vec<String>, TokenError> {
        if revokes_badly() {
            orders().carry_out(true, log);
        }
        Ok(Vec::new())
    }
}
