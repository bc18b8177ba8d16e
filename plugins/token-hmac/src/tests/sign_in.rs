//! Proofs, bearers, challenges, and the life of a token.

use super::*;
use crate::proof::{AUTH_METHOD, Binding, answer_message, proof_message, sign_in_key};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

/// A proof as a client makes it for a link.
fn proof(token: &tokens::Issued<Bytes>, link: &Link, client_id: &str, counter: u64, time: u64) -> String {
    let binding =
        Binding { token_id: &token.token_id, client_id, transport: link.transport, listener: &link.listener };
    let mac = sign_in_key(&token.key).hmac(&proof_message(binding, counter, time));
    URL_SAFE_NO_PAD.encode([&[1][..], &counter.to_be_bytes(), &time.to_be_bytes(), &mac].concat())
}

fn sign_in(
    host: &Memory,
    token: &tokens::Issued<Bytes>,
    link: Link,
    secret: &str,
) -> Result<Outcome, TokenError> {
    verify(host, &Settings::default(), &attempt(link, password(&token.token_id, secret)))
}

#[test]
fn a8_a_proof_is_accepted_once_on_either_transport() {
    let (host, settings) = (Memory::default(), Settings::default());
    let token = issue(&host, &settings);
    for (counter, link) in [(1, plain()), (2, tls()), (900, plain())] {
        let secret = proof(&token, &link, "phone", counter, NOW);
        let grant = granted(sign_in(&host, &token, link.clone(), &secret));
        assert_eq!(grant.profile.unwrap().user, "alice");
        assert_eq!((grant.client_id.as_str(), grant.expires_at), ("phone", Some(NOW + 86_400_000)));
        assert_eq!(denial(sign_in(&host, &token, link, &secret)), Denial::Replayed);
    }
    let older = proof(&token, &plain(), "phone", 899, NOW);
    assert_eq!(denial(sign_in(&host, &token, plain(), &older)), Denial::Replayed);
}

#[test]
fn a_proof_is_bound_to_transport_listener_and_client_id() {
    let host = Memory::default();
    let token = issue(&host, &Settings::default());
    let secret = proof(&token, &plain(), "phone", 1, NOW);
    assert_eq!(denial(sign_in(&host, &token, tls(), &secret)), Denial::BadCredentials);
    let other = Link { listener: "ws".into(), ..plain() };
    assert_eq!(denial(sign_in(&host, &token, other, &secret)), Denial::BadCredentials);
    let credential = password(&token.token_id, &proof(&token, &plain(), "pc", 1, NOW));
    let other = Attempt { client_id: "pc".into(), ..attempt(plain(), credential) };
    assert_eq!(denial(verify(&host, &Settings::default(), &other)), Denial::Misplaced);
    assert!(host.counters.borrow().is_empty(), "none of them spent the counter");
    granted(sign_in(&host, &token, plain(), &secret));
}

#[test]
fn a_proof_is_good_for_a_short_time() {
    let host = Memory::default();
    let token = issue(&host, &Settings::default());
    let try_at =
        |counter, time| sign_in(&host, &token, plain(), &proof(&token, &plain(), "phone", counter, time));
    assert_eq!(denial(try_at(5, NOW - 60_001)), Denial::Replayed);
    assert_eq!(denial(try_at(5, NOW + 30_001)), Denial::Replayed);
    assert_eq!(denial(try_at(0, NOW)), Denial::Replayed);
    granted(try_at(5, NOW - 60_000));
    granted(try_at(6, NOW + 30_000));
}

#[test]
fn a_wrong_mac_spends_nothing() {
    let host = Memory::default();
    let token = issue(&host, &Settings::default());
    let right = URL_SAFE_NO_PAD.decode(proof(&token, &plain(), "phone", 1, NOW)).unwrap();
    for at in 0..right.len() {
        let mut wrong = right.clone();
        wrong[at] ^= 1;
        let secret = URL_SAFE_NO_PAD.encode(&wrong);
        assert_eq!(denial(sign_in(&host, &token, plain(), &secret)), Denial::BadCredentials, "byte {at}");
    }
    for secret in ["", "x", "not base64!", &URL_SAFE_NO_PAD.encode(&right[..48])] {
        assert_eq!(denial(sign_in(&host, &token, plain(), secret)), Denial::BadCredentials);
    }
    granted(sign_in(&host, &token, plain(), &URL_SAFE_NO_PAD.encode(&right)));
}

