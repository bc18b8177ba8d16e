//! Judging an attempt (A8, A9): what the credential is, where it may be used, whether it is
//! authentic, and only then whether it is spent.

use crate::{
    bindings::{
        exports::postern::token::tokens::{
            Attempt, AuthAnswer, AuthData, Credential, Denial, Grant, Limits, NameAndPassword, Outcome,
            TokenError,
        },
        postern::host::types::Transport,
    },
    host::{Host, Key},
    proof::{self, AUTH_METHOD, Binding, Password, Proof},
    record::{Record, counter_key},
    rights::Who,
    settings::Settings,
    tokens::load,
};

/// Judges an attempt.
///
/// # Errors
/// Why it is refused.
pub fn verify<H: Host>(host: &H, settings: &Settings, attempt: &Attempt) -> Result<Outcome, TokenError> {
    match &attempt.credential {
        Credential::Anonymous if settings.anonymous => Ok(anonymous(settings, attempt)),
        Credential::Anonymous => denied(Denial::Anonymous),
        Credential::Password(password) => by_password(host, settings, attempt, password),
        Credential::AuthStart(start) => challenge(host, attempt, start),
        Credential::AuthAnswer(answer) => by_answer(host, settings, attempt, answer),
        Credential::Bearer(pair) => {
            let (token_id, bearer) = pair.split_once(':').unwrap_or_default();
            let Password::Bearer(mac) = proof::decode_password(bearer.as_bytes()) else {
                return denied(Denial::BadCredentials);
            };
            by_bearer(host, settings, attempt, token_id, &mac)
        }
    }
}

fn denied<T>(denial: Denial) -> Result<T, TokenError> {
    Err(TokenError::Denied(denial))
}

fn by_password<H: Host>(
    host: &H,
    settings: &Settings,
    attempt: &Attempt,
    NameAndPassword { user_name, password }: &NameAndPassword,
) -> Result<Outcome, TokenError> {
    if settings.anonymous && settings.anonymous_accepts_any && load(host, user_name)?.is_none() {
        return Ok(anonymous(settings, attempt));
    }
    match proof::decode_password(password) {
        Password::Proof(proof) => by_proof(host, settings, attempt, user_name, &proof),
        Password::Bearer(mac) => by_bearer(host, settings, attempt, user_name, &mac),
        Password::Unknown => denied(Denial::BadCredentials),
    }
}

fn by_proof<H: Host>(
    host: &H,
    settings: &Settings,
    attempt: &Attempt,
    token_id: &str,
    proof: &Proof,
) -> Result<Outcome, TokenError> {
    let (record, key) = find(host, attempt, token_id)?;
    let message = proof::proof_message(binding(attempt, token_id), proof.counter, proof.time);
    if !proof::sign_in_key(&key).verify(&message, &proof.mac) {
        return denied(Denial::BadCredentials);
    }
    // Authentic; from here on the answers may say more.
    let oldest = attempt.now.saturating_sub(settings.proof_back_secs.saturating_mul(1000));
    let newest = attempt.now.saturating_add(settings.proof_ahead_secs.saturating_mul(1000));
    if !(oldest..=newest).contains(&proof.time) || proof.counter == 0 {
        return denied(Denial::Replayed);
    }
    // Spent only now: nobody without the key can use up a counter.
    let first_use = host
        .advance(&counter_key(token_id), proof.counter, record.expires_at)
        .map_err(TokenError::Unavailable)?;
    if !first_use {
        return denied(Denial::Replayed);
    }
    Ok(grant(settings, attempt, token_id, record))
}

fn by_bearer<H: Host>(
    host: &H,
    settings: &Settings,
    attempt: &Attempt,
    token_id: &str,
    mac: &[u8],
) -> Result<Outcome, TokenError> {
    if attempt.link.transport != Transport::Tls {
        return denied(Denial::Misplaced);
    }
    let (record, key) = find(host, attempt, token_id)?;
    if !proof::bearer_fits(&key, token_id, mac) {
        return denied(Denial::BadCredentials);
    }
    Ok(grant(settings, attempt, token_id, record))
}

