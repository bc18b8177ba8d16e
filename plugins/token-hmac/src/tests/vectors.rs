//! docs/protocol/sign-in-vectors.json: what implementers of clients check themselves against. Run
//! with `POSTERN_WRITE_VECTORS=1` to write it anew.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use super::*;
use crate::proof::{self, Binding};

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn vectors() -> Value {
    let token_id = "qrvM3e7_ABEiM0RVZneImQ";
    let proof_key = proof::proof_key(&Bytes([7; 32]), token_id);
    let sign_in_key = proof::sign_in_key(&proof_key);
    let links = [
        ("phone", Transport::Plain, "plain", "tcp", 1, NOW),
        ("phone", Transport::Tls, "tls", "wss", 256, NOW + 999),
        ("car-7.lamp_2", Transport::Plain, "plain", "ws", u64::MAX, 0),
    ];
    let binding = |client_id, transport, listener| Binding { token_id, client_id, transport, listener };
    let proofs = links.iter().map(|&(client_id, transport, name, listener, counter, time)| {
        let message = proof::proof_message(binding(client_id, transport, listener), counter, time);
        let mac = sign_in_key.hmac(&message);
        let bytes = [&[1][..], &counter.to_be_bytes(), &time.to_be_bytes(), &mac].concat();
        json!({
            "client_id": client_id, "transport": name, "listener": listener,
            // As text: a JSON number need not hold 64 bits.
            "counter": counter.to_string(), "proof_time_ms": time.to_string(),
            "mac_input_hex": hex(&message), "mac_hex": hex(&mac),
            "user_name": token_id, "password": URL_SAFE_NO_PAD.encode(bytes),
        })
    });
    let answers = links.iter().map(|&(client_id, transport, name, listener, ..)| {
        let challenge = proof::challenge(&[0xc5; 32], NOW);
        let message = proof::answer_message(binding(client_id, transport, listener), &challenge);
        json!({
            "client_id": client_id, "transport": name, "listener": listener,
            "method": proof::AUTH_METHOD, "start_data_hex": hex(token_id.as_bytes()),
            "challenge_hex": hex(&challenge), "mac_input_hex": hex(&message),
            "answer_data_hex": hex(&sign_in_key.hmac(&message)),
        })
    });
    json!({
        "about": "Test vectors of Postern's sign-in, version 1. docs/protocol/sign-in.md describes the format.",
        "keys": {
            "master_key_hex": hex(&[7; 32]), "token_id": token_id,
            "proof_key_hex": hex(&proof_key.0), "proof_key_base64url": URL_SAFE_NO_PAD.encode(proof_key.0),
            "sign_in_key_hex": hex(&sign_in_key.0), "command_key_hex": hex(&proof_key.derive(b"command").0),
            "bearer": proof::bearer(&proof_key, token_id),
        },
        "proofs": proofs.collect::<Vec<_>>(),
        "answers": answers.collect::<Vec<_>>(),
    })
}

#[test]
fn the_vectors_are_what_we_compute() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/protocol/sign-in-vectors.json");
    let text = serde_json::to_string_pretty(&vectors()).unwrap() + "\n";
    if std::env::var_os("POSTERN_WRITE_VECTORS").is_some() {
        std::fs::create_dir_all(std::path::Path::new(file).parent().unwrap()).unwrap();
        std::fs::write(file, &text).unwrap();
    }
    assert_eq!(std::fs::read_to_string(file).unwrap(), text, "see the head of this file");
}

#[test]
fn the_vectors_sign_in() {
    for vector in vectors()["proofs"].as_array().unwrap() {
        let text = |key: &str| vector[key].as_str().unwrap();
        let password = proof::decode_password(text("password").as_bytes());
        let proof::Password::Proof(proof) = password else { panic!("no proof: {vector}") };
        assert_eq!(proof.counter.to_string(), text("counter"));
        assert_eq!(proof.time.to_string(), text("proof_time_ms"));
        assert_eq!(hex(&proof.mac), text("mac_hex"));
    }
}