#[test]
fn bearers_are_for_tls() {
    let host = Memory::default();
    let token = issue(&host, &Settings::default());
    assert_eq!(denial(sign_in(&host, &token, plain(), &token.bearer)), Denial::Misplaced);
    granted(sign_in(&host, &token, tls(), &token.bearer));
    granted(sign_in(&host, &token, tls(), &token.bearer));
    let wrong = URL_SAFE_NO_PAD.encode([0; 32]);
    assert_eq!(denial(sign_in(&host, &token, tls(), &wrong)), Denial::BadCredentials);
    let other = issue(&host, &Settings::default());
    assert_eq!(denial(sign_in(&host, &other, tls(), &token.bearer)), Denial::BadCredentials);
}

#[test]
fn http_requests_have_no_client_id() {
    let (host, settings) = (Memory::default(), Settings::default());
    let token = issue(&host, &settings);
    let request = |link, pair: String| {
        let request = Attempt { client_id: String::new(), ..attempt(link, Credential::Bearer(pair)) };
        verify(&host, &settings, &request)
    };
    let pair = format!("{}:{}", token.token_id, token.bearer);
    assert!(granted(request(tls(), pair.clone())).rights.messaging);
    assert_eq!(denial(request(plain(), pair)), Denial::Misplaced);
    for wrong in [String::new(), token.bearer.clone(), format!("{}:", token.token_id)] {
        assert_eq!(denial(request(tls(), wrong)), Denial::BadCredentials);
    }
    let credential = password(&token.token_id, &token.bearer);
    let no_client = Attempt { client_id: String::new(), ..attempt(tls(), credential) };
    assert_eq!(denial(verify(&host, &settings, &no_client)), Denial::Misplaced, "a CONNECT has one");
}

#[test]
fn a_challenge_is_answered_in_time_on_its_link() {
    let (host, settings) = (Memory::default(), Settings::default());
    let token = issue(&host, &settings);
    let start = |method: &str| {
        Credential::AuthStart(AuthData { method: method.into(), data: token.token_id.clone().into_bytes() })
    };
    assert_eq!(denial(verify(&host, &settings, &attempt(plain(), start("SCRAM-SHA-1")))), Denial::BadMethod);
    let Ok(Outcome::Challenge(challenge)) = verify(&host, &settings, &attempt(plain(), start(AUTH_METHOD)))
    else {
        panic!("no challenge")
    };
    assert_eq!((challenge.len(), &challenge[32..]), (40, &NOW.to_be_bytes()[..]));
    let answer = |link: &Link, now| {
        let (transport, listener) = (Transport::Plain, "tcp");
        let binding = Binding { token_id: &token.token_id, client_id: "phone", transport, listener };
        let data = sign_in_key(&token.key).hmac(&answer_message(binding, &challenge));
        let (method, start) = (AUTH_METHOD.into(), token.token_id.clone().into_bytes());
        let answer = AuthAnswer { method, challenge: challenge.clone(), start, data };
        let attempt = attempt(link.clone(), Credential::AuthAnswer(answer));
        verify(&host, &settings, &Attempt { now, ..attempt })
    };
    granted(answer(&plain(), NOW + 30_000));
    assert_eq!(denial(answer(&plain(), NOW + 30_001)), Denial::Replayed);
    assert_eq!(denial(answer(&plain(), NOW - 1)), Denial::Replayed);
    assert_eq!(denial(answer(&tls(), NOW)), Denial::BadCredentials);
}

