//! Making, renewing and revoking tokens (A7).

use crate::{
    bindings::exports::postern::token::tokens::{Denial, Holder, Selector, TokenError},
    host::{Host, Key},
    proof,
    record::{Record, device_prefix, record_key, user_prefix},
    rights::is_level,
    settings::Settings,
};

/// What the key of commands is derived with (docs/protocol/encrypt-on-demand.md).
const COMMAND_INFO: &[u8] = b"command";
/// Random bytes of a token id.
const ID_BYTES: u32 = 16;
/// How long a record outlives its token, ms: the log can tell an expired token from an unknown one.
const KEPT_AFTER_EXPIRY_MS: u64 = 3_600_000;
/// Keys per page of the durable map: more than a device may have tokens.
const PAGE: u32 = 2_000;
/// Tokens that one call ends: well within a call's time.
const REVOKED: u32 = 20;

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
        family: String::new(),
        revoked: false,
    };
    make_room(host, settings, &record, None)?;
    make(host, &record)
}

/// Makes a new token for the holder of a good one, with what is known of the holder now; the old one
/// stays.
///
/// # Errors
/// `BadCredentials` for an unknown token; `Misplaced` for one of another user or device; `Expired` for
/// one that has ended, or whose login is too long ago; `Unavailable`.
pub fn renew<H: Host>(
    host: &H,
    settings: &Settings,
    token_id: &str,
    holder: Holder,
    now: u64,
) -> Result<Issued<H::Key>, TokenError> {
    let old = load(host, token_id)?.ok_or(TokenError::Denied(Denial::BadCredentials))?;
    if holder.profile.user != old.profile.user || holder.client_id != old.client_id {
        return Err(TokenError::Denied(Denial::Misplaced));
    }
    let last = old.login_at.saturating_add(settings.max_age_secs.saturating_mul(1000));
    if !old.is_good(now) || now >= last {
        return Err(TokenError::Denied(Denial::Expired));
    }
    let expires_at = now.saturating_add(settings.lifetime_secs.saturating_mul(1000)).min(last);
    let family = old.family_of(token_id).to_owned();
    let (profile, partners) = (holder.profile, holder.partners);
    let record = Record { profile, partners, expires_at, family, ..old };
    make_room(host, settings, &record, Some(token_id))?;
    let issued = make(host, &record)?;
    // A revocation that ran meanwhile may have missed the new token: then it falls with the old one.
    if load(host, token_id)?.is_none_or(|old| old.revoked) {
        end_all(host, vec![index_key(&record, &issued.token_id)])?;
        return Err(TokenError::Denied(Denial::Expired));
    }
    Ok(issued)
}

/// The key of commands to the holder of a good token, and of their results.
///
/// # Errors
/// `BadCredentials` for an unknown token; `Expired` for one that has ended; `Unavailable`.
pub fn command_key<H: Host>(host: &H, token_id: &str, now: u64) -> Result<H::Key, TokenError> {
    let record = load(host, token_id)?.ok_or(TokenError::Denied(Denial::BadCredentials))?;
    if !record.is_good(now) {
        return Err(TokenError::Denied(Denial::Expired));
    }
    let master = host.master_key().map_err(TokenError::Unavailable)?;
    Ok(proof::proof_key(&master, token_id).derive(COMMAND_INFO))
}

fn make<H: Host>(host: &H, record: &Record) -> Result<Issued<H::Key>, TokenError> {
    let token_id = proof::token_id(&host.random(ID_BYTES));
    let key = proof::proof_key(&host.master_key().map_err(TokenError::Unavailable)?, &token_id);
    let index = index_key(record, &token_id);
    host.set(&index, record.client_id.as_bytes(), record.expires_at).map_err(TokenError::Unavailable)?;
    keep(host, &token_id, record)?;
    // A revocation between the two has taken the index away and found no record to end.
    if host.get(&index).map_err(TokenError::Unavailable)?.is_none() {
        end(host, &token_id)?;
        return Err(TokenError::Denied(Denial::Expired));
    }
    let bearer = proof::bearer(&key, &token_id);
    Ok(Issued { token_id, key, bearer, expires_at: record.expires_at })
}

