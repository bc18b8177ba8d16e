//! The login journey: body → limits → (by key: challenge) → role *login* → directory → bus: *issue token* →
//! answer.

use std::net::{IpAddr, Ipv4Addr};

use axum::{
    Extension, Json,
    extract::State,
    http::{HeaderMap, Uri},
};
use postern_guest::{
    CallError, Secret, Signed,
    roles::login::{Attempt, LoginError},
};
use serde::Deserialize;
use tracing::{debug, info, warn};

use super::{
    Body, Ctx, Kind, LoginRole, Problem,
    answer::{LoggedIn, TokenAnswer, spoken_to},
    bus, busy,
    by_key::Answer,
    pace::neighbourhood,
    too_many,
};
use crate::{
    admin::wire::PasswordText,
    clock,
    control::{
        ask::ask,
        topics::is_id,
        wire::{Denied, DirectoryPage, IssueToken, IssuedToken, Profile, VisiblePeople},
    },
    listen::http::Peer,
};

/// Characters of the longest password that is looked at: argon2 reads all of it.
const MAX_PASSWORD: usize = 1024;
/// People in a login answer; the rest by `GET /v1/directory`.
const FIRST_PAGE: u32 = 500;

#[derive(Deserialize)]
pub(super) struct Login {
    user: String,
    client_id: String,
    password: Option<PasswordText>,
    challenge: Option<String>,
    signature: Option<String>,
}

/// What somebody logs in by.
enum Credential {
    Password(PasswordText),
    Key(Answer),
}

/// The same, ready to be verified.
enum Proof {
    Password(Secret),
    Key(Signed),
}

pub(super) async fn login(
    State(ctx): State<Ctx>,
    Extension(peer): Extension<Peer>,
    uri: Uri,
    headers: HeaderMap,
    request: Result<Body<Login>, Problem>,
) -> Result<Json<LoggedIn>, Problem> {
    // A2: before anything in the request is judged.
    let Some(role) = &ctx.role else { return Err(Kind::WrongServer.into()) };
    let Body(request) = request?;
    let (user, client_id, credential) = check(request)?;
    let by = match credential {
        Credential::Password(_) => "password",
        Credential::Key(_) => "key",
    };
    let host = spoken_to(&uri, &headers);
    let address = match peer {
        Peer::Network(peer) => peer.ip().to_canonical(),
        Peer::Local(_) => IpAddr::V4(Ipv4Addr::LOCALHOST),
    };
    let now = clock::now().0;
    let attempt = Attempt { user, client_id, address: address.to_string(), now };
    let result = match pace(&ctx, address, &attempt.user, now) {
        Ok(()) => admit(role, &ctx, attempt, credential, &host).await,
        Err(problem) => Err(problem),
    };
    let outcome = match &result {
        Ok(_) => "ok",
        Err(problem) if problem.status == 401 => "denied",
        Err(problem) if problem.status == 429 => "too-many",
        Err(_) => "unavailable",
    };
    metrics::counter!("postern_logins_total", "outcome" => outcome, "by" => by).increment(1);
    let Admitted { profile, directory, issued } = result?;
    let token = TokenAnswer::new(issued, &host, clock::now().0);
    Ok(Json(LoggedIn { user: profile.user.clone(), profile, directory, token }))
}

fn check(request: Login) -> Result<(String, String, Credential), Problem> {
    let Login { user, client_id, password, challenge, signature } = request;
    for (field, id) in [("user", &user), ("client_id", &client_id)] {
        if !is_id(id) {
            let detail = format!("{field} must be 1 to 64 of A-Z a-z 0-9 . _ -");
            return Err(Problem::detailed(Kind::Invalid, detail));
        }
    }
    let invalid = |detail: String| Err(Problem::detailed(Kind::Invalid, detail));
    let credential = match (password, challenge, signature) {
        (Some(password), None, None) if password.len() > MAX_PASSWORD => {
            return invalid(format!("password is longer than {MAX_PASSWORD} bytes"));
        }
        (Some(password), None, None) => Credential::Password(password),
        (None, Some(challenge), Some(signature)) => Credential::Key(Answer::read(&challenge, &signature)?),
        _ => return invalid("give either password, or challenge and signature".to_owned()),
    };
    Ok((user, client_id, credential))
}