#[test]
fn tokens_expire_and_are_renewed() {
    let host = Memory::default();
    let settings = Settings { max_age_secs: 100_000, ..Settings::default() };
    let token = issue(&host, &settings);
    let later = NOW + 80_000_000;
    let renew =
        |token_id: &str, now| tokens::renew(&host, &settings, token_id, holder("alice", "phone"), now);
    let renewed = renew(&token.token_id, later).unwrap();
    assert_ne!(renewed.token_id, token.token_id);
    assert_eq!(renewed.expires_at, NOW + 100_000_000, "never past the login's age");
    granted(sign_in(&host, &token, tls(), &token.bearer));
    let grant = granted(sign_in(&host, &renewed, tls(), &renewed.bearer));
    assert_eq!(grant.profile.unwrap().groups, ["ops", "all-hands"]);
    assert_eq!(grant.partners.len(), 1);

    let expired =
        Attempt { now: token.expires_at, ..attempt(tls(), password(&token.token_id, &token.bearer)) };
    assert_eq!(denial(verify(&host, &settings, &expired)), Denial::Expired);
    let answer = renew(&renewed.token_id, renewed.expires_at);
    assert!(matches!(answer, Err(TokenError::Denied(Denial::Expired))));
    assert!(matches!(renew("none", NOW), Err(TokenError::Denied(Denial::BadCredentials))));
}

#[test]
fn revoked_by_token_user_or_device() {
    let (host, settings) = (Memory::default(), Settings::default());
    let of = |user, device| tokens::issue(&host, &settings, holder(user, device), NOW).unwrap().token_id;
    let (phone, pc, other) = (of("alice", "phone"), of("alice", "pc"), of("alice-2", "phone"));
    let device = Selector::Device(Device { user: "alice".into(), client_id: "pc".into() });
    assert_eq!(tokens::revoke(&host, &device).unwrap(), vec![pc.clone()]);
    assert_eq!(tokens::revoke(&host, &Selector::User("alice".into())).unwrap(), vec![phone.clone()]);
    assert!(tokens::revoke(&host, &Selector::User("alice".into())).unwrap().is_empty());
    assert_eq!(tokens::revoke(&host, &Selector::Token(other.clone())).unwrap(), [other]);
    let answer =
        verify(&host, &settings, &attempt(tls(), password(&phone, &URL_SAFE_NO_PAD.encode([0; 32]))));
    assert_eq!(denial(answer), Denial::Expired);
    assert!(tokens::renew(&host, &settings, &pc, holder("alice", "pc"), NOW).is_err());
}

#[test]
fn anonymous_only_where_the_policy_says_so() {
    let host = Memory::default();
    let closed = Settings::default();
    assert_eq!(denial(verify(&host, &closed, &attempt(plain(), Credential::Anonymous))), Denial::Anonymous);
    let open = Settings { anonymous: true, ..Settings::default() };
    let grant = granted(verify(&host, &open, &attempt(plain(), Credential::Anonymous)));
    assert!(grant.profile.is_none() && grant.token_id.is_none() && grant.expires_at.is_none());
    let stranger = attempt(plain(), password("someone", "something"));
    assert_eq!(denial(verify(&host, &open, &stranger)), Denial::BadCredentials);
    let open = Settings { anonymous_accepts_any: true, ..open };
    granted(verify(&host, &open, &stranger));
    let token = issue(&host, &open);
    let wrong = attempt(plain(), password(&token.token_id, "something"));
    assert_eq!(
        denial(verify(&host, &open, &wrong)),
        Denial::BadCredentials,
        "a known token is never anonymous"
    );
}

#[test]
fn what_the_store_cannot_say_is_unavailable() {
    let host = Memory { down: true, ..Memory::default() };
    let bearer = password("token", &URL_SAFE_NO_PAD.encode([0; 32]));
    let answer = verify(&host, &Settings::default(), &attempt(tls(), bearer));
    assert!(matches!(answer, Err(TokenError::Unavailable(_))));
    assert!(tokens::self_check(&host).is_err());
    assert!(tokens::self_check(&Memory::default()).is_ok());
}
