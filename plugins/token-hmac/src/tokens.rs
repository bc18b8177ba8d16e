//! Making, renewing and revoking tokens (A7).

use crate::{
    bindings::exports::postern::token::tokens::{Denial, Holder, Selector, TokenError},
    host::{Host, Key},
    proof,
    record::{Record, record_key, user_prefix},
    rights::is_level,
    settings::Settings,
};

/// Random bytes of a token id.
const ID_BYTES: u32 = 16;
/// How long a record outlives its token, ms: the log can tell an expired token from an unknown one.
const KEPT_AFTER_EXPIRY_MS: u64 = 3_600_000;
/// Keys per page of the durable map.
const PAGE: u32 = 200;

/// A token as its holder gets it.
#[derive(Debug)]
pub struct Issued<K> {
    /// Public.
    pub token_id: String,
    /// The proof key.
    pub key: K,
    /// Password on TLS.
    pub bearer: String,
    /// Milliseconds since 1970.
    pub expires_at: u64,
}

/// Makes a token after a login at `now` (ms).
///
/// # Errors
/// `Misplaced` for a user or client id that cannot be a level of a topic; `Unavailable`.
pub fn issue<H: Host>(
    host: &H,
    settings: &Settings,
    holder: Holder,
    now: u64,
) -> Result<Issued<H::Key>, TokenError> {
    if !is_level(&holder.profile.user) || !is_level(&holder.client_id) {
        return Err(TokenError::Denied(Denial::Misplaced));
    }
    let record = Record {
        profile: holder.profile,
        partners: holder.partners,
        client_id: holder.client_id,
        login_at: now,
        expires_at: now.saturating_add(settings.lifetime_secs.saturating_mul(1000)),
        revoked: false,
    };
    make(host, &record)
}

/// Makes a new token for the holder of a good one; the old one stays.
///
/// # Errors
/// `BadCredentials` for an unknown token; `Expired` for one that has ended, or whose login is too
/// long ago; `Unavailable`.
pub fn renew<H: Host>(
    host: &H,
    settings: &Settings,
    token_id: &str,
    now: u64,
) -> Result<Issued<H::Key>, TokenError> {
    let old = load(host, token_id)?.ok_or(TokenError::Denied(Denial::BadCredentials))?;
    let last = old.login_at.saturating_add(settings.max_age_secs.saturating_mul(1000));
    if !old.is_good(now) || now >= last {
        return Err(TokenError::Denied(Denial::Expired));
    }
    let expires_at = now.saturating_add(settings.lifetime_secs.saturating_mul(1000)).min(last);
    let issued = make(host, &Record { expires_at, ..old })?;
    // A revocation that ran meanwhile may have missed the new token: then it falls with the old one.
    if load(host, token_id)?.is_none_or(|old| old.revoked) {
        end(host, &issued.token_id)?;
        return Err(TokenError::Denied(Denial::Expired));
    }
    Ok(issued)
}

fn make<H: Host>(host: &H, record: &Record) -> Result<Issued<H::Key>, TokenError> {
    let token_id = proof::token_id(&host.random(ID_BYTES));
    let key = proof::proof_key(&host.master_key().map_err(TokenError::Unavailable)?, &token_id);
    let index = user_prefix(&record.profile.user) + &token_id;
    host.set(&index, record.client_id.as_bytes(), record.expires_at).map_err(TokenError::Unavailable)?;
    keep(host, &token_id, record)?;
    let bearer = proof::bearer(&key, &token_id);
    Ok(Issued { token_id, key, bearer, expires_at: record.expires_at })
}

/// Ends tokens before their time; the ids of those that were good.
///
/// # Errors
/// `Unavailable`.
pub fn revoke(host: &impl Host, selector: &Selector, now: u64) -> Result<Vec<String>, TokenError> {
    let (user, device) = match selector {
        Selector::Token(token_id) => {
            let good = end(host, token_id)?.is_some_and(|expires_at| now < expires_at);
            return Ok(good.then(|| token_id.clone()).into_iter().collect());
        }
        Selector::User(user) => (user, None),
        Selector::Device(device) => (&device.user, Some(device.client_id.as_bytes())),
    };
    let mut ended = Vec::new();
    if !is_level(user) {
        return Ok(ended);
    }
    // Until a pass finds none: a renewal may add one while we are at it.
    loop {
        let before = ended.len();
        let mut after: Option<String> = None;
        loop {
            let page =
                host.keys(&user_prefix(user), after.as_deref(), PAGE).map_err(TokenError::Unavailable)?;
            for key in &page {
                if let Some(device) = device {
                    let client_id = host.get(key).map_err(TokenError::Unavailable)?;
                    if client_id.as_deref() != Some(device) {
                        continue;
                    }
                }
                let Some(token_id) = key.strip_prefix(&user_prefix(user)) else { continue };
                if end(host, token_id)?.is_some_and(|expires_at| now < expires_at) {
                    ended.push(token_id.to_owned());
                }
            }
            match page.into_iter().last() {
                Some(last) => after = Some(last),
                None => break,
            }
        }
        if ended.len() == before {
            return Ok(ended);
        }
    }
}

/// Ends one token. When it would have ended by itself, or none when it had been ended before.
fn end(host: &impl Host, token_id: &str) -> Result<Option<u64>, TokenError> {
    let Some(mut record) = load(host, token_id)?.filter(|record| !record.revoked) else { return Ok(None) };
    record.revoked = true;
    keep(host, token_id, &record)?;
    host.delete(&(user_prefix(&record.profile.user) + token_id)).map_err(TokenError::Unavailable)?;
    Ok(Some(record.expires_at))
}

fn keep(host: &impl Host, token_id: &str, record: &Record) -> Result<(), TokenError> {
    let until = record.expires_at.saturating_add(KEPT_AFTER_EXPIRY_MS);
    host.set(&record_key(token_id), &record.encode(), until).map_err(TokenError::Unavailable)
}

/// The record of a token; none when there is no such token.
///
/// # Errors
/// `Unavailable`, also for a record that cannot be read.
pub fn load(host: &impl Host, token_id: &str) -> Result<Option<Record>, TokenError> {
    if !is_level(token_id) {
        return Ok(None);
    }
    match host.get(&record_key(token_id)).map_err(TokenError::Unavailable)? {
        None => Ok(None),
        Some(bytes) => match Record::decode(&bytes) {
            Some(record) => Ok(Some(record)),
            None => Err(TokenError::Unavailable(format!("the record of token {token_id} cannot be read"))),
        },
    }
}

/// Whether key and durable map can be used.
///
/// # Errors
/// What is missing.
pub fn self_check(host: &impl Host) -> Result<(), String> {
    let key = proof::proof_key(&host.master_key()?, "self-check");
    if !key.verify(b"self-check", &key.hmac(b"self-check")) || key.verify(b"other", &key.hmac(b"self-check"))
    {
        return Err("the host's keys do not verify their own MACs".to_owned());
    }
    host.get(&record_key("self-check")).map(drop)
}
