//! Any bytes may come.

use ring::rand::{SecureRandom, SystemRandom};

use super::*;
use crate::message::{Outcome, Report, Untrusted};

fn all(bytes: &[u8]) -> [bool; 3] {
    let (_, _, key) = server_key(1);
    [
        Instruction::read(bytes, &[key]).is_ok(),
        Command::read(bytes, &command_key(), "car-7", Transport::Plain).is_ok(),
        Report::read(bytes, &command_key(), "car-7", Transport::Plain).is_ok(),
    ]
}

#[test]
fn messages_are_read_as_they_were_written_and_no_prefix_or_longer_one_is() {
    let (pair, ..) = server_key(1);
    let report = Report { id: id(1), outcome: Outcome::Done, body: b"open".to_vec() };
    let messages = [
        instruction(Transport::Tls).write(&pair),
        command(true).write(&command_key(), "car-7", Transport::Plain),
        report.write(&command_key(), "car-7", Transport::Plain),
    ];
    for (kind, bytes) in messages.iter().enumerate() {
        assert_eq!(all(bytes), [0, 1, 2].map(|reader| reader == kind));
        for length in 0..bytes.len() {
            assert_eq!(all(&bytes[..length]), [false; 3]);
        }
        assert_eq!(all(&[&bytes[..], &[0]].concat()), [false; 3]);
    }
}

#[test]
fn unknown_versions_kinds_and_flags_are_malformed() {
    let good = command(false).write(&command_key(), "car-7", Transport::Plain);
    for (at, value) in [(0, 0), (0, 2), (1, 1), (1, 5), (2, 2), (2, 0x81)] {
        let mut bytes = good.clone();
        bytes[at] = value;
        let read = Command::read(&bytes, &command_key(), "car-7", Transport::Plain);
        assert_eq!(read, Err(Untrusted::Malformed));
    }
}

#[test]
fn random_bytes_are_no_message() {
    let random = SystemRandom::new();
    let mut bytes = [0; 256];
    for round in 0..20_000_usize {
        random.fill(&mut bytes).unwrap();
        bytes[0] = 1;
        bytes[1] = u8::try_from(round % 5).unwrap();
        assert_eq!(all(&bytes[..round % 257]), [false; 3]);
    }
}