/// Ends what a device has too many of, the one that would end first before the others, but not the one
/// that is being renewed.
fn make_room(
    host: &impl Host,
    settings: &Settings,
    device: &Record,
    renewed: Option<&str>,
) -> Result<(), TokenError> {
    let most = usize::try_from(settings.tokens_per_device).unwrap_or(usize::MAX);
    let mut tokens = Vec::new();
    for key in page(host, &device_prefix(&device.profile.user, &device.client_id), PAGE)? {
        match load(host, token_of(&key))? {
            Some(record) if !record.revoked => tokens.push((record.expires_at, key)),
            _ => {}
        }
    }
    tokens.sort_unstable();
    let over = (tokens.len() + 1).saturating_sub(most);
    let oldest = tokens.into_iter().map(|(_, key)| key).filter(|key| Some(token_of(key)) != renewed);
    end_all(host, oldest.take(over).collect()).map(drop)
}

/// Ends tokens before their time, at most [`REVOKED`] of them; the ids of those that were good and of
/// the logins they came of. Empty when there is none left.
///
/// # Errors
/// `Unavailable`.
pub fn revoke(host: &impl Host, selector: &Selector) -> Result<Vec<String>, TokenError> {
    let prefix = match selector {
        Selector::Token(token_id) => return revoke_family(host, token_id),
        Selector::User(user) if is_level(user) => user_prefix(user),
        Selector::Device(device) if is_level(&device.user) && is_level(&device.client_id) => {
            device_prefix(&device.user, &device.client_id)
        }
        Selector::User(_) | Selector::Device(_) => return Ok(Vec::new()),
    };
    loop {
        let keys = page(host, &prefix, REVOKED)?;
        let last = keys.is_empty();
        let ended = end_all(host, keys)?;
        // What a call that was cut short has left is no reason to stop.
        if last || !ended.is_empty() {
            return Ok(ended);
        }
    }
}

/// A login's tokens end together: whoever logs out means the device, not the last of its renewals.
fn revoke_family(host: &impl Host, token_id: &str) -> Result<Vec<String>, TokenError> {
    let Some(record) = load(host, token_id)? else { return Ok(Vec::new()) };
    let family = record.family_of(token_id);
    let mut members = Vec::new();
    for key in page(host, &device_prefix(&record.profile.user, &record.client_id), PAGE)? {
        let other = token_of(&key);
        if load(host, other)?.is_some_and(|found| found.family_of(other) == family) {
            members.push(key);
        }
    }
    let own = index_key(&record, token_id);
    if !members.contains(&own) {
        members.push(own);
    }
    end_all(host, members)
}

/// Ends the tokens of an index' keys: first the token, then its key, so that nothing is lost half-way.
fn end_all(host: &impl Host, keys: Vec<String>) -> Result<Vec<String>, TokenError> {
    let mut ended: Vec<String> = Vec::new();
    for key in keys {
        let token_id = token_of(&key);
        if let Some(record) = end(host, token_id)? {
            for name in [token_id, record.family_of(token_id)] {
                if !ended.iter().any(|ended| ended == name) {
                    ended.push(name.to_owned());
                }
            }
        }
        host.delete(&key).map_err(TokenError::Unavailable)?;
    }
    Ok(ended)
}

/// Keys of an index; tokens that have ended by themselves are not in it any more.
fn page(host: &impl Host, prefix: &str, most: u32) -> Result<Vec<String>, TokenError> {
    host.keys(prefix, None, most).map_err(TokenError::Unavailable)
}

/// The token of an index' key.
fn token_of(key: &str) -> &str {
    key.rsplit('/').next().unwrap_or_default()
}

/// Ends one token; none when there is no such token, or it had been ended before.
fn end(host: &impl Host, token_id: &str) -> Result<Option<Record>, TokenError> {
    let Some(mut record) = load(host, token_id)?.filter(|record| !record.revoked) else { return Ok(None) };
    record.revoked = true;
    keep(host, token_id, &record)?;
    Ok(Some(record))
}

fn index_key(record: &Record, token_id: &str) -> String {
    device_prefix(&record.profile.user, &record.client_id) + token_id
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
