//! `postern user …` and `postern partner …`: the login plugin's accounts.

use axum::{
    Extension, Json,
    extract::{Path, State},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use postern_guest::{
    CallError, PublicKey, Secret,
    roles::{
        login::{Account, AccountsError},
        types::{Partner, Profile},
    },
};
use serde::Deserialize;

use super::{
    Ctx,
    acts::act,
    tokens::told,
    wire::{PartnerChange, UserChange, UserChanged, UserPage, UserView},
};
use crate::{
    control::{
        ask::ask,
        people::CHANGED,
        topics::is_id,
        wire::{Relation, RevokeTokens},
    },
    listen::http::Peer,
    login::{Body, Kind, Problem},
};

/// Accounts of a page.
const PAGE: u32 = 500;

fn failed(e: CallError<AccountsError>) -> Problem {
    match e {
        CallError::Answer(AccountsError::Unsupported(text)) => Problem::detailed(Kind::Conflict, text),
        CallError::Answer(AccountsError::Invalid(text)) => Problem::detailed(Kind::Refused, text),
        CallError::Answer(AccountsError::Unavailable(text)) => Problem::detailed(Kind::Unavailable, text),
        CallError::Down(down) => Problem::detailed(Kind::Unavailable, format!("role login: {down}")),
    }
}

fn view(account: Account) -> UserView {
    let Account { profile: Profile { user, name, org, department, title, groups }, locked, key } = account;
    let key = key.map(|key| URL_SAFE_NO_PAD.encode(key));
    UserView { user, name, org, department, title, groups, locked, key }
}

#[derive(Deserialize)]
pub(super) struct After {
    after: Option<String>,
}

pub(super) async fn list(
    State(ctx): State<Ctx>,
    axum::extract::Query(After { after }): axum::extract::Query<After>,
) -> Result<Json<UserPage>, Problem> {
    let users = ctx.admin.slots.login().list_users(after.as_deref(), PAGE).await.map_err(failed)?;
    let next_after =
        if users.len() < PAGE as usize { None } else { users.last().map(|a| a.profile.user.clone()) };
    Ok(Json(UserPage { users: users.into_iter().map(view).collect(), next_after }))
}

/// One account, locked or not. The interface lists only what comes after an id, so it is looked for
/// among those after the id less its last character.
async fn find(ctx: &Ctx, user: &str) -> Result<Option<Account>, Problem> {
    let mut after =
        user.char_indices().last().and_then(|(at, _)| user.get(..at)).unwrap_or_default().to_owned();
    loop {
        let from = Some(after.as_str()).filter(|a| !a.is_empty());
        let page = ctx.admin.slots.login().list_users(from, PAGE).await.map_err(failed)?;
        let last = page.last().map(|a| a.profile.user.clone());
        let full = page.len() >= PAGE as usize;
        if let Some(found) = page.into_iter().find(|a| a.profile.user == user) {
            return Ok(Some(found));
        }
        match last {
            Some(last) if full && last != after => after = last,
            _ => return Ok(None),
        }
    }
}

/// Makes a user, or changes one.
pub(super) async fn put(
    State(ctx): State<Ctx>,
    Extension(peer): Extension<Peer>,
    Path(user): Path<String>,
    Body(change): Body<UserChange>,
) -> Result<Json<UserChanged>, Problem> {
    changed(ctx, peer, "user.add", user, change, true).await
}

/// Changes a user.
pub(super) async fn patch(
    State(ctx): State<Ctx>,
    Extension(peer): Extension<Peer>,
    Path(user): Path<String>,
    Body(change): Body<UserChange>,
) -> Result<Json<UserChanged>, Problem> {
    changed(ctx, peer, "user.change", user, change, false).await
}

async fn changed(
    ctx: Ctx,
    peer: Peer,
    name: &'static str,
    user: String,
    change: UserChange,
    may_make: bool,
) -> Result<Json<UserChanged>, Problem> {
    check_id(&user)?;
    let new_key = change.key.as_deref().map(public_key).transpose()?;
    // What is changed, not to what: a profile is personal, a password secret.
    let fields = [
        ("name", change.name.is_some()),
        ("org", change.org.is_some()),
        ("department", change.department.is_some()),
        ("title", change.title.is_some()),
        ("groups", change.groups.is_some()),
        ("locked", change.locked == Some(true)),
        ("unlocked", change.locked == Some(false)),
        ("password", change.password.is_some()),
        ("key", new_key.is_some()),
    ];
    let detail: Vec<&str> = fields.iter().filter(|f| f.1).map(|f| f.0).collect();
    let (work, target) = (ctx.clone(), user.clone());
    act(&ctx, peer, name, &target, &detail.join(" "), async move {
        let known = find(&work, &user).await?;
        let existed = known.is_some();
        let former = known.as_ref().map(|known| known.profile.clone());
        if !existed && !may_make {
            return Err(unknown(&user));
        }
        let fresh = Account {
            profile: Profile {
                user: user.clone(),
                name: user.clone(),
                org: String::new(),
                department: String::new(),
                title: String::new(),
                groups: Vec::new(),
            },
            locked: false,
            key: None,
        };
        let mut account = known.unwrap_or(fresh);
        let profile = &mut account.profile;
        for (field, value) in [
            (&mut profile.name, change.name),
            (&mut profile.org, change.org),
            (&mut profile.department, change.department),
            (&mut profile.title, change.title),
        ] {
            *field = value.unwrap_or_else(|| std::mem::take(field));
        }
        if let Some(groups) = change.groups {
            profile.groups = groups;
        }
        account.locked = change.locked.unwrap_or(account.locked);
        let password = change.password.map(|p| Secret::new(p.into_text()));
        let former_key = account.key.clone();
        account.key = new_key.unwrap_or(account.key);
        let renewed = password.is_some() || account.key != former_key;
        let narrowed = former.is_some_and(|former| is_less(&account.profile, &former));
        let ends_tokens = existed && (account.locked || renewed || narrowed);
        work.admin.slots.login().put_user(account, password.as_ref()).await.map_err(failed)?;
        tell_directory(&work).await;
        let revoked = if ends_tokens { revoke(&work, &user).await? } else { 0 };
        Ok(Json(UserChanged { user, revoked }))
    })
    .await
}

pub(super) async fn remove(
    State(ctx): State<Ctx>,
    Extension(peer): Extension<Peer>,
    Path(user): Path<String>,
) -> Result<Json<UserChanged>, Problem> {
    check_id(&user)?;
    let (work, target) = (ctx.clone(), user.clone());
    act(&ctx, peer, "user.remove", &target, "", async move {
        if !work.admin.slots.login().remove_user(&user).await.map_err(failed)? {
            return Err(unknown(&user));
        }
        tell_directory(&work).await;
        let revoked = revoke(&work, &user).await?;
        Ok(Json(UserChanged { user, revoked }))
    })
    .await
}

pub(super) async fn partner(
    State(ctx): State<Ctx>,
    Extension(peer): Extension<Peer>,
    Body(change): Body<PartnerChange>,
) -> Result<Json<PartnerChange>, Problem> {
    if !matches!(change.relation, Relation::Upstream | Relation::Downstream | Relation::Unrelated) {
        return Err(Problem::detailed(Kind::Invalid, "relation must be upstream, downstream or unrelated"));
    }
    let work = ctx.clone();
    let (target, detail) = (format!("{}/{}", change.org, change.partner), format!("{:?}", change.relation));
    act(&ctx, peer, "partner.put", &target, &detail, async move {
        let partner = Partner { org: change.partner.clone(), relation: change.relation.into() };
        work.admin.slots.login().put_partner(&change.org, partner).await.map_err(failed)?;
        tell_directory(&work).await;
        Ok(Json(change))
    })
    .await
}

fn check_id(user: &str) -> Result<(), Problem> {
    if is_id(user) {
        return Ok(());
    }
    Err(Problem::detailed(Kind::Invalid, "a user id is 1 to 64 of A-Z a-z 0-9 . _ -"))
}

/// A public key as its text says; None for an empty one, which takes the key away.
fn public_key(text: &str) -> Result<Option<Vec<u8>>, Problem> {
    if text.is_empty() {
        return Ok(None);
    }
    let bytes = URL_SAFE_NO_PAD.decode(text).unwrap_or_default();
    let key = PublicKey::from_bytes(&bytes);
    key.map(|key| Some(key.as_bytes().to_vec())).map_err(|e| Problem::detailed(Kind::Invalid, e))
}

fn unknown(user: &str) -> Problem {
    Problem::detailed(Kind::NotFound, format!("no user {user:?}"))
}

/// Whether something is taken away: what a token says of its holder holds until it is renewed, which
/// is soon enough for what is given.
fn is_less(profile: &Profile, former: &Profile) -> bool {
    profile.org != former.org || former.groups.iter().any(|group| !profile.groups.contains(group))
}

/// What brokers remember of people is out of date.
async fn tell_directory(ctx: &Ctx) {
    if let Err(e) = ctx.admin.bus.publish(CHANGED, bytes::Bytes::from_static(b"null")).await {
        // They believe it for half a minute at most.
        tracing::warn!(error = %e, "directory.changed");
    }
}

/// Whoever is kept out from now on has no use for tokens that were good until now.
async fn revoke(ctx: &Ctx, user: &str) -> Result<u64, Problem> {
    match ask(&ctx.admin.bus, &RevokeTokens::User { user: user.to_owned() }).await {
        Ok(revoked) => Ok(revoked.tokens.len() as u64),
        Err(e) => {
            let detail = format!("the account is changed, but its tokens are still good: {}", told(&e));
            Err(Problem::detailed(Kind::Unavailable, detail))
        }
    }
}
