//! What is decided, remembered and written, without a network.

mod credential;
mod journal;
mod message;
mod rules;
mod state;
mod vectors;

use ring::digest::{SHA256, digest};
use ring::signature::{Ed25519KeyPair, KeyPair};

use crate::keys::{CommandKey, InstructionKey};
use crate::message::{Command, CommandId, Instruction, Transport};

/// The server's clock in tests, milliseconds.
const NOW: u64 = 1_700_000_000_000;

/// A key of the server's: the pair, its id, and what terminals get.
fn server_key(seed: u8) -> (Ed25519KeyPair, [u8; 4], InstructionKey) {
    let pair = Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap();
    let public: [u8; 32] = pair.public_key().as_ref().try_into().unwrap();
    let id = digest(&SHA256, &public).as_ref()[..4].try_into().unwrap();
    (pair, id, InstructionKey::new(id, public))
}

fn instruction(to: Transport) -> Instruction {
    Instruction {
        key_id: server_key(1).1,
        to,
        sequence: 7,
        expires_at: NOW + 1,
        nonce: [9; 16],
        terminal: "car-7".to_owned(),
    }
}

fn command_key() -> CommandKey {
    CommandKey::derive(&[5; 32])
}

fn id(byte: u8) -> CommandId {
    CommandId([byte; 16])
}

fn command(must_encrypt: bool) -> Command {
    Command {
        id: id(1),
        must_encrypt,
        sequence: 1,
        expires_at: NOW + 1,
        class: "remote-control".to_owned(),
        body: b"unlock".to_vec(),
    }
}
