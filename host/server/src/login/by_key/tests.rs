//! Challenges, and docs/protocol/login-vectors.json: what implementers of terminals check themselves
//! against. Run with `POSTERN_WRITE_VECTORS=1` to write it anew.

use ring::signature::{Ed25519KeyPair, KeyPair};
use serde_json::{Value, json};

use super::*;

const NOW: u64 = 1_790_000_000_000;

/// A login node of its own folder, with a development certificate.
async fn node(folder: &std::path::Path, master: u8) -> KeyLogins {
    let keyring = Keyring::from_material(&format!("{master:02x}").repeat(32), "test").unwrap();
    let url = format!("sqlite:{}/postern.db", folder.display());
    let database = Database::open(&url, folder).await.unwrap();
    KeyLogins::new(&keyring, &database, Certificates::for_tests(folder))
}

fn attempt(now: u64) -> Attempt {
    Attempt { user: "car-1".into(), client_id: "unit".into(), address: String::new(), now }
}

fn answer(challenge: &Challenge) -> Answer {
    Answer::read(&challenge.challenge, &URL_SAFE_NO_PAD.encode([7; SIGNATURE])).unwrap()
}

#[tokio::test]
async fn rule_12_a_challenge_is_taken_once_in_time_by_its_server_under_its_name() {
    let (folder, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (node, other) = (node(folder.path(), 7).await, node(elsewhere.path(), 8).await);
    let told = async |challenge: &Challenge, now, host| {
        let taken = node.take(answer(challenge), &attempt(now), host).await;
        taken.map(drop).map_err(|problem| (problem.status, problem.detail.unwrap()))
    };
    let refused = |why: Refused| Err((401, why.to_string()));

    let challenge = node.give([1; RANDOM], NOW);
    assert_eq!(challenge.expires_at, NOW + GOOD_MS);
    assert_eq!(told(&challenge, NOW, "evil.example").await, refused(Refused::Host), "and is not used up");
    assert_eq!(told(&challenge, NOW, "").await, refused(Refused::Host));
    assert_eq!(told(&challenge, NOW + GOOD_MS - 1, "LocalHost").await, Ok(()));
    assert_eq!(told(&challenge, NOW, "localhost").await, refused(Refused::Taken));

    let late = node.give([2; RANDOM], NOW);
    assert_eq!(told(&late, NOW + GOOD_MS, "127.0.0.1").await, refused(Refused::Expired));
    assert_eq!(told(&other.give([3; RANDOM], NOW), NOW, "::1").await, refused(Refused::Foreign));
    let sound = URL_SAFE_NO_PAD.decode(node.give([4; RANDOM], NOW).challenge).unwrap();
    for at in 0..CHALLENGE {
        let mut altered = sound.clone();
        altered[at] ^= 1;
        let altered = Challenge { challenge: URL_SAFE_NO_PAD.encode(altered), expires_at: 0 };
        assert_eq!(told(&altered, NOW, "localhost").await, refused(Refused::Foreign), "byte {at}");
    }
}

#[tokio::test]
async fn rule_12_of_a_challenge_at_many_places_at_once_one_is_taken() {
    let folder = tempfile::tempdir().unwrap();
    let node = node(folder.path(), 7).await;
    let challenge = node.give([1; RANDOM], NOW);
    let attempt = attempt(NOW);
    let all = (0..8).map(|_| node.take(answer(&challenge), &attempt, "localhost"));
    let taken = futures_util::future::join_all(all).await;
    assert_eq!(taken.iter().filter(|taken| taken.is_ok()).count(), 1);
}

#[test]
fn an_answer_has_its_lengths() {
    let text = |length: usize| URL_SAFE_NO_PAD.encode(vec![7; length]);
    assert!(Answer::read(&text(CHALLENGE), &text(SIGNATURE)).is_ok());
    let long = "A".repeat(1 << 16);
    for (challenge, signature, named) in [
        (text(CHALLENGE - 1), text(SIGNATURE), "challenge"),
        (text(CHALLENGE + 1), text(SIGNATURE), "challenge"),
        (String::new(), text(SIGNATURE), "challenge"),
        (text(CHALLENGE).replace('B', "+"), text(SIGNATURE), "challenge"),
        (long.clone(), text(SIGNATURE), "challenge"),
        (text(CHALLENGE), text(SIGNATURE - 1), "signature"),
        (text(CHALLENGE), text(SIGNATURE) + "=", "signature"),
        (text(CHALLENGE), long, "signature"),
    ] {
        let problem = Answer::read(&challenge, &signature).unwrap_err();
        assert_eq!(problem.status, 400);
        assert!(problem.detail.unwrap().starts_with(named), "{named}");
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

async fn vectors() -> Value {
    let folder = tempfile::tempdir().unwrap();
    let node = node(folder.path(), 7).await;
    let seed: [u8; 32] = std::array::from_fn(|at| u8::try_from(at).unwrap());
    let pair = Ed25519KeyPair::from_seed_unchecked(&seed).unwrap();
    let logins = [
        (0xc5, "car-1", "unit", "https://127.0.0.1:8443", "127.0.0.1"),
        (0x5c, "car-7.lamp_2", "a", "https://Login.Example.com", "login.example.com"),
        (0x00, "c", "car-1unit", "https://[2001:db8::1]:8443/", "2001:db8::1"),
    ];
    let logins = logins.map(|(byte, user, client_id, server, host)| {
        let challenge = node.give([byte; RANDOM], NOW);
        let message = message(&URL_SAFE_NO_PAD.decode(&challenge.challenge).unwrap(), user, client_id, host);
        json!({
            "challenge": challenge.challenge, "expires_at": challenge.expires_at.to_string(),
            "user": user, "client_id": client_id, "server": server, "host": host,
            "message_hex": hex(&message), "signature": URL_SAFE_NO_PAD.encode(pair.sign(&message)),
        })
    });
    json!({
        "about": "Test vectors of Postern's login by key, version 1. docs/protocol/sign-in.md describes the format.",
        "keys": {
            "private_key": URL_SAFE_NO_PAD.encode(seed), "public_key": URL_SAFE_NO_PAD.encode(pair.public_key()),
            "master_key_hex": hex(&[7; 32]), "challenge_key_hex": hex(node.key.expose()),
        },
        "logins": logins,
    })
}

#[tokio::test]
async fn rule_12_the_vectors_are_what_we_compute() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/protocol/login-vectors.json");
    let text = serde_json::to_string_pretty(&vectors().await).unwrap() + "\n";
    if std::env::var_os("POSTERN_WRITE_VECTORS").is_some() {
        std::fs::write(file, &text).unwrap();
    }
    assert_eq!(std::fs::read_to_string(file).unwrap(), text, "see the head of this file");
}