/// Limits first: what is refused here costs no argon2. A user name counts whether it is known or
/// not, so that the limit tells nothing about it.
fn pace(ctx: &Ctx, address: IpAddr, user: &str, now_ms: u64) -> Result<(), Problem> {
    let by_address = ctx.addresses.lock().take(neighbourhood(address), now_ms);
    let taken = by_address.and_then(|()| ctx.users.lock().take(user.to_owned(), now_ms));
    taken.map_err(|wait| too_many("login-rate", wait))
}

/// What a login has earned.
struct Admitted {
    profile: Profile,
    directory: DirectoryPage,
    issued: IssuedToken,
}

async fn admit(
    role: &LoginRole,
    ctx: &Ctx,
    attempt: Attempt,
    credential: Credential,
    host: &str,
) -> Result<Admitted, Problem> {
    let slots = &*role.slots;
    let client_id = attempt.client_id.clone();
    let profile = {
        // Not before: who is slow to say what he wants holds no argon2 back.
        let _at_work = ctx.logins.try_acquire().map_err(|_| busy("logins-busy"))?;
        let proof = match credential {
            Credential::Password(password) => Proof::Password(Secret::new(password.into_text())),
            Credential::Key(answer) => Proof::Key(role.keys.take(answer, &attempt, host).await?),
        };
        verify(role, attempt, proof).await?
    };
    // The token comes last: nothing that fails here leaves one behind that nobody holds.
    let partners = bus::partners(slots, &profile.org).await?;
    let directory =
        bus::visible(slots, VisiblePeople { user: profile.user.clone(), after: None, limit: FIRST_PAGE });
    let directory = directory.await?;
    let question = IssueToken { profile: profile.clone(), partners, client_id };
    let issued = ask(&ctx.bus, &question).await.map_err(|denied| match denied {
        // The user did nothing wrong: the token role will not have whom the login role let in.
        Denied::Denied | Denied::Invalid { .. } => {
            warn!(%denied, "no token for a user who has logged in");
            Problem::from(Kind::Unavailable)
        }
        other => other.into(),
    })?;
    info!("login");
    debug!(user = profile.user, client_id = question.client_id, "login");
    Ok(Admitted { profile, directory, issued })
}

/// Asks the login role. Whatever the reason of a refusal, the client is told the same.
async fn verify(role: &LoginRole, attempt: Attempt, proof: Proof) -> Result<Profile, Problem> {
    let (user, address) = (attempt.user.clone(), attempt.address.clone());
    let login = role.slots.login();
    let verified = match &proof {
        Proof::Password(password) => login.login(attempt, password).await,
        Proof::Key(signed) => login.login_by_key(attempt, signed).await,
    };
    match verified {
        Ok(profile) if is_id(&profile.user) => Ok(profile.into()),
        Ok(_) => {
            warn!("the login role answered with a profile without a proper user id");
            Err(Kind::Unavailable.into())
        }
        Err(CallError::Answer(LoginError::Denied)) => {
            info!(address, "login refused");
            debug!(user, "login refused");
            Err(Kind::LoginDenied.into())
        }
        Err(CallError::Answer(LoginError::RetryAfter(secs))) => Err(Problem::too_many(secs)),
        Err(CallError::Answer(LoginError::Unavailable(detail))) => {
            warn!(detail, "login role: unavailable");
            Err(Kind::Unavailable.into())
        }
        // C6: login fails closed.
        Err(CallError::Down(down)) => {
            warn!(%down, "login role");
            Err(Kind::Unavailable.into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_checked_and_named() {
        let check = |user: &str, client_id: &str, password: &str| {
            let password = Some(PasswordText::new(password.to_owned()));
            let (user, client_id) = (user.to_owned(), client_id.to_owned());
            super::check(Login { user, client_id, password, challenge: None, signature: None }).map(drop)
        };
        assert!(check("alice", "phone-1.A_b", "x").is_ok());
        let long = "x".repeat(65);
        for (user, client_id, field) in [
            ("", "phone", "user"),
            ("a/b", "phone", "user"),
            ("alice", "", "client_id"),
            ("alice", &long, "client_id"),
        ] {
            let problem = check(user, client_id, "x").unwrap_err();
            assert_eq!(problem.status, 400);
            assert!(problem.detail.unwrap().starts_with(field));
        }
        assert_eq!(check("alice", "phone", &"x".repeat(MAX_PASSWORD + 1)).unwrap_err().status, 400);
    }
}