/// The same challenge for known and unknown tokens: it tells nothing.
fn challenge(host: &impl Host, attempt: &Attempt, start: &AuthData) -> Result<Outcome, TokenError> {
    if start.method != AUTH_METHOD {
        return denied(Denial::BadMethod);
    }
    Ok(Outcome::Challenge(proof::challenge(&host.random(proof::CHALLENGE_RANDOM), attempt.now)))
}

fn by_answer<H: Host>(
    host: &H,
    settings: &Settings,
    attempt: &Attempt,
    answer: &AuthAnswer,
) -> Result<Outcome, TokenError> {
    if answer.method != AUTH_METHOD {
        return denied(Denial::BadMethod);
    }
    let (Ok(token_id), Some(asked_at)) =
        (std::str::from_utf8(&answer.start), proof::challenge_time(&answer.challenge))
    else {
        return denied(Denial::BadCredentials);
    };
    let (record, key) = find(host, attempt, token_id)?;
    let message = proof::answer_message(binding(attempt, token_id), &answer.challenge);
    if !proof::sign_in_key(&key).verify(&message, &answer.data) {
        return denied(Denial::BadCredentials);
    }
    let latest = asked_at.saturating_add(settings.challenge_secs.saturating_mul(1000));
    if !(asked_at..=latest).contains(&attempt.now) {
        return denied(Denial::Replayed);
    }
    Ok(grant(settings, attempt, token_id, record))
}

fn binding<'a>(attempt: &'a Attempt, token_id: &'a str) -> Binding<'a> {
    Binding {
        token_id,
        client_id: &attempt.client_id,
        transport: attempt.link.transport,
        listener: &attempt.link.listener,
    }
}

/// A token that is good now and for this client id, and its proof key.
fn find<H: Host>(host: &H, attempt: &Attempt, token_id: &str) -> Result<(Record, H::Key), TokenError> {
    let record = load(host, token_id)?.ok_or(TokenError::Denied(Denial::BadCredentials))?;
    if !record.is_good(attempt.now) {
        return denied(Denial::Expired);
    }
    // An HTTP request has no client id to be held against the token's.
    let http = matches!(attempt.credential, Credential::Bearer(_));
    if !http && record.client_id != attempt.client_id {
        return denied(Denial::Misplaced);
    }
    let master = host.master_key().map_err(TokenError::Unavailable)?;
    Ok((record, proof::proof_key(&master, token_id)))
}

fn grant(settings: &Settings, attempt: &Attempt, token_id: &str, record: Record) -> Outcome {
    let template = match attempt.link.transport {
        Transport::Plain => &settings.plain,
        Transport::Tls => &settings.tls,
    };
    let rights = template.fill(Who { profile: Some(&record.profile), client_id: &record.client_id });
    let family = Some(record.family_of(token_id).to_owned());
    Outcome::Granted(Grant {
        token_id: Some(token_id.to_owned()),
        family,
        profile: Some(record.profile),
        partners: record.partners,
        client_id: record.client_id,
        rights,
        limits: limits(settings),
        expires_at: Some(record.expires_at),
    })
}

fn anonymous(settings: &Settings, attempt: &Attempt) -> Outcome {
    let who = Who { profile: None, client_id: &attempt.client_id };
    Outcome::Granted(Grant {
        token_id: None,
        family: None,
        profile: None,
        partners: Vec::new(),
        client_id: String::new(),
        rights: settings.anonymous_rights.fill(who),
        limits: limits(settings),
        expires_at: None,
    })
}

fn limits(settings: &Settings) -> Limits {
    Limits { session_expiry_secs: settings.session_expiry_secs, keep_alive_secs: settings.keep_alive_secs }
}
