//! docs/protocol/encrypt-on-demand-vectors.json: what implementers of terminals check themselves against. Run
//! with `POSTERN_WRITE_VECTORS=1` to write it anew.

use serde_json::{Value, json};

use super::*;
use crate::message::{Outcome, Query, Report};

fn hex(bytes: impl AsRef<[u8]>) -> String {
    bytes.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// `count` different bytes.
fn ramp(count: u16) -> Vec<u8> {
    (0..count).map(|byte| u8::try_from(byte % 256).unwrap()).collect()
}

fn instructions() -> Vec<Value> {
    let longest = "t".repeat(255);
    let rows = [
        (1, "car-7", Transport::Tls, 1, NOW, [0; 16]),
        (2, "a", Transport::Plain, 258, 0, [255; 16]),
        (2, &longest, Transport::Tls, u64::MAX, u64::MAX, [0xc5; 16]),
        (3, "Füße-7", Transport::Plain, 1 << 32, NOW + 999, [1; 16]),
    ];
    let vector = |(seed, terminal, to, sequence, expires_at, nonce): (u8, &str, Transport, u64, u64, _)| {
        let (pair, key_id, _) = server_key(seed);
        let terminal = terminal.to_owned();
        let instruction = Instruction { key_id, to, sequence, expires_at, nonce, terminal };
        json!({
            "seed": hex([seed; 32]), "public_key": hex(pair.public_key()), "key_id": hex(key_id),
            "terminal": instruction.terminal, "to": to.name(), "sequence": sequence.to_string(),
            "expires_at": expires_at.to_string(), "nonce": hex(nonce), "bytes": hex(instruction.write(&pair)),
        })
    };
    rows.into_iter().map(vector).collect()
}

fn queries() -> Vec<Value> {
    let rows = [(false, 0), (true, 60), (true, 258), (false, u16::MAX)];
    let vector = |(understands_disconnect, keep_alive_secs)| {
        let bytes = Query { understands_disconnect, keep_alive_secs }.write();
        json!({
            "understands_disconnect": understands_disconnect, "keep_alive_secs": keep_alive_secs,
            "bytes": hex(bytes),
        })
    };
    rows.into_iter().map(vector).collect()
}

fn commands() -> Vec<Value> {
    let longest = "c".repeat(255);
    let rows = [
        (5, "car-7", Transport::Tls, 0x11, 1, NOW, true, "remote-control", b"unlock".to_vec()),
        (5, "car-7", Transport::Plain, 0x11, 1, NOW, false, "remote-control", b"unlock".to_vec()),
        (6, "a", Transport::Plain, 0, 0, 0, false, "", Vec::new()),
        (7, "car-7", Transport::Tls, 0xff, u64::MAX, u64::MAX, false, &longest, ramp(1)),
        (7, "Füße-7", Transport::Plain, 0xa0, 258, NOW + 999, true, "diagnosis", ramp(300)),
    ];
    let vector = |row: (u8, &str, Transport, u8, u64, u64, bool, &str, Vec<u8>)| {
        let (proof, terminal, transport, byte, sequence, expires_at, must_encrypt, class, body) = row;
        let class = class.to_owned();
        let command = Command { id: id(byte), must_encrypt, sequence, expires_at, class, body };
        let bytes = command.write(&CommandKey::derive(&[proof; 32]), terminal, transport);
        json!({
            "proof_key": hex([proof; 32]), "terminal": terminal, "transport": transport.name(),
            "id": command.id.to_string(), "sequence": sequence.to_string(),
            "expires_at": expires_at.to_string(), "must_encrypt": must_encrypt, "class": command.class,
            "body": hex(command.body), "bytes": hex(bytes),
        })
    };
    rows.into_iter().map(vector).collect()
}

fn results() -> Vec<Value> {
    let rows = [
        (5, "car-7", Transport::Plain, 0x11, Outcome::Acknowledged, Vec::new()),
        (5, "car-7", Transport::Tls, 0x11, Outcome::Done, b"door unlocked".to_vec()),
        (6, "a", Transport::Tls, 0, Outcome::Failed, ramp(1)),
        (7, "Füße-7", Transport::Plain, 0xff, Outcome::Unknown, Vec::new()),
        (7, "car-7", Transport::Tls, 0xa0, Outcome::Expired, ramp(300)),
    ];
    let vector = |(proof, terminal, transport, byte, outcome, body): (u8, &str, Transport, _, _, _)| {
        let report = Report { id: id(byte), outcome, body };
        let bytes = report.write(&CommandKey::derive(&[proof; 32]), terminal, transport);
        json!({
            "proof_key": hex([proof; 32]), "terminal": terminal, "transport": transport.name(),
            "id": report.id.to_string(), "outcome": outcome, "body": hex(report.body), "bytes": hex(bytes),
        })
    };
    rows.into_iter().map(vector).collect()
}

fn vectors() -> Value {
    let keys = [[0; 32], [5; 32], [6; 32], [7; 32], [255; 32]];
    let command_keys = keys.map(|proof_key| {
        let command_key = CommandKey::derive(&proof_key);
        json!({ "proof_key": hex(proof_key), "command_key": hex(command_key.bytes()) })
    });
    json!({
        "about": "Test vectors of Postern's encrypt on demand, version 1. docs/protocol/encrypt-on-demand.md \
            describes the messages. Bytes are in hex; numbers of 64 bits are text, because a JSON number need \
            not hold them. A key's id is the first 4 bytes of the SHA-256 of the public key.",
        "command_keys": command_keys,
        "instructions": instructions(),
        "queries": queries(),
        "commands": commands(),
        "results": results(),
    })
}

#[test]
fn the_vectors_are_what_we_compute() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/protocol/encrypt-on-demand-vectors.json");
    let text = serde_json::to_string_pretty(&vectors()).unwrap() + "\n";
    if std::env::var_os("POSTERN_WRITE_VECTORS").is_some() {
        std::fs::write(file, &text).unwrap();
    }
    assert_eq!(std::fs::read_to_string(file).unwrap(), text, "see the head of this file");
}

#[test]
fn the_command_key_is_that_of_the_sign_in_vectors() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/protocol/sign-in-vectors.json");
    let published: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    let key = CommandKey::of_token(published["keys"]["proof_key_base64url"].as_str().unwrap()).unwrap();
    assert_eq!(hex(key.bytes()), published["keys"]["command_key_hex"]);
}
